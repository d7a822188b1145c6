//! What a plugin tells the user.

use kiln_graph::SourceFile;
use kiln_graph::Span;
use serde::Deserialize;
use serde::Serialize;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// The build cannot go on.
    Error,
    /// The build goes on; the user should look.
    Warning,
    /// Worth knowing.
    Info,
}

/// Something to tell the user, with the place that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name, such as a lint rule's; empty when there is none.
    pub code: String,
    /// One sentence without a full stop.
    pub message: String,
    /// More lines of explanation.
    pub detail: Vec<String>,
    /// What the user can do.
    pub help: Option<String>,
    /// Page that says more.
    pub url: Option<String>,
    /// The places, most important first; they index the sources of the same answer.
    pub spans: Vec<Span>,
}

impl Diagnostic {
    /// Returns an error without places.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: String::new(),
            message: message.into(),
            detail: Vec::new(),
            help: None,
            url: None,
            spans: Vec::new(),
        }
    }
}

/// Why a build file could not be lowered: the typed error of a frontend.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// The errors, most important first, and the warnings found before.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that spans point into.
    pub sources: Vec<SourceFile>,
}

impl Failure {
    /// Returns a failure of one error without places.
    pub fn of(message: impl Into<String>) -> Self {
        Self {
            diagnostics: vec![Diagnostic::error(message)],
            sources: Vec::new(),
        }
    }
}

impl std::fmt::Display for Failure {
    /// Writes the first error's message.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let errors = self.diagnostics.iter();
        let first = errors
            .clone()
            .find(|d| d.severity == Severity::Error)
            .or_else(|| errors.clone().next());
        f.write_str(first.map_or("the frontend failed without a reason", |d| d.message.as_str()))
    }
}

impl std::error::Error for Failure {}
