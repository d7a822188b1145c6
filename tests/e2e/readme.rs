//! Every command of the README, as written, in the order in which it is written.

use std::path::Path;

use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;
use kiln_tests::support::kiln_bin;
use kiln_tests::support::repo;
use kiln_tests::support::root_layout;
use kiln_tests::support::run;
use kiln_tests::support::tool;

/// Returns the commands that the README shows with `$ kiln`.
fn commands() -> Vec<String> {
    let text = std::fs::read_to_string(repo().join("README.md")).expect("the README can be read");
    let commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
    commands
        .filter(|command| command.starts_with("kiln "))
        .map(str::to_owned)
        .collect()
}

/// Puts in place of what a reader has and the test has not: a registry, and a docker daemon.
fn localised(command: &str, registry: &str) -> String {
    command.replace("registry.example.com", registry).replace(
        "docker load",
        "cat > loaded.tar && skopeo inspect docker-archive:loaded.tar",
    )
}

/// A directory as the README's reader has it: `.`, `base` and `app` are contexts, `layout` is an OCI layout.
fn place() -> Project {
    let app = "ARG VERSION=1\nFROM base\nCOPY Dockerfile /app\nRUN test -s /app\n";
    let place = Project::new("FROM scratch\nCOPY Dockerfile /\n");
    let base =
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";
    let place = place
        .file("base/Dockerfile", base)
        .busybox("base/busybox")
        .file("app/Dockerfile", app);
    let layout = place.join("layout");
    let busybox = root_layout("busybox").display().to_string();
    tool("cp", &["-a", &busybox, &layout.display().to_string()]);
    place
}

#[test]
fn every_command_does_what_it_says() {
    let (kiln, place, registry) = (Kiln::new(), place(), Registry::open());
    let commands = commands();
    assert!(commands.len() >= 8, "the README shows {commands:?}");
    let directory = kiln_bin();
    let directory = directory.parent().unwrap_or(Path::new("/"));
    for command in &commands {
        let mut shell = kiln.command::<&str>(&[]);
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory.display());
        let script = format!("set -o pipefail; {}", localised(command, &registry.host()));
        let environment: Vec<_> = shell
            .get_envs()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
        shell = std::process::Command::new("bash");
        shell
            .args(["-c", &script])
            .env_clear()
            .envs(environment)
            .env("PATH", path)
            .current_dir(place.path())
            .stdin(std::process::Stdio::null());
        let _ = run(shell).ok();
    }
    for left in ["app.tar", "out/app", "loaded.tar"] {
        assert!(place.join(left).exists(), "no `{left}`");
    }
}
