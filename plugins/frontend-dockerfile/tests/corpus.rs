//! Dockerfiles as people write them, `tests/corpora/dockerfiles`: every one is parsed, checked and lowered without an
//! error. Those named `build-…` are built, and their images run, by the end-to-end tests.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use support::Build;
use support::base_config;
use support::messages;

/// Config of a base whose triggers run in the child.
const WITH_TRIGGERS: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["npm","start"],"WorkingDir":"/usr/src/app","OnBuild":["ARG NODE_ENV","ENV NODE_ENV $NODE_ENV","COPY package.json package-lock.json* /usr/src/app/","RUN npm install && npm cache clean --force","COPY . /usr/src/app"]},"rootfs":{"type":"layers","diff_ids":["sha256:1111111111111111111111111111111111111111111111111111111111111111"]},"history":[{"created_by":"base"}]}"#;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/dockerfiles")
}

fn all() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory()).expect("the corpus is there");
    let mut all: Vec<(String, String)> = entries
        .map(|entry| {
            let entry = entry.expect("a directory can be read");
            let text = std::fs::read_to_string(entry.path().join("Dockerfile"));
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, text.expect("a Dockerfile can be read"))
        })
        .collect();
    all.sort();
    all
}

/// Lowers with whatever images it asks for, each with a plain config; `target` is one of its stages.
fn lower(text: &str, target: Option<&str>) -> Result<usize, String> {
    let mut images: BTreeSet<String> = BTreeSet::new();
    loop {
        let mut build = Build::new(text)
            .file("go.mod", "")
            .named("context-of-dockerfiles", "local:dockerfiles");
        build = build.host(|host| host.context("dockerfiles", kiln_sdk::mock::MockTree::new()));
        if let Some(target) = target {
            build = build.target(target);
        }
        for image in &images {
            let triggers = image.ends_with("node:onbuild");
            let config = if triggers {
                WITH_TRIGGERS.to_owned()
            } else {
                base_config("amd64")
            };
            build = build.host(|host| host.image(image, &config));
        }
        let (lowered, host) = build.lower();
        let asked = host.questions();
        let before = images.len();
        images.extend(asked.iter().filter_map(|question| {
            let identifier = question.strip_prefix("resolve-image ")?;
            Some(identifier.split(' ').next().unwrap_or(identifier).to_owned())
        }));
        match lowered {
            Ok(lowered) => return Ok(lowered.definition.vertices.len()),
            Err(failure) if images.len() == before => return Err(messages(&failure)),
            Err(_) => {}
        }
    }
}

#[test]
fn the_corpus_lowers() {
    let all = all();
    assert!(all.len() >= 40, "{} Dockerfiles", all.len());
    let failed: Vec<String> = all
        .iter()
        .filter_map(|(name, text)| match lower(text, None) {
            Ok(0) => Some(format!("{name}: nothing came out")),
            Ok(_) => None,
            Err(error) => Some(format!("{name}: {error}")),
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Every stage with a name can be the target.
#[test]
fn all_stages_of_the_corpus_lower() {
    let mut failed = Vec::new();
    let mut count = 0;
    for (name, text) in all() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> = text.lines().map(words).collect();
        let is_from =
            |line: &&Vec<String>| line.first().is_some_and(|word| word.eq_ignore_ascii_case("from"));
        for line in lines.iter().filter(is_from) {
            let [.., before, stage] = line.as_slice() else {
                continue;
            };
            if !before.eq_ignore_ascii_case("as") {
                continue;
            }
            count += 1;
            if let Err(error) = lower(&text, Some(stage)) {
                failed.push(format!("{name} --target {stage}: {error}"));
            }
        }
    }
    assert!(count > 40, "{count} stages");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
