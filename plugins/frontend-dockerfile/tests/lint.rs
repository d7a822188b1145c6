//! The lint rules on BuildKit's cases: exactly the warnings that it gives.

#![expect(clippy::unwrap_used, reason = "a test without its data fails")]

mod support;

use kiln_sdk::types::Diagnostic;
use serde_json::Value;
use support::Build;
use support::messages;
use support::shared;

type Warning = (u64, String, String);

fn expected(list: &Value) -> Vec<Warning> {
    let one = |w: &Value| {
        (
            w["line"].as_u64().unwrap_or_default(),
            w["rule"].as_str().unwrap().to_owned(),
            w["detail"].as_str().unwrap().to_owned(),
        )
    };
    let mut out: Vec<Warning> = list.as_array().into_iter().flatten().map(one).collect();
    out.sort();
    out
}

fn found(diagnostics: &[Diagnostic]) -> Vec<Warning> {
    let rules = diagnostics.iter().filter(|d| !d.code.is_empty());
    let mut out: Vec<Warning> = rules
        .map(|d| {
            let line = d.spans.first().map_or(0, |span| u64::from(span.start.line));
            (line, d.code.clone(), d.message.clone())
        })
        .collect();
    out.sort();
    out
}

fn build(case: &Value) -> Build {
    let mut build = Build::new(case["dockerfile"].as_str().unwrap()).image(
        "docker.io/library/busybox:stable-musl",
        &support::base_config("amd64"),
    );
    match case["build_args"].as_object() {
        Some(args) => {
            for (key, value) in args {
                build = build.arg(key, value.as_str().unwrap());
            }
        }
        None => build = build.platforms(&["linux/amd64", "linux/arm64"]),
    }
    if let Some(text) = case["dockerignore"].as_str() {
        build = build.file(".dockerignore", text);
    }
    build
}

#[test]
fn builds_warn_as_buildkit_does() {
    let all = shared("lint/lint_cases.json");
    let mut failed = Vec::new();
    let cases = all["cases"].as_array().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (error, diagnostics) = match build(case).lower().0 {
            Ok(lowered) => (String::new(), lowered.diagnostics),
            Err(failure) => (messages(&failure), failure.diagnostics),
        };
        let (got, expect) = (found(&diagnostics), expected(&case["build_warnings"]));
        if got != expect {
            failed.push(format!("{name}: {got:#?}, not {expect:#?}"));
        }
        let expect = case["build_error"].as_str().unwrap_or_default();
        let expect = expect.trim_start_matches("failed to solve: ");
        if !error.contains(expect) || error.is_empty() != expect.is_empty() {
            failed.push(format!("{name}: error {error:?}, not {expect:?}"));
        }
    }
    let count = failed.len();
    assert!(
        failed.is_empty(),
        "{count} of {} fail\n{}",
        cases.len(),
        failed.join("\n")
    );
}

#[test]
fn checks_find_what_buildkit_finds() {
    let all = shared("lint/lint_cases.json");
    let mut failed = Vec::new();
    for case in all["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let answer = build(case)
            .ask("frontend.lint")
            .unwrap_or_else(|f| panic!("{name}: {}", messages(&f)));
        let json: Value = serde_json::from_slice(&answer.metadata[0].1).unwrap();
        let one = |w: &Value| {
            (
                w["location"]["ranges"][0]["start"]["line"].as_u64().unwrap(),
                w["ruleName"].as_str().unwrap().to_owned(),
                w["detail"].as_str().unwrap().to_owned(),
            )
        };
        let mut got: Vec<Warning> = json["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(one)
            .collect();
        got.sort();
        let list = if case["check_warnings"].is_array() {
            &case["check_warnings"]
        } else {
            &case["build_warnings"]
        };
        let mut expect = expected(list);
        if name.starts_with("testLegacyKeyValueFormat") {
            // Lines are not compared there.
            got.iter_mut().chain(&mut expect).for_each(|w| w.0 = 0);
        }
        if got != expect {
            failed.push(format!("{name}: {got:#?}, not {expect:#?}"));
        }
        if let Some(error) = case["build_error"].as_str() {
            let text = json["buildError"]["message"].as_str().unwrap_or_default();
            if !text.contains(error) && !error.contains("lint violation") {
                failed.push(format!("{name}: error {text:?}, not {error:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}\n{}", failed.len(), failed.join("\n"));
}
