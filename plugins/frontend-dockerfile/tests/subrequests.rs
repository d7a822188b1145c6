//! Outline, targets and describe on BuildKit's cases.

mod support;

use serde_json::Value;
use support::Build;
use support::messages;
use support::shared;

/// Tells whether what is expected is in what was got: more fields are fine, empty and absent are the same.
fn contains(got: &Value, expect: &Value) -> bool {
    match expect {
        Value::Object(fields) => fields.iter().all(|(key, expect)| match key.as_str() {
            "line" => got["location"]["ranges"][0]["start"]["line"] == *expect,
            _ => contains(&got[key.as_str()], expect),
        }),
        Value::Array(items) => {
            let got = got.as_array().map(Vec::as_slice).unwrap_or_default();
            got.len() == items.len() && got.iter().zip(items).all(|(got, expect)| contains(got, expect))
        }
        Value::String(text) if text.is_empty() => got.is_null() || got == "",
        Value::Bool(false) => got.is_null() || got == &Value::Bool(false),
        other => got == other,
    }
}

#[test]
fn answers_are_buildkits() {
    for case in shared("lint/subrequest_cases.json").as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let mut build = Build::new(case["dockerfile"].as_str().unwrap()).image(
            "docker.io/library/alpineabcbox2:latest",
            &support::base_config("amd64"),
        );
        if let Some(target) = case["target"].as_str() {
            build = build.target(target);
        }
        for (key, value) in case["build_args"].as_object().into_iter().flatten() {
            build = build.arg(key, value.as_str().unwrap());
        }
        let answer = build
            .ask(case["request"].as_str().unwrap())
            .unwrap_or_else(|f| panic!("{name}: {}", messages(&f)));
        let json: Value = serde_json::from_slice(&answer.metadata[0].1).unwrap();
        let expect = &case["expect"];
        if let Some(requests) = expect["requests_include"].as_array() {
            for request in requests {
                let found = json.as_array().unwrap().iter().find(|r| r["name"] == *request);
                assert!(
                    found.is_some_and(|r| r["type"] == "rpc" && r["version"] != ""),
                    "{name}: {request}"
                );
            }
            continue;
        }
        assert!(contains(&json, expect), "{name}: {json:#}\n{expect:#}");
    }
}

#[test]
fn unknown_questions_are_refused() {
    let failure = Build::new("FROM scratch\n")
        .ask("frontend.frobnicate")
        .unwrap_err();
    assert!(messages(&failure).contains("unsupported request frontend.frobnicate"));
}

#[test]
fn the_check_prints_the_lines() {
    let answer = Build::new("FROM scratch\nENV a b\n")
        .ask("frontend.lint")
        .unwrap();
    let get = |key: &str| {
        let found = answer
            .metadata
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone());
        String::from_utf8(found.unwrap()).unwrap()
    };
    assert_eq!(get("result.statuscode"), "1");
    let text = get("result.txt");
    assert!(
        text.starts_with("\nWARNING: LegacyKeyValueFormat - https://docs.docker.com/"),
        "{text}"
    );
    assert!(text.contains("Dockerfile:2\n--------------------\n"), "{text}");
    assert!(text.contains("   2 | >>> ENV a b\n"), "{text}");
}
