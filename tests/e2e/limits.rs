//! Limits of steps: of processes, of /dev/shm, of memory and processors.

use std::path::Path;
use std::process::Command;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::run;

fn build(kiln: &Kiln, command: &str, flags: &[&str]) -> Outcome {
    let project = Project::new(&format!("FROM busybox\nRUN {command}\n"));
    let busybox = root("busybox");
    let always = [
        "--no-cache",
        "--network=none",
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
    ];
    kiln.build(project.path(), &[flags, &always].concat())
}

/// Prints what a file of the step's own control group has, of v1 or of v2.
fn group(v1: &str, v2: &str) -> String {
    format!("echo it is $(cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2})")
}

#[test]
fn limits_hold() {
    let kiln = Kiln::new();
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let either = |one: &'static str, two: &'static str| if v2 { two } else { one };
    let limit = group("memory/memory.limit_in_bytes", "memory.max");
    let shares = group("cpu/cpu.shares", "cpu.weight");
    let quota = group("cpu/cpu.cfs_quota_us", "cpu.max");
    let period = group("cpu/cpu.cfs_period_us", "cpu.max");
    let processors = group("cpuset/cpuset.cpus", "cpuset.cpus");
    let nodes = group("cpuset/cpuset.mems", "cpuset.mems");
    let rows: &[(&[&str], &str, &str)] = &[
        (
            &["--ulimit=nofile=100:200"],
            "echo it is $(ulimit -n) $(ulimit -Hn)",
            "it is 100 200",
        ),
        (
            &["--ulimit=nofile=100"],
            "echo it is $(ulimit -n) $(ulimit -Hn)",
            "it is 100 100",
        ),
        (
            &["--ulimit=nofile=100", "--ulimit=core=0"],
            "echo it is $(ulimit -n) $(ulimit -c)",
            "it is 100 0",
        ),
        (
            &["--ulimit=fsize=4096:4096"],
            "! dd if=/dev/zero of=/big bs=8192 count=1 2>&1; echo it is $(stat -c %s /big)",
            "it is 4096",
        ),
        (
            &["--ulimit=nproc=5000:6000"],
            "echo it is $(ulimit -u)",
            "it is 5000",
        ),
        (&["--shm-size=8m"], "df -k /dev/shm | tail -1", " 8192 "),
        (&["--shm-size=1g"], "df -k /dev/shm | tail -1", " 1048576 "),
        (&[], "df -k /dev/shm | tail -1", " 65536 "),
        (&["--memory=64m"], &limit, "it is 67108864"),
        (&["--cpu-shares=512"], &shares, either("it is 512", "it is 20")),
        (
            &["--cpu-quota=25000", "--cpu-period=50000"],
            &quota,
            "it is 25000",
        ),
        (
            &["--cpu-quota=25000", "--cpu-period=50000"],
            &period,
            either("it is 50000", "it is 25000 50000"),
        ),
        (&["--cpuset-cpus=0"], "echo it is $(nproc)", "it is 1"),
        (&["--cpuset-cpus=0"], &processors, "it is 0"),
        (&["--cpuset-mems=0"], &nodes, "it is 0"),
    ];
    for (flags, command, expected) in rows {
        let outcome = build(&kiln, command, flags).ok();
        assert!(
            outcome.all().contains(expected),
            "{flags:?}: expected `{expected}`\n{}",
            outcome.all()
        );
    }
}

#[test]
fn too_much_memory_is_told() {
    let kiln = Kiln::new();
    let eat = "dd if=/dev/zero of=/dev/null bs=96M count=1";
    _ = build(&kiln, eat, &["--memory=32m", "--memory-swap=32m"])
        .exits(1)
        .says("cannot allocate memory");
    _ = build(&kiln, eat, &["--memory=256m", "--memory-swap=256m"]).ok();
}

#[test]
fn groups_are_made_below_the_parent_and_removed() {
    let kiln = Kiln::new();
    let place = format!("/kiln-test-{}", std::process::id());
    let find = |name: &str| {
        let mut command = Command::new("find");
        command.args([
            "/sys/fs/cgroup",
            "-type",
            "d",
            "-path",
            &format!("*{place}{name}"),
        ]);
        run(command).text()
    };
    // The step itself sees its own group as the root of all; the machine sees where that is.
    let parent = format!("--cgroup-parent={place}/inner");
    let outcome = build(
        &kiln,
        "cat /proc/self/cgroup",
        &[&parent, "--memory=64m", "--cpuset-cpus=0"],
    );
    let (made, left) = (find("/inner"), find("/inner/*"));
    for dir in find("/inner").lines().chain(find("").lines()) {
        // Empty groups are removed by name; a test leaves none.
        let _removed = std::fs::remove_dir(dir);
    }
    _ = outcome.ok();
    assert!(made.contains("/inner"), "{made}");
    assert!(left.is_empty(), "{left}");
    _ = build(&kiln, "true", &["--cgroup-parent=../x"])
        .exits(1)
        .says("it must not have `..`");
}

#[test]
fn limits_that_are_none_are_refused() {
    let kiln = Kiln::new();
    let rows: &[(&[&str], i32, &str)] = &[
        (&["--ulimit=files=1"], 1, "invalid ulimit type: files"),
        (&["--ulimit=nofile"], 2, "nofile"),
        (
            &["--ulimit=nofile=2:1"],
            2,
            "ulimit soft limit must be less than or equal to hard limit",
        ),
        (&["--ulimit=nofile=many"], 2, "many"),
        (&["--shm-size=many"], 2, "many"),
        (&["--memory=many"], 2, "many"),
        (&["--cpu-quota=many"], 2, "many"),
        (&["--cpuset-cpus=9999"], 1, "cpuset"),
    ];
    for (flags, code, expected) in rows {
        let outcome = build(&kiln, "true", flags);
        let text = outcome.all();
        assert!(
            outcome.code() == Some(*code) && text.contains(expected),
            "{flags:?}: expected {code} and `{expected}`\n{text}"
        );
    }
}
