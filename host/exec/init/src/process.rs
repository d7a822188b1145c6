//! Limits, capabilities, system call filter and identity of the step's process, and its start.

use crate::failure::Failure;
use crate::failure::describe;
use crate::syscalls;
use kiln_exec_init::spec::Process;
use kiln_exec_init::spec::Runtime;
use kiln_exec_init::spec::Spec;
use rustix::fs::Access;
use rustix::fs::FileType;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::Uid;
use rustix::io::Errno;
use rustix::process::Signal;
use std::convert::Infallible;
use std::ffi::CString;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

/// Highest capability number that any kernel has so far, with room.
const LAST_CAPABILITY: u32 = 63;

/// How much of `/etc/passwd` is looked at.
const PASSWD_LIMIT: u64 = 1 << 20;

/// Becomes the step's program, or the OCI runtime that starts it.
pub(crate) fn become_step(spec: &Spec) -> Result<Infallible, Failure> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if let Some(runtime) = &spec.runtime {
        return become_runtime(runtime);
    }
    let process = &spec.process;
    let path = find_program(process)?;
    let args = strings(process.args.iter().map(String::as_bytes))?;
    let env = strings(
        process
            .env
            .iter()
            .map(|entry| entry.0.clone())
            .chain(home(process)),
    )?;
    rustix::process::chdir(process.cwd.as_str())
        .map_err(Failure::new(format!("chdir to cwd ({:?})", process.cwd)))?;
    for limit in &process.rlimits {
        syscalls::set_limit(limit.resource, limit.soft, limit.hard).map_err(Failure::new(format!(
            "set limit {} to {}:{}",
            limit.resource, limit.soft, limit.hard
        )))?;
    }
    own_output(process.uid);
    let _ = rustix::process::setsid();
    syscalls::close_on_exec_from(3);
    take_identity(process)?;
    // Again, as changing the identity has cleared it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Failure::new("ask for the helper's death signal"))?;
    syscalls::reset_signals();
    let errno = syscalls::execute(&path, &args, &env);
    Err(start_failure(&path.to_string_lossy(), errno))
}

/// `HOME` from the root's `/etc/passwd` where the step has none, as every runtime sets it.
fn home(process: &Process) -> Option<Vec<u8>> {
    if process
        .env
        .iter()
        .any(|entry| entry.0.starts_with(b"HOME=") && entry.0.len() > 5)
    {
        return None;
    }
    let uid = process.uid.to_string();
    let mut passwd = Vec::new();
    // Bounded, as the file comes with the image.
    let read = File::open("/etc/passwd").and_then(|file| file.take(PASSWD_LIMIT).read_to_end(&mut passwd));
    let lines = read
        .ok()
        .map(|_| passwd.split(|byte| *byte == b'\n'))
        .into_iter()
        .flatten();
    let found = lines
        .map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>())
        .find_map(|fields| {
            (fields.get(2) == Some(&uid.as_bytes())).then(|| fields.get(5).map(|home| home.to_vec()))?
        });
    Some(
        [
            b"HOME=".to_vec(),
            found.filter(|home| !home.is_empty()).unwrap_or(b"/".to_vec()),
        ]
        .concat(),
    )
}

/// Lets the step's user open `/dev/stdout` and `/dev/stderr`, which are pipes of the engine.
fn own_output(uid: u32) {
    let uid = Some(Uid::from_raw(uid));
    let _ = rustix::fs::fchown(rustix::stdio::stdout(), uid, None);
    let _ = rustix::fs::fchown(rustix::stdio::stderr(), uid, None);
}

fn take_identity(process: &Process) -> Result<(), Failure> {
    let permitted = syscalls::permitted_capabilities().map_err(Failure::new("read capabilities"))?;
    let mask = process.capabilities.unwrap_or(u64::MAX) & permitted;
    for capability in (0..=LAST_CAPABILITY).filter(|number| mask & (1 << number) == 0) {
        // A number that this kernel does not know is not in the set either.
        match syscalls::drop_from_bounding_set(capability) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(Failure::new("drop capabilities")(errno)),
        }
    }
    for program in &process.seccomp {
        syscalls::install_seccomp(&program.0).map_err(Failure::new("install the seccomp filter"))?;
    }
    let groups: Vec<Gid> = process.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        // In a user namespace with a single id groups cannot be changed, and there are none to be had.
        Err(Errno::PERM) if groups.is_empty() => {}
        outcome => outcome.map_err(Failure::new("set supplementary groups"))?,
    }
    let (uid, gid) = (Uid::from_raw(process.uid), Gid::from_raw(process.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(identity_failure("gid", process.gid))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(identity_failure("uid", process.uid))?;
    if process.uid == 0 {
        syscalls::set_capabilities(mask).map_err(Failure::new("set capabilities"))?;
    }
    Ok(())
}

fn identity_failure(kind: &'static str, id: u32) -> impl FnOnce(Errno) -> Failure {
    move |errno| match errno {
        Errno::INVAL => Failure::text(format!(
            "cannot become {kind} {id}: it is not mapped into the user namespace \
             (install `uidmap` and give the user a range in /etc/subuid and /etc/subgid)"
        )),
        errno => Failure::new(format!("become {kind} {id}"))(errno),
    }
}

fn strings(items: impl Iterator<Item = impl Into<Vec<u8>>>) -> Result<Vec<CString>, Failure> {
    items
        .map(|item| CString::new(item).map_err(|_| Failure::text("an argument or variable has a zero byte")))
        .collect()
}

/// Finds the program as runc does: through `PATH` of the step unless its name has a slash.
fn find_program(process: &Process) -> Result<CString, Failure> {
    let Some(name) = process.args.first() else {
        return Err(Failure::text("no command to run"));
    };
    if name.contains('/') {
        let path = if name.starts_with('/') {
            name.clone()
        } else {
            format!("{}/{name}", process.cwd)
        };
        return match executable(&path) {
            Ok(()) => CString::new(path).map_err(|_| Failure::text("the program's name has a zero byte")),
            Err(Errno::NOENT) => Err(Failure::start(
                127,
                format!("exec: {name:?}: stat {path}: no such file or directory"),
            )),
            Err(errno) => Err(Failure::start(
                126,
                format!("exec: {name:?}: {}", describe(errno)),
            )),
        };
    }
    let path = process
        .env
        .iter()
        .rev()
        .find_map(|entry| entry.0.strip_prefix(b"PATH="))
        .unwrap_or_default();
    let path = String::from_utf8_lossy(path).into_owned();
    let mut refused = None;
    for dir in path.split(':').filter(|dir| !name.is_empty() && !dir.is_empty()) {
        let candidate = format!("{dir}/{name}");
        match executable(&candidate) {
            Ok(()) => return CString::new(candidate).map_err(|_| Failure::text("`PATH` has a zero byte")),
            Err(Errno::ACCESS) => refused = refused.or(Some(candidate)),
            Err(_) => {}
        }
    }
    Err(match refused {
        Some(_) => Failure::start(126, format!("exec: {name:?}: permission denied")),
        None => Failure::start(127, format!("exec: {name:?}: executable file not found in $PATH")),
    })
}

fn executable(path: &str) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Errno::ISDIR),
        _ if stat.st_mode & 0o111 == 0 => Err(Errno::ACCESS),
        _ => rustix::fs::access(path, Access::EXEC_OK),
    }
}

fn start_failure(path: &str, errno: Errno) -> Failure {
    let code = if errno == Errno::NOENT { 127 } else { 126 };
    Failure::start(code, format!("exec {path}: {}", describe(errno)))
}

fn become_runtime(runtime: &Runtime) -> Result<Infallible, Failure> {
    let args = strings(runtime.args.iter().map(|arg| arg.0.as_slice()))?;
    let Some(program) = args.first() else {
        return Err(Failure::text("no OCI runtime given"));
    };
    let variable = |(name, value): (OsString, OsString)| [name.as_bytes(), value.as_bytes()].join(&b'=');
    let env = strings(std::env::vars_os().map(variable))?;
    syscalls::close_on_exec_from(3);
    syscalls::reset_signals();
    let errno = syscalls::execute(program, &args, &env);
    Err(Failure::text(format!(
        "cannot start the OCI runtime `{}`: {}",
        program.to_string_lossy(),
        describe(errno)
    )))
}
