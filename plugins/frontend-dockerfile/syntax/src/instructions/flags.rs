//! The `--name=value` words between an instruction's name and its arguments.

use super::Fault;
use crate::ast::Word;
use crate::error::SyntaxError;
use crate::suggest;
use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagKind {
    /// Nothing, `true` or `false`.
    Bool,
    /// A value, once.
    Text,
    /// A value, any number of times.
    List,
}

/// The flags of an instruction: name without `--`, and what it takes.
pub type FlagDefs<'a> = &'a [(&'a str, FlagKind)];

/// The flags that were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    values: BTreeMap<String, Vec<String>>,
}

impl Flags {
    /// Returns the value of a flag, `None` when it was not given. A boolean flag is `true` or `false`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(|v| v.last()).map(String::as_str)
    }

    /// Returns the value of a flag, `None` when it was not given or is empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }

    /// Tells whether a boolean flag is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// Returns a boolean flag, `None` when it was not given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value == "true")
    }

    /// Returns all values of a flag, in order.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// Returns the names of the flags that were given, sorted.
    pub fn used(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }
}

/// Reads flags.
///
/// # Errors
/// An unknown flag, one that is given twice, a value that is missing or not `true` or `false`.
pub fn parse_flags(defs: FlagDefs<'_>, words: &[Word]) -> Result<Flags, Fault> {
    let mut flags = Flags::default();
    for word in words {
        if word.text == "--" {
            break;
        }
        one(defs, &word.text, &mut flags).map_err(|error| Fault::at(error, word.span))?;
    }
    Ok(flags)
}

fn one(defs: FlagDefs<'_>, word: &str, flags: &mut Flags) -> Result<(), SyntaxError> {
    let fail = |text: String| Err(SyntaxError::new(text));
    let (flag, value) = match word.split_once('=') {
        Some((flag, value)) => (flag, Some(value)),
        None => (word, None),
    };
    let Some(name) = flag.strip_prefix("--") else {
        return fail(format!("arg should start with -- : {word}"));
    };
    let Some((_, kind)) = defs.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = defs.iter().map(|(name, _)| *name).collect();
        return fail(suggest::exact(format!("unknown flag: {flag}"), name, &names));
    };
    if *kind != FlagKind::List && flags.values.contains_key(name) {
        return fail(format!("duplicate flag specified: {flag}"));
    }
    let value = match (kind, value) {
        (FlagKind::Bool, None) => "true".to_owned(),
        (FlagKind::Bool, Some(value)) if !value.is_empty() => match value.to_lowercase().as_str() {
            "true" => "true".to_owned(),
            "false" => "false".to_owned(),
            _ => return fail(format!("expecting boolean value for flag {flag}, not: {value}")),
        },
        (FlagKind::Bool, Some(_)) | (_, None) => return fail(format!("missing a value on flag: {flag}")),
        (_, Some(value)) => value.to_owned(),
    };
    flags.values.entry(name.to_owned()).or_default().push(value);
    Ok(())
}
