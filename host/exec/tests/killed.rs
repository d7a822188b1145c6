//! A killed engine leaves nothing behind.

#![expect(clippy::print_stderr, reason = "says which cases do not apply, and why")]

#[expect(dead_code, reason = "this test uses the root file system only")]
mod conformance;

use conformance::Fixture;
use kiln_exec::Cancel;
use kiln_exec::NativeExecutor;
use kiln_exec::Network;
use kiln_exec::Resources;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Duration;

/// Tells this program to be the engine that is killed.
const VICTIM: &str = "KILN_EXEC_TEST_VICTIM";
const MARK: &str = "93.0625";

#[test]
fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let executor = NativeExecutor::new().expect("an executor");
    let fixture = Fixture::new(&executor);
    let mut step = fixture.script(&format!("trap '' TERM; sleep {MARK} & sleep {MARK}"));
    step.network = Network::Default;
    step.resources = Resources {
        memory: Some(64 << 20),
        ..Resources::default()
    };
    let _ = fixture.try_run(step, Cancel::never());
}

#[test]
fn leaves_no_process_mount_or_group() {
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        eprintln!("skipped: needs root");
        return;
    }
    let mut engine = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "victim"])
        .env(VICTIM, "yes")
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("itself");
    let id = engine.id();
    assert!(eventually(|| running() == 2), "the step did not start");
    engine.kill().expect("a signal");
    engine.wait().expect("its end");
    assert!(eventually(|| running() == 0), "a process is left");
    let group = format!("kiln-{id}-*");
    let groups = || {
        Command::new("find")
            .args(["/sys/fs/cgroup", "-name", &group])
            .output()
            .expect("find")
            .stdout
    };
    assert!(eventually(|| groups().is_empty()), "a control group is left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains("userxattr"), "{mounts}");
}

fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    (0..400).any(|_| {
        let holds = condition();
        if !holds {
            std::thread::sleep(Duration::from_millis(50));
        }
        holds
    })
}

/// Processes whose command is the marked `sleep` itself.
fn running() -> usize {
    let all = std::fs::read_dir("/proc").expect("proc").flatten();
    all.filter(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line == format!("sleep\0{MARK}\0").as_bytes())
    })
    .count()
}
