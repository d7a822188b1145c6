//! Reading one word from left to right.

use super::Lex;
use super::Quotes;
use super::pattern;
use super::words::Words;
use crate::error::SyntaxError;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// How deep `${a:-${b:-…}}` may go: far beyond use, and far from the end of the stack.
const MAX_DEPTH: usize = 100;
/// How much text the variables of a word may bring in. They can double with each ENV line, so there has to be an end.
const MAX_LENGTH: usize = 8 << 20;
/// How many steps the patterns of a word may take, text length times pattern length.
const MAX_WORK: usize = 1 << 26;

type Step<T> = Result<T, SyntaxError>;

fn fail<T>(text: impl Into<String>) -> Step<T> {
    Err(SyntaxError::new(text))
}

/// One word being expanded.
pub(super) struct Expansion<'a> {
    lex: &'a Lex,
    chars: Peekable<Chars<'a>>,
    get: &'a dyn Fn(&str) -> Option<String>,
    raw_escapes: bool,
    depth: usize,
    spent: usize,
    worked: usize,
    /// How many bytes were left where the substitution or quote starts that is wrong.
    pub(super) left: Option<usize>,
    pub(super) matched: BTreeSet<String>,
    pub(super) unmatched: BTreeSet<String>,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(lex: &'a Lex, word: &'a str, get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lex,
            chars: word.chars().peekable(),
            get,
            raw_escapes: lex.raw_escapes,
            depth: 0,
            spent: 0,
            worked: 0,
            left: None,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        }
    }

    /// Reads to the end of the word.
    pub(super) fn whole(&mut self) -> Step<(String, Vec<String>)> {
        self.read(None)
    }

    /// Reads up to a character and over it.
    fn until(&mut self, stop: char, raw_escapes: bool) -> Step<String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return fail(format!("substitutions are nested deeper than {MAX_DEPTH}"));
        }
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let result = self.read(Some(stop));
        self.raw_escapes = outer;
        self.depth -= 1;
        Ok(result?.0)
    }

    fn read(&mut self, stop: Option<char>) -> Step<(String, Vec<String>)> {
        let mut out = String::new();
        let mut words = Words::default();
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                self.chars.next();
                return Ok((out, words.finish()));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    out.push_str(&value);
                    words.push_str(&value);
                }
                '\'' | '"' if self.lex.quotes != Quotes::Ignore => {
                    let start = self.chars.clone();
                    let text = if c == '"' {
                        self.double_quoted()
                    } else {
                        self.single_quoted()
                    };
                    let text = self.note(start, text)?;
                    out.push_str(&text);
                    words.push_raw_str(&text);
                }
                '<' => {
                    let text = self.heredoc_mark();
                    out.push_str(&text);
                    words.push_raw_str(&text);
                }
                c => {
                    self.chars.next();
                    self.plain(c, &mut out, &mut words);
                }
            }
        }
        match stop {
            None => Ok((out, words.finish())),
            Some(stop) => fail(format!(
                "unexpected end of statement while looking for matching {stop}"
            )),
        }
    }

    fn spend(&mut self, bytes: usize) -> Step<()> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > MAX_LENGTH {
            return fail(format!("the values are longer than {MAX_LENGTH} bytes"));
        }
        Ok(())
    }

    fn work(&mut self, pattern: &str, value: &str) -> Step<()> {
        self.worked = self
            .worked
            .saturating_add(pattern.len().saturating_mul(value.len()));
        if self.worked > MAX_WORK {
            return fail("the pattern and the value are too long to be compared");
        }
        Ok(())
    }

    /// A character outside quotes, escapes included.
    fn plain(&mut self, c: char, out: &mut String, words: &mut Words) {
        if c != self.lex.escape {
            words.push(c);
            out.push(c);
            return;
        }
        if self.raw_escapes {
            words.push_raw(c);
            out.push(c);
        }
        if let Some(next) = self.chars.next() {
            words.push_raw(next);
            out.push(next);
        }
    }

    /// `<<` keeps the spaces behind it in the same word, so that `<< EOF` is one word.
    fn heredoc_mark(&mut self) -> String {
        self.chars.next();
        let mut text = String::from("<");
        if self.chars.next_if_eq(&'<').is_some() {
            text.push('<');
            while let Some(space) = self.chars.next_if(|c| matches!(c, ' ' | '\t')) {
                text.push(space);
            }
            if self.chars.next_if_eq(&'-').is_some() {
                text.push('-');
                if text.len() == 3 {
                    while let Some(space) = self.chars.next_if(|c| matches!(c, ' ' | '\t')) {
                        text.push(space);
                    }
                }
            }
        }
        text
    }

    fn single_quoted(&mut self) -> Step<String> {
        let mut out = String::new();
        let keep = self.lex.quotes == Quotes::Keep;
        self.chars.next();
        if keep {
            out.push('\'');
        }
        loop {
            match self.chars.next() {
                None => return fail("unexpected end of statement while looking for matching single-quote"),
                Some('\'') => {
                    if keep {
                        out.push('\'');
                    }
                    return Ok(out);
                }
                Some(c) => out.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Step<String> {
        let mut out = String::new();
        let keep = self.lex.quotes == Quotes::Keep;
        self.chars.next();
        if keep {
            out.push('"');
        }
        loop {
            match self.chars.peek().copied() {
                None => return fail("unexpected end of statement while looking for matching double-quote"),
                Some('"') => {
                    self.chars.next();
                    if keep {
                        out.push('"');
                    }
                    return Ok(out);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    out.push_str(&value);
                }
                Some(c) => {
                    self.chars.next();
                    self.quoted_char(c, &mut out);
                }
            }
        }
    }

    /// In double quotes only `"`, `$` and the escape character can be escaped.
    fn quoted_char(&mut self, c: char, out: &mut String) {
        if c != self.lex.escape {
            out.push(c);
            return;
        }
        if self.raw_escapes {
            out.push(c);
        }
        match self.chars.peek().copied() {
            None => {}
            Some(next) if next == '"' || next == '$' || next == self.lex.escape => {
                self.chars.next();
                out.push(next);
            }
            Some(_) => out.push(c),
        }
    }

    /// Remembers where something starts that turned out to be wrong; the innermost counts.
    fn note<T>(&mut self, start: Peekable<Chars<'a>>, result: Step<T>) -> Step<T> {
        if result.is_err() && self.left.is_none() {
            self.left = Some(start.map(char::len_utf8).sum());
        }
        result
    }

    fn dollar(&mut self) -> Step<String> {
        let start = self.chars.clone();
        let result = self.substitution();
        self.note(start, result)
    }

    fn substitution(&mut self) -> Step<String> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braces();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.lookup(&name)? {
            Some(value) => value,
            None if self.lex.skip_unset => format!("${name}"),
            None => String::new(),
        })
    }

    /// What follows `${`.
    fn braces(&mut self) -> Step<String> {
        match self.chars.peek() {
            None => return fail("syntax error: missing '}'"),
            Some('{' | '}' | ':') => return fail("syntax error: bad substitution"),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            Some('}') => Ok(match self.lookup(&name)? {
                Some(value) => value,
                None if self.lex.skip_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => {
                let kind = self.chars.next();
                self.modifier(&name, kind, ":")
            }
            Some('/') => self.replacement(&name),
            kind @ Some('+' | '-' | '?' | '#' | '%') => self.modifier(&name, kind, ""),
            other => fail(format!("unsupported modifier ({}) in substitution", shown(other))),
        }
    }

    /// `${name-word}` and its kin; with a colon an empty value counts as not set.
    fn modifier(&mut self, name: &str, kind: Option<char>, colon: &str) -> Step<String> {
        let trims = matches!(kind, Some('#' | '%'));
        let word = self.until_brace('}', trims, "syntax error: missing '}'")?;
        let value = self.lookup(name)?;
        if self.lex.skip_unset && value.is_none() {
            return Ok(format!("${{{name}{colon}{}{word}}}", shown(kind)));
        }
        let counts = value.as_ref().is_some_and(|v| colon.is_empty() || !v.is_empty());
        match kind {
            Some('-') => Ok(if counts { value.unwrap_or_default() } else { word }),
            Some('+') => Ok(if counts { word } else { String::new() }),
            Some('?') if counts => Ok(value.unwrap_or_default()),
            Some('?') => {
                let what = if value.is_none() { "unset" } else { "empty" };
                let default = format!("is not allowed to be {what}");
                fail(format!(
                    "{name}: {}",
                    if word.is_empty() { default } else { word }
                ))
            }
            Some(end @ ('#' | '%')) if colon.is_empty() => {
                let value = value.unwrap_or_default();
                self.work(&word, &value)?;
                trim(&word, end, &value)
            }
            _ => fail(format!(
                "unsupported modifier ({colon}{}) in substitution",
                shown(kind)
            )),
        }
    }

    /// `${name/pattern/text}`, or `//` for all.
    fn replacement(&mut self, name: &str) -> Step<String> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.until_brace('/', true, "syntax error: missing '/' in ${}")?;
        let text = self.until_brace('}', true, "syntax error: missing '}'")?;
        let value = match self.lookup(name)? {
            Some(value) => value,
            None if self.lex.skip_unset => return Ok(format!("${{{name}/{pattern}/{text}}}")),
            None => String::new(),
        };
        let parsed = pattern::parse(&pattern).map_err(|e| invalid(&pattern, &e))?;
        self.work(&pattern, &value)?;
        let count = if all {
            pattern::Count::All
        } else {
            pattern::Count::First
        };
        let result = pattern::replace(&parsed, &value, &text, count, MAX_LENGTH)?;
        self.spend(result.len())?;
        Ok(result)
    }

    /// Reads up to a character; at the end of the word the error says which character is missing.
    fn until_brace(&mut self, stop: char, raw_escapes: bool, missing: &str) -> Step<String> {
        match self.until(stop, raw_escapes) {
            Err(_) if self.depth <= MAX_DEPTH && self.chars.peek().is_none() => fail(missing),
            result => result,
        }
    }

    /// Reads a name: one special parameter, digits, or letters, digits and underscores.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(first) = self.chars.next_if(|c| c.is_numeric()) {
            name.push(first);
            while let Some(digit) = self.chars.next_if(|c| c.is_numeric()) {
                name.push(digit);
            }
            return name;
        }
        if let Some(special) = self.chars.next_if(|c| "@*#?-$!".contains(*c)) {
            return special.to_string();
        }
        while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    fn lookup(&mut self, name: &str) -> Step<Option<String>> {
        let value = (self.get)(name);
        self.spend(value.as_ref().map_or(0, String::len))?;
        let set = if value.is_some() {
            &mut self.matched
        } else {
            &mut self.unmatched
        };
        if !set.contains(name) {
            set.insert(name.to_owned());
        }
        Ok(value)
    }
}

fn shown(c: Option<char>) -> char {
    c.unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn invalid(pattern: &str, reason: &SyntaxError) -> SyntaxError {
    SyntaxError::new(format!("invalid pattern ({pattern}) in substitution: {reason}"))
}

/// `#` and `%` drop the shortest match, doubled ones the longest.
fn trim(word: &str, kind: char, value: &str) -> Step<String> {
    let (pattern, greed) = match word.strip_prefix(kind) {
        Some(rest) => (rest, pattern::Greed::Longest),
        None => (word, pattern::Greed::Shortest),
    };
    if kind == '#' {
        let parsed = pattern::parse(pattern).map_err(|e| invalid(pattern, &e))?;
        return Ok(pattern::trim_prefix(&parsed, value, greed));
    }
    // A shortest match that ends at the end cannot be searched from the left: read both backwards.
    let reversed = pattern::reverse(pattern);
    let parsed = pattern::parse(&reversed).map_err(|e| invalid(&reversed, &e))?;
    let backwards: String = value.chars().rev().collect();
    Ok(pattern::trim_prefix(&parsed, &backwards, greed)
        .chars()
        .rev()
        .collect())
}
