//! The native executor as a user without privileges: this program runs itself again as one, in a mount namespace in
//! which that user has a range of ids, and enters a user namespace from there as the command line does.

#![expect(clippy::print_stderr, reason = "says which cases do not apply, and why")]

mod conformance;

use kiln_exec::NativeExecutor;
use kiln_exec::UserNamespace;
use kiln_exec::enter_user_namespace;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::process::ExitCode;

/// What only this program passes to itself.
const INNER: &str = "--as-user-without-privileges";

const USER: u32 = 54_321;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.iter().any(|arg| arg == INNER) {
        return inner(args);
    }
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        eprintln!("skipped: this test needs root to make its user");
        return ExitCode::SUCCESS;
    }
    let ranges = outer(true);
    let single = outer(false);
    if ranges && single {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the suite as the user, with or without a range of ids.
fn outer(with_range: bool) -> bool {
    eprintln!(
        "rootless, {}",
        if with_range {
            "with a range of ids"
        } else {
            "with a single id"
        }
    );
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name);
    let range = if with_range {
        format!("{USER}:600000:65536\n")
    } else {
        String::new()
    };
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::write(path("ids"), range).expect("a file");
    let passwd = fs::read_to_string("/etc/passwd").expect("users");
    fs::write(
        path("passwd"),
        format!("{passwd}kiln-test:x:{USER}:{USER}::/:/bin/sh\n"),
    )
    .expect("a file");
    fs::copy(std::env::current_exe().expect("this program"), path("program")).expect("a copy");
    fs::create_dir(path("tmp")).expect("a directory");
    std::os::unix::fs::chown(path("tmp"), Some(USER), Some(USER)).expect("an owner");
    let script = format!(
        "mknod $D/tun c 10 200 && chmod 666 $D/tun && mount --bind $D/tun /dev/net/tun && mount --bind $D/passwd /etc/passwd && mount --bind $D/ids /etc/subuid && mount --bind $D/ids /etc/subgid && \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups --inh-caps=-all \
         env HOME=$D/tmp TMPDIR=$D/tmp $D/program {INNER}"
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .env("D", dir.path());
    command.env("WITH_RANGE", if with_range { "yes" } else { "no" });
    command
        .status()
        .expect("unshare (package `util-linux`)")
        .success()
}

fn inner(args: Vec<std::ffi::OsString>) -> ExitCode {
    match enter_user_namespace(args) {
        Ok(UserNamespace::AlreadyInside) => {}
        Ok(UserNamespace::Ended { code }) => return ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Ok(UserNamespace::NotPossible { reason }) => {
            eprintln!("FAILED: {reason}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("FAILED: {error}");
            return ExitCode::FAILURE;
        }
    }
    let map = fs::read_to_string("/proc/self/uid_map").expect("a map");
    let with_range = std::env::var("WITH_RANGE").is_ok_and(|with| with == "yes");
    assert_eq!(map.lines().count(), if with_range { 2 } else { 1 }, "{map}");
    let mut exempt = vec![
        ("memory limit", "no control group belongs to this user here"),
        (
            "default network reaches the gateway",
            "slirp4netns and pasta keep the machine's loopback to themselves",
        ),
    ];
    if !with_range {
        let reason = "needs more users than one";
        for case in [
            "missing working directory is made",
            "user and groups",
            "output can be opened by name",
            "secret files",
            "sockets",
            "capabilities of another user",
        ] {
            exempt.push((case, reason));
        }
    }
    conformance::run(&NativeExecutor::new().expect("an executor"), &exempt);
    ExitCode::SUCCESS
}
