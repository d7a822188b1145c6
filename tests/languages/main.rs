//! The same small frontend in each language gives the same graph, byte for byte, and the same words for what is wrong.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kiln_tests::support::Bucket;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Running;

/// Longest that building a plugin may take: the first one in Rust builds what it depends on.
const PATIENCE: Duration = Duration::from_secs(900);

/// The graph of the sample in every template.
const GRAPH: &str = "graph    sha256:37e349dba55d808c15f8ca0c147375492a31d6fdb8fbc42679836d2c9bae798b\n";

/// Build files that are wrong: the place and what is said of it.
const WRONG: [(&str, &str, &str); 5] = [
    (
        "packages:\n  - curl\n",
        "image.yaml:1",
        "`base` is missing: it names the image to start from",
    ),
    (
        "base: debian\nports: 80\n",
        "image.yaml:2",
        "unknown key `ports`: expected base, packages, files or command",
    ),
    (
        "base: debian\npackages:\n\n  curl\n",
        "image.yaml:4",
        "expected `- PACKAGE`",
    ),
    (
        "base: debian\nfiles:\n  hello\n",
        "image.yaml:3",
        "expected `FILE: PATH`",
    ),
    ("# a\nbase debian\n", "image.yaml:2", "expected `KEY: VALUE`"),
];

/// Build files that are unusual, and their graphs: all languages must read them alike.
const UNUSUAL: [(&str, &str); 3] = [
    (
        "base: debian:13\ncommand: echo \"a\\b\" é\n",
        "graph sha256:707c346d2005560f2095b0912fda0b43673fa7ac486d8e01bffe0692a4f5a47d\n",
    ),
    (
        "command: true\nbase:    docker.io/library/debian:13   \npackages:\n   -   a  \n# no\n  - b\n\nfiles:\n  a: /b\n  c/d: /e/\n",
        "graph sha256:09e7c9c0cbcc6247bf7aeb2bc0d03d17664bad111b30e8cf0810baf8b8b1ff59\n",
    ),
    (
        "base: a\npackages:\nfiles:\n",
        "graph sha256:9c21dfb7184c1bbd807ab2f4894b22d73f4e97b7789a276f79bf7ea663e65a73\n",
    ),
];

/// A project in one language.
struct Plugin {
    kiln: Kiln,
    folder: PathBuf,
}

impl Plugin {
    /// Starts a project as its author does, and builds it.
    #[track_caller]
    fn build(kind: &str, language: &str) -> Self {
        let roots =
            std::env::var("KILN_TEST_ROOTS").expect("KILN_TEST_ROOTS is not set: run `cargo xtask test`");
        let tools = Path::new(&roots).join("tools");
        assert!(
            tools.join("py/bin/python-zig").exists(),
            "no compilers at `{}`: run `cargo xtask test`",
            tools.display()
        );
        let own = std::env::var("PATH").expect("a path");
        let path = format!("{}:{own}", tools.join("py/bin").display());
        let mut kiln = Kiln::new().env("PATH", &path);
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            if let Ok(value) = std::env::var(name) {
                kiln = kiln.env(name, &value);
            }
        }
        let folder = kiln.path(language);
        let named = folder.display().to_string();
        let _made = kiln
            .run(&[
                "plugin", "new", "sample", "--kind", kind, "--lang", language, "--folder", &named,
            ])
            .ok();
        if language == "javascript" {
            std::os::unix::fs::symlink(tools.join("js/node_modules"), folder.join("node_modules"))
                .expect("a link");
        }
        let plugin = Self { kiln, folder };
        let _built = plugin.run("plugin build").ok();
        plugin
    }

    /// Runs `kiln` in the project's folder.
    #[track_caller]
    fn run(&self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command: Command = self.kiln.command(&words);
        command.current_dir(&self.folder);
        Running::start(command).wait(PATIENCE)
    }

    /// Lowers a build file.
    fn lower(&self, text: &str) -> Outcome {
        std::fs::create_dir_all(self.folder.join("try")).expect("a folder");
        std::fs::write(self.folder.join("try/image.yaml"), text).expect("a build file");
        self.run("plugin graph ./sample.wasm try --file image.yaml")
    }
}

fn conforms(language: &str) {
    let plugin = Plugin::build("frontend", language);
    let _tested = plugin.run("plugin test ./sample.wasm --file image.yaml").ok();
    let ran = plugin.run("plugin run ./sample.wasm tests/hello/input --file image.yaml --runs 50");
    let said = ran.ok().text();
    assert!(said.contains(GRAPH), "{language}: {said}");
    assert!(
        !said.contains("not the same"),
        "{language}: fuel differs between runs\n{said}"
    );
    for (text, place, message) in WRONG {
        let said = plugin.lower(text).exits(1).all();
        assert!(
            said.contains(place) && said.contains(message),
            "{language}: {text:?} gives\n{said}"
        );
    }
    faults_are_readable(&plugin, language);
    for (text, graph) in UNUSUAL {
        let said = plugin.lower(text).ok().text();
        assert!(said.starts_with(graph), "{language}: {text:?} gives\n{said}");
    }
}

/// Where a fault is put into the source of each language, the fault, and what is said of it: with the line that it is on.
const FAULTS: [(&str, &str, &str, &str, &str); 3] = [
    (
        "rust",
        "src/lib.rs",
        "        let (mut image, mut section)",
        "        assert!(text.is_empty(), \"out of luck\");\n",
        "panicked at src/lib.rs:LINE:9:\nout of luck",
    ),
    (
        "python",
        "app.py",
        "    image, section = {",
        "    1 // len(text[:0])\n",
        "app.py\", line LINE, in parse\nZeroDivisionError",
    ),
    (
        "javascript",
        "app.js",
        "  const image = {",
        "  text.nothing.more;\n",
        "parse@app.js:LINE:3\n",
    ),
];

/// Breaks the plugin, and looks at what is said when it is run.
fn faults_are_readable(plugin: &Plugin, language: &str) {
    let Some((_, file, before, fault, expected)) = FAULTS.iter().find(|(known, ..)| *known == language)
    else {
        return;
    };
    let (file, good) = (plugin.folder.join(file), plugin.folder.join("sample.wasm"));
    let text = std::fs::read_to_string(&file).expect("the source");
    let component = std::fs::read(&good).expect("it was built");
    let place = text.find(before).expect("the place for the fault");
    let line = text[..place].matches('\n').count() + 1;
    let broken = format!("{}{fault}{}", &text[..place], &text[place..]);
    std::fs::write(&file, broken).expect("the source can be changed");
    let _built = plugin.run("plugin build").ok();
    let said = plugin
        .run("plugin run ./sample.wasm tests/hello/input --file image.yaml")
        .exits(1)
        .all();
    let expected = expected.replace("LINE", &line.to_string());
    assert!(
        said.contains("trapped in `lower`") && said.contains(&expected),
        "{language}: no {expected:?} in\n{said}"
    );
    std::fs::write(&file, text).expect("the source can be changed");
    std::fs::write(&good, component).expect("the component can be put back");
}

#[test]
fn rust() {
    conforms("rust");
}

#[test]
fn c() {
    conforms("c");
}

#[test]
fn python() {
    conforms("python");
}

#[test]
fn javascript() {
    conforms("javascript");
}

#[test]
fn a_project_is_built_anew_when_it_changes() {
    let plugin = Plugin::build("frontend", "c");
    std::fs::remove_file(plugin.folder.join("sample.wasm")).expect("it was built");
    let mut command = plugin.kiln.command(&["plugin", "dev", "--rounds", "2"]);
    command.current_dir(&plugin.folder);
    let mut running = Running::start(command);
    let source = plugin.folder.join("plugin.c");
    let text = std::fs::read_to_string(&source).expect("the source");
    let changed = text.replace("lit(\"install \")", "lit(\"put in \")");
    assert_ne!(text, changed);
    while !plugin.folder.join("sample.wasm").exists() {
        assert!(!running.ended(), "it ended before it built");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::write(&source, changed).expect("the source can be changed");
    let said = running.wait(PATIENCE).ok().text();
    for part in [
        "vertex 1 \"install ca-certificates curl\"",
        "  - vertex 1 \"install ca-certificates curl\"",
        "  + vertex 1 \"put in ca-certificates curl\"",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
}

#[test]
fn catalogers_find_the_same_packages() {
    find_the_same_packages("cataloger");
}

#[test]
fn scanners_find_the_same_packages() {
    find_the_same_packages("scanner");
}

fn find_the_same_packages(kind: &str) {
    for language in ["rust", "python", "javascript", "c"] {
        let plugin = Plugin::build(kind, language);
        let _tested = plugin.run("plugin test ./sample.wasm").ok();
        let said = plugin
            .run("plugin run ./sample.wasm tests/hello/input --runs 20")
            .ok()
            .text();
        assert!(said.contains("pkg:generic/lua@5.4.7"), "{language}: {said}");
        std::fs::write(
            plugin.folder.join("tests/hello/input/third_party/vendored.txt"),
            "a 1\n",
        )
        .expect("a file");
        let said = plugin.run("plugin test ./sample.wasm").exits(1).all();
        assert!(said.contains("  + package a 1"), "{language}: {said}");
    }
}

#[test]
fn scanners_and_caches_are_built_and_tested() {
    for kind in ["scanner", "cache"] {
        let plugin = Plugin::build(kind, "rust");
        let mut tests = Command::new("cargo");
        tests.args(["test", "--quiet"]).current_dir(&plugin.folder);
        tests.env("CARGO_TARGET_DIR", plugin.folder.join("target"));
        let said = Running::start(tests).wait(PATIENCE).ok().text();
        assert!(said.contains("test result: ok"), "{kind}: {said}");
        let said = plugin.run("plugin run ./sample.wasm tests/hello/input");
        let found = match kind {
            "scanner" => "pkg:generic/lua@5.4.7",
            _ => "document buildkit came back",
        };
        let said = said.ok().text();
        assert!(said.contains(found), "{kind}: {said}");
        let _tested = plugin.run("plugin test ./sample.wasm").ok();
        let said = plugin.run("plugin inspect ./sample.wasm").ok().text();
        assert!(
            said.contains(&format!("World:      kiln:plugin/{kind}@0.1.0")),
            "{said}"
        );
    }
}

#[test]
fn caches_in_each_language_bring_everything() {
    let bucket = Bucket::s3();
    let objects: Vec<String> = bucket
        .params()
        .split(',')
        .map(|f| format!("objects.{f}"))
        .collect();
    for language in ["rust", "python", "javascript", "c"] {
        let plugin = Plugin::build("cache", language);
        let said = plugin.run("plugin inspect ./sample.wasm").ok().text();
        assert!(
            said.contains("World:      kiln:plugin/cache@0.1.0")
                && said.contains("kiln:plugin/objects@0.1.0"),
            "{language}: {said}"
        );
        let _tested = plugin.run("plugin test ./sample.wasm").ok();
        let context = plugin.folder.join("context");
        std::fs::create_dir_all(&context).expect("a folder");
        std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /a\n").expect("a file");
        let place = format!(
            "type=sample,folder={language},objects.type=s3,{}",
            objects.join(",")
        );
        let build = |flag: &str, spec: &str, home: &str| {
            let words = [
                "build",
                "--progress=plain",
                "--plugin",
                "./sample.wasm,name=sample",
                flag,
                spec,
            ];
            let output = ["-o", "type=oci,dest=out.tar", "context"];
            let mut command: Command = plugin.kiln.command(&[&words[..], &output].concat());
            command
                .current_dir(&plugin.folder)
                .env("KILN_HOME", plugin.folder.join(home));
            Running::start(command).wait(PATIENCE).ok()
        };
        let _exported = build("--cache-to", &format!("{place},mode=max"), "one");
        let imported =
            build("--cache-from", &place, "two").says("#1 importing cache manifest from sample:buildkit");
        let cached = imported.stderr.lines().any(|line| line.ends_with(" CACHED"));
        assert!(
            cached && !imported.stderr.contains("cache not used"),
            "{language}\n{}",
            imported.report()
        );
        let wrong = place.replace("folder=", "directory=");
        let warned = build("--cache-from", &wrong, "three");
        let _warned = warned.says("unknown parameter `directory`: expected folder");
    }
}
