//! Why a Dockerfile cannot be lowered: one text, BuildKit's where it has one, and the places that it is about.

use kiln_dockerfile_syntax::ParseError;
use kiln_dockerfile_syntax::SyntaxError;
use kiln_dockerfile_syntax::span::Span;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The text.
    pub(crate) message: String,
    /// The places, the narrowest first; empty when there is none.
    pub(crate) spans: Vec<Span>,
    /// What the person can do.
    pub(crate) help: Option<String>,
}

/// What lowering returns.
pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// Makes a fault without a place.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            spans: Vec::new(),
            help: None,
        }
    }

    /// Adds a place where there is none yet.
    pub(crate) fn at(mut self, span: Span) -> Self {
        if self.spans.is_empty() {
            self.spans.push(span);
        }
        self
    }

    /// Says what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says that the instruction is not in the file but in what its base image has for those that build on it.
    pub(crate) fn in_trigger(mut self, text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let help = format!("the instruction is a trigger of the base image: ONBUILD {line}");
        self.help.get_or_insert(help);
        self
    }

    /// Puts what was being done in front of the text.
    pub(crate) fn wrap(mut self, action: &str) -> Self {
        self.message = format!("{action}: {}", self.message);
        self
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self::new(error.message())
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        let span = error.span;
        Self::new(error.to_string()).at(span)
    }
}
