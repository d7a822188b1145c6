//! `--check` and `--call`: answers about a build file on standard output, as buildx prints them.

use serde_json::Value;

use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;

const WARNED: &str = "FROM scratch AS base\nENV a b\n\n# app <is> built\nFROM base AS App\nMAINTAINER x\n";

fn ask(dockerfile: &str, args: &[&str], code: i32) -> Outcome {
    let (kiln, project) = (Kiln::new(), Project::new(dockerfile));
    kiln.build(project.path(), args).exits(code)
}

#[test]
fn the_check_prints_each_warning_with_its_lines() {
    let expect = "Check complete, 3 warnings have been found!

WARNING: LegacyKeyValueFormat - https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/
\"ENV key=value\" should be used instead of legacy \"ENV key value\" format
Dockerfile:2
--------------------
   1 |     FROM scratch AS base
   2 | >>> ENV a b
   3 |     
   4 |     # app <is> built
--------------------
";
    for args in [
        &["--check"][..],
        &["--call=check"],
        &["--call", "lint"],
        &["--check=true"],
    ] {
        let outcome = ask(WARNED, args, 1);
        assert!(outcome.text().starts_with(expect), "{args:?}: {}", outcome.text());
        assert_eq!(outcome.text().matches("\nWARNING: ").count(), 3);
    }
    let outcome = ask(WARNED, &["--call=check,ignorestatus=true"], 0);
    assert!(outcome.text().starts_with(expect));
}

#[test]
fn a_clean_file_is_said_to_be_clean() {
    let outcome = ask("FROM scratch\nCOPY Dockerfile /\n", &["--check"], 0);
    assert_eq!(outcome.text(), "Check complete, no warnings found.\n");
    let skipped = format!("# check=skip=all\n{WARNED}");
    assert_eq!(ask(&skipped, &["--check"], 0).text(), outcome.text());
    let by_argument = ["--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all"];
    assert_eq!(ask(WARNED, &by_argument, 0).text(), outcome.text());
}

#[test]
fn a_wrong_file_fails_the_check() {
    let outcome = ask("FROM scratch\nCOYP a /\n", &["--check"], 1);
    assert_eq!(outcome.text(), "");
    let said = "ERROR: dockerfile parse error on line 2: unknown instruction: COYP (did you mean COPY?)\nDockerfile:2\n----";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("   2 | >>> COYP a /\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn warnings_can_be_made_errors() {
    for (dockerfile, args) in [
        (
            format!("# check=error=true\n{WARNED}"),
            &["-o", "type=cacheonly"][..],
        ),
        (
            WARNED.to_owned(),
            &[
                "-o",
                "type=cacheonly",
                "--build-arg",
                "BUILDKIT_DOCKERFILE_CHECK=error=true",
            ],
        ),
    ] {
        let outcome = ask(&dockerfile, args, 1);
        let said =
            "lint violation found for rules: LegacyKeyValueFormat, MaintainerDeprecated, StageNameCasing";
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}

#[test]
fn the_outline_lists_what_a_target_takes() {
    let text = "# V is the version\nARG V=1\n# app is built\nFROM scratch AS app\nARG V\nRUN --mount=type=secret,id=key,required=true x\n";
    let outcome = ask(text, &["--call=outline"], 0);
    let expect = "TARGET:      app\nDESCRIPTION: is built\n\nBUILD ARG VALUE DESCRIPTION\nV         1     is the version\n\nSECRET REQUIRED\nkey    true\n\n";
    assert_eq!(outcome.text(), expect);
    let outcome = ask(text, &["--call=outline,format=json"], 0);
    let json: Value = serde_json::from_str(&outcome.text()).expect("JSON");
    assert_eq!(json["secrets"][0]["name"], "key");
}

#[test]
fn targets_are_listed() {
    let outcome = ask(WARNED, &["--call=targets"], 0);
    assert_eq!(
        outcome.text(),
        "TARGET        DESCRIPTION\nbase          \napp (default) <is> built\n"
    );
    let outcome = ask(WARNED, &["--call=targets,format=json"], 0);
    assert!(
        outcome.text().contains("\\u003cis\\u003e built"),
        "{}",
        outcome.text()
    );
    let outcome = ask(WARNED, &["--call=subrequests.describe"], 0);
    assert!(
        outcome
            .text()
            .starts_with("NAME                 VERSION DESCRIPTION\noutline ")
    );
}

#[test]
fn the_metadata_file_holds_the_answer() {
    let (kiln, project) = (Kiln::new(), Project::new(WARNED));
    let file = project.path().join("metadata.json");
    let args = ["--check", "--metadata-file", file.to_str().expect("text")];
    _ = kiln.build(project.path(), &args).exits(1);
    let json: Value = serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON");
    assert_eq!(
        json["result.json"]["warnings"][0]["ruleName"],
        "LegacyKeyValueFormat"
    );
    assert_eq!(json["result.statuscode"], "1");
}

#[test]
fn unknown_calls_are_refused() {
    let outcome = ask(WARNED, &["--call=frobnicate"], 1);
    assert!(
        outcome.stderr.contains("unsupported request frontend.frobnicate"),
        "{}",
        outcome.stderr
    );
    let outcome = ask(WARNED, &["--call=check,colour=red"], 2);
    assert!(
        outcome.stderr.contains("invalid print field: colour=red"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_build_says_what_was_found_and_how_to_see_more() {
    let outcome = ask(WARNED, &["-o", "type=cacheonly"], 0);
    let said = " 3 warnings found (use kiln --debug to expand):\n - ";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("format (line 2)\n"), "{}", outcome.stderr);
    let outcome = ask(WARNED, &["-o", "type=cacheonly", "--debug"], 0);
    assert!(
        outcome.stderr.contains(" 3 warnings found:\n - "),
        "{}",
        outcome.stderr
    );
    let more =
        "More info: https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/\nDockerfile:2\n----";
    assert!(outcome.stderr.contains(more), "{}", outcome.stderr);
}

#[test]
fn the_syntax_line_chooses_the_frontend() {
    let lines = ["FROM scratch", "COPY Dockerfile /"].join("\n");
    for name in [
        "docker/dockerfile:1",
        "docker.io/docker/dockerfile-upstream:master-labs",
    ] {
        _ = ask(&format!("# syntax={name}\n{lines}"), &["-o", "type=cacheonly"], 0).never_says("syntax");
    }
    let image = format!("# syntax=example.com/my-frontend:1\n{lines}");
    _ = ask(&image, &["-o", "type=cacheonly"], 1)
        .says("frontend `example.com/my-frontend:1` is a container image")
        .says(" --> Dockerfile:1:")
        .says("hint: name a component in the line `# syntax=`, or read it with the built-in frontend");
    let own = [
        "-o",
        "type=cacheonly",
        "--build-arg",
        "BUILDKIT_SYNTAX=docker/dockerfile",
    ];
    _ = ask(&image, &own, 0);
    _ = ask(
        &format!("# syntax=./missing.wasm\n{lines}"),
        &["-o", "type=cacheonly"],
        1,
    )
    .says("cannot open plugin `./missing.wasm`");
}

#[test]
fn questions_go_to_the_component_of_the_syntax_line() {
    let lines = "FROM scratch AS base\nENV a b\n";
    let file = format!("# syntax=builtin:dockerfile\n{lines}");
    let check = ask(&file, &["--check"], 1).text();
    assert!(check.contains("WARNING: LegacyKeyValueFormat"), "{check}");
    let targets = ask(&file, &["--call=targets"], 0).text();
    assert!(targets.contains("base (default)"), "{targets}");
    let missing = format!("# syntax=./missing.wasm\n{lines}");
    for call in ["--check", "--call=targets", "--call=outline"] {
        _ = ask(&missing, &[call], 1).says("cannot open plugin `./missing.wasm`");
    }
    // A plugin that was chosen by flag is asked itself, and sends nobody on.
    let flag = ["--plugin", "builtin:dockerfile", "--call=targets"];
    _ = ask(&missing, &flag, 1).says("wants to call the frontend `./missing.wasm`, which is not granted");
}
