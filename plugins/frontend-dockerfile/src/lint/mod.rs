//! Warnings about a Dockerfile that builds: which rules are on, and what they found.

pub(crate) mod checks;
mod rules;

pub(crate) use rules::Rule;

use crate::fault::Fault;
use crate::go;
use kiln_dockerfile_syntax::span::Span;
use std::collections::BTreeSet;

/// Which rules are on: what `# check=` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    skip: Vec<String>,
    skip_all: bool,
    experimental: Vec<String>,
    experimental_all: bool,
    error: bool,
}

impl Config {
    /// Reads `skip=A,B|all;error=true;experimental=A|all`.
    ///
    /// # Errors
    /// An option that does not exist, a value that is no truth value.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(config);
        }
        for part in text.splitn(3, ';') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("invalid check option {}", go::quote(part)))?;
            let (key, value) = (key.trim(), value.trim());
            let names = || value.split(',').map(|name| name.trim().to_owned()).collect();
            match (key, value) {
                ("skip", "all") => config.skip_all = true,
                ("skip", _) => config.skip = names(),
                ("experimental", "all") => config.experimental_all = true,
                ("experimental", _) => config.experimental = names(),
                ("error", _) => {
                    config.error = go::parse_bool(value).ok_or_else(|| {
                        format!(
                            "failed to parse check option {}: strconv.ParseBool: parsing {}: invalid syntax",
                            go::quote(part),
                            go::quote(value)
                        )
                    })?;
                }
                _ => return Err(format!("invalid check option {}", go::quote(key))),
            }
        }
        Ok(config)
    }

    /// Tells whether a rule is on for an instruction with these comments above.
    fn allows(&self, rule: Rule, comments: &[String]) -> bool {
        let here = comments.iter().filter_map(|comment| {
            let (key, value) = comment.trim().split_once('=')?;
            // What follows a space is a remark.
            let value = value.trim_start().split(' ').next().unwrap_or_default();
            (key.trim().eq_ignore_ascii_case("check")).then(|| Self::parse(value).ok())?
        });
        let mut on = rule.is_experimental() && self.experimental_all;
        on |= !rule.is_experimental() || self.experimental.iter().any(|name| name == rule.name());
        let mut off = self.skip_all || self.skip.iter().any(|name| name == rule.name());
        for config in here {
            off |= config.skip_all || config.skip.iter().any(|name| name == rule.name());
            on |= config.experimental_all || config.experimental.iter().any(|name| name == rule.name());
        }
        on && !off
    }
}

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: Rule,
    pub(crate) message: String,
    pub(crate) span: Span,
    /// Which trigger of the base it is in, if it is in one.
    pub(crate) trigger: Option<String>,
}

/// Collects what rules find.
#[derive(Debug, Clone, Default)]
pub(crate) struct Linter {
    config: Config,
    /// Which trigger of a base is looked at, if one is.
    pub(crate) trigger: Option<String>,
    /// What was found, in the order of looking.
    pub(crate) findings: Vec<Finding>,
}

impl Linter {
    /// Makes a linter.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            trigger: None,
            findings: Vec::new(),
        }
    }

    /// Notes that a rule does not hold, unless it is off. `comments` are those above the instruction.
    pub(crate) fn report(&mut self, rule: Rule, span: Span, comments: &[String], message: String) {
        if self.config.allows(rule, comments) {
            let trigger = self.trigger.clone();
            self.findings.push(Finding {
                rule,
                message,
                span,
                trigger,
            });
        }
    }

    /// Fails where `error=true` is set and something was found.
    ///
    /// # Errors
    /// The names of the rules that do not hold.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if !self.config.error || self.findings.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<&str> = self.findings.iter().map(|f| f.rule.name()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let fault = Fault::new(format!("lint violation found for rules: {}", names.join(", ")));
        Err(self
            .findings
            .first()
            .map_or(fault.clone(), |first| fault.within(first.span)))
    }
}
