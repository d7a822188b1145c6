//! What is said of a build when it is over: its warnings, in buildx's words.

use std::fmt::Write;

use super::state::State;
use super::state::printable;

/// Returns the list of warnings, each once; empty when there are none.
pub(crate) fn warnings(state: &State) -> String {
    let mut texts: Vec<String> = Vec::new();
    for warning in state.warnings() {
        let text = printable(&warning.short);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let mut out = String::new();
    if texts.is_empty() {
        return out;
    }
    let s = if texts.len() == 1 { "" } else { "s" };
    _ = writeln!(out, "\n {} warning{s} found:", texts.len());
    for text in texts {
        _ = writeln!(out, " - {text}");
    }
    out
}
