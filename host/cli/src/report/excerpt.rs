//! A place in a build file: its lines, with the place underlined.

use std::fmt::Write;

use kiln_graph::SourceFile;
use kiln_graph::Span;

use crate::progress::Colour;
use crate::progress::visible;
use crate::progress::width;

/// Most lines of one place that are shown.
const MOST_LINES: u32 = 6;

const BLUE: &str = "1;34";
const RED: &str = "1;31";

/// A place, with the lines that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    name: String,
    line: u32,
    column: u32,
    rows: Vec<Row>,
    cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: u32,
    text: String,
    /// Columns of the screen before and below the mark.
    mark: (usize, usize),
}

impl Excerpt {
    /// Cuts the place out of its text. None when the text has no such line: spans come from plugins.
    pub(crate) fn new(file: &SourceFile, span: &Span) -> Option<Self> {
        let lines: Vec<&[u8]> = file.data.split(|byte| *byte == b'\n').collect();
        let (first, last) = (span.start.line, span.end.line.max(span.start.line));
        let end = if last > first && span.end.column <= 1 {
            last - 1
        } else {
            last
        };
        let rows: Vec<Row> = (first..=end)
            .take(MOST_LINES as usize)
            .map_while(|number| {
                let line = lines.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
                let start = if number == first { span.start.column } else { 1 };
                let stop = if number == last { span.end.column } else { u32::MAX };
                Some(Row {
                    number,
                    text: visible(line),
                    mark: mark(line, start, stop),
                })
            })
            .collect();
        let cut = end - first >= MOST_LINES;
        (!rows.is_empty()).then(|| Self {
            name: crate::progress::printable(&file.name),
            line: first,
            column: span.start.column.max(1),
            rows,
            cut,
        })
    }

    /// Returns the lines.
    pub(crate) fn render(&self, colour: Colour) -> String {
        let gutter = self
            .rows
            .iter()
            .map(|row| row.number.to_string().len())
            .max()
            .unwrap_or(1);
        let pad = " ".repeat(gutter);
        let bar = colour.paint(BLUE, "|");
        let arrow = colour.paint(BLUE, "-->");
        let mut out = format!(
            "{pad} {arrow} {}:{}:{}\n {pad} {bar}\n",
            self.name, self.line, self.column
        );
        for row in &self.rows {
            let number = colour.paint(BLUE, &format!("{:>gutter$}", row.number));
            _ = writeln!(out, " {number} {bar} {}", row.text);
            let (before, below) = row.mark;
            if below > 0 {
                _ = writeln!(
                    out,
                    " {pad} {bar} {}{}",
                    " ".repeat(before),
                    colour.paint(RED, &"^".repeat(below))
                );
            }
        }
        if self.cut {
            _ = writeln!(out, " {pad} {bar} ...");
        }
        out
    }
}

/// Returns where the mark is on the screen, for columns in bytes from 1. Blank ends of the place are not marked.
fn mark(line: &[u8], start: u32, stop: u32) -> (usize, usize) {
    let at = |column: u32| {
        usize::try_from(column.saturating_sub(1))
            .unwrap_or(usize::MAX)
            .min(line.len())
    };
    let (start, stop) = (at(start), at(stop).max(at(start)));
    let place = &line[start..stop];
    let blank = place.len() - place.trim_ascii_start().len();
    let start = start + blank;
    let shown = |bytes: &[u8]| width(&visible(bytes));
    let below = shown(place.trim_ascii());
    // A place without width, such as the end of a line, is one column.
    let below = if below == 0 && blank == 0 { 1 } else { below };
    (shown(&line[..start]), below)
}
