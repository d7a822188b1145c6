//! BuildKit's tables of source policies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_graph::PolicyError;
use kiln_graph::Source;
use kiln_graph::SourcePolicy;
use kiln_graph::apply_policies;
use serde_json::Value;
use serde_json::json;

fn tables() -> Value {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("KILN_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("conformance/sourcepolicy/sourcepolicy.json");
    let text = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("no shared data at `{}` (KILN_SHARED?): {error}", path.display()));
    serde_json::from_slice(&text).expect("the tables are JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn source(identifier: &Value, attrs: &Value) -> Source {
    let attrs = attrs.as_object().into_iter().flatten();
    Source {
        identifier: text(identifier).to_owned(),
        attrs: attrs
            .map(|(key, value)| (key.clone(), text(value).to_owned()))
            .collect(),
    }
}

/// Writes a selector of the tables, which have the names of Go's fields, as the JSON that people write.
fn selector(given: &Value) -> Value {
    let constraints = given["Constraints"].as_array().cloned().unwrap_or_default();
    let constraint = |constraint: Value| {
        let mut written = json!({"key": constraint["Key"], "value": constraint["Value"]});
        if !constraint["Condition"].is_null() {
            written["condition"] = constraint["Condition"].clone();
        }
        written
    };
    let mut written = json!({
        "identifier": text(&given["Identifier"]),
        "constraints": constraints.into_iter().map(constraint).collect::<Vec<_>>(),
    });
    if !given["MatchType"].is_null() {
        written["match_type"] = given["MatchType"].clone();
    }
    written
}

fn policy(rules: &[Value]) -> Result<SourcePolicy, PolicyError> {
    SourcePolicy::parse(json!({"version": 1, "rules": rules}).to_string().as_bytes())
}

#[test]
fn selectors_match_what_buildkit_says() {
    let tables = tables();
    let table = tables["match"].as_array().expect("the table is there");
    for row in table {
        let name = text(&row["name"]);
        let policy = policy(&[json!({"action": "DENY", "selector": selector(&row["src"])})]);
        if row["xErr"] == true {
            assert!(policy.is_err(), "{name}");
            continue;
        }
        let mut source = source(&row["ref"], &row["attrs"]);
        let denied = apply_policies(&[policy.expect(name)], &mut source).is_err();
        assert_eq!(denied, row["matches"] == true, "{name}");
    }
    assert_eq!(table.len(), 22);
}

#[test]
fn sources_are_changed_as_buildkit_does() {
    let tables = tables();
    let table = tables["mutate"].as_array().expect("the table is there");
    for row in table {
        let given = &row["op"]["Op"]["Source"];
        let mut rule = json!({"action": "CONVERT", "selector": selector(&row["rule"]["Selector"])});
        if text(&rule["selector"]["identifier"]).is_empty() {
            rule["selector"]["identifier"] = given["Identifier"].clone();
        }
        let updates = &row["rule"]["Updates"];
        let attrs = updates["Attrs"].as_array().into_iter().flatten();
        let attrs: BTreeMap<&str, &str> = attrs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        rule["updates"] = json!({"identifier": updates["Identifier"], "attrs": attrs});
        let mut source = source(&given["Identifier"], &Value::Null);
        let changed =
            apply_policies(&[policy(&[rule]).expect("it is one")], &mut source).expect("it is allowed");
        let wanted = &row["expectedOp"]["Op"]["Source"];
        assert_eq!(Value::from(changed), row["expected"], "{row}");
        assert_eq!(source.identifier, text(&wanted["Identifier"]), "{row}");
        let wanted = wanted["Attrs"].as_array().into_iter().flatten();
        let wanted: BTreeMap<String, String> = wanted
            .map(|pair| (text(&pair[0]).to_owned(), text(&pair[1]).to_owned()))
            .collect();
        assert_eq!(source.attrs, wanted, "{row}");
    }
    assert_eq!(table.len(), 4);
}

#[test]
fn policies_decide_as_buildkits_engine() {
    let tables = tables();
    let table = tables["engine"].as_array().expect("the table is there");
    for row in table {
        let name = text(&row["name"]);
        let rule = |rule: &Value| {
            let mut written = json!({"action": rule["action"], "selector": {"identifier": rule["id"]}});
            if let Some(kind) = rule.get("match") {
                written["selector"]["match_type"] = kind.clone();
            }
            if rule["action"] == "CONVERT" {
                let attrs = rule.get("attrs").cloned().unwrap_or_else(|| json!({}));
                written["updates"] = json!({"identifier": text(&rule["to"]), "attrs": attrs});
            }
            written
        };
        let policies = row["policies"].as_array().into_iter().flatten().map(|given| {
            let rules = given["rules"].as_array().into_iter().flatten().map(rule);
            policy(&rules.collect::<Vec<_>>()).expect(name)
        });
        let policies: Vec<SourcePolicy> = policies.collect();
        let mut source = source(&row["op"], &Value::Null);
        match (apply_policies(&policies, &mut source), row["error"].as_str()) {
            (Ok(changed), None) => assert_eq!(Value::from(changed), row["mutated"], "{name}"),
            (Err(error), Some(wanted)) => assert!(
                error.to_string().contains(&wanted[..wanted.len().min(19)]),
                "{name}: {error}"
            ),
            (found, wanted) => panic!("{name}: {found:?}, expected {wanted:?}"),
        }
        if let Some(result) = row["result"].as_str() {
            assert_eq!(source.identifier, result, "{name}");
        }
    }
    assert_eq!(table.len(), 7);
}

#[test]
fn texts_that_are_no_policy_are_refused() {
    let cases = [
        ("", "cannot read the source policy"),
        (
            "{\"rules\":[{\"selector\":{\"identifier\":\"x\"},\"acton\":\"DENY\"}]}",
            "cannot read the source policy",
        ),
        ("{\"version\":7}", "unsupported source policy version 7"),
        (
            "{\"rules\":[{\"action\":\"DENY\",\"selector\":{\"identifier\":\"(\",\"match_type\":\"REGEX\"}}]}",
            "invalid expression `(`",
        ),
    ];
    for (text, wanted) in cases {
        let error = SourcePolicy::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}
