//! An argument that cannot be used.

use crate::report::Report;

/// Why the arguments make no build. All of these are wrong use.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ArgError {
    message: String,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ArgError {
    /// Makes an error.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// Makes an error about the value of a flag.
    pub(crate) fn value(flag: &str, value: &str, expected: &str) -> Self {
        Self::new(format!(
            "invalid value `{value}` for `{flag}` (expected {expected})"
        ))
    }

    /// Makes an error for something that the command knows and cannot do.
    pub(crate) fn not_yet(what: &str) -> Self {
        Self::new(format!("{what} is not supported yet"))
    }

    /// Adds what the user can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds why.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the text for people.
    pub(crate) fn report(&self) -> Report {
        let report = Report::of(self);
        match &self.hint {
            Some(hint) => report.hint(hint.clone()),
            None => report,
        }
    }
}
