//! The tree a Dockerfile is cut into: one node per instruction, not yet understood.

use crate::directives::Directive;
use crate::go;
use crate::heredoc;
use crate::span::Position;
use crate::span::Span;
use std::ops::Range;

/// A Dockerfile, cut into instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ast {
    /// The instructions in the order of the file. Never empty.
    pub nodes: Vec<Node>,
    /// The character that escapes and continues lines: `\` or a backtick.
    pub escape: char,
    /// The parser directives at the top of the file.
    pub directives: Vec<Directive>,
    /// What is allowed today and will be an error one day.
    pub warnings: Vec<Warning>,
}

/// One instruction: its name, flags and arguments as words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// The name as it is written in the file, in whatever case.
    pub name: Word,
    /// The flags, each with its `--` and value, quotes and escapes removed.
    pub flags: Vec<Word>,
    /// The arguments. The words of ENV and LABEL come in threes: name, value and `=` or nothing.
    pub args: Vec<Word>,
    /// The instruction that ONBUILD stores.
    pub sub: Option<Box<Node>>,
    /// Whether the arguments were written as JSON array.
    pub json: bool,
    /// The inline files, in the order of the file.
    pub heredocs: Vec<Heredoc>,
    /// The instruction as one line: continuations joined, comments dropped, without heredocs.
    pub original: String,
    /// The comment lines directly above, without `#`.
    pub comments: Vec<String>,
    /// From the first byte of the name to the last of the instruction, heredocs included.
    pub span: Span,
}

/// A text and where it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    /// The text.
    pub text: String,
    /// The place.
    pub span: Span,
}

impl Word {
    /// Returns the place of some bytes of the text; the whole word's where quotes, escapes or line ends were removed
    /// from it.
    pub fn part(&self, range: Range<usize>) -> Span {
        let Span { start, end } = self.span;
        let verbatim =
            start.line == end.line && end.column.checked_sub(start.column) == Some(self.text.len());
        if !verbatim || range.end > self.text.len() {
            return self.span;
        }
        let at = |byte: usize| Position {
            column: start.column + byte,
            ..start
        };
        Span {
            start: at(range.start),
            end: at(range.end),
        }
    }

    /// Returns the place of the first such text in the word; the whole word's where it is not written like that.
    pub fn part_of(&self, text: &str) -> Span {
        match self.text.find(text) {
            Some(at) => self.part(at..at + text.len()),
            None => self.span,
        }
    }
}

/// An inline file: `<<EOF` and the lines up to `EOF`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heredoc {
    /// The word that ends it, quotes removed.
    pub name: String,
    /// The number before `<<`.
    pub fd: u64,
    /// Whether variables in the content are expanded: false when the word was quoted.
    pub expand: bool,
    /// Whether leading tabs are dropped (`<<-`). The content still has them.
    pub chomp: bool,
    /// The lines between, each with its line end.
    pub content: String,
    /// The lines between.
    pub span: Span,
}

/// Something that is allowed today and will be an error one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What and in which line.
    pub short: String,
    /// Why it matters.
    pub detail: String,
    /// Where to read more.
    pub url: String,
    /// The last line of the instruction, counted from 1.
    pub line: usize,
}

impl Ast {
    /// Returns the tree as s-expressions, one instruction a line, each ended by a line feed.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            out.push('(');
            out.push_str(&node.dump());
            out.push_str(")\n");
        }
        out
    }
}

impl Node {
    /// Returns the first and the last line, counted from 1.
    pub fn lines(&self) -> (usize, usize) {
        self.span.line_range()
    }

    /// Returns the place of a flag, by its name without `--`; of one that is repeated, of the `number`-th, from 0.
    pub fn flag(&self, name: &str, number: usize) -> Option<Span> {
        let is_it = |word: &&Word| {
            let rest = word
                .text
                .strip_prefix("--")
                .and_then(|text| text.strip_prefix(name));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        Some(self.flags.iter().filter(is_it).nth(number)?.span)
    }

    /// Returns the place of the `number`-th argument, from 0, that opens no heredoc.
    pub fn source(&self, number: usize) -> Option<Span> {
        let plain = |word: &&Word| !matches!(heredoc::parse(&word.text), Ok(Some(_)));
        Some(self.args.iter().filter(plain).nth(number)?.span)
    }

    /// Returns the place of a text that is (a part of) a word or of an inline file, from its byte `at` on.
    pub fn place(&self, text: &str, at: usize) -> Option<Span> {
        let value = |word: &&Word| word.text.split_once('=').is_some_and(|(_, value)| value == text);
        let words = || self.args.iter().chain(&self.flags);
        let word = words()
            .find(|word| word.text == text)
            .or_else(|| words().find(value))
            .or_else(|| words().find(|word| word.text.contains(text)));
        if let Some(word) = word {
            let from = word.text.rfind(text).unwrap_or_default() + at;
            return Some(word.part(from..word.text.len().max(from)));
        }
        self.heredocs.iter().find_map(|heredoc| heredoc.place(text, at))
    }

    fn dump(&self) -> String {
        let mut out = self.name.text.to_lowercase();
        if !self.flags.is_empty() {
            let quoted: Vec<String> = self.flags.iter().map(|f| go::quote(&f.text)).collect();
            out.push_str(&format!(" [{}]", quoted.join(" ")));
        }
        for arg in &self.args {
            out.push(' ');
            out.push_str(&go::quote(&arg.text));
        }
        if let Some(sub) = &self.sub {
            out.push_str(&format!(" ({})", sub.dump()));
        }
        out.trim().to_owned()
    }
}

impl Heredoc {
    /// Returns the place of a byte of the content, up to the end of its line, if the content is this.
    fn place(&self, content: &str, at: usize) -> Option<Span> {
        let same = match self.chomp {
            true => heredoc::chomp(&self.content) == content,
            false => self.content == content,
        };
        let before = content.get(..at).filter(|_| same)?;
        let line = before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let written = self.content.split('\n').nth(line)?;
        let tabs = match self.chomp {
            true => written.len() - written.trim_start_matches('\t').len(),
            false => 0,
        };
        let place = |column| Position {
            line: self.span.start.line + line,
            column,
        };
        Some(Span {
            start: place(tabs + column),
            end: place(written.trim_end_matches('\r').len()),
        })
    }
}
