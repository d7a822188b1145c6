//! What is said of a build when it is over: its warnings, in buildx's words.

use std::fmt::Write;

use kiln_graph::SourceFile;
use kiln_progress::Warning;

use super::Colour;
use super::state::State;
use super::state::printable;
use crate::report::excerpt_as_buildkit;

const YELLOW: &str = "33";

/// How much is said of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Detail {
    /// One line.
    #[default]
    Short,
    /// What it means, where to read on, and its place: `--debug`.
    Full,
}

/// Returns the list of warnings, each once; empty when there are none.
pub(crate) fn warnings(state: &State, detail: Detail, colour: Colour) -> String {
    let mut kept: Vec<&Warning> = Vec::new();
    for warning in state.warnings() {
        let is_same = |known: &&Warning| known.short == warning.short && known.ranges == warning.ranges;
        if !kept.iter().any(is_same) {
            kept.push(warning);
        }
    }
    if kept.is_empty() {
        return String::new();
    }
    let s = if kept.len() == 1 { "" } else { "s" };
    let how = match detail {
        Detail::Short => " (use kiln --debug to expand)",
        Detail::Full => "",
    };
    let title = format!("{} warning{s} found{how}:", kept.len());
    let mut out = format!("\n {}\n", colour.paint(YELLOW, &title));
    for warning in kept {
        _ = writeln!(out, " - {}", printable(&warning.short));
        if detail == Detail::Full {
            explain(warning, &mut out);
        }
    }
    out
}

fn explain(warning: &Warning, out: &mut String) {
    for line in &warning.detail {
        _ = writeln!(out, "{}", printable(line));
    }
    if let Some(url) = &warning.url {
        _ = writeln!(out, "More info: {}", printable(url));
    }
    if let Some(source) = &warning.source {
        let file = SourceFile {
            name: source.name.clone(),
            language: source.language.clone(),
            data: source.data.to_vec(),
        };
        let lines: Vec<_> = warning.ranges.iter().map(|r| (r.start.0, r.end.0)).collect();
        out.push_str(&excerpt_as_buildkit(&file, &lines));
    }
    out.push('\n');
}
