//! BuildKit's source policies: `--source-policy-file`, and buildx's variable.

use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;

const TEXT: &str = "FROM scratch AS own\n\nFROM base:1\nCOPY --from=own . /\n";

fn written(kiln: &Kiln, json: &str) -> String {
    let file = kiln.path("policy.json");
    std::fs::write(&file, json).expect("it can be written");
    file.display().to_string()
}

fn build(kiln: &Kiln, text: &str, args: &[&str]) -> Outcome {
    kiln.build(Project::new(text).path(), args)
}

#[test]
fn a_source_is_denied_at_its_place() {
    let kiln = Kiln::new();
    let rules = r#"{"rules":[{"action":"DENY","selector":{"identifier":"docker-image://docker.io/library/base:*"}}]}"#;
    let file = written(&kiln, rules);
    _ = build(&kiln, TEXT, &["--source-policy-file", &file])
        .exits(1)
        .says("source \"docker-image://docker.io/library/base:1\" denied by policy")
        .says("Dockerfile:3");
    let kiln = Kiln::new().env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", &file);
    _ = build(&kiln, TEXT, &[]).exits(1).says("denied by policy");
    _ = build(
        &kiln,
        "FROM scratch\nCOPY Dockerfile /\n",
        &["-o", "type=cacheonly"],
    )
    .ok();
}

#[test]
fn another_source_stands_in() {
    let kiln = Kiln::new();
    _ = build(
        &kiln,
        "FROM scratch\nCOPY Dockerfile /from-ours\n",
        &["-t", "mirror/base:1"],
    )
    .ok();
    let rules = r#"{"version":1,"rules":[{
        "action": "CONVERT",
        "selector": {"identifier": "docker-image://docker.io/library/*"},
        "updates": {"identifier": "docker-image://docker.io/mirror/${1}"}
    }]}"#;
    let file = written(&kiln, rules);
    let dest = kiln.path("out");
    let output = format!("type=local,dest={}", dest.display());
    _ = build(&kiln, TEXT, &["--source-policy-file", &file, "-o", &output]).ok();
    assert!(dest.join("from-ours").is_file());
}

#[test]
fn a_file_that_is_no_policy_is_named() {
    let kiln = Kiln::new();
    let file = written(&kiln, "{\"rules\":[{\"selector\":{}}]}");
    _ = build(&kiln, TEXT, &["--source-policy-file", &file])
        .exits(2)
        .says("cannot use the source policy `")
        .says("missing field `identifier`");
    _ = build(&kiln, TEXT, &["--source-policy-file", "nowhere.json"])
        .exits(2)
        .says("cannot use the source policy `nowhere.json`");
}
