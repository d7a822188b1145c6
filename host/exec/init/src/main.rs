//! Sets a build step's namespaces up, becomes it, and clears up behind it.
//!
//! Two processes: this one stays outside of the step, holds what is to be removed afterwards, and ends the step when
//! the engine asks for it (`SIGTERM`) or dies; the other one makes the mounts, in a mount namespace of its own, and
//! becomes the step's process 1. So nothing of a step is ever visible in the machine's mount table.

#![expect(
    unsafe_code,
    reason = "forks and makes system calls that have no safe wrapper"
)]

mod assemble;
mod cgroup;
mod failure;
mod place;
mod process;
mod source;
mod stub;
mod supervise;
mod syscalls;

use failure::Failure;
use kiln_exec_init::codec::decode;
use kiln_exec_init::codec::encode;
use kiln_exec_init::report::Report;
use kiln_exec_init::spec::Spec;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;

/// Longest spec that is read: far above every real one, secrets included.
const SPEC_LIMIT: u64 = 64 << 20;

fn main() {
    // Without a socket there is nobody to tell.
    let Ok(socket) = take_socket() else { return };
    let outcome = read_spec(&socket).and_then(|spec| supervise::run(&spec, &socket));
    if let Err(failure) = outcome {
        send(
            &socket,
            &Report::Setup {
                reason: failure.to_string(),
            },
        );
    }
}

/// Moves the socket, which comes as standard input, out of the way and puts `/dev/null` there.
fn take_socket() -> Result<OwnedFd, Failure> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .map_err(Failure::new("duplicate the socket"))?;
    let null = File::options()
        .read(true)
        .open("/dev/null")
        .map_err(|e| Failure::io("open `/dev/null`", &e))?;
    rustix::stdio::dup2_stdin(&null).map_err(Failure::new("replace the standard input"))?;
    Ok(socket)
}

fn read_spec(socket: &OwnedFd) -> Result<Spec, Failure> {
    let mut file = File::from(
        socket
            .try_clone()
            .map_err(|e| Failure::io("duplicate the socket", &e))?,
    );
    let mut header = [0; 8];
    file.read_exact(&mut header)
        .map_err(|e| Failure::io("read the spec's length", &e))?;
    let len = u64::from_le_bytes(header);
    if len > SPEC_LIMIT {
        return Err(Failure::text(format!(
            "the spec has {len} bytes, at most {SPEC_LIMIT} are taken"
        )));
    }
    let mut bytes = Vec::new();
    file.take(len)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::io("read the spec", &e))?;
    decode(&bytes).ok_or_else(|| Failure::text("the spec is malformed"))
}

/// Sends one report. Nobody is left to hear of a failure here.
fn send(socket: &OwnedFd, report: &Report) {
    let body = encode(report);
    let mut message = encode(&(body.len() as u64));
    message.extend_from_slice(&body);
    let mut rest = message.as_slice();
    while !rest.is_empty() {
        match rustix::net::send(socket.as_fd(), rest, rustix::net::SendFlags::NOSIGNAL) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
