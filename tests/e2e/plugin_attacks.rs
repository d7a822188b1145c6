//! The hostile suite: `tests/guests` attacks the whole program. Each attack ends in one clear error, leaves nothing
//! outside, and a well-behaved neighbour on the same store goes on.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::cache_adapters;
use crate::finder_attacks;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::repo;

/// An attack, the function of the contract that it goes through, more flags, and what must be said.
type Attack = (&'static str, &'static str, &'static str, &'static str);

const LIMITS: &str = "--plugin-limit fuel=200000000 --plugin-limit memory=64MiB";

const CALLS: &[Attack] = &[
    ("loop", "frontend.lower", "", "reached the limit of fuel"),
    (
        "recursion",
        "frontend.lower",
        "",
        "reached the limit of stack depth",
    ),
    ("memory", "frontend.lower", "", "reached the limit of memory"),
    ("panic", "frontend.lower", "", "a guest's last words"),
    ("log-flood", "log.log", "", "reached the limit of log size"),
    ("log-control", "log.log", "", "the host said: logged"),
    (
        "call-flood",
        "content.tree.stat",
        "--plugin-limit host-calls=1000",
        "reached the limit of host calls",
    ),
    (
        "report-flood",
        "build.report",
        "--plugin-limit host-calls=1000",
        "reached the limit of host calls",
    ),
    (
        "handle-flood",
        "build.context",
        "--plugin-limit handles=50",
        "reached the limit of handles",
    ),
    (
        "blob-flood",
        "content.tree.open",
        "--plugin-limit handles=50",
        "reached the limit of handles",
    ),
    (
        "stat-parent",
        "content.tree.stat",
        "",
        "`../etc/passwd` is not a clean relative path",
    ),
    (
        "stat-absolute",
        "content.tree.stat",
        "",
        "`/etc/passwd` is not a clean relative path",
    ),
    (
        "stat-nul",
        "content.tree.stat",
        "",
        "is not a clean relative path",
    ),
    (
        "stat-overlong",
        "content.tree.stat",
        "",
        "is not a clean relative path",
    ),
    ("glob-pattern", "content.tree.glob", "", "the host said: "),
    (
        "open-parent",
        "content.tree.open",
        "",
        "`x/../../y` is not a clean relative path",
    ),
    ("open-missing", "content.tree.open", "", "the host said: missing"),
    (
        "read-parent",
        "content.tree.read",
        "",
        "`../../../etc/shadow` is not a clean relative path",
    ),
    ("read-limit", "content.tree.read", "", "the host said: "),
    (
        "read-many-parent",
        "content.tree.read-many",
        "",
        "`..` is not a clean relative path",
    ),
    ("read-many-million", "content.tree.read-many", "", ""),
    ("blob-wild-offset", "content.blob.read", "", "the host said: []"),
    ("blob-digest", "content.blob.digest", "", "the host said: true"),
    ("blob-digest", "content.blob.size", "", "the host said: true"),
    ("image-scheme", "build.resolve-image", "", "the host said: "),
    ("image-garbage", "build.resolve-image", "", "the host said: "),
    (
        "resolve-metadata",
        "build.resolve-source",
        "",
        "files from `169.254.169.254`",
    ),
    (
        "resolve-git",
        "build.resolve-source",
        "",
        "repositories from `github.com`",
    ),
    ("resolve-scheme", "build.resolve-source", "", "the host said: "),
    ("context-parent", "build.context", "", "the host said: false"),
    ("context-other", "build.context", "", "the host said: false"),
    ("context-pattern", "build.context", "", "the host said: "),
    (
        "solve-index",
        "build.solve",
        "",
        "there is no output 9 of vertex 9",
    ),
    (
        "solve-cycle",
        "build.solve",
        "",
        "only outputs of earlier vertices can be used",
    ),
    (
        "solve-ungranted",
        "build.solve",
        "",
        "the secret `token` in steps",
    ),
    ("call-frontend", "build.call-frontend", "", "not granted"),
];

const GRAPHS: &[Attack] = &[
    (
        "self-input",
        "frontend.lower",
        "",
        "only outputs of earlier vertices can be used",
    ),
    (
        "later-input",
        "frontend.lower",
        "",
        "only outputs of earlier vertices can be used",
    ),
    (
        "cycle",
        "frontend.lower",
        "",
        "only outputs of earlier vertices can be used",
    ),
    (
        "missing-output",
        "frontend.lower",
        "",
        "uses output 7 of vertex 0",
    ),
    (
        "largest-index",
        "frontend.lower",
        "",
        "uses output 4294967295 of vertex 4294967295",
    ),
    (
        "later-action",
        "frontend.lower",
        "",
        "only earlier ones can be used",
    ),
    ("largest-output", "frontend.lower", "", "outputs of a vertex"),
    (
        "million-vertices",
        "frontend.lower",
        "--plugin-limit memory=1GiB --plugin-limit fuel=20000000000",
        "limit",
    ),
    ("hundred-thousand-inputs", "frontend.lower", "", "where at most"),
    ("mkfile-nul", "frontend.lower", "", "has an unusable"),
    ("mkfile-overlong", "frontend.lower", "", "has an unusable"),
    ("mkdir-nul", "frontend.lower", "", "has an unusable"),
    ("symlink-nul", "frontend.lower", "", "has an unusable"),
    ("exec-nul", "frontend.lower", "", "has an unusable"),
    ("output-dangling", "frontend.lower", "", "which is not there"),
    (
        "output-many",
        "frontend.lower",
        "",
        "where at most 1000 are allowed",
    ),
    (
        "output-huge",
        "frontend.lower",
        "--plugin-limit memory=256MiB",
        "reached the limit of output size",
    ),
    ("diagnostic-span", "frontend.lower", "", "points into source 9"),
    (
        "network-host",
        "frontend.lower",
        "",
        "wants the host's network in steps",
    ),
    (
        "security-insecure",
        "frontend.lower",
        "",
        "wants all privileges in steps",
    ),
    ("device", "frontend.lower", "", "wants devices in steps"),
    (
        "secret-mount",
        "frontend.lower",
        "",
        "wants the secret `token` in steps",
    ),
    (
        "secret-optional",
        "frontend.lower",
        "",
        "wants the secret `token` in steps",
    ),
    (
        "secret-env",
        "frontend.lower",
        "",
        "wants the secret `token` in steps",
    ),
    (
        "ssh-mount",
        "frontend.lower",
        "",
        "wants the SSH agent `token` in steps",
    ),
    (
        "source-loopback",
        "frontend.lower",
        "",
        "wants files from `127.0.0.1:1`",
    ),
    (
        "source-metadata",
        "frontend.lower",
        "",
        "wants files from `169.254.169.254`",
    ),
    (
        "source-user-info",
        "frontend.lower",
        "",
        "wants files from `169.254.169.254`",
    ),
    (
        "source-git",
        "frontend.lower",
        "",
        "wants repositories from `example.com`",
    ),
    ("source-git-file", "frontend.lower", "", "wants repositories from"),
    (
        "source-http-name",
        "frontend.lower",
        "",
        "wants files from `127.0.0.1:1`",
    ),
];

/// Graphs that pass the border, because their paths mean something inside the step's own tree or the operation itself
/// refuses them: whatever comes of them, nothing is outside.
const INSIDE: &[&str] = &[
    "glob-many",
    "image-loopback",
    "mkfile-parent",
    "mkfile-long-name",
    "mkdir-parent",
    "rm-root",
    "rm-parent",
    "copy-parent",
    "copy-to-parent",
    "write-through-symlink",
    "mount-parent",
    "mount-selector",
    "no-root",
    "exec-no-args",
    "cgroup-escape",
    "cache-parent",
    "source-file",
    "source-unknown",
    "source-empty",
    "source-local",
    "source-layout",
    "no-actions",
    "output-config",
];

fn guest() -> String {
    let path = repo().join("target/plugins/guests.wasm");
    assert!(
        path.is_file(),
        "`{}` is not built: run `cargo xtask plugins guests`",
        path.display()
    );
    path.display().to_string()
}

struct Arena {
    kiln: Kiln,
    project: Project,
}

impl Arena {
    fn new() -> Self {
        Self {
            kiln: Kiln::new(),
            project: Project::new("FROM scratch\n"),
        }
    }

    /// Runs an attack, and then the neighbour.
    #[track_caller]
    fn attack(&self, name: &str, flags: &str) -> (Option<i32>, String) {
        let (code, said) = self.build(name, flags);
        let (neighbour, text) = self.build("well-behaved", "");
        assert_eq!(neighbour, Some(0), "after {name}: {text}");
        let mounts = self.kiln.mounts();
        assert!(mounts.is_empty(), "after {name}: {mounts:?}");
        for place in ["/kiln-escaped", "/tmp/kiln-escaped"] {
            assert!(!std::path::Path::new(place).exists(), "{name} wrote {place}");
        }
        (code, said)
    }

    #[track_caller]
    fn build(&self, name: &str, flags: &str) -> (Option<i32>, String) {
        self.project.write("build.txt", format!("{name}\n").as_bytes());
        let plugin = guest();
        let mut words = vec![
            "build",
            "--progress=plain",
            "-o",
            "type=cacheonly",
            "--plugin",
            &plugin,
        ];
        words.extend(LIMITS.split_whitespace());
        words.extend(flags.split_whitespace());
        let file = self.project.join("build.txt").display().to_string();
        let context = self.project.path().display().to_string();
        words.extend(["-f", &file, &context]);
        let outcome = self.kiln.run_for(&words, Duration::from_secs(120));
        (outcome.code(), outcome.all())
    }

    #[track_caller]
    fn all(&self, attacks: &[Attack]) {
        let mut wrong = String::new();
        for (name, _, flags, expect) in attacks {
            let (code, said) = self.attack(name, flags);
            let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
            if !matches!(code, Some(1 | 2)) || errors != 1 || !said.contains(expect) {
                wrong +=
                    &format!("--- {name}: code {code:?}, {errors} errors, expected {expect:?}\n{said}\n");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn calls_end_in_one_clear_error() {
    Arena::new().all(CALLS);
}

#[test]
fn graphs_end_in_one_clear_error() {
    Arena::new().all(GRAPHS);
}

#[test]
fn nothing_leaves_the_tree() {
    let arena = Arena::new();
    for name in INSIDE {
        let (code, said) = arena.attack(name, "");
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let first = passwd.lines().next().unwrap_or("root:");
        assert!(matches!(code, Some(0..=2)), "{name}: {code:?} {said}");
        assert!(
            !said.contains(first) && !said.contains("panicked"),
            "{name}: {said}"
        );
    }
}

/// Every function of every world has a guest that attacks it.
#[test]
fn every_function_has_a_hostile_guest() {
    let adapters = cache_adapters::OPENING
        .iter()
        .chain(cache_adapters::IMPORTING)
        .chain(cache_adapters::EXPORTING)
        .map(|(_, function, ..)| (*function).to_owned());
    let finders = finder_attacks::CATALOGING.iter().chain(finder_attacks::SCANNING);
    let finders = finders.map(|(_, function, _)| (*function).to_owned());
    let attacked: BTreeSet<String> = CALLS
        .iter()
        .chain(GRAPHS)
        .map(|(_, function, ..)| (*function).to_owned())
        .chain(adapters)
        .chain(finders)
        // All guests of this kind attack by their interests as well.
        .chain(["cataloger.interests".to_owned()])
        .collect();
    let mut functions = BTreeSet::new();
    for (file, interfaces) in [
        ("types", &["log"][..]),
        ("content", &["content"]),
        ("frontend", &["build", "frontend"]),
        ("cache", &["objects", "http", "cache"]),
        ("sbom", &["cataloger", "scanner"]),
    ] {
        let text = std::fs::read_to_string(repo().join(format!("wit/{file}.wit"))).expect("the contract");
        functions.extend(functions_of(&text, interfaces));
    }
    // These trap, in host/wasm's own tests: a build calls neither.
    functions.remove("frontend.describe");
    functions.remove("frontend.subrequest");
    assert!(functions.len() > 10, "{functions:?}");
    let missing: Vec<_> = functions.difference(&attacked).collect();
    assert!(missing.is_empty(), "no hostile guest for {missing:?}");
}

/// Returns `INTERFACE[.RESOURCE].FUNCTION` of the interfaces in a file.
fn functions_of(text: &str, wanted: &[&str]) -> Vec<String> {
    let (mut interface, mut resource, mut functions) = ("", "", Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line
            .trim()
            .trim_end_matches(';')
            .split([' ', ':'])
            .filter(|w| !w.is_empty())
            .collect();
        match words.as_slice() {
            ["interface", name, ..] => (interface, resource) = (name, ""),
            ["world", ..] => interface = "",
            ["resource", name, ..] => resource = name,
            ["}"] if line.starts_with("    }") => resource = "",
            [name, func, ..] if func.starts_with("func(") && wanted.contains(&interface) => {
                let name = name.trim_start_matches('%');
                functions.push(
                    [interface, resource, name]
                        .into_iter()
                        .filter(|p| !p.is_empty())
                        .collect::<Vec<_>>()
                        .join("."),
                );
            }
            _ => {}
        }
    }
    functions
}

/// What a policy of the machine says holds for a hostile project, too.
#[test]
fn grants_of_a_project_do_not_open_the_machine() {
    let arena = Arena::new();
    let toml = format!(
        "[plugins.guest]\nsource = \"path:{}\"\ngrants = [\"network.host\", \"security.insecure\"]\n",
        guest()
    );
    arena.project.write("kiln.toml", toml.as_bytes());
    for (attack, expect) in [
        ("network-host", "network.host"),
        ("security-insecure", "security.insecure"),
    ] {
        arena.project.write("build.txt", format!("{attack}\n").as_bytes());
        let words = [
            "build",
            "-o",
            "type=cacheonly",
            "--plugin",
            "guest",
            "-f",
            "build.txt",
            ".",
        ];
        let mut command: Command = arena.kiln.command(&words);
        command.current_dir(arena.project.path());
        let said = kiln_tests::support::run(command).all();
        assert!(
            said.contains(expect) && said.contains("not allowed"),
            "{attack}: {said}"
        );
    }
}
