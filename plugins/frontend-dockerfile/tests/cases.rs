//! Dockerfiles and the graphs they become: `tests/cases/*.txt`. Each has settings (`% name value`), the Dockerfile and
//! what is expected, with `----` between. `UPDATE_CASES=1 cargo test` writes what comes out, for review.

#![expect(clippy::unwrap_used, reason = "a test without its data fails")]

mod support;

use std::fmt::Write;
use std::path::Path;
use support::Build;
use support::dump;
use support::messages;

fn build(settings: &str, dockerfile: &str) -> Build {
    let mut build = Build::new(dockerfile);
    for line in settings.lines().filter(|line| line.starts_with('%')) {
        let (name, value) = line[2..].split_once(' ').unwrap_or((&line[2..], ""));
        let (key, rest) = value.split_once('=').unwrap_or((value, ""));
        build = match name {
            "arg" => build.arg(key, rest),
            "option" => build.option(key, rest),
            "target" => build.target(value),
            "platforms" => build.platforms(&value.split(',').collect::<Vec<_>>()),
            "context" => build.named(key, rest),
            "file" => build.file(key, &rest.replace("\\n", "\n")),
            "image" => build.image(key, rest),
            "label" => {
                build.request.labels.push(kiln_sdk::types::Attr::new(key, rest));
                build
            }
            other => panic!("unknown setting {other}"),
        };
    }
    build
}

fn run(settings: &str, dockerfile: &str) -> String {
    let want_config = settings.contains("% config");
    let settings = settings.replace("% config\n", "").replace("% config", "");
    let (lowered, _) = build(&settings, dockerfile).lower();
    match lowered {
        Err(failure) => format!("error {}\n", messages(&failure)),
        Ok(lowered) => {
            let mut out = dump(&lowered);
            if want_config {
                for output in &lowered.outputs {
                    let config: serde_json::Value = serde_json::from_slice(&output.config).unwrap();
                    let parts = [("config", &config["config"]), ("history", &config["history"])];
                    for (name, part) in parts {
                        match part {
                            serde_json::Value::Array(lines) => {
                                for line in lines {
                                    writeln!(out, "{name} {line}").unwrap();
                                }
                            }
                            other => writeln!(out, "{name} {other}").unwrap(),
                        }
                    }
                }
            }
            out
        }
    }
}

#[test]
fn dockerfiles_become_the_graphs_that_are_expected() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut failed = Vec::new();
    let mut count = 0;
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut parts = text.splitn(3, "----\n");
        let (settings, dockerfile) = (parts.next().unwrap(), parts.next().unwrap());
        let expected = parts.next().unwrap_or_default();
        let got = run(settings, dockerfile);
        count += 1;
        if update {
            std::fs::write(&path, format!("{settings}----\n{dockerfile}----\n{got}")).unwrap();
        } else if got != expected {
            failed.push(format!("{}:\n{got}--- expected\n{expected}", path.display()));
        }
    }
    assert!(count > 0, "no cases");
    assert!(
        failed.is_empty(),
        "{} of {count} differ\n{}",
        failed.len(),
        failed.join("\n")
    );
}
