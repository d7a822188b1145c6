//! Every table of the conformance data is run by some test, or there is a reason why not.

use std::path::Path;
use std::path::PathBuf;

use kiln_tests::support::repo;
use kiln_tests::support::shared;
use serde_json::Value;

/// The files with tables, below the data's directory.
const FILES: [&str; 8] = [
    "parser/parser_tables.json",
    "instructions/instructions_tables.json",
    "dockerfile2llb/convert_tables.json",
    "git/git_ref_tables.json",
    "patternmatcher/patternmatcher.json",
    "shell/lex_test.json",
    "solver/solver_tables.json",
    "sourcepolicy/sourcepolicy.json",
];

/// Tables that no test runs, and why. Nothing of them reaches somebody who builds.
const NOT_RUN: [(&str, &str); 7] = [
    ("note", "no table: a note to the reader"),
    (
        "parse_attestations",
        "how BuildKit's client hands attestations to its frontend; here they are the engine's",
    ),
    (
        "op_json",
        "how buildctl prints LLB as JSON; kiln has no command that does",
    ),
    (
        "history_filters",
        "filters of a list of past builds, which kiln does not keep yet",
    ),
    ("merge_intervals", "arithmetic of the same list"),
    (
        "parse_actor",
        "who signed a commit, for source policies on git, which kiln does not have yet",
    ),
    (
        "llb_git",
        "BuildKit's library for Go programs; what it makes is in the other git tables",
    ),
];

/// Collects all Rust sources of tests: whole files, because unit tests are inside.
fn sources(directory: &Path, out: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests/tables.rs")
        {
            let text = std::fs::read_to_string(&path).expect("a source");
            out.push((path, text));
        }
    }
}

#[test]
fn every_table_is_run() {
    let mut texts = Vec::new();
    for room in ["host", "sdk", "plugins", "tests"] {
        sources(&repo().join(room), &mut texts);
    }
    let is_run = |table: &str| {
        let is_whole = |text: &str, at: usize| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !text[..at].ends_with(word) && !text[at + table.len()..].starts_with(word)
        };
        texts.iter().any(|(path, text)| {
            let is_test = path.components().any(|part| part.as_os_str() == "tests")
                || path.ends_with("tests.rs")
                || path.ends_with("conformance.rs")
                || text.contains("#[cfg(test)]");
            is_test && text.match_indices(table).any(|(at, _)| is_whole(text, at))
        })
    };
    let mut missing = Vec::new();
    for file in FILES {
        let text = std::fs::read_to_string(shared("conformance").join(file)).expect("the data can be read");
        let tables: Value = serde_json::from_str(&text).expect("the data are JSON");
        for table in tables.as_object().into_iter().flat_map(|tables| tables.keys()) {
            match NOT_RUN.iter().any(|(name, _)| name == table) {
                true => {}
                false if is_run(table) => {}
                false => missing.push(format!("{file}: {table}")),
            }
        }
    }
    assert!(missing.is_empty(), "no test runs {missing:#?}");
}
