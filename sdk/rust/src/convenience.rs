//! Short ways to make and read the generated types.

use std::fmt;

use crate::types::Attr;
use crate::types::Diagnostic;
use crate::types::Error;
use crate::types::Platform;
use crate::types::Severity;
use crate::types::Span;

impl Attr {
    /// Returns a key with its value.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

impl Error {
    /// Returns what the host said.
    pub fn message(&self) -> &str {
        match self {
            Self::NotFound(text)
            | Self::Denied(text)
            | Self::Invalid(text)
            | Self::Unavailable(text)
            | Self::Limit(text)
            | Self::Other(text) => text,
        }
    }
}

impl Diagnostic {
    /// Returns an error without places.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// Returns a warning of the rule `code`, without places.
    pub fn warning(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            ..Self::new(Severity::Warning, message.into())
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.spans.push(span);
        self
    }

    /// Says what the user can do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn new(severity: Severity, message: String) -> Self {
        Self {
            severity,
            code: String::new(),
            message,
            detail: Vec::new(),
            help: None,
            url: None,
            spans: Vec::new(),
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self::error(error.message())
    }
}

impl fmt::Display for Platform {
    /// Writes `os/architecture[/variant]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .filter(|variant| !variant.is_empty())
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_reads_as_docker_writes_it() {
        let platform = |variant: Option<&str>| Platform {
            os: "linux".into(),
            architecture: "arm".into(),
            variant: variant.map(str::to_owned),
            os_version: None,
        };
        assert_eq!(platform(Some("v7")).to_string(), "linux/arm/v7");
        assert_eq!(platform(Some("")).to_string(), "linux/arm");
        assert_eq!(platform(None).to_string(), "linux/arm");
    }

    #[test]
    fn a_host_error_becomes_a_diagnostic_with_its_text() {
        let diagnostic = Diagnostic::from(Error::NotFound("no `x`".into()));
        assert_eq!(diagnostic.message, "no `x`");
        assert_eq!(diagnostic.severity, Severity::Error);
    }
}
