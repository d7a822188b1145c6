//! Cache mounts that several builds use at the same time: stages of one build, and two commands on one store.

use std::time::Duration;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::tool;

/// Waits for a file of the other, at most a minute.
const MEET: &str = "meet() { touch $1/$ME; n=0; until test -e $1/$OTHER; do n=$((n+1)); test $n -lt 600 || exit 9; sleep 0.1; done; }";

/// Runs `script` twice at the same time, once as `a` and once as `b`, who meet in `/meet` when they want to.
fn twice(mount: &str, script: &str) -> (Project, Project) {
    let step = format!(
        "RUN --mount=type=cache,id=meet,target=/meet --mount=type=cache,id=c,target=/c,{mount} {MEET}; {script}\n"
    );
    let stage = |me: &str, other: &str| format!("FROM busybox AS {me}\nENV ME={me} OTHER={other}\n{step}");
    let (a, b) = (stage("a", "b"), stage("b", "a"));
    let both =
        format!("{a}RUN touch /a\n{b}RUN touch /b\nFROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n");
    let commands = Project::new("").file("a", &a).file("b", &b);
    (Project::new(&both), commands)
}

#[track_caller]
fn check(mount: &str, script: &str) {
    let (stages, commands) = twice(mount, script);
    let busybox = root("busybox");
    let always = [
        "--network=none",
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
    ];
    let kiln = Kiln::new();
    let parallel = ["--max-parallelism=4"];
    _ = kiln.build(stages.path(), &[&parallel[..], &always].concat()).ok();
    // Two processes on one store; its caches are new.
    let kiln = Kiln::new();
    let start = |name: &str| {
        let file = commands.join(name).display().to_string();
        let args = [&["-f", &file][..], &always].concat();
        kiln.start(&kiln.build_args(commands.path(), &args))
    };
    let (a, b) = (start("a"), start("b"));
    let patience = Duration::from_secs(120);
    _ = (a.wait(patience).ok(), b.wait(patience).ok());
}

#[test]
fn shared_caches_are_used_by_all() {
    // Each sees the other in the cache itself, so both have it at the same time.
    check("sharing=shared", "meet /c");
}

#[test]
fn private_caches_are_copies() {
    check("sharing=private", "touch /c/$ME; meet /meet; test ! -e /c/$OTHER");
}

#[test]
fn locked_caches_exclude_each_other() {
    // A directory can be made once: who finds it there was not alone.
    check(
        "sharing=locked",
        "for i in 1 2 3; do mkdir /c/alone && sleep 0.2 && rmdir /c/alone || exit 7; done",
    );
}

#[test]
fn a_killed_build_holds_no_lock() {
    let busybox = root("busybox");
    let always = [
        "--network=none",
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
    ];
    let kiln = Kiln::new();
    let run = |script: &str| {
        Project::new(&format!(
            "FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked {script}\n"
        ))
    };
    let first = run("touch /c/has-the-lock; sleep 300");
    let running = kiln.start(&kiln.build_args(first.path(), &always));
    let home = kiln.path("").display().to_string();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !tool("find", &[&home, "-name", "has-the-lock"]).contains("has-the-lock") {
        assert!(
            std::time::Instant::now() < until,
            "the first build did not start its step"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    running.signal(rustix::process::Signal::KILL);
    drop(running);
    let second = run("echo has it now");
    _ = kiln.build(second.path(), &always).ok().says("has it now");
}

#[test]
fn no_cache_empties_a_cache_once_a_build() {
    let busybox = root("busybox");
    let always = [
        "--network=none",
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
    ];
    let project = Project::new(
        "FROM busybox\nRUN --mount=type=cache,target=/c test ! -e /c/x && touch /c/x\n\
         RUN --mount=type=cache,target=/c ls /c/x\n",
    );
    let kiln = Kiln::new();
    _ = kiln.build(project.path(), &always).ok();
    // The first step needs an empty cache, the second what the first has left.
    _ = kiln
        .build(project.path(), &[&["--no-cache"][..], &always].concat())
        .ok();
}
