//! The process outside of the step: starts the inner one, waits, ends it on request, and clears up.

use crate::assemble;
use crate::cgroup;
use crate::failure::Failure;
use crate::process;
use crate::send;
use crate::stub;
use crate::stub::StubLog;
use crate::syscalls;
use kiln_exec_init::report::Report;
use kiln_exec_init::spec::Net;
use kiln_exec_init::spec::Source;
use kiln_exec_init::spec::Spec;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::WaitOptions;
use rustix::process::WaitStatus;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Runs the step that `spec` describes and reports its end.
pub(crate) fn run(spec: &Spec, socket: &OwnedFd) -> Result<(), Failure> {
    die_with_parent(spec.parent)?;
    let log = StubLog::new()?;
    let groups = cgroup::make(&spec.cgroups)?;
    let kills = cgroup::oom_kills_of_machine();
    let first_shared = log.raw().max(socket.as_raw_fd()).unsigned_abs() + 1;
    let pid = match syscalls::fork(namespaces(spec)) {
        Ok(0) => inner(spec, socket, &log),
        Ok(pid) => pid,
        Err(errno) => {
            cgroup::remove(&groups);
            return Err(Failure::new("create namespaces")(errno));
        }
    };
    let status = wait(pid, spec);
    let mut leftovers = stub::remove_all(&log);
    syscalls::close_from(first_shared);
    // A runtime hands the signal on as its own exit code.
    let killed = exit_code(status) == 128 + libc::SIGKILL;
    let oom_killed = cgroup::oom_kills(&spec.cgroups).map_or_else(
        || killed && cgroup::oom_kills_of_machine() > kills,
        |count| count > 0,
    );
    leftovers.extend(cgroup::remove(&groups));
    forget_volatile(spec);
    for reason in leftovers {
        send(socket, &Report::Leftover { reason });
    }
    send(
        socket,
        &Report::Exit {
            code: exit_code(status),
            oom_killed,
        },
    );
    Ok(())
}

/// Asks for `SIGTERM` when the engine's spawning thread ends, and leaves when that has happened already.
fn die_with_parent(expected: u32) -> Result<(), Failure> {
    syscalls::block_signals();
    let _ = rustix::process::setsid();
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(Failure::new("ask for the parent's death signal"))?;
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent == expected {
        Ok(())
    } else {
        Err(Failure::text("the engine is gone"))
    }
}

fn namespaces(spec: &Spec) -> libc::c_int {
    if spec.runtime.is_some() {
        return libc::CLONE_NEWNS;
    }
    let network = if matches!(spec.network, Net::Loopback {}) {
        libc::CLONE_NEWNET
    } else {
        0
    };
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | network
}

/// The inner process. Only comes back from its work when that failed.
fn inner(spec: &Spec, socket: &OwnedFd, log: &StubLog) -> ! {
    let outcome = rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Failure::new("ask for the helper's death signal"))
        .and_then(|()| assemble::enter(spec, log))
        .and_then(|()| process::become_step(spec));
    let Err(failure) = outcome;
    let reason = failure.to_string();
    let report = match failure.start_code() {
        Some(code) => Report::Start { code, reason },
        None => Report::Setup { reason },
    };
    send(socket, &report);
    syscalls::exit(failure.start_code().unwrap_or(1))
}

/// Waits for the inner process; `SIGTERM` ends it, and with it everything in its namespace.
fn wait(pid: i32, spec: &Spec) -> WaitStatus {
    let child = Pid::from_raw(pid);
    loop {
        if let Ok(Some((_, status))) = rustix::process::waitpid(child, WaitOptions::NOHANG) {
            return status;
        }
        if syscalls::next_signal() == libc::SIGTERM
            && let Some(child) = child
        {
            let _ = rustix::process::kill_process(child, Signal::KILL);
            delete_container(spec);
        }
    }
}

/// An OCI runtime's container outlives the runtime: it has to be removed by name.
fn delete_container(spec: &Spec) {
    let Some((program, args)) = spec
        .runtime
        .as_ref()
        .and_then(|runtime| runtime.delete.split_first())
    else {
        return;
    };
    let os = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_owned();
    let args = args.iter().map(|arg| os(&arg.0));
    let mut command = std::process::Command::new(os(&program.0));
    drop(
        command
            .args(args)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status(),
    );
}

fn exit_code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(255)
}

/// Removes the mark that a volatile overlay leaves, so that the same directories can be mounted again.
fn forget_volatile(spec: &Spec) {
    let sources = spec.mounts.iter().map(|mount| &mount.source).chain([&spec.root]);
    for source in sources {
        if let Source::Overlay {
            changes: Some(changes),
            ..
        } = source
        {
            let work = Path::new(std::ffi::OsStr::from_bytes(&changes.work.0)).join("work/incompat");
            drop(std::fs::remove_dir_all(work));
        }
    }
}
