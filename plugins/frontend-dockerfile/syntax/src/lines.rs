//! Physical lines, and the logical lines that continuations make of them. Every byte of a logical line knows where
//! it stands in the file.

use crate::ast::Word;
use crate::span::Position;
use crate::span::Span;
use std::ops::Range;

/// The longest line, in bytes without its line end.
pub const MAX_LINE: usize = 65535;

/// Drops the byte order mark that some editors put at the start.
pub(crate) fn strip_bom(file: &[u8]) -> &[u8] {
    file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file)
}

/// Hands out the lines of a file, each with its line end.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
    /// The number of the line handed out last, from 1; 0 before the first.
    pub(crate) number: usize,
}

/// A line that is too long.
#[derive(Debug)]
pub(crate) struct TooLong;

impl<'a> Lines<'a> {
    pub(crate) fn new(file: &'a [u8]) -> Self {
        Self {
            rest: file,
            number: 0,
        }
    }

    /// Returns the next line as text; bytes that are not UTF-8 are replaced.
    pub(crate) fn next(&mut self) -> Result<Option<String>, TooLong> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (length, content) = match self.rest.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, at),
            None => (self.rest.len(), self.rest.len()),
        };
        self.number += 1;
        if content > MAX_LINE {
            return Err(TooLong);
        }
        let (line, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(Some(String::from_utf8_lossy(line).into_owned()))
    }
}

/// Drops the line end.
pub(crate) fn trim_newline(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// Tells whether a line is a comment.
pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Cuts off an escape character at the end of the line. `None` when the line ends here: no escape character, or one
/// that is itself escaped.
pub(crate) fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

/// A line joined from several, with the place of every byte.
#[derive(Debug, Default)]
pub(crate) struct Logical {
    /// The text.
    pub(crate) text: String,
    /// Where in the file each piece starts, by its offset in the text.
    pieces: Vec<(usize, Position)>,
}

impl Logical {
    /// Adds a piece that stands at a place of the file.
    pub(crate) fn push(&mut self, text: &str, line: usize, column: usize) {
        if !text.is_empty() || self.pieces.is_empty() {
            self.pieces.push((self.text.len(), Position { line, column }));
            self.text.push_str(text);
        }
    }

    /// Returns the place of a byte.
    fn at(&self, offset: usize) -> Position {
        let piece = self
            .pieces
            .partition_point(|(start, _)| *start <= offset)
            .saturating_sub(1);
        let Some((start, place)) = self.pieces.get(piece) else {
            return Position::default();
        };
        Position {
            line: place.line,
            column: place.column + offset.saturating_sub(*start),
        }
    }

    /// Returns the place of a range of bytes.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let start = self.at(range.start);
        if range.is_empty() {
            return Span { start, end: start };
        }
        let last = self.at(range.end - 1);
        Span {
            start,
            end: Position {
                column: last.column + 1,
                ..last
            },
        }
    }

    /// Returns the place of the word that opens a heredoc.
    pub(crate) fn opener(&self, name: &str) -> Option<Span> {
        let mut from = 0;
        while let Some(at) = self.text[from..].find("<<").map(|at| at + from) {
            let rest = self.text[at + 2..].trim_start_matches(['-', ' ', '\t', '\'', '"']);
            if rest.starts_with(name) {
                let end = self.text.len() - rest.len() + name.len();
                return Some(self.span(at..end));
            }
            from = at + 2;
        }
        None
    }

    /// Makes a word of a text that stands in a range of bytes.
    pub(crate) fn word(&self, piece: Piece) -> Word {
        Word {
            span: self.span(piece.range),
            text: piece.text,
        }
    }
}

/// A text and the bytes of its logical line that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) range: Range<usize>,
}
