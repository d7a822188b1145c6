//! The process: exit, output, environment, identity, limits, end.

use super::Case;
use super::Fixture;
use kiln_exec::Cancel;
use kiln_exec::ExecError;
use kiln_exec::Resources;
use kiln_exec::Ulimit;
use kiln_exec::User;
use std::time::Duration;
use std::time::Instant;

pub(super) const ALL: &[Case] = &[
    ("exit codes", exit_codes),
    ("signals", signals),
    ("streams", streams),
    ("much output", much_output),
    ("environment", environment),
    ("arguments", arguments),
    ("working directory", working_directory),
    ("missing working directory is made", missing_working_directory),
    ("user and groups", user_and_groups),
    ("output can be opened by name", output_by_name),
    ("host name and hosts", hostname),
    ("limits", limits),
    ("limit above our own", limit_above_own),
    ("unknown limit", unknown_limit),
    ("missing program", missing_program),
    ("program without permission", no_permission),
    ("program that is a directory", program_is_directory),
    ("program without format", no_format),
    ("standard input is empty", standard_input),
    ("background processes end", background),
    ("cancel", cancel),
    ("cancelled before", cancelled_before),
    ("memory limit", memory_limit),
    ("process one", process_one),
    ("umask", umask),
];

fn exit_codes(f: &Fixture<'_>) {
    for code in [0, 1, 42, 255] {
        let ran = f.run(f.script(&format!("exit {code}")));
        assert_eq!((ran.exit.code, ran.exit.start_error), (code, None));
    }
}

fn signals(f: &Fixture<'_>) {
    // Process 1 of a namespace cannot send itself signals: its child can.
    assert_eq!(f.run(f.script("sh -c 'kill -9 $$'; exit $?")).exit.code, 137);
    assert_eq!(f.run(f.script("sh -c 'kill -TERM $$'; exit $?")).exit.code, 143);
}

fn streams(f: &Fixture<'_>) {
    let ran = f.run(f.script("echo out; echo err >&2; printf end"));
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("out\nend", "err\n"));
}

fn much_output(f: &Fixture<'_>) {
    let ran =
        f.run(f.script("head -c 3000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero | tr '\\0' y >&2"));
    assert_eq!((ran.out.len(), ran.err.len()), (3_000_000, 1_000_000));
}

fn environment(f: &Fixture<'_>) {
    let mut step = f.step(&["env"]);
    step.env.push(("A".to_owned(), "x y=z\n\"'$".to_owned()));
    step.env.push(("EMPTY".to_owned(), String::new()));
    let ran = f.run(step);
    assert_eq!(ran.out, "PATH=/usr/bin:/bin\nA=x y=z\n\"'$\nEMPTY=\nHOME=/\n");
}

fn arguments(f: &Fixture<'_>) {
    let step = f.step(&["sh", "-c", "printf '[%s]' \"$0\" \"$@\"", "a b", "", "$c", "ü\n"]);
    f.check(step, "[a b][][$c][ü\n]");
}

fn working_directory(f: &Fixture<'_>) {
    let mut step = f.script("pwd");
    step.cwd = "/etc".to_owned();
    f.check(step, "/etc");
}

fn missing_working_directory(f: &Fixture<'_>) {
    let mut step = f.script("pwd; stat -c %u:%g:%a .");
    step.cwd = "/srv/app".to_owned();
    step.user = User {
        uid: 7,
        gid: 8,
        groups: Vec::new(),
    };
    f.check(step, "/srv/app\n7:8:755");
    assert_eq!(super::filesystem::real_changes(f), ["srv", "srv/app"]);
}

fn user_and_groups(f: &Fixture<'_>) {
    f.check(f.script("id -u; id -g; id -G"), "0\n0\n0");
    let mut step = f.script("id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '; touch /tmp/x 2>&1");
    step.user = User {
        uid: 1000,
        gid: 100,
        groups: vec![5, 2000],
    };
    let ran = f.run(step);
    assert_eq!(
        ran.out.replace("touch: /tmp/x: Permission denied\n", ""),
        "1000\n100\n5 100 2000 "
    );
}

fn output_by_name(f: &Fixture<'_>) {
    let mut step = f.script("echo a >/dev/stdout; echo b >/dev/stderr");
    step.user = User {
        uid: 1000,
        gid: 1000,
        groups: Vec::new(),
    };
    let ran = f.run(step);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("a\n", "b\n"));
}

fn hostname(f: &Fixture<'_>) {
    f.check(f.script("hostname"), "buildkitsandbox");
    let mut step = f.script("hostname; cat /etc/hosts");
    step.hostname = "here".to_owned();
    step.extra_hosts = vec![("db".to_owned(), "10.1.2.3".to_owned())];
    f.check(
        step,
        "here\n127.0.0.1\tlocalhost here\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.2.3\tdb",
    );
}

fn limits(f: &Fixture<'_>) {
    let mut step = f.script("ulimit -Sn; ulimit -Hn; ulimit -c");
    let limit = |name: &str, soft, hard| Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    };
    step.ulimits = vec![limit("nofile", 123, 456), limit("core", 0, 0)];
    f.check(step, "123\n456\n0");
}

fn limit_above_own(f: &Fixture<'_>) {
    let mut step = f.script("ulimit -Hn");
    step.ulimits = vec![Ulimit {
        name: "nofile".to_owned(),
        soft: 64,
        hard: 1 << 40,
    }];
    let own = rustix_hard_limit();
    f.check(step, &own);
}

fn rustix_hard_limit() -> String {
    let text = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = text
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("a limit of files");
    line.split_whitespace().nth(4).expect("a hard limit").to_owned()
}

fn unknown_limit(f: &Fixture<'_>) {
    let mut step = f.script("true");
    step.ulimits = vec![Ulimit {
        name: "nofiles".to_owned(),
        soft: 1,
        hard: 1,
    }];
    let error = f.try_run(step, Cancel::never()).expect_err("no such limit");
    assert!(
        error.to_string().contains("invalid ulimit type: nofiles"),
        "{error}"
    );
}

#[track_caller]
fn check_start(f: &Fixture<'_>, program: &str, code: i32, text: &str) {
    let ran = f.run(f.step(&[program, "x"]));
    assert_eq!(ran.exit.code, code, "{ran:?}");
    let reason = ran.exit.start_error.expect("a reason");
    assert!(reason.contains(text), "{reason:?} does not contain {text:?}");
    assert!(ran.err.contains(text), "{:?} does not contain {text:?}", ran.err);
}

fn missing_program(f: &Fixture<'_>) {
    check_start(f, "foo", 127, "exec: \"foo\": executable file not found in $PATH");
    check_start(
        f,
        "/no/foo",
        127,
        "exec: \"/no/foo\": stat /no/foo: no such file or directory",
    );
}

fn no_permission(f: &Fixture<'_>) {
    std::fs::write(f.path("base/etc/data"), "x").expect("a file");
    check_start(f, "/etc/data", 126, "exec: \"/etc/data\": permission denied");
}

fn program_is_directory(f: &Fixture<'_>) {
    check_start(f, "/etc", 126, "exec: \"/etc\": is a directory");
}

fn no_format(f: &Fixture<'_>) {
    let path = f.path("base/bin/strange");
    std::fs::write(&path, "neither program nor script").expect("a file");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    check_start(f, "strange", 126, "exec format error");
}

fn standard_input(f: &Fixture<'_>) {
    f.check(f.script("cat | wc -c"), "0");
}

fn background(f: &Fixture<'_>) {
    let started = Instant::now();
    let ran = f.run(f.script("sleep 77.125 & echo started"));
    assert_eq!(ran.out, "started\n");
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "the step waited for its background process"
    );
    assert_eq!(processes("77.125"), 0);
}

fn cancel(f: &Fixture<'_>) {
    let (canceller, cancel) = Cancel::pair();
    let waiter = std::thread::spawn(move || {
        for _ in 0..600 {
            if processes("78.125") > 0 {
                canceller.cancel();
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        canceller.cancel();
        false
    });
    let outcome = f.try_run(f.script("trap '' TERM; sleep 78.125 & sleep 78.125"), cancel);
    assert!(waiter.join().expect("the thread ends"), "the step did not start");
    assert!(matches!(outcome, Err(ExecError::Cancelled { .. })), "{outcome:?}");
    assert_eq!(processes("78.125"), 0);
}

fn cancelled_before(f: &Fixture<'_>) {
    let (canceller, cancel) = Cancel::pair();
    canceller.cancel();
    let outcome = f.try_run(f.script("touch /made"), cancel);
    assert!(matches!(outcome, Err(ExecError::Cancelled { .. })), "{outcome:?}");
    assert!(f.changes().is_empty());
}

fn memory_limit(f: &Fixture<'_>) {
    let mut step = f.script("x=a; while true; do x=$x$x; done");
    step.resources = Resources {
        memory: Some(32 << 20),
        ..Resources::default()
    };
    let ran = f.run(step);
    assert_eq!((ran.exit.code, ran.exit.oom_killed), (137, true), "{ran:?}");
    let mut step = f.script("true");
    step.resources = Resources {
        memory: Some(64 << 20),
        cpu_shares: Some(512),
        cpu_period: Some(100_000),
        cpu_quota: Some(50_000),
        cpuset_cpus: Some("0".to_owned()),
        ..Resources::default()
    };
    let id = step.id.clone();
    let ran = f.run(step);
    assert_eq!((ran.exit.code, ran.exit.oom_killed), (0, false), "{ran:?}");
    let left = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-name", &format!("*{id}*")])
        .output();
    assert_eq!(String::from_utf8_lossy(&left.expect("find").stdout), "");
}

fn process_one(f: &Fixture<'_>) {
    f.check(f.script("echo $$"), "1");
}

fn umask(f: &Fixture<'_>) {
    f.check(f.script("umask"), "0022");
}

/// How many processes have `mark` on their command line.
pub(super) fn processes(mark: &str) -> usize {
    let mine = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").expect("proc").flatten();
    all.filter(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        entry.file_name() != *mine && String::from_utf8_lossy(&line).contains(mark)
    })
    .count()
}
