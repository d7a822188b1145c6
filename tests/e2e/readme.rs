//! Every command of the README, as written, in the order in which it is written.

use std::path::Path;
use std::path::PathBuf;

use kiln_tests::support::Entry;
use kiln_tests::support::Kiln;
use kiln_tests::support::Page;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;
use kiln_tests::support::Repositories;
use kiln_tests::support::Sshd;
use kiln_tests::support::Web;
use kiln_tests::support::gzip;
use kiln_tests::support::kiln_bin;
use kiln_tests::support::repo;
use kiln_tests::support::root_layout;
use kiln_tests::support::run;
use kiln_tests::support::tar_of;
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

/// What a reader has: a registry, a docker daemon, servers of repositories and of archives. These are the test's.
struct Elsewhere {
    registry: Registry,
    web: Web,
    sshd: Sshd,
    repositories: Repositories,
}

impl Elsewhere {
    fn start() -> Self {
        let repositories = Repositories::new();
        let app = repositories
            .repository("app")
            .file("Dockerfile", COPIES)
            .file("service/Dockerfile", COPIES);
        app.commit("one");
        app.git(&["tag", "v1.2"]);
        app.git(&["branch", "main"]);
        app.publish();
        let web = Web::start();
        web.repositories("team", repositories.path());
        let archive = gzip(&tar_of(&[Entry::file("Dockerfile", COPIES.as_bytes())]));
        web.page("/app.tar.gz", Page::new(archive));
        Self {
            registry: Registry::open(),
            web,
            sshd: Sshd::start(),
            repositories,
        }
    }

    fn bare(&self) -> PathBuf {
        self.repositories.path().join("app.git")
    }

    fn localised(&self, command: &str) -> String {
        command
            .replace("registry.example.com", &self.registry.host())
            .replace("https://example.com/", &self.web.url("/"))
            .replace("git@example.com:team/app.git", &self.sshd.url(&self.bare()))
            .replace(
                "docker load",
                "cat > loaded.tar && skopeo inspect docker-archive:loaded.tar",
            )
    }
}

/// A Dockerfile that needs nothing but itself.
const COPIES: &str = "FROM scratch\nCOPY Dockerfile /\n";

/// A directory as the README's reader has it: `.`, `base` and `app` are contexts, `layout` is an OCI layout.
fn place() -> Project {
    let app = "ARG VERSION=1\nFROM base\nCOPY Dockerfile /app\nRUN test -s /app\n";
    let place = Project::new(COPIES);
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
    let (place, elsewhere) = (place(), Elsewhere::start());
    let bare = elsewhere.bare().display().to_string();
    tool("cp", &["-a", &bare, &place.join("app.git").display().to_string()]);
    let kiln = Kiln::new()
        .env("TOKEN", "t0ken")
        .env("SSH_AUTH_SOCK", &elsewhere.sshd.agent().display().to_string());
    let commands = commands();
    assert!(commands.len() >= 8, "the README shows {commands:?}");
    let directory = kiln_bin();
    let directory = directory.parent().unwrap_or(Path::new("/"));
    for command in &commands {
        let mut shell = kiln.command::<&str>(&[]);
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory.display());
        let script = format!("set -o pipefail; {}", elsewhere.localised(command));
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
