//! Debian packages that tests and demo need: installed where that is possible, else named.

use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use anyhow::bail;

/// A program, or `python:` and a module of Python, and the package that brings it.
pub(crate) type Need = (&'static str, &'static str);

/// What the demo needs beside a Rust toolchain: a program to put into the image.
pub(crate) const DEMO: &[Need] = &[("busybox", "busybox-static")];

/// What the tests need: real services, real clients, real root file systems.
pub(crate) const TESTS: &[Need] = &[
    ("busybox", "busybox-static"),
    ("mmdebstrap", "mmdebstrap"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("openssl", "openssl"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("buildah", "buildah"),
    ("bzip2", "bzip2"),
    ("xz", "xz-utils"),
    ("gzip", "gzip"),
    ("zstd", "zstd"),
    ("crun", "crun"),
    ("runc", "runc"),
    ("podman", "podman"),
    ("newuidmap", "uidmap"),
    ("pasta", "passt"),
    ("slirp4netns", "slirp4netns"),
    ("git", "git"),
    ("curl", "curl"),
    ("python3", "python3"),
    ("python:ensurepip", "python3-venv"),
    ("npm", "npm"),
    ("sshd", "openssh-server"),
    ("ssh-agent", "openssh-client"),
    ("gcc", "gcc"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("rpmbuild", "rpm"),
    ("db_load", "db-util"),
];

/// Makes sure that everything in `needs` is there.
pub(crate) fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|(what, _)| !is_there(what))
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
    if !root || !is_there("apt-get") {
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

fn is_there(what: &str) -> bool {
    if let Some(module) = what.strip_prefix("python:") {
        let mut python = Command::new("python3");
        python
            .args(["-c", &format!("import {module}")])
            .stderr(Stdio::null());
        return python.status().is_ok_and(|status| status.success());
    }
    // Services are looked for where an ordinary user's PATH does not lead.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|directory| directory.join(what).is_file())
}

fn apt(args: &[&str]) -> anyhow::Result<bool> {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(args)
        .stdout(Stdio::null());
    Ok(command.status().context("cannot run `apt-get`")?.success())
}
