//! Errors as people see them: what is wrong, where, why, and what to do. On standard error, exit code by fault.

mod build;
mod excerpt;
mod lines;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt::Write;

pub(crate) use build::exit_code;
pub(crate) use build::report as build_report;
pub(crate) use excerpt::Excerpt;
pub(crate) use lines::excerpt_as_buildkit;

use crate::progress::Colour;

/// Most causes that are shown: a chain that refers to itself must end.
const MOST_CAUSES: usize = 16;

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const CYAN: &str = "36";

/// An error, ready to print.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    headline: String,
    excerpts: Vec<Excerpt>,
    notes: Vec<String>,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Report {
    /// Makes a report with only a headline.
    pub(crate) fn new(headline: impl Into<String>) -> Self {
        Self {
            headline: tidy(&headline.into()),
            ..Self::default()
        }
    }

    /// Makes a report of an error and the chain of its sources.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        Self::new(error.to_string()).caused_by(error.source())
    }

    /// Makes a report whose headline is `prefix: error`.
    pub(crate) fn prefixed(prefix: &str, error: &(dyn Error + 'static)) -> Self {
        Self::new(format!("{prefix}: {error}")).caused_by(error.source())
    }

    /// Puts the causes into the headline, as BuildKit writes errors: people search for them in one line.
    pub(crate) fn in_one_line(mut self) -> Self {
        for cause in self.causes.drain(..) {
            self.headline.push_str(": ");
            self.headline.push_str(&cause);
        }
        self
    }

    /// Adds a chain of causes. One that says no more than the text above it is left out.
    pub(crate) fn caused_by(mut self, cause: Option<&(dyn Error + 'static)>) -> Self {
        let chain = std::iter::successors(cause, |error| (**error).source()).take(MOST_CAUSES);
        for text in chain.map(|error| tidy(&error.to_string())) {
            let above = self.causes.last().unwrap_or(&self.headline);
            if !above.ends_with(&text) {
                self.causes.push(text);
            }
        }
        self
    }

    /// Adds a place.
    pub(crate) fn at(mut self, excerpt: Excerpt) -> Self {
        self.excerpts.push(excerpt);
        self
    }

    /// Adds a line that says more.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(tidy(&note.into()));
        self
    }

    /// Adds what the user can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(tidy(&hint.into()));
        self
    }

    /// Returns the text as an error, with a line end.
    pub(crate) fn render(&self, colour: Colour) -> String {
        self.render_as(&colour.paint(RED, "error:"), colour)
    }

    /// Returns the text as a warning, with a line end.
    pub(crate) fn render_warning(&self, colour: Colour) -> String {
        self.render_as(&colour.paint(YELLOW, "warning:"), colour)
    }

    fn render_as(&self, label: &str, colour: Colour) -> String {
        let mut out = format!("{label} {}\n", self.headline);
        for excerpt in &self.excerpts {
            out += &excerpt.render(colour);
        }
        for note in &self.notes {
            _ = writeln!(out, "{note}");
        }
        for cause in &self.causes {
            _ = writeln!(out, "  caused by: {cause}");
        }
        for hint in &self.hints {
            _ = writeln!(out, "{} {hint}", colour.paint(CYAN, "hint:"));
        }
        out
    }
}

/// Takes control characters and the full stop away: texts come from plugins, registries and images as well.
fn tidy(text: &str) -> String {
    let kept: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let kept = kept.trim_end();
    let stop = kept.ends_with('.') && !kept.ends_with("..");
    kept.strip_suffix('.').filter(|_| stop).unwrap_or(kept).to_owned()
}
