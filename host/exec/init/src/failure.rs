//! Why a step could not be set up: a sentence for the engine's error.

use rustix::io::Errno;
use std::fmt;

/// What failed, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    start_code: Option<i32>,
}

impl Failure {
    /// For `map_err`: names what was being done.
    pub(crate) fn new(action: impl fmt::Display) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::text(format!("cannot {action}: {}", describe(errno)))
    }

    /// The same for an error of the standard library.
    pub(crate) fn io(action: impl fmt::Display, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Self::new(action)(Errno::from_raw_os_error(code)),
            None => Self::text(format!("cannot {action}: {error}")),
        }
    }

    /// A sentence.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            start_code: None,
        }
    }

    /// The program could not be started: the step's own fault, with an exit code.
    pub(crate) fn start(code: i32, text: String) -> Self {
        Self {
            text,
            start_code: Some(code),
        }
    }

    /// The exit code when the step's own program was the reason.
    pub(crate) fn start_code(&self) -> Option<i32> {
        self.start_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The system's text for an error as Go programs write it: lower case, no number.
pub(crate) fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}
