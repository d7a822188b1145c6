//! BuildKit's own cases: conversion tables and the integration tests' Dockerfiles.

#![expect(clippy::unwrap_used, reason = "a test without its data fails")]

mod support;

use kiln_sdk::frontend::ResolvedSource;
use kiln_sdk::graph::Source;
use kiln_sdk::types::Attr;
use serde_json::Value;
use support::Build;
use support::config;
use support::dump;
use support::messages;
use support::platform;
use support::shared;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Follows `config.Labels.a` or `history.0.created_by` into JSON; keys may have dots.
fn follow<'v>(value: &'v Value, path: &str) -> &'v Value {
    if path.is_empty() {
        return value;
    }
    if let Some(found) = value.get(path) {
        return found;
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let next = match first.parse::<usize>() {
        Ok(at) => value.get(at),
        Err(_) => value.get(first),
    };
    next.map_or(&Value::Null, |next| follow(next, rest))
}

#[test]
fn conversions() {
    for row in shared("dockerfile2llb/convert_tables.json")["convert"]
        .as_array()
        .unwrap()
    {
        let dockerfile = text(&row["dockerfile"]);
        let mut build = Build::new(&dockerfile);
        if let Some(target) = row["target"].as_str() {
            build = build.target(target);
        }
        if row["ok"] == true {
            let lowered = build.ok();
            for (path, expect) in row["config"].as_object().into_iter().flatten() {
                assert_eq!(follow(&config(&lowered), path), expect, "{dockerfile}");
            }
        } else {
            let error = build.error();
            assert!(error.contains(&text(&row["error"])), "{dockerfile}: {error}");
        }
    }
}

#[test]
fn exposed_ports() {
    for row in shared("dockerfile2llb/convert_tables.json")["expose"]
        .as_array()
        .unwrap()
    {
        let words: Vec<String> = row["ports"].as_array().unwrap().iter().map(text).collect();
        let quoted: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
        let build = Build::new(&format!("FROM scratch\nEXPOSE {}\n", quoted.join(" ")));
        if row["expected"].is_null() {
            // Not through a Dockerfile: it has no way to write an empty word.
            let error = kiln_dockerfile_syntax::ports::parse(&words).unwrap_err();
            assert!(
                error.message().contains(&text(&row["error"])),
                "{words:?}: {error}"
            );
            continue;
        }
        let lowered = build.ok();
        let config = config(&lowered);
        let mut got: Vec<String> = config["config"]["ExposedPorts"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let mut expected: Vec<String> = row["expected"].as_array().unwrap().iter().map(text).collect();
        got.sort();
        expected.sort();
        assert_eq!(got, expected);
    }
}

#[test]
fn times() {
    for row in shared("dockerfile2llb/convert_tables.json")["source_date_epoch"]
        .as_array()
        .unwrap()
    {
        let dockerfile = row["dockerfile"].as_str().unwrap_or("FROM scratch\n");
        let build = Build::new(dockerfile).arg("SOURCE_DATE_EPOCH", &text(&row["value"]));
        match row["error"].as_str() {
            Some(expect) => assert!(build.error().contains(expect)),
            None => {
                let lowered = build.ok();
                let got = lowered
                    .attrs
                    .iter()
                    .find(|a| a.key == "source-date-epoch")
                    .map(|a| a.value.clone());
                assert_eq!(got, row["out"].as_i64().map(|n| n.to_string()));
            }
        }
    }
}

#[test]
fn a_time_comes_from_a_stage_or_context() {
    let answer = |key: &str, value: &str| ResolvedSource {
        pinned: Source {
            identifier: String::new(),
            attrs: Vec::new(),
        },
        attrs: vec![Attr::new(key, value)],
    };
    let dockerfile = "ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS src\nARG V=1\nADD https://example.com/$V.tar /\nFROM scratch\nCOPY a /\n";
    let lowered = Build::new(dockerfile)
        .host(|h| {
            h.source(
                "https://example.com/1.tar",
                answer("http.last-modified", "Tue, 14 Nov 2023 22:13:21 GMT"),
            )
        })
        .ok();
    assert_eq!(lowered.attrs, [Attr::new("source-date-epoch", "1700000001")]);
    let lowered = Build::new("FROM scratch\nARG SOURCE_DATE_EPOCH\nRUN x\n")
        .arg("SOURCE_DATE_EPOCH", "context")
        .named("context", "https://github.com/o/r.git")
        .host(|h| {
            h.source(
                "git://github.com/o/r.git",
                answer("git.commit-time", "1700000002"),
            )
        })
        .ok();
    assert!(dump(&lowered).contains("SOURCE_DATE_EPOCH=1700000002"));
}

#[test]
fn proxies_and_history() {
    let tables = shared("dockerfile2llb/convert_tables.json");
    let row = &tables["proxy_from_build_args"];
    let mut build = Build::new("FROM scratch\nRUN x\n");
    for (key, value) in row["in"].as_object().unwrap() {
        build = build.arg(key, &text(value));
    }
    let out = dump(&build.ok());
    for (key, value) in row["out"].as_object().unwrap() {
        assert!(out.contains(&format!(" {key}={}", text(value))), "{key}: {out}");
    }
    let health = "FROM scratch\nHEALTHCHECK --interval=1s --timeout=10s --start-period=3s --start-interval=100ms --retries=5 CMD [\"-c\", \"exit 0\"]\n";
    let history = text(follow(&config(&Build::new(health).ok()), "history.0.created_by"));
    let expect = text(&tables["healthcheck_history"]).replace("[bin -c exit 0]", "[CMD -c exit 0]");
    assert_eq!(history, expect);
}

/// Errors that only running shows: lowering succeeds.
const FAILS_LATER: [&str; 4] = [
    "testDockerfileInvalidCommand",
    "testErrorsSourceMap",
    "testCopyParentsMissingDirectory",
    "testRunSecurityInsecure",
];

/// Sets up one step of a case.
fn build_step(case: &Value, step: &Value, last: &mut (String, Value)) -> Build {
    if let Some(files) = step["context"].as_array() {
        last.1 = Value::Array(files.clone());
    }
    let name = step["dockerfile"].as_str().unwrap_or("Dockerfile");
    let files = step["dockerfile_dir"]
        .as_array()
        .or(last.1.as_array())
        .cloned()
        .unwrap_or_default();
    for file in files
        .iter()
        .chain(step["context_changes"].as_array().into_iter().flatten())
    {
        if file["path"] == name {
            last.0 = text(&file["content"]);
        }
    }
    let mut build = Build::new(&last.0);
    build.request.source_name = name.to_owned();
    build.files = kiln_sdk::mock::MockTree::new();
    for file in &files {
        if let (Some(path), Some(content)) = (file["path"].as_str(), file["content"].as_str()) {
            build.files = build.files.file(path, content);
            build.context = build.context.file(path, content);
        }
    }
    build.files = build.files.file(name, &last.0);
    let pairs = |key: &str| -> Vec<(String, String)> {
        step[key]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), text(v)))
            .collect()
    };
    for (key, value) in pairs("args") {
        build = build.arg(&key, &value);
    }
    for (key, value) in pairs("opts") {
        build = build.option(&key, &value);
    }
    for (key, value) in pairs("contexts") {
        let digest = format!("sha256:{}", "a".repeat(64));
        let value = value.replace("<digest of step 0>", &digest);
        let identifier = value.replace("oci-layout:", "oci-layout://");
        build.host = build.host.image(&identifier, &support::base_config("amd64"));
        build = build.named(&key, &value);
    }
    for (key, value) in pairs("labels") {
        build.request.labels.push(Attr::new(key, value));
    }
    if let Some(target) = step["target"].as_str() {
        build = build.target(target);
    }
    for name in step["platforms"].as_array().into_iter().flatten() {
        build.request.platforms.push(platform(&text(name)));
    }
    // Images that an earlier step of the case made.
    for step in case["steps"].as_array().unwrap() {
        if let Some(name) = step["save_image_as"].as_str() {
            let config = SAVED
                .with(|saved| saved.borrow().get(name).cloned())
                .unwrap_or_default();
            build = build.image(name, &config);
        }
    }
    build
}

thread_local! {
    static SAVED: std::cell::RefCell<std::collections::HashMap<String, String>> = std::cell::RefCell::default();
}

fn matches(got: &Value, expect: &Value) -> bool {
    let Some(rule) = expect.as_object() else {
        return got == expect;
    };
    if let Some(part) = rule.get("contains").and_then(Value::as_str) {
        return got.as_str().is_some_and(|got| got.contains(part));
    }
    if let Some(item) = rule.get("contains_item") {
        return got.as_array().is_some_and(|got| got.contains(item));
    }
    if let Some(len) = rule.get("len").and_then(Value::as_u64) {
        return got.as_array().map_or(0, Vec::len) as u64 == len;
    }
    if rule.contains_key("nonempty") {
        return !got.is_null() && got != "";
    }
    got == expect
}

/// Checks one step and returns what is wrong.
fn check_step(case: &Value, step: &Value, last: &mut (String, Value)) -> Vec<String> {
    let name = text(&case["name"]);
    let lowered = build_step(case, step, last).lower().0;
    let fails = step["expect"] == "error" && !FAILS_LATER.contains(&name.as_str());
    let mut wrong = Vec::new();
    let lowered = match lowered {
        Err(failure) => {
            let got = messages(&failure);
            if step["expect"] != "error" {
                return vec![format!("fails: {got}")];
            }
            for part in step["error_contains"].as_array().into_iter().flatten() {
                if !got.contains(&text(part)) {
                    wrong.push(format!("error is {got}"));
                }
            }
            if let Some(line) = step["error_source"]["lines"].get(0).and_then(Value::as_u64) {
                let span = failure.diagnostics[0]
                    .spans
                    .first()
                    .map(|s| u64::from(s.start.line));
                if span != Some(line) {
                    wrong.push(format!("error at {span:?}, not line {line}"));
                }
            }
            return wrong;
        }
        Ok(_) if fails => return vec!["does not fail".to_owned()],
        Ok(lowered) => lowered,
    };
    let got = config(&lowered);
    if let Some(saved) = step["save_image_as"].as_str() {
        let mut image = got.clone();
        image["rootfs"] = serde_json::json!({"type": "layers", "diff_ids": ["sha256:1"]});
        SAVED.with(|all| all.borrow_mut().insert(saved.to_owned(), image.to_string()));
    }
    for (path, expect) in step["config"].as_object().into_iter().flatten() {
        let host_adds = path.starts_with("rootfs") || path == "created" || path.contains('*');
        if !host_adds && !matches(follow(&got, path), expect) {
            wrong.push(format!("{path} is {}, not {expect}", follow(&got, path)));
        }
    }
    if let Some(expect) = step["history_after_base"].as_array() {
        let history = got["history"].as_array().unwrap();
        let after = &history[history.len() - expect.len()..];
        for (got, expect) in after.iter().zip(expect) {
            let empty = got["empty_layer"] == true;
            if !text(&got["created_by"]).contains(&text(&expect["created_by_contains"]))
                || empty != expect["empty_layer"]
            {
                wrong.push(format!("history {got}, not {expect}"));
            }
        }
    }
    let names: Vec<&str> = lowered
        .definition
        .vertices
        .iter()
        .map(|v| v.name.as_str())
        .collect();
    for expect in step["progress_vertex_names"].as_array().into_iter().flatten() {
        if !names.contains(&expect.as_str().unwrap()) {
            wrong.push(format!("no step {expect} in {names:?}"));
        }
    }
    for expect in step["progress_vertex_contains"].as_array().into_iter().flatten() {
        if !names.iter().any(|name| name.contains(expect.as_str().unwrap())) {
            wrong.push(format!("no step with {expect} in {names:?}"));
        }
    }
    for (on, expect) in step["config_by_platform"].as_object().into_iter().flatten() {
        let output = lowered
            .outputs
            .iter()
            .find(|o| o.platform.as_ref().is_some_and(|p| p.to_string() == *on));
        let got: Value = output.map_or(Value::Null, |o| serde_json::from_slice(&o.config).unwrap());
        for (path, expect) in expect
            .as_object()
            .unwrap()
            .iter()
            .filter(|(path, _)| *path != "layers")
        {
            if !matches(follow(&got, path), expect) {
                wrong.push(format!("{on}: {path} is {}", follow(&got, path)));
            }
        }
    }
    wrong
}

#[test]
fn integration_tests_lower_as_they_should() {
    let all = shared("dockerfile/build_cases.json");
    let mut failed = Vec::new();
    let cases = all["cases"].as_array().unwrap();
    for case in cases {
        let mut last = (String::new(), Value::Null);
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            for wrong in check_step(case, step, &mut last) {
                failed.push(format!("{} step {number}: {wrong}", text(&case["name"])));
            }
        }
    }
    assert!(cases.len() >= 76, "only {} cases", cases.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
