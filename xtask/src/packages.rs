//! Debian packages that tests and demo need: installed where that is possible, else named.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use anyhow::bail;

/// A file and the package that brings it.
pub(crate) type Need = (&'static str, &'static str);

/// What the demo needs beside a Rust toolchain: a program to put into the image.
pub(crate) const DEMO: &[Need] = &[("/usr/bin/busybox", "busybox-static")];

/// What the tests need: real services, real clients, real root file systems.
pub(crate) const TESTS: &[Need] = &[
    ("/usr/bin/busybox", "busybox-static"),
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    ("/usr/bin/docker-registry", "docker-registry"),
    ("/usr/bin/htpasswd", "apache2-utils"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/skopeo", "skopeo"),
    ("/usr/bin/umoci", "umoci"),
    ("/usr/bin/buildah", "buildah"),
    ("/usr/bin/bzip2", "bzip2"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/bin/crun", "crun"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/bin/newuidmap", "uidmap"),
    ("/usr/bin/pasta", "passt"),
    ("/usr/bin/slirp4netns", "slirp4netns"),
    ("/usr/bin/git", "git"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/python3", "python3"),
    ("/usr/sbin/sshd", "openssh-server"),
    ("/usr/bin/ssh-agent", "openssh-client"),
    ("/usr/bin/gcc", "gcc"),
    ("/usr/sbin/nft", "nftables"),
    ("/sbin/ip", "iproute2"),
];

/// Makes sure that everything in `needs` is there.
pub(crate) fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0"));
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        bail!("programs are missing\nhint: on Debian, as root: `{wanted}`");
    }
    eprintln!("packages: {wanted}");
    let install: Vec<&str> = ["install", "--yes", "--no-install-recommends"]
        .into_iter()
        .chain(missing)
        .collect();
    // Package lists may be old, or missing on a new machine.
    if !(apt(&install)? || apt(&["update"])? && apt(&install)?) {
        bail!("`{wanted}` failed");
    }
    Ok(())
}

fn apt(args: &[&str]) -> anyhow::Result<bool> {
    let mut command = Command::new("/usr/bin/apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(args)
        .stdout(Stdio::null());
    Ok(command.status().context("cannot run `apt-get`")?.success())
}
