//! What can be wrong with a Dockerfile. The texts are BuildKit's, word for word.

use crate::span::Span;
use std::fmt;

/// What is wrong with one word, flag or instruction, without the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    message: String,
}

impl SyntaxError {
    /// Makes an error of a text without a trailing full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// Returns the text.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// Which step found an error: it decides how the text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Cutting the file into lines, words and heredocs.
    Lines,
    /// Reading one instruction: the text starts with `dockerfile parse error on line N:`.
    Instruction,
}

/// What is wrong with a Dockerfile, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, without the place.
    pub message: String,
    /// The instruction or the word that is wrong. Its lines are what BuildKit marks in its excerpt.
    pub span: Span,
    /// The lines of the whole instruction, both included and counted from 1.
    pub lines: (usize, usize),
    /// Who found it.
    pub phase: Phase,
}

impl ParseError {
    /// Makes an error of cutting the file into lines.
    pub(crate) fn lines(message: impl Into<String>, first: usize, last: usize) -> Self {
        let lines = (first, last.max(first));
        Self {
            message: message.into(),
            span: Span::lines(lines.0, lines.1),
            lines,
            phase: Phase::Lines,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.phase == Phase::Instruction {
            write!(f, "dockerfile parse error on line {}: ", self.lines.0)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}
