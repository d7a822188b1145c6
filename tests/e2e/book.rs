//! Every command of the pages below docs/, as written, in the order in which it is written, and what it prints.
//!
//! A block marked `console` holds commands (`$ …`) and what they print (`…` stands for anything); with `exit=N` they
//! end so. A block marked `file=NAME` is a file that the reader writes at that point.

use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::debian_packages::mirror;
use kiln_tests::support::Bucket;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;
use kiln_tests::support::Running;
use kiln_tests::support::Web;
use kiln_tests::support::kiln_bin;
use kiln_tests::support::repo;
use kiln_tests::support::root_layout;

/// Longest that a command may take: the first plugin in Rust builds what it depends on.
const PATIENCE: Duration = Duration::from_secs(900);

/// Each page with commands, and its test.
macro_rules! pages {
    ($($test:ident = $page:literal),* $(,)?) => {
        const PAGES: &[&str] = &[$($page),*];
        $(#[test] fn $test() { read($page); })*
    };
}

pages! {
    the_introduction = "README.md",
    the_first_plugin = "guide/first-plugin.md",
    a_frontend = "guide/frontend.md",
    a_cataloger = "guide/cataloger.md",
    a_scanner = "guide/scanner.md",
    a_cache = "guide/cache.md",
    in_rust = "guide/rust.md",
    in_python = "guide/python.md",
    in_javascript = "guide/javascript.md",
    in_c = "guide/c.md",
    versions = "guide/versions.md",
    grants = "guide/grants.md",
    limits = "guide/limits.md",
    distribution = "guide/distribution.md",
    operating = "guide/operating.md",
    caches_of_elsewhere = "cache.md",
    debian = "debian.md",
    sboms = "sbom.md",
}

/// What a page has its reader do.
enum Step {
    File {
        name: String,
        text: String,
    },
    Run {
        command: String,
        prints: Vec<String>,
        code: i32,
    },
}

fn steps(text: &str) -> Vec<Step> {
    let (mut steps, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let word = |name: &str| info.split_whitespace().find_map(|word| word.strip_prefix(name));
        if let Some(name) = word("file=") {
            let (name, text) = (name.to_owned(), format!("{}\n", block.join("\n")));
            steps.push(Step::File { name, text });
        }
        if !info.starts_with("console") {
            continue;
        }
        let code = word("exit=").map_or(0, |code| code.parse().expect("a number"));
        for line in block {
            if let Some(command) = line.strip_prefix("$ ") {
                let (command, prints) = (command.to_owned(), Vec::new());
                steps.push(Step::Run {
                    command,
                    prints,
                    code,
                });
            } else if let Some(Step::Run { prints, .. }) = steps.last_mut() {
                prints.push(line.to_owned());
            }
        }
    }
    steps
}

fn page(name: &str) -> String {
    std::fs::read_to_string(repo().join("docs").join(name)).expect("the page can be read")
}

/// Who reads a page: a store, a folder, the tools, and a registry where the page names one.
struct Reader {
    kiln: Kiln,
    place: Project,
    directory: PathBuf,
    registry: Option<Registry>,
    mirror: Option<String>,
    web: Option<Web>,
    bucket: Option<Bucket>,
}

impl Reader {
    fn of(text: &str) -> Self {
        let roots =
            std::env::var("KILN_TEST_ROOTS").expect("KILN_TEST_ROOTS is not set: run `cargo xtask test`");
        let tools = Path::new(&roots).join("tools");
        let bin = kiln_bin();
        let own = std::env::var("PATH").expect("a path");
        let path = [
            bin.parent().unwrap_or(Path::new("/")),
            &tools.join("py/bin"),
            Path::new(&own),
        ];
        let path: Vec<_> = path.iter().map(|part| part.display().to_string()).collect();
        let mut kiln = Kiln::new().env("PATH", &path.join(":"));
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            if let Ok(value) = std::env::var(name) {
                kiln = kiln.env(name, &value);
            }
        }
        let place = Project::new("FROM scratch\nCOPY Dockerfile /\n");
        let reader = Self {
            directory: place.path().to_owned(),
            place,
            kiln: kiln.env("TOOLS", &tools.display().to_string()),
            registry: text.contains("registry.example.com").then(Registry::open),
            mirror: text.contains("deb.debian.org").then(mirror).flatten(),
            web: text.contains("cache.example.com").then(Web::start),
            bucket: text.contains("my-bucket").then(Bucket::s3),
        };
        reader.stands_in();
        reader
    }

    /// Leaves an image under the name of that which the samples of plugins start from: its apt-get does nothing.
    fn stands_in(&self) {
        let dockerfile = "FROM busybox\nRUN printf '#!/bin/sh\\n' > /bin/apt-get && chmod +x /bin/apt-get\n";
        let project = Project::new(dockerfile);
        let busybox = format!("busybox=oci-layout://{}", root_layout("busybox").display());
        let name = "docker.io/library/debian:13";
        let _built = self
            .kiln
            .build(project.path(), &["--build-context", &busybox, "-t", name])
            .ok();
    }

    /// Puts the test's services into what the page says, or back.
    fn localised(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(registry) = &self.registry {
            text = text.replace("registry.example.com", &registry.host());
        }
        if let Some(mirror) = &self.mirror {
            text = text.replace("builtin:debian ", &format!("builtin:debian,opt.mirror={mirror} "));
        }
        if let Some(web) = &self.web {
            web.keeps("/");
            text = text.replace("https://cache.example.com", &web.url(""));
            text = text.replace("cache.example.com", &web.host());
        }
        if let Some(bucket) = &self.bucket {
            let fields: Vec<String> = bucket
                .params()
                .split(',')
                .map(|f| format!("objects.{f}"))
                .collect();
            text = text.replace("objects.bucket=my-bucket,objects.region=eu-1", &fields.join(","));
        }
        text.replace("kiln plugin dev", "kiln plugin dev --rounds 1")
            .replace("npm install", "ln -s \"$TOOLS/js/node_modules\" node_modules")
    }

    fn said(&self, text: String) -> String {
        match &self.registry {
            Some(registry) => text.replace(&registry.host(), "registry.example.com"),
            None => text,
        }
    }

    fn does(&mut self, command: &str) -> Outcome {
        let left = self.place.join(".directory");
        let script = format!(
            "set -o pipefail\n{}\ncode=$?\npwd > '{}'\nexit $code\n",
            self.localised(command),
            left.display()
        );
        let environment = self.kiln.command::<&str>(&[]);
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script])
            .env_clear()
            .current_dir(&self.directory);
        for (key, value) in environment.get_envs() {
            shell.env(key, value.unwrap_or_default());
        }
        let outcome = Running::start(shell).wait(PATIENCE);
        let directory = std::fs::read_to_string(&left).expect("the shell says where it is");
        self.directory = PathBuf::from(directory.trim_end());
        outcome
    }
}

/// Tells whether the lines are all there, in this order.
fn printed(said: &str, expected: &[String]) -> Result<(), String> {
    let mut lines = said.lines().map(str::trim_end);
    for line in expected
        .iter()
        .map(|line| line.trim_end())
        .filter(|line| !line.is_empty() && *line != "…")
    {
        if !lines.any(|found| matches(found, line)) {
            return Err(line.to_owned());
        }
    }
    Ok(())
}

/// Tells whether a line is as written, with anything in place of each `…`.
fn matches(line: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else {
        return line == pattern;
    };
    let Some(mut line) = line.strip_prefix(start) else {
        return false;
    };
    let parts: Vec<&str> = rest.split('…').collect();
    let (last, middle) = parts.split_last().expect("a split has a part");
    for part in middle {
        let Some(at) = line.find(part) else {
            return false;
        };
        line = &line[at + part.len()..];
    }
    line.ends_with(last)
}

fn read(name: &str) {
    let text = page(name);
    let steps = steps(&text);
    let mut reader = Reader::of(&text);
    if text.contains("deb.debian.org") && reader.mirror.is_none() {
        return;
    }
    if name == "debian.md" {
        let example = repo().join("examples/debian-python");
        let copied = format!("cp -a '{}'/. .", example.display());
        let _there = reader.does(&copied).ok();
    }
    if name == "cache.md" {
        let plugin = repo().join("target/plugins/cache-http.wasm");
        let _there = reader.does(&format!("cp '{}' mine.wasm", plugin.display())).ok();
    }
    let mut done = String::new();
    for step in steps {
        match step {
            Step::File { name, text } => {
                let path = reader.directory.join(&name);
                let folder = path.parent().expect("a file is in a folder");
                std::fs::create_dir_all(folder).expect("a folder can be made");
                std::fs::write(path, reader.localised(&text)).expect("a file can be written");
                _ = writeln!(done, "wrote {name}");
            }
            Step::Run {
                command,
                prints,
                code,
            } => {
                let outcome = reader.does(&command).exits(code);
                let said = reader.said(outcome.all());
                if let Err(line) = printed(&said, &prints) {
                    panic!("{name}, after\n{done}`{command}` does not print\n  {line}\nbut\n{said}");
                }
                _ = writeln!(done, "$ {command}");
            }
        }
    }
}

#[test]
fn every_page_with_commands_is_tested() {
    let mut listed = Command::new("git");
    listed.current_dir(repo().join("docs")).args(["ls-files", "*.md"]);
    let listed = listed.output().expect("git lists files").stdout;
    let listed = String::from_utf8(listed).expect("names are text");
    let shows = |name: &&str| {
        page(name)
            .lines()
            .any(|line| line.starts_with("$ ") || line.starts_with("    kiln "))
    };
    let missing: Vec<&str> = listed
        .lines()
        .filter(shows)
        .filter(|name| !PAGES.contains(name))
        .collect();
    assert!(missing.is_empty(), "no test reads {missing:?}");
    for name in PAGES {
        let commands = steps(&page(name))
            .into_iter()
            .filter(|step| matches!(step, Step::Run { .. }));
        let shown = page(name).lines().filter(|line| line.starts_with("$ ")).count();
        assert_eq!(
            commands.count(),
            shown,
            "{name}: commands outside of blocks marked `console`"
        );
        assert!(shown > 0, "{name} has no commands");
    }
}

#[test]
fn lines_are_compared_with_gaps() {
    for (line, pattern, same) in [
        ("abc", "abc", true),
        ("abc", "ab", false),
        ("fuel     12557", "fuel     …", true),
        ("a b c", "a … c", true),
        ("a b d", "a … c", false),
        ("x a", "a…", false),
    ] {
        assert_eq!(matches(line, pattern), same, "{line:?} {pattern:?}");
    }
}
