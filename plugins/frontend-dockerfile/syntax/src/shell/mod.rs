//! Variables, quotes and escapes in the words of instructions, as BuildKit's frontend expands them: much like a
//! shell, and not quite. It runs no command and knows no instruction.

mod expand;
mod pattern;
mod words;

use crate::error::SyntaxError;
use crate::go;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

pub use pattern::reverse as reverse_pattern;
pub use pattern::to_regex as pattern_to_regex;

/// Where variables come from.
pub trait Env {
    /// Returns the value of a variable, `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Env for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

/// A list in which a later entry of the same name wins.
impl Env for [(String, String)] {
    fn get(&self, name: &str) -> Option<String> {
        self.iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }
}

impl Env for Vec<(String, String)> {
    fn get(&self, name: &str) -> Option<String> {
        Env::get(self.as_slice(), name)
    }
}

/// What happens to quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quotes {
    /// They group and are dropped.
    #[default]
    Strip,
    /// They group and are kept.
    Keep,
    /// They are characters like others: for the content of heredocs.
    Ignore,
}

/// Expands words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lex {
    /// The character that takes the next one's meaning away: `\` or a backtick.
    pub escape: char,
    /// What happens to quotes.
    pub quotes: Quotes,
    /// Whether escape characters are kept.
    pub raw_escapes: bool,
    /// Whether variables that are not set are left as they are written.
    pub skip_unset: bool,
}

/// An expanded word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The word, spaces and all.
    pub text: String,
    /// The word split at spaces that are not quoted, after expansion.
    pub words: Vec<String>,
    /// The variables it names that are set.
    pub matched: BTreeSet<String>,
    /// The variables it names that are not set.
    pub unmatched: BTreeSet<String>,
}

/// A word that could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandError {
    /// The whole text: `failed to process "word": reason`.
    pub error: SyntaxError,
    /// The byte of the word where what is wrong starts.
    pub at: usize,
    /// The variables it names that are set, up to where reading stopped.
    pub matched: BTreeSet<String>,
    /// The variables it names that are not set, up to where reading stopped.
    pub unmatched: BTreeSet<String>,
}

impl From<ExpandError> for SyntaxError {
    fn from(error: ExpandError) -> Self {
        error.error
    }
}

impl std::fmt::Display for ExpandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ExpandError {}

impl Lex {
    /// Makes a lexer that strips quotes and escapes and takes unset variables for empty.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            quotes: Quotes::Strip,
            raw_escapes: false,
            skip_unset: false,
        }
    }

    /// Makes the lexer for the content of COPY and ADD heredocs: only variables and escapes count.
    pub fn for_heredoc() -> Self {
        Self {
            quotes: Quotes::Ignore,
            ..Self::new('\\')
        }
    }

    /// Expands a word.
    ///
    /// # Errors
    /// A quote or brace that is not closed, an unknown modifier, a variable that must be set and is not, a result
    /// or a nesting beyond any sensible size.
    pub fn process<E: Env + ?Sized>(&self, word: &str, env: &E) -> Result<Expanded, ExpandError> {
        let get = |name: &str| env.get(name);
        let mut run = expand::Expansion::new(self, word, &get);
        match run.whole() {
            Ok((text, words)) => Ok(Expanded {
                text,
                words,
                matched: run.matched,
                unmatched: run.unmatched,
            }),
            Err(error) => {
                let error = SyntaxError::new(format!("failed to process {}: {error}", go::quote(word)));
                Err(ExpandError {
                    error,
                    at: word.len() - run.left.unwrap_or(word.len()).min(word.len()),
                    matched: run.matched,
                    unmatched: run.unmatched,
                })
            }
        }
    }

    /// Expands a word to one text.
    ///
    /// # Errors
    /// As [`Lex::process`].
    pub fn process_word<E: Env + ?Sized>(&self, word: &str, env: &E) -> Result<String, SyntaxError> {
        Ok(self.process(word, env)?.text)
    }

    /// Expands a word and splits the result at spaces that are not quoted.
    ///
    /// # Errors
    /// As [`Lex::process`].
    pub fn process_words<E: Env + ?Sized>(&self, word: &str, env: &E) -> Result<Vec<String>, SyntaxError> {
        Ok(self.process(word, env)?.words)
    }
}
