//! Everything that can be wrong with a Dockerfile: `BuildKit`'s words, the line and the column.
//!
//! Each row is a Dockerfile, a part of the text, and the place that is marked first.

mod error_rows;
mod support;

use error_rows::ARGUMENTS;
use error_rows::COPIES;
use error_rows::NAMES;
use error_rows::RUNS;
use error_rows::TEXT;
use kiln_sdk::types::Severity;
use support::Build;

#[test]
fn errors_have_buildkits_words_and_their_place() {
    let mut failed = Vec::new();
    for (dockerfile, text, (line, column)) in [NAMES, ARGUMENTS, COPIES, RUNS, TEXT].concat() {
        let Err(failure) = Build::new(dockerfile).lower().0 else {
            failed.push(format!("{dockerfile:?}: lowers, expected {text:?}"));
            continue;
        };
        let error = &failure.diagnostics[0];
        let place = error
            .spans
            .first()
            .map(|span| (span.start.line, span.start.column));
        let file = &failure.sources[error.spans.first().map_or(0, |s| s.source as usize)].name;
        if !error.message.contains(text) || place != Some((line, column)) || file != "Dockerfile" {
            failed.push(format!(
                "{dockerfile:?}\n  has  {file} {place:?} {:?}\n  want {:?} {text:?}",
                error.message,
                (line, column)
            ));
        }
        if let Some(span) = error.spans.first() {
            let (start, end) = (span.start, span.end);
            let forward = (start.line, start.column) <= (end.line, end.column);
            if !forward || end.line as usize > dockerfile.lines().count().max(1) {
                failed.push(format!("{dockerfile:?}: the place ends at {end:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{} fail\n{}", failed.len(), failed.join("\n"));
}

/// The same in the triggers of a base: the place in the trigger stands behind the FROM that runs it.
#[test]
fn errors_in_triggers_name_the_trigger_and_the_place_in_it() {
    let config = |triggers: &[&str]| {
        let mut config: serde_json::Value =
            serde_json::from_str(&support::base_config("amd64")).expect("it is JSON");
        config["config"]["OnBuild"] = triggers.into();
        config.to_string()
    };
    let rows: &[(&str, &str, (u32, u32))] = &[
        (
            "COYP a b",
            "unknown instruction: COYP (did you mean COPY?)",
            (1, 1),
        ),
        ("RUN --network=some x", "invalid network mode \"some\"", (1, 5)),
        (
            "COPY --from=$X a b",
            "variable expansion is not supported for --from",
            (1, 6),
        ),
        (
            "COPY a http://example.com/b /",
            "source can't be a URL for COPY",
            (1, 8),
        ),
        ("ENV a=x${b:?no}", "b: no", (1, 8)),
        ("COPY <<E /\none ${b:?no}\nE", "b: no", (2, 5)),
        ("RUN --mount=targt=/a x", "unexpected key 'targt'", (1, 5)),
        ("COPY a", "COPY requires at least two arguments", (1, 1)),
        (
            "RUN a\nRUN b",
            "onbuild trigger should be a single expression",
            (1, 1),
        ),
        ("FROM x", "FROM isn't allowed as an ONBUILD trigger", (1, 1)),
    ];
    for (trigger, text, place) in rows {
        let failure = Build::new("# a base\nFROM example.com/base:1\n")
            .image("example.com/base:1", &config(&["RUN fine", trigger]))
            .lower()
            .0
            .expect_err("it is wrong");
        let error = &failure.diagnostics[0];
        assert!(error.message.contains(text), "{trigger}: {}", error.message);
        let [from, inside] = error.spans.as_slice() else {
            panic!("{trigger}: {:?}", error.spans)
        };
        assert_eq!(
            (from.source, from.start.line, from.start.column),
            (0, 2, 1),
            "{trigger}"
        );
        assert_eq!((inside.start.line, inside.start.column), *place, "{trigger}");
        let source = &failure.sources[inside.source as usize];
        assert_eq!(
            source.name, "ONBUILD trigger 2 of example.com/base:1",
            "{trigger}"
        );
        assert_eq!(source.data, trigger.as_bytes());
        let help = error.help.as_deref().unwrap_or_default();
        assert!(
            help.starts_with("the instruction is trigger 2 of `example.com/base:1`"),
            "{help}"
        );
    }
}

/// Warnings have a place, and say which trigger they are about.
#[test]
fn warnings_have_their_place() {
    let check = |dockerfile: &str, rule: &str, place: (u32, u32), trigger: &str| {
        let lowered = Build::new(dockerfile).ok();
        let warning = lowered.diagnostics.iter().find(|d| d.code == rule);
        let warning = warning.unwrap_or_else(|| panic!("{dockerfile:?}: {:?}", lowered.diagnostics));
        assert_eq!(warning.severity, Severity::Warning);
        let span = warning.spans[0];
        assert_eq!((span.start.line, span.start.column), place, "{dockerfile:?}");
        assert!(span.end.column > 1, "{dockerfile:?}");
        assert_eq!(
            warning.detail.iter().any(|d| d == trigger),
            !trigger.is_empty(),
            "{dockerfile:?}"
        );
    };
    check("FROM busybox\n  LABEL a b\n", "LegacyKeyValueFormat", (2, 3), "");
    check(
        "FROM busybox\nRUN a \\\n\n  b\n",
        "NoEmptyContinuation",
        (4, 1),
        "",
    );
    check(
        "FROM busybox\nCOPY <<E /\n$nobody\nE\n",
        "UndefinedVar",
        (2, 1),
        "",
    );
    check(
        "FROM busybox AS a\nONBUILD RUN b\nONBUILD LABEL a b\nFROM a\n",
        "LegacyKeyValueFormat",
        (4, 1),
        "ONBUILD trigger 2 of a",
    );
}
