//! Flags of `docker buildx build` that reach into steps: hosts, SSH keys, platforms by default.

use std::process::Command;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::run;

fn build(kiln: &Kiln, dockerfile: &str, args: &[&str]) -> Outcome {
    let project = Project::new(dockerfile);
    let busybox = root("busybox");
    let always = ["--build-context", &busybox, "-o", "type=cacheonly"];
    kiln.build(project.path(), &[args, &always].concat())
}

#[test]
fn the_gateway_is_this_machine() {
    let text = "FROM busybox\nRUN grep gate /etc/hosts; ip route | grep default\n";
    let kiln = Kiln::new();
    let host = ["--add-host=gate:host-gateway", "--network=host"];
    _ = build(&kiln, text, &host).ok().says("127.0.0.1\tgate");
    let outcome = build(&kiln, text, &["--add-host=gate:host-gateway"]).ok();
    let route = outcome
        .stderr
        .lines()
        .find_map(|line| Some(line.split_once("default via ")?.1));
    let gateway = route
        .and_then(|rest| rest.split(' ').next())
        .expect("a route")
        .to_owned();
    _ = outcome.says(&format!("{gateway}\tgate"));
    _ = build(&kiln, text, &["--add-host=gate:host-gateway", "--network=none"])
        .exits(1)
        .says("the step cannot reach this machine");
}

#[test]
fn key_files_are_put_into_an_agent() {
    let kiln = Kiln::new();
    let (good, locked) = (kiln.path("key"), kiln.path("locked"));
    for (path, passphrase) in [(&good, ""), (&locked, "open sesame")] {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
            .arg(path);
        _ = run(command).ok();
    }
    let text = "FROM busybox\nRUN --mount=type=ssh,id=k test -S $SSH_AUTH_SOCK && echo socket is there\n";
    let flag = format!("--ssh=k={}", good.display());
    _ = build(&kiln, text, &[&flag]).ok().says("socket is there");
    let flag = format!("--ssh=k={}", locked.display());
    _ = build(&kiln, text, &[&flag])
        .exits(2)
        .says("cannot use the SSH key `")
        .says("hint: a key with a passphrase has to be in an agent");
    std::fs::write(kiln.path("text"), "no key").expect("a file");
    let flag = format!("--ssh=k={}", kiln.path("text").display());
    _ = build(&kiln, text, &[&flag])
        .exits(2)
        .says("cannot use the SSH key `");
}

#[test]
fn flags_that_buildx_ignores_are_said_to_be_ignored() {
    let kiln = Kiln::new();
    let args = [
        "--squash",
        "--rm",
        "--force-rm",
        "--progress=plain",
        "--target=x",
        "--target=",
    ];
    _ = build(&kiln, "FROM scratch\nCOPY Dockerfile /\n", &args)
        .ok()
        .says("warning: experimental flag squash is removed with BuildKit.")
        .never_says("force-rm");
}
