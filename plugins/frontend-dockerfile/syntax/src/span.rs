//! Places in a Dockerfile.

/// A place in a Dockerfile: the byte before which something starts or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The line, counted from 1. 0 means unknown.
    pub line: usize,
    /// The byte in the line, counted from 0.
    pub column: usize,
}

/// A stretch of a Dockerfile, from the first byte up to the byte after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: Position,
    /// The byte after the last, on the line of the last byte.
    pub end: Position,
}

impl Span {
    /// Returns a span of whole lines, both included and counted from 1, with unknown columns.
    pub fn lines(first: usize, last: usize) -> Self {
        let at = |line| Position { line, column: 0 };
        Self {
            start: at(first),
            end: at(last),
        }
    }

    /// Returns the first and the last line, counted from 1.
    pub fn line_range(&self) -> (usize, usize) {
        (self.start.line, self.end.line.max(self.start.line))
    }
}
