//! Why a Dockerfile cannot be lowered: one text, BuildKit's where it has one, and the places that it is about.

use kiln_dockerfile_syntax::ParseError;
use kiln_dockerfile_syntax::SyntaxError;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::span::Span;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The text.
    pub(crate) message: String,
    /// The narrowest place that is known.
    pub(crate) span: Option<Span>,
    /// The whole instruction.
    pub(crate) whole: Option<Span>,
    /// Where it is in a trigger, if it is in one; `span` is then the FROM that runs it.
    pub(crate) trigger: Option<InTrigger>,
    /// What the person can do.
    pub(crate) help: Option<String>,
}

/// An instruction that a base has for those that build on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// The base: an image or a stage.
    pub(crate) base: String,
    /// Which of the base's triggers it is, from 1.
    pub(crate) number: usize,
    /// The instruction.
    pub(crate) text: String,
}

/// A place in a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InTrigger {
    /// The trigger.
    pub(crate) trigger: Trigger,
    /// The place, lines counted in its text.
    pub(crate) span: Span,
}

/// What lowering returns.
pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// Makes a fault without a place.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            whole: None,
            trigger: None,
            help: None,
        }
    }

    /// Adds a place where there is none yet.
    pub(crate) fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = self.span.or(span.into());
        self
    }

    /// Adds the instruction where none is known yet.
    pub(crate) fn within(mut self, instruction: Span) -> Self {
        self.whole.get_or_insert(instruction);
        self.at(instruction)
    }

    /// Says what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says that the instruction is not in the file but in what a base has for those that build on it. The place so
    /// far is one in the trigger.
    pub(crate) fn in_trigger(mut self, trigger: &Trigger, from: Span) -> Self {
        let Trigger { base, number, text } = trigger;
        let line = text.lines().next().unwrap_or_default();
        let help = format!("the instruction is trigger {number} of `{base}`: ONBUILD {line}");
        self.help.get_or_insert(help);
        let whole = Span::lines(1, text.lines().count().max(1));
        let span = self.span.filter(|span| *span != from).unwrap_or(whole);
        self.trigger = Some(InTrigger {
            trigger: trigger.clone(),
            span,
        });
        (self.span, self.whole) = (Some(from), Some(from));
        self
    }

    /// Puts what was being done in front of the text.
    pub(crate) fn wrap(mut self, action: &str) -> Self {
        self.message = format!("{action}: {}", self.message);
        self
    }
}

impl Trigger {
    /// Returns what the place of a fault in it is called.
    pub(crate) fn name(&self) -> String {
        format!("ONBUILD trigger {} of {}", self.number, self.base)
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

impl From<instructions::Fault> for Fault {
    fn from(fault: instructions::Fault) -> Self {
        Self::from(fault.error).at(fault.span)
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        let (first, last) = error.lines;
        Self::new(error.to_string())
            .at(error.span)
            .within(Span::lines(first, last))
    }
}
