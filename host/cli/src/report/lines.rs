//! A place as BuildKit prints it: some lines around, the wrong ones marked.

use std::fmt::Write;

use kiln_graph::SourceFile;

use crate::progress::printable;

const RULE: &str = "--------------------\n";
/// Most lines of one place that are shown.
const MOST_LINES: usize = 1000;

/// Returns name and lines around ranges of lines, counted from 1; nothing where the first is not in the text.
pub(crate) fn excerpt_as_buildkit(file: &SourceFile, ranges: &[(u32, u32)]) -> String {
    let lines: Vec<&[u8]> = file.data.split(|byte| *byte == b'\n').collect();
    let number = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
    let ranges: Vec<(usize, usize)> = ranges.iter().map(|(a, b)| (number(*a), number(*b))).collect();
    let first = ranges.iter().map(|range| range.0).min().unwrap_or(0);
    let last = ranges.iter().map(|range| range.1).max().unwrap_or(0);
    if first < 1 || first > lines.len() {
        return String::new();
    }
    let last = last.clamp(first, lines.len());
    let (mut start, mut end) = (first, last);
    // One line has four around it, more than one have two.
    let wanted = if first == last { 4 } else { 2 };
    let mut added = 0;
    while added < wanted {
        if start > 1 {
            start -= 1;
            added += 1;
        }
        if end != lines.len() {
            end += 1;
            added += 1;
        }
        added += 1;
    }
    let mut out = format!("{}:{first}\n{RULE}", printable(&file.name));
    for number in (start..=end).take(MOST_LINES) {
        let is_meant = ranges.iter().any(|(a, b)| (*a..=*b).contains(&number));
        let mark = if is_meant { ">>>" } else { "   " };
        _ = writeln!(out, " {number:3} | {mark} {}", line(lines[number - 1]));
    }
    out + RULE
}

/// Returns a line without what steers terminals; tabs stay.
fn line(bytes: &[u8]) -> String {
    let kept = |c: &char| *c == '\t' || !c.is_control();
    String::from_utf8_lossy(bytes).chars().filter(kept).collect()
}
