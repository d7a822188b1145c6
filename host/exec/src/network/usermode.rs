//! A namespace whose traffic a program carries, for engines in a user namespace.

use super::Namespace;
use super::missing;
use super::path;
use crate::ExecError;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// The programs that can do it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Carrier {
    Slirp4netns,
    Pasta,
}

impl Carrier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Slirp4netns => "slirp4netns",
            Self::Pasta => "pasta",
        }
    }
}

/// Looks for a program. slirp4netns first: it ends with the engine by itself, whatever happens to that.
pub(super) fn find() -> Result<Carrier, ExecError> {
    let works = |carrier: Carrier| {
        let mut command = Command::new(carrier.name());
        command
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let hint = "install the package `slirp4netns` or `passt`, or give the step the network `none` or `host`";
    let reason = "a rootless engine needs `slirp4netns` or `pasta`, and neither is installed";
    [Carrier::Slirp4netns, Carrier::Pasta]
        .into_iter()
        .find(|c| works(*c))
        .ok_or_else(|| missing(reason, hint))
}

/// Makes a namespace that reaches the outside.
pub(super) fn make() -> Result<Namespace, ExecError> {
    let carrier = find()?;
    let failed = |action: &str, error: io::Error| {
        let hint = "see whether `/dev/net/tun` is there and open to you (`chmod 666 /dev/net/tun` as root); or give the step the network `none` or `host`";
        missing(format!("cannot {action}: {error}"), hint)
    };
    let made = std::thread::spawn(empty)
        .join()
        .map_err(|_| missing("its thread panicked", "report this"))?;
    let fd = made.map_err(|error| failed("create a network namespace", error))?;
    let started = match carrier {
        Carrier::Slirp4netns => slirp4netns(&fd),
        Carrier::Pasta => pasta(&fd),
    };
    let child = started.map_err(|error| failed(&format!("start `{}`", carrier.name()), error))?;
    Ok(Namespace {
        fd,
        carrier: child,
        // Both are told to hide the machine.
        gateway: None,
    })
}

fn empty() -> io::Result<OwnedFd> {
    // SAFETY: this thread was made for this, runs nothing else, and ends afterwards.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }?;
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Ends when its standard input does, and says on its standard output that it is ready.
fn slirp4netns(namespace: &OwnedFd) -> io::Result<Option<Child>> {
    let mut child = Command::new("slirp4netns")
        .args([
            "--configure",
            "--mtu=65520",
            "--disable-host-loopback",
            "--netns-type=path",
        ])
        .args(["--exit-fd=0", "--ready-fd=1", &path(namespace), "eth0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let Some(ready) = child.stdout.take() else {
        return Ok(Some(child));
    };
    let limit = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    let mut byte = [0];
    let polled = rustix::event::poll(&mut [PollFd::new(&ready, PollFlags::IN)], Some(&limit))?;
    if polled == 1 && rustix::io::read(&ready, &mut byte)? == 1 {
        return Ok(Some(child));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(io::Error::other("it did not become ready"))
}

/// Goes into the background when it is ready, and ends when the namespace does.
fn pasta(namespace: &OwnedFd) -> io::Result<Option<Child>> {
    let output = Command::new("pasta")
        .args([
            "--quiet",
            "--config-net",
            "--no-map-gw",
            "-t",
            "none",
            "-u",
            "none",
            "-T",
            "none",
            "-U",
            "none",
        ])
        .args(["--netns", &path(namespace)])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(None);
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}
