//! Cuts a Dockerfile into instructions, and each into name, flags, words and heredocs.

use crate::args;
use crate::args::Wrong;
use crate::ast::Ast;
use crate::ast::Heredoc;
use crate::ast::Node;
use crate::ast::Warning;
use crate::directives;
use crate::error::ParseError;
use crate::error::SyntaxError;
use crate::go;
use crate::heredoc;
use crate::lines::Lines;
use crate::lines::Logical;
use crate::lines::MAX_LINE;
use crate::lines::Piece;
use crate::lines::TooLong;
use crate::lines::continued;
use crate::lines::is_comment;
use crate::lines::strip_bom;
use crate::lines::trim_newline;
use crate::span::Position;
use crate::span::Span;

/// Where to read about empty lines inside an instruction.
const EMPTY_CONTINUATION: &str = "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/";
/// An ONBUILD in an ONBUILD is refused later; more of them need not be read.
const MAX_SUB: usize = 2;

/// Cuts a Dockerfile into its instructions.
///
/// # Errors
/// A line that is too long, a heredoc without end, a directive that is wrong, words that do not fit the instruction's
/// form, a file without instructions.
pub fn parse(file: &[u8]) -> Result<Ast, ParseError> {
    let mut parser = Parser {
        lines: Lines::new(strip_bom(file)),
        first_column: file.len() - strip_bom(file).len(),
        last_length: 0,
        directives: directives::Reader::default(),
        escape: '\\',
        comments: Vec::new(),
        nodes: Vec::new(),
        warnings: Vec::new(),
    };
    while let Some(line) = parser.next_line()? {
        parser.instruction(&line)?;
    }
    if parser.nodes.is_empty() {
        return Err(ParseError::lines(
            "file with no instructions",
            parser.lines.number,
            0,
        ));
    }
    Ok(Ast {
        nodes: parser.nodes,
        escape: parser.escape,
        directives: parser.directives.finish(),
        warnings: parser.warnings,
    })
}

struct Parser<'a> {
    lines: Lines<'a>,
    first_column: usize,
    last_length: usize,
    directives: directives::Reader,
    escape: char,
    comments: Vec<String>,
    nodes: Vec<Node>,
    warnings: Vec<Warning>,
}

impl Parser<'_> {
    fn next_line(&mut self) -> Result<Option<String>, ParseError> {
        let line = self.lines.next().map_err(|TooLong| {
            let text = format!("dockerfile line greater than max allowed size of {MAX_LINE}");
            ParseError::lines(text, self.lines.number, 0)
        })?;
        self.last_length = line
            .as_deref()
            .map_or(self.last_length, |line| trim_newline(line).len());
        Ok(line)
    }

    /// Reads from a line to the end of the instruction that starts there; comments and empty lines are none.
    fn instruction(&mut self, raw: &str) -> Result<(), ParseError> {
        let start = self.lines.number;
        let line = trim_newline(raw);
        let trimmed = line.trim_start();
        let column = line.len() - trimmed.len() + if start == 1 { self.first_column } else { 0 };
        let directive = self.directive(trimmed, column)?;
        if is_comment(line) {
            if !directive {
                self.comment(trimmed);
            }
            return Ok(());
        }
        let mut logical = Logical::default();
        let ended = match continued(trimmed, self.escape) {
            Some(text) => {
                logical.push(text, start, column);
                false
            }
            None if trimmed.is_empty() => {
                // Only comments that immediately precede an instruction are about it.
                self.comments.clear();
                return Ok(());
            }
            None => {
                logical.push(trimmed, start, column);
                true
            }
        };
        let empty_lines = !ended && self.continuation(&mut logical)?;
        let place = |e: SyntaxError, last| ParseError::lines(e.message(), start, last);
        let last = self.lines.number;
        if empty_lines {
            self.warn_empty(&logical.text);
        }
        let node = read_node(&logical, 0, self.escape, 0);
        let mut node = node.map_err(|Wrong { error, range }| ParseError {
            span: logical.span(range),
            ..place(error, last)
        })?;
        node.comments = std::mem::take(&mut self.comments);
        if node.may_have_heredocs() && logical.text.contains("<<") {
            let open = heredoc::in_line(&logical.text).map_err(|e| place(e, last))?;
            for heredoc in open {
                let name = heredoc.name.clone();
                let heredoc = self.heredoc(heredoc, start).map_err(|error| ParseError {
                    span: logical.opener(&name).unwrap_or(error.span),
                    ..error
                })?;
                node.heredocs.push(heredoc);
            }
        }
        node.span = self.node_span(&logical, start);
        self.nodes.push(node);
        Ok(())
    }

    fn directive(&mut self, line: &str, indent: usize) -> Result<bool, ParseError> {
        let number = self.lines.number;
        let place = |message: &str| ParseError::lines(message, number, 0);
        let found = self
            .directives
            .line(line, number, "#")
            .map_err(|e| place(e.message()))?;
        if let Some(directive) = self.directives.last().filter(|d| found && d.name == "escape") {
            self.escape = match directive.value.as_str() {
                "\\" => '\\',
                "`" => '`',
                other => {
                    let text = format!("invalid escape token '{other}' does not match ` or \\");
                    return Err(ParseError {
                        span: value_span(line, number, indent, other),
                        ..place(&text)
                    });
                }
            };
        }
        Ok(found)
    }

    fn comment(&mut self, line: &str) {
        match line.strip_prefix('#').unwrap_or(line).trim() {
            "" => self.comments.clear(),
            text => self.comments.push(text.to_owned()),
        }
    }

    /// Adds the lines that continue an instruction; tells whether some were empty.
    fn continuation(&mut self, logical: &mut Logical) -> Result<bool, ParseError> {
        let mut empty_lines = false;
        while let Some(raw) = self.next_line()? {
            let line = trim_newline(&raw);
            if is_comment(line) {
                continue;
            }
            if line.trim_start().is_empty() {
                empty_lines = true;
                continue;
            }
            match continued(line, self.escape) {
                Some(text) => logical.push(text, self.lines.number, 0),
                None => {
                    logical.push(line, self.lines.number, 0);
                    break;
                }
            }
        }
        Ok(empty_lines)
    }

    fn warn_empty(&mut self, line: &str) {
        self.warnings.push(Warning {
            short: format!("Empty continuation line found in: {line}"),
            detail: "Empty continuation lines will become errors in a future release".to_owned(),
            url: EMPTY_CONTINUATION.to_owned(),
            line: self.lines.number,
        });
    }

    /// Reads the lines of a heredoc up to the one that ends it.
    fn heredoc(&mut self, mut heredoc: Heredoc, start: usize) -> Result<Heredoc, ParseError> {
        let first = self.lines.number + 1;
        while let Some(line) = self.next_line()? {
            let text = trim_newline(&line);
            let text = if heredoc.chomp {
                text.trim_start_matches('\t')
            } else {
                text
            };
            if text == heredoc.name {
                heredoc.span = Span::lines(first, self.lines.number);
                return Ok(heredoc);
            }
            heredoc.content.push_str(&line);
        }
        Err(ParseError::lines(
            "unterminated heredoc",
            start,
            self.lines.number,
        ))
    }

    fn node_span(&self, logical: &Logical, start: usize) -> Span {
        let mut span = logical.span(0..logical.text.len());
        span.start.line = start;
        // The instruction's lines are those that were read for it, dropped ones and heredocs included.
        if self.lines.number > span.end.line {
            span.end = Position {
                line: self.lines.number,
                column: self.last_length,
            };
        }
        span
    }
}

/// Returns the place of a directive's value.
fn value_span(line: &str, number: usize, indent: usize, value: &str) -> Span {
    let from = indent + line.rfind(value).unwrap_or_default();
    let at = |column| Position { line: number, column };
    Span {
        start: at(from),
        end: at(from + value.len()),
    }
}

impl Node {
    fn may_have_heredocs(&self) -> bool {
        let node = self.sub.as_deref().unwrap_or(self);
        !node.json && ["add", "copy", "run"].contains(&node.name.text.to_ascii_lowercase().as_str())
    }
}

/// Reads an instruction from a place in its line on.
fn read_node(logical: &Logical, from: usize, escape: char, depth: usize) -> Result<Node, Wrong> {
    let text = &logical.text[from..];
    let (name, flags, rest) = args::split_command(text);
    let at = |piece: Piece| {
        let range = piece.range.start + from..piece.range.end + from;
        logical.word(Piece {
            text: piece.text,
            range,
        })
    };
    let rest_at = from + rest.start;
    let rest = &text[rest];
    let mut node = Node {
        name: at(name),
        flags: flags.into_iter().map(at).collect(),
        original: text.to_owned(),
        ..Node::default()
    };
    let within = |piece: Piece| {
        let range = piece.range.start + rest_at..piece.range.end + rest_at;
        logical.word(Piece {
            text: piece.text,
            range,
        })
    };
    let name = node.name.text.to_ascii_lowercase();
    if name == "onbuild" {
        if !rest.is_empty() && depth < MAX_SUB {
            node.sub = Some(Box::new(read_node(logical, rest_at, escape, depth + 1)?));
        }
        node.span = logical.span(from..logical.text.len());
        return Ok(node);
    }
    let (pieces, json) = args::read(&name, rest, escape).map_err(|wrong| Wrong {
        range: wrong.range.start + rest_at..wrong.range.end + rest_at,
        ..wrong
    })?;
    node.args = pieces.into_iter().map(within).collect();
    node.json = json;
    node.span = logical.span(from..logical.text.len());
    Ok(node)
}

/// The error of ENV and LABEL words without `=`.
pub(crate) fn no_equals(word: &str) -> SyntaxError {
    let word = go::quote(word);
    SyntaxError::new(format!(
        "Syntax error - can't find = in {word}. Must be of the form: name=value"
    ))
}
