//! Lets an unprivileged engine run steps: re-executes the program once inside a user and mount namespace, where
//! everything else takes the same path as for root.

use crate::ExecError;
use rustix::fs::Gid;
use rustix::fs::Uid;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::WaitOptions;
use rustix::thread::UnshareFlags;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::process::Stdio;

/// Set for the program inside, to the process id of the one outside: nobody else sets it to the parent's id.
const MARK: &str = "_KILN_USER_NAMESPACE";

/// What to do for a range of users.
pub(crate) const RANGE_ADVICE: &str = "install the package `uidmap` and give the user 65536 ids in /etc/subuid and /etc/subgid (`usermod \
     --add-subuids 100000-165535 --add-subgids 100000-165535 USER`)";

/// What [`enter_user_namespace`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNamespace {
    /// The program is root, or inside already: go on.
    AlreadyInside,
    /// This machine does not allow it: go on without, steps will not run.
    NotPossible {
        /// What is in the way and what to do.
        reason: String,
    },
    /// The program ran inside and has ended: leave with this code.
    Ended {
        /// Its exit code, 128 + number when a signal ended it.
        code: i32,
    },
}

/// Runs this program again inside a user and mount namespace when it is not root, and waits for it.
///
/// Called first thing in `main`, before there is any thread. `args` are the arguments after the program's name.
/// Signals that end a program are passed on to the inner one, and it dies with the outer one.
///
/// # Errors
/// When the namespace was made but the program could not be started in it.
pub fn enter_user_namespace(args: impl IntoIterator<Item = OsString>) -> Result<UserNamespace, ExecError> {
    if rustix::process::geteuid().is_root() || marked() {
        return Ok(UserNamespace::AlreadyInside);
    }
    let (ours, theirs) = UnixStream::pair().map_err(ExecError::io("make a socket pair"))?;
    let mapper = std::thread::spawn(move || map_ids(ours, &Ranges::find()));
    block_signals();
    let mut command = Command::new("/proc/self/exe");
    command.args(args).env(MARK, std::process::id().to_string());
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    // SAFETY: the closure makes system calls on memory that it owns and allocates nothing, as must be after a fork
    // of a program with threads.
    unsafe { command.pre_exec(move || become_root(&theirs)) };
    let spawned = command.spawn();
    drop(command);
    let mapped = mapper
        .join()
        .unwrap_or_else(|_| Err("the thread that maps users panicked".to_owned()));
    match (spawned, mapped) {
        (Ok(child), Ok(())) => Ok(UserNamespace::Ended {
            code: wait(child.id().cast_signed()),
        }),
        (Ok(mut child), Err(reason)) => {
            let _ = child.kill();
            let _ = child.wait();
            unblock_signals();
            Ok(UserNamespace::NotPossible { reason })
        }
        (Err(error), mapped) => {
            unblock_signals();
            let reason = mapped.err().unwrap_or_default();
            Ok(UserNamespace::NotPossible {
                reason: not_possible(&error, &reason),
            })
        }
    }
}

fn not_possible(error: &io::Error, mapping: &str) -> String {
    let detail = if mapping.is_empty() {
        String::new()
    } else {
        format!(" ({mapping})")
    };
    format!(
        "cannot create a user namespace: {error}{detail}; look at `sysctl user.max_user_namespaces \
         kernel.unprivileged_userns_clone kernel.apparmor_restrict_unprivileged_userns`, or run as root"
    )
}

/// Whether this process is the one that [`enter_user_namespace`] started.
fn marked() -> bool {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    std::env::var_os(MARK).is_some_and(|mark| parent.is_some_and(|parent| mark == *parent))
}

/// Whether this process is in another user namespace than the machine's first one.
pub(crate) fn in_user_namespace() -> bool {
    mapped_users() < u64::from(u32::MAX)
}

/// How many users this process's namespace has.
pub(crate) fn mapped_users() -> u64 {
    mapped("/proc/self/uid_map")
}

/// How many groups this process's namespace has.
pub(crate) fn mapped_groups() -> u64 {
    mapped("/proc/self/gid_map")
}

fn mapped(path: &str) -> u64 {
    let map = fs::read_to_string(path).unwrap_or_default();
    map.lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
        .sum()
}

/// In the child, between fork and exec.
fn become_root(socket: &UnixStream) -> io::Result<()> {
    let namespaces = UnshareFlags::NEWUSER | UnshareFlags::NEWNS;
    // SAFETY: the child has one thread and no descriptors that depend on a namespace.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }?;
    let pid = rustix::process::getpid().as_raw_nonzero().get().to_ne_bytes();
    rustix::io::write(socket, &pid)?;
    let mut answer = [0];
    if rustix::io::read(socket, &mut answer)? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    // After the identity, as changing that clears it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Ids that the user may have in a namespace besides their own.
#[derive(Debug, Default)]
struct Ranges {
    uids: Option<(u64, u64)>,
    gids: Option<(u64, u64)>,
}

impl Ranges {
    fn find() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let name = user_name(&read("/etc/passwd"), uid);
        let range = |path| subordinate(&read(path), uid, name.as_deref());
        Self {
            uids: range("/etc/subuid"),
            gids: range("/etc/subgid"),
        }
    }
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// First id and number of ids of the largest range of a user.
fn subordinate(text: &str, uid: u32, name: Option<&str>) -> Option<(u64, u64)> {
    let number = uid.to_string();
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let range = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        (owner == number || Some(owner) == name).then_some(range)
    });
    ranges.max_by_key(|(_, count)| *count)
}

/// Gives the child its ids once it has its namespace, and tells it so.
fn map_ids(mut child: UnixStream, ranges: &Ranges) -> Result<(), String> {
    let mut pid = [0; 4];
    // The child could not make its namespace: its own error says why.
    if child.read_exact(&mut pid).is_err() {
        return Ok(());
    }
    let pid = i32::from_ne_bytes(pid);
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let mapped = match (ranges.uids, ranges.gids) {
        (Some(uids), Some(gids)) => {
            map_range("newuidmap", pid, uid, uids).and_then(|()| map_range("newgidmap", pid, gid, gids))
        }
        _ => Err(String::new()),
    };
    // A range that cannot be had leaves the user's own id, with which most steps work.
    mapped.or_else(|_| map_one(pid, uid, gid))?;
    child.write_all(&[1]).map_err(|error| error.to_string())
}

fn map_range(tool: &str, pid: i32, own: u32, (first, count): (u64, u64)) -> Result<(), String> {
    let args = [
        pid.to_string(),
        "0".into(),
        own.to_string(),
        "1".into(),
        "1".into(),
        first.to_string(),
        count.to_string(),
    ];
    let output = Command::new(tool).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run `{tool}`: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn map_one(pid: i32, uid: u32, gid: u32) -> Result<(), String> {
    let write = |name: &str, text: String| {
        let path = format!("/proc/{pid}/{name}");
        // Opened without creating or cutting: these are not ordinary files.
        let file = fs::File::options().write(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| format!("cannot write `{path}`: {error}"))
    };
    // A map that newuidmap has written already stays, and only the rest is missing.
    let uids = write("uid_map", format!("0 {uid} 1\n"));
    let has_uids = fs::read_to_string(format!("/proc/{pid}/uid_map")).is_ok_and(|map| !map.trim().is_empty());
    if !has_uids {
        uids?;
    }
    write("setgroups", "deny".to_owned())?;
    write("gid_map", format!("0 {gid} 1\n"))
}

const PASSED_ON: [libc::c_int; 6] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

fn waited_signals() -> libc::sigset_t {
    // SAFETY: all zeroes is a valid value, and the calls write into it only.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        PASSED_ON.iter().chain(&[libc::SIGCHLD]).for_each(|signal| {
            libc::sigaddset(&raw mut set, *signal);
        });
        set
    }
}

fn block_signals() {
    let set = waited_signals();
    // SAFETY: the set lives through the call; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

fn unblock_signals() {
    let set = waited_signals();
    // SAFETY: the set lives through the call; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Waits for the inner program and passes signals on to it.
fn wait(raw: i32) -> i32 {
    let pid = Pid::from_raw(raw);
    loop {
        match rustix::process::waitpid(pid, WaitOptions::NOHANG) {
            Ok(Some((_, status))) => {
                let signalled = || status.terminating_signal().map(|signal| 128 + signal);
                return status.exit_status().or_else(signalled).unwrap_or(1);
            }
            Err(Errno::CHILD) => return 1,
            Ok(None) | Err(_) => {}
        }
        let set = waited_signals();
        // SAFETY: all zeroes is a valid value of this plain struct.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: both live through the call, which fills `info`.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, &raw mut info) };
        // What the terminal sends, it sends to the whole process group: the inner program has it already.
        if PASSED_ON.contains(&signal) && info.si_code != libc::SI_KERNEL {
            // SAFETY: takes numbers only, and the child has not been waited for.
            unsafe { libc::kill(raw, signal) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_range_of_the_user_is_taken() {
        let text = "other:1:5\nme:100000:10\n1000:200000:65536\nme:bad:1\n";
        assert_eq!(subordinate(text, 1000, Some("me")), Some((200_000, 65_536)));
        assert_eq!(subordinate(text, 7, Some("me")), Some((100_000, 10)));
        assert_eq!(subordinate(text, 7, None), None);
    }

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("me"));
        assert_eq!(user_name(passwd, 3), None);
    }
}
