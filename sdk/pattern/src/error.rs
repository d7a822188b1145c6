//! What can be wrong with a pattern.

use std::fmt;

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// An exclamation mark with nothing behind it.
    IllegalExclusion,
    /// A class that is not closed or is empty, or a backslash at the end.
    Syntax {
        /// The pattern.
        pattern: String,
    },
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IllegalExclusion => f.write_str("illegal exclusion pattern: \"!\""),
            Self::Syntax { pattern } => write!(f, "syntax error in pattern: `{pattern}`"),
        }
    }
}

impl std::error::Error for PatternError {}
