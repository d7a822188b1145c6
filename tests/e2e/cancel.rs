//! Ctrl-C.

use std::time::Duration;
use std::time::Instant;

use rustix::process::Signal;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;

/// Returns whether some process has `word` in its command line.
fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    processes
        .map(|entry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default())
        .any(|line| {
            line.split(|byte| *byte == 0)
                .any(|argument| argument == word.as_bytes())
        })
}

/// Waits until `ready` says yes.
fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < until, "{what}: still not after a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn check(signal: Signal, code: i32) {
    // The number marks the process among those of other tests.
    let marker = format!("10{}{}", std::process::id(), signal.as_raw());
    let dockerfile = format!("FROM busybox\nRUN echo before > /before\nRUN sleep {marker}\nRUN echo after\n");
    let (kiln, project) = (Kiln::new(), Project::new(&dockerfile));
    let args = kiln.build_args(
        project.path(),
        &["--build-context", &root("busybox"), "-o", "type=cacheonly"],
    );
    let build = kiln.start(&args);
    wait_for("the step runs", || is_running(&marker));
    build.signal(signal);
    let outcome = build.wait(Duration::from_secs(20));
    assert!(outcome.time < Duration::from_secs(60), "{}", outcome.report());
    let outcome = outcome.exits(code);
    assert!(
        !is_running(&marker),
        "the step's process is still there\n{}",
        outcome.report()
    );
    assert_eq!(kiln.mounts(), Vec::<String>::new(), "mounts are left");

    let project = Project::new("FROM busybox\nRUN echo before > /before\nRUN cat /before\n");
    let again = kiln.build(
        project.path(),
        &["--build-context", &root("busybox"), "-o", "type=cacheonly"],
    );
    let _kept = again.ok().says("CACHED");
}

#[test]
fn interrupt_ends_the_build_and_leaves_nothing() {
    check(Signal::INT, 130);
}

#[test]
fn terminate_ends_the_build_and_leaves_nothing() {
    check(Signal::TERM, 130);
}

#[test]
fn interrupted_build_ends_within_five_seconds() {
    let marker = format!("20{}", std::process::id());
    let dockerfile = format!("FROM busybox\nRUN trap '' INT TERM; sleep {marker}; sleep {marker}\n");
    let (kiln, project) = (Kiln::new(), Project::new(&dockerfile));
    let args = kiln.build_args(
        project.path(),
        &["--build-context", &root("busybox"), "-o", "type=cacheonly"],
    );
    let build = kiln.start(&args);
    wait_for("the step runs", || is_running(&marker));
    build.signal(Signal::INT);
    // It hangs when it is not gone by now: a step that ignores signals is no reason to wait.
    let _ended = build.wait(Duration::from_secs(5)).exits(130);
    assert!(!is_running(&marker), "the step's process is still there");
}
