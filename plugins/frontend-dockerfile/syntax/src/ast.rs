//! The tree a Dockerfile is cut into: one node per instruction, not yet understood.

use crate::directives::Directive;
use crate::go;
use crate::span::Span;

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
