//! Contexts that depend on what the host answers: ignore files, archives from the web, spans of errors.

mod support;

use kiln_sdk::mock::MockTree;
use support::Build;
use support::dump;

#[test]
fn the_dockerfiles_own_ignore_file_wins() {
    let mut build = Build::new("FROM scratch\nCOPY . /\n").file(".dockerignore", "a\n");
    assert!(dump(&build.ok()).contains("local.excludepatterns=[\"a\"]"));
    build = Build::new("FROM scratch\nCOPY . /\n").file(".dockerignore", "a\n");
    build.files = build.files.file("Dockerfile.dockerignore", "b\n");
    assert!(dump(&build.ok()).contains("local.excludepatterns=[\"b\"]"));
}

#[test]
fn a_dockerfile_in_lower_case_is_found() {
    let mut build = Build::new("FROM scratch\n");
    build.files = MockTree::new().file("sub/dockerfile", "FROM scratch\nCOPY a /\n");
    build.request.source_name = "sub/Dockerfile".to_owned();
    build.ok();
    let mut build = Build::new("FROM scratch\n");
    build.files = MockTree::new();
    assert_eq!(
        build.error(),
        "failed to read dockerfile: open Dockerfile: no such file or directory"
    );
}

#[test]
fn an_archive_from_the_web_is_unpacked() {
    let build = |head: &[u8]| {
        let files = MockTree::new().file("context", head);
        Build::new("FROM scratch\nCOPY a /\n")
            .named("context", "https://example.com/a.tgz")
            .host(|host| host.solved(files))
            .ok()
    };
    let unpacked = dump(&build(&[0x1f, 0x8b, 0x08, 0]));
    assert!(
        unpacked.contains("on nothing copy #0/context -> / only: unpack"),
        "{unpacked}"
    );
    let plain = dump(&build(b"FROM scratch\n"));
    assert!(!plain.contains("unpack"), "{plain}");
}

#[test]
fn a_fault_in_a_continued_line_has_its_own_place() {
    let (lowered, _) = Build::new("FROM scratch\nCOPY \\\n  --from=$X \\\n  a b\n").lower();
    let failure = lowered.expect_err("variables are not expanded there");
    let span = failure.diagnostics[0].spans[0];
    assert_eq!((span.source, span.start.line, span.start.column), (0, 3, 3));
    assert_eq!((span.end.line, span.end.column), (3, 12));
    assert_eq!(failure.sources[0].name, "Dockerfile");
}

#[test]
fn arguments_that_nobody_declares_are_told() {
    let lowered = Build::new("FROM scratch\nARG KNOWN\n")
        .arg("KNOWN", "1")
        .arg("UNKNOWN", "2")
        .ok();
    let texts: Vec<&str> = lowered.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        texts,
        ["[Warning] One or more build-args [UNKNOWN] were not consumed"]
    );
    let lowered = Build::new("ARG VERSION\nFROM scratch AS base\nONBUILD ARG LATER\nFROM base\n")
        .arg("LATER", "1")
        .arg("VERSOIN", "2")
        .arg("BUILD_NUMBER", "3")
        .arg("TARGETARCH", "4")
        .arg("BUILDKIT_INLINE_CACHE", "1")
        .ok();
    let warning = &lowered.diagnostics[0];
    assert_eq!(
        warning.message,
        "[Warning] One or more build-args [BUILD_NUMBER VERSOIN] were not consumed"
    );
    assert_eq!(warning.detail, ["VERSOIN: did you mean VERSION?"]);
}

#[test]
fn a_fault_in_a_trigger_says_which_it_is() {
    let check = |trigger: &str, message: &str| {
        let text = format!("FROM scratch AS base\nONBUILD {trigger}\n\nFROM base\n");
        let failure = Build::new(&text).lower().0.expect_err("it is wrong");
        let error = &failure.diagnostics[0];
        assert!(error.message.contains(message), "{}", error.message);
        assert_eq!(error.spans[0].start.line, 4);
        let help = error.help.as_deref().unwrap_or_default();
        assert!(help.ends_with(&format!("ONBUILD {trigger}")), "{help}");
    };
    check("COYP a b", "unknown instruction: COYP (did you mean COPY?)");
    check(
        "RUN --network=hst a",
        "invalid network mode \"hst\" (did you mean host?)",
    );
    check("ENV a=${b:?no}", "b: no");
}

#[test]
fn another_component_reads_the_file_that_asks_for_it() {
    let text = "# syntax=./other.wasm\nanything\n";
    let answer = kiln_sdk::frontend::Lowered {
        diagnostics: vec![kiln_sdk::types::Diagnostic::warning("", "from the other")],
        ..Build::new("FROM scratch\n").ok()
    };
    let other = answer.clone();
    let (lowered, host) = Build::new(text)
        .host(|host| host.frontend("./other.wasm", other))
        .lower();
    assert_eq!(lowered.expect("the other's answer").diagnostics.len(), 1);
    assert!(
        host.questions()
            .contains(&"call-frontend ./other.wasm".to_owned())
    );
    assert_eq!(Build::new(text).error(), "unknown frontend `./other.wasm`");
    // It was sent here by a frontend that followed the line.
    Build::new("# syntax=./other.wasm\nFROM scratch\n")
        .option("cmdline", "./other.wasm")
        .ok();
}

#[test]
fn frontend_images_are_refused() {
    let (lowered, _) = Build::new("# syntax=example.com/frontend:1\nanything\n").lower();
    let failure = lowered.expect_err("no container is run");
    let error = &failure.diagnostics[0];
    assert!(
        error
            .message
            .contains("`example.com/frontend:1` is a container image"),
        "{}",
        error.message
    );
    assert_eq!(error.spans[0].start.line, 1);
    assert!(
        error
            .help
            .as_deref()
            .unwrap_or_default()
            .contains("BUILDKIT_SYNTAX=docker/dockerfile")
    );
    Build::new("# syntax=example.com/frontend:1\nFROM scratch\n")
        .arg("BUILDKIT_SYNTAX", "docker/dockerfile:1")
        .ok();
}
