//! What is shown when something is wrong. Times, digests and temporary places are replaced before texts are compared.

use regex_lite::Regex;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;

/// Returns the error of a command: from the line with `error` on.
fn error_of(outcome: &Outcome, project: &Project) -> String {
    let said = outcome
        .stderr
        .replace(&project.path().display().to_string(), "CONTEXT");
    let from = said.find("error").unwrap_or(0);
    let digest = Regex::new("[0-9a-f]{64}").expect("it is a pattern");
    let text = digest.replace_all(&said[from..], "DIGEST").into_owned();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Builds `dockerfile`, which must fail with `code`, and returns the error.
#[track_caller]
fn fails(dockerfile: &str, args: &[&str], code: i32) -> String {
    let (kiln, project) = (Kiln::new(), Project::new(dockerfile));
    let busybox = root("busybox");
    let always = ["--build-context", &busybox, "-o", "type=cacheonly"];
    let outcome = kiln.build(project.path(), &[args, &always].concat()).exits(code);
    assert!(
        outcome.stdout.is_empty(),
        "stdout is for data\n{}",
        outcome.report()
    );
    error_of(&outcome, &project)
}

/// Asserts that all of `parts` are in `text`, in this order.
#[track_caller]
fn check(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part);
        assert!(at.is_some(), "`{part}` is not (in this order) in:\n{text}");
        rest = &rest[at.unwrap_or_default() + part.len()..];
    }
}

#[test]
fn unknown_instruction_shows_the_place_and_a_guess() {
    let text = fails("FROM scratch\n\nCOYP a /\n", &[], 1);
    check(
        &text,
        &[
            "error: dockerfile parse error on line 3: unknown instruction: COYP (did you mean COPY?)",
            "--> Dockerfile:3:1",
            "3 | COYP a /",
            "^^^^",
        ],
    );
}

#[test]
fn missing_dockerfile_is_named() {
    let (kiln, project) = (Kiln::new(), Project::new(""));
    std::fs::remove_file(project.join("Dockerfile")).expect("it is there");
    let outcome = kiln.build(project.path(), &["-o", "type=cacheonly"]).exits(1);
    check(
        &error_of(&outcome, &project),
        &["failed to read dockerfile: open Dockerfile: no such file or directory"],
    );
}

#[test]
fn missing_context_is_named() {
    let (kiln, project) = (Kiln::new(), Project::new(""));
    let outcome = kiln.build(&project.join("nowhere"), &["-o", "type=cacheonly"]);
    assert!(matches!(outcome.code(), Some(1 | 2)), "{}", outcome.report());
    check(&error_of(&outcome, &project), &["CONTEXT/nowhere"]);
}

#[test]
fn missing_source_of_copy_is_named() {
    let text = fails("FROM scratch\nCOPY nowhere /\n", &[], 1);
    check(
        &text,
        &[
            "failed to calculate checksum of ref",
            "\"/nowhere\": not found",
            "--> Dockerfile:2",
            "2 | COPY nowhere /",
        ],
    );
}

#[test]
fn failed_step_shows_its_last_output_and_exit_code() {
    let text = fails("FROM busybox\nRUN echo some output && exit 42\n", &[], 1);
    let process =
        r#"process "/bin/sh -c echo some output && exit 42" did not complete successfully: exit code: 42"#;
    check(&text, &[process]);
    check(&text, &["some output"]);
    check(
        &text,
        &["--> Dockerfile:2", "2 | RUN echo some output && exit 42"],
    );
}

#[test]
fn unknown_program_of_a_step_is_named() {
    let text = fails("FROM busybox\nRUN [\"/no/such/program\"]\n", &[], 1);
    check(&text, &["/no/such/program"]);
    check(&text, &["--> Dockerfile:2"]);
}

#[test]
fn unknown_stage_has_a_guess() {
    let text = fails("FROM busybox AS build\nRUN true\n", &["--target", "biuld"], 1);
    check(&text, &["target stage \"biuld\" could not be found"]);
    check(&text, &["build"]);
}

#[test]
fn wrong_use_is_2() {
    let flag = fails("FROM scratch\n", &["--no-cahce"], 2);
    check(&flag, &["--no-cahce", "--no-cache"]);
    let output = fails("FROM scratch\n", &["-o", "type=ocii,dest=x"], 2);
    check(&output, &["ocii", "oci"]);
    let attribute = fails("FROM scratch\n", &["-o", "type=oci,dst=x"], 2);
    check(&attribute, &["dst"]);
    let platform = fails("FROM scratch\n", &["--platform", "linux/amd64/v1/x"], 2);
    check(&platform, &["linux/amd64/v1/x"]);
    let tag = fails("FROM scratch\n", &["-t", "App:Latest"], 2);
    check(&tag, &["App:Latest"]);
    let kiln = Kiln::new();
    let _no_command = kiln.run(&["biuld", "."]).exits(2).says("build");
    let _no_context = kiln.run(&["build"]).exits(2).says("CONTEXT");
}

#[test]
fn missing_secret_says_how_to_give_it() {
    let text = fails(
        "FROM busybox\nRUN --mount=type=secret,id=token,required cat /run/secrets/token\n",
        &[],
        1,
    );
    check(&text, &["secret token: not found"]);
    check(&text, &["--secret id=token"]);
}

#[test]
fn what_is_not_allowed_says_how_to_allow_it() {
    let text = fails("FROM busybox\nRUN --network=host true\n", &[], 1);
    check(&text, &["network.host is not allowed", "--allow network.host"]);
}

#[test]
fn image_that_is_nowhere_is_named() {
    let kiln = Kiln::new();
    let project = Project::new("FROM 127.0.0.1:9/no/such:image\n");
    let outcome = kiln.build(project.path(), &["-o", "type=cacheonly"]).exits(1);
    check(&error_of(&outcome, &project), &["127.0.0.1:9/no/such:image"]);
}

#[test]
fn a_process_is_named_as_go_quotes_it() {
    let cases = [
        (
            "FROM busybox\nRUN test \"a\\b\" = c\n",
            r#"failed to solve: process "/bin/sh -c test \"a\\b\" = c" did not complete successfully: exit code: 1"#,
        ),
        (
            "FROM busybox\nUSER nobody-here\nRUN true\n",
            "failed to solve: process \"/bin/sh -c true\" did not complete successfully: unable to find user nobody-here: \
             no matching entries in passwd file",
        ),
        (
            "FROM busybox\nADD git://127.0.0.1:9/x /y\n",
            "failed to solve: failed to load cache key: ",
        ),
    ];
    for (dockerfile, expect) in cases {
        check(&fails(dockerfile, &[], 1), &[expect]);
    }
}

#[test]
fn what_rules_found_is_shown_when_the_build_file_is_wrong() {
    let cases: &[(&str, &[&str])] = &[
        (
            "FROM scratch\nMAINTAINER me\nRUN --foo x\n",
            &["MaintainerDeprecated", "(line 2)", "unknown flag: --foo"],
        ),
        (
            "FROM scratch\nMAINTAINER\n",
            &[
                "MaintainerDeprecated",
                "(line 2)",
                "MAINTAINER requires exactly one argument",
            ],
        ),
        (
            "FROM a as b c\n",
            &[
                "FromAsCasing: 'as' and 'FROM'",
                "(line 1)",
                "FROM requires either one or three arguments",
            ],
        ),
        (
            "FROM ${x}\n",
            &["UndefinedArgInFrom", "base name (${x}) should not be blank"],
        ),
        (
            "FROM Busybox\n",
            &["InvalidDefaultArgInFrom", "must be lowercase"],
        ),
    ];
    for (dockerfile, parts) in cases {
        let (kiln, project) = (Kiln::new(), Project::new(dockerfile));
        let outcome = kiln.build(project.path(), &["-o", "type=cacheonly"]).exits(1);
        check(&outcome.stderr, parts);
    }
}
