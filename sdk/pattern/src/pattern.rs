//! One pattern: read once, matched often.

use crate::error::PatternError;
use crate::runes;
use std::str::Chars;

/// How a pattern is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternKind {
    /// The path is the pattern.
    Exact,
    /// `text**`: the path starts with the text.
    Prefix,
    /// `**text`: the path ends with the text; `**/text` also is the text.
    Suffix,
    /// Anything else.
    Wildcards,
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// This character.
    Literal(char),
    /// `?`: any character but `/`.
    Any,
    /// `*`: any number of characters but `/`.
    Star,
    /// `**` or `**/` before more: any number of whole names, or nothing.
    Dirs,
    /// `**` at the end: anything.
    Rest,
    /// `[…]`
    Class(Class),
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    pub(crate) fn holds(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }

    /// Reads what follows `[`. `None` for a class that is empty or not closed.
    pub(crate) fn read(chars: &mut Chars<'_>) -> Option<Self> {
        let negated = chars.as_str().starts_with('^');
        if negated {
            chars.next();
        }
        let mut ranges = Vec::new();
        loop {
            if chars.as_str().starts_with(']') && !ranges.is_empty() {
                chars.next();
                return Some(Self { negated, ranges });
            }
            let low = Self::bound(chars)?;
            let mut high = low;
            if chars.as_str().starts_with('-') {
                chars.next();
                high = Self::bound(chars)?;
            }
            ranges.push((low, high));
        }
    }

    fn bound(chars: &mut Chars<'_>) -> Option<char> {
        match chars.next()? {
            '-' | ']' => None,
            '\\' => chars.next(),
            c => Some(c),
        }
    }
}

/// A pattern, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    exclusion: bool,
    kind: PatternKind,
    pub(crate) tokens: Vec<Token>,
    /// What every match starts with.
    pub(crate) head: Vec<u8>,
    /// What every match ends with. `**/` at the front is not in it.
    pub(crate) tail: Vec<u8>,
}

impl Pattern {
    /// Reads a cleaned pattern without its exclamation mark.
    pub(crate) fn new(text: &str, exclusion: bool) -> Result<Self, PatternError> {
        let (tokens, kind) = read(text).ok_or_else(|| PatternError::Syntax {
            pattern: text.to_owned(),
        })?;
        let literals = |tokens: &mut dyn Iterator<Item = &Token>| {
            let literal = tokens.map_while(|token| {
                if let Token::Literal(c) = token {
                    Some(*c)
                } else {
                    None
                }
            });
            literal.collect::<String>()
        };
        let head = literals(&mut tokens.iter());
        let tail: String = literals(&mut tokens.iter().rev()).chars().rev().collect();
        Ok(Self {
            text: text.to_owned(),
            exclusion,
            kind,
            tokens,
            head: head.into_bytes(),
            tail: tail.into_bytes(),
        })
    }

    /// Returns the pattern, cleaned, without exclamation mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Tells whether it started with `!`.
    pub fn is_exclusion(&self) -> bool {
        self.exclusion
    }

    /// Returns how it is matched.
    pub fn kind(&self) -> PatternKind {
        self.kind
    }

    /// Tells whether it matches this very path, parents not considered.
    pub fn matches(&self, path: &[u8]) -> bool {
        match self.kind {
            PatternKind::Exact => path == self.head,
            PatternKind::Prefix => path.starts_with(&self.head),
            PatternKind::Suffix => self.matches_suffix(path),
            PatternKind::Wildcards => {
                path.starts_with(&self.head) && path.ends_with(&self.tail) && simulate(&self.tokens, path)
            }
        }
    }

    /// Returns the longest name that every match has between two slashes or at an end; empty when there is none.
    pub(crate) fn whole_name(&self) -> Vec<u8> {
        let mut longest = String::new();
        // The name that is being read; none where it is not whole.
        let mut name = Some(String::new());
        for token in self.tokens.iter().chain([&Token::Literal('/')]) {
            match token {
                Token::Literal('/') => {
                    let read = name.replace(String::new()).unwrap_or_default();
                    if read.len() > longest.len() {
                        longest = read;
                    }
                }
                // This one also stands for bytes that are no text.
                Token::Literal(char::REPLACEMENT_CHARACTER) => name = None,
                Token::Literal(c) => {
                    if let Some(name) = &mut name {
                        name.push(*c);
                    }
                }
                // What follows stands at the start or behind a slash; what is in front may go on.
                Token::Dirs => name = Some(String::new()),
                Token::Any | Token::Star | Token::Rest | Token::Class(_) => name = None,
            }
        }
        longest.into_bytes()
    }

    fn matches_suffix(&self, path: &[u8]) -> bool {
        let suffix = &self.text.as_bytes()[2..];
        path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|name| name == path)
    }

    /// Tells whether it may match something below a directory.
    pub(crate) fn may_match_below(&self, dir: &[u8]) -> bool {
        let below =
            |head: &[u8]| head.len() > dir.len() + 1 && head.starts_with(dir) && head[dir.len()] == b'/';
        if dir.is_empty() || below(&self.head) {
            return true;
        }
        // The rest of the pattern decides, unless there is none.
        self.kind != PatternKind::Exact
            && (dir.starts_with(&self.head) || (self.head.strip_suffix(b"/") == Some(dir)))
    }

    /// Returns the regular expression that a [`PatternKind::Wildcards`] pattern stands for.
    pub fn regex(&self) -> Option<String> {
        if self.kind != PatternKind::Wildcards {
            return None;
        }
        let mut out = String::from("^");
        for token in &self.tokens {
            match token {
                Token::Literal(c) => push_escaped(*c, ".+()|{}$", &mut out),
                Token::Any => out.push_str("[^/]"),
                Token::Star => out.push_str("[^/]*"),
                Token::Dirs => out.push_str("(.*/)?"),
                Token::Rest => out.push_str(".*"),
                Token::Class(class) => push_class(class, &mut out),
            }
        }
        out.push('$');
        Some(out)
    }
}

fn push_escaped(c: char, special: &str, out: &mut String) {
    if special.contains(c) || "\\[]*?^".contains(c) {
        out.push('\\');
    }
    out.push(c);
}

fn push_class(class: &Class, out: &mut String) {
    out.push_str(if class.negated { "[^" } else { "[" });
    for (low, high) in &class.ranges {
        push_escaped(*low, "-", out);
        if low != high {
            out.push('-');
            push_escaped(*high, "-", out);
        }
    }
    out.push(']');
}

fn read(text: &str) -> Option<(Vec<Token>, PatternKind)> {
    let mut tokens = Vec::new();
    let mut kind = PatternKind::Exact;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let at_start = tokens.is_empty();
        let token = match c {
            '*' if chars.as_str().starts_with('*') => {
                chars.next();
                if chars.as_str().starts_with('/') {
                    chars.next();
                }
                let at_end = chars.as_str().is_empty();
                kind = match (at_start, at_end, kind) {
                    (true, ..) => PatternKind::Suffix,
                    (false, true, PatternKind::Exact) => PatternKind::Prefix,
                    _ => PatternKind::Wildcards,
                };
                tokens.push(if at_end { Token::Rest } else { Token::Dirs });
                continue;
            }
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => Token::Class(Class::read(&mut chars)?),
            '\\' => Token::Literal(chars.next()?),
            c => Token::Literal(c),
        };
        if c == '\\' || !matches!(token, Token::Literal(_)) {
            kind = PatternKind::Wildcards;
        }
        tokens.push(token);
    }
    Some((tokens, kind))
}

/// Follows all ways through the pattern at once, so that time is bounded by pattern × path.
fn simulate(tokens: &[Token], path: &[u8]) -> bool {
    // `active[i]`: everything before token i has matched. `inside[i]`: token i is `Dirs` and waits for its `/`.
    let mut active = vec![false; tokens.len() + 1];
    let mut inside = vec![false; tokens.len()];
    active[0] = true;
    skip_empty(tokens, &mut active);
    let mut next = vec![false; tokens.len() + 1];
    let mut rest = path;
    while let Some((c, length)) = runes::first(rest) {
        rest = &rest[length..];
        next.fill(false);
        let mut alive = false;
        for (i, token) in tokens.iter().enumerate() {
            if let Token::Dirs = token {
                inside[i] |= active[i];
                next[i + 1] |= inside[i] && c == '/';
                alive |= inside[i];
                continue;
            }
            if !active[i] {
                continue;
            }
            let (stays, moves) = match token {
                Token::Literal(literal) => (false, *literal == c),
                Token::Any => (false, c != '/'),
                Token::Class(class) => (false, class.holds(c)),
                Token::Star => (c != '/', false),
                Token::Rest | Token::Dirs => (true, false),
            };
            next[i] |= stays;
            next[i + 1] |= moves;
            alive |= stays || moves;
        }
        if !alive {
            return false;
        }
        std::mem::swap(&mut active, &mut next);
        skip_empty(tokens, &mut active);
    }
    active[tokens.len()]
}

/// Steps over tokens that may match nothing.
fn skip_empty(tokens: &[Token], active: &mut [bool]) {
    for (i, token) in tokens.iter().enumerate() {
        active[i + 1] |= active[i] && matches!(token, Token::Star | Token::Dirs | Token::Rest);
    }
}
