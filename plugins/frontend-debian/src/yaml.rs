//! YAML as a tree of nodes that know their places. Aliases and several documents are refused.

use kiln_sdk::types::Diagnostic;
use kiln_sdk::types::Position;
use kiln_sdk::types::Span;
use saphyr_parser::Event;
use saphyr_parser::Parser;

/// Deepest nesting.
const DEPTH: usize = 32;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) place: Option<Place>,
    pub(crate) help: Option<String>,
}

/// A range of the build file: line and column in bytes of both ends, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) start: (u32, u32),
    pub(crate) end: (u32, u32),
}

impl Place {
    pub(crate) fn span(self) -> Span {
        let position = |(line, column)| Position { line, column };
        Span {
            source: 0,
            start: position(self.start),
            end: position(self.end),
        }
    }
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            help: None,
        }
    }

    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            ..Self::new(message)
        }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Gives a fault without a place this one.
    pub(crate) fn or_at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    pub(crate) fn diagnostic(self) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.message);
        diagnostic.help = self.help;
        diagnostic.spans.extend(self.place.map(Place::span));
        diagnostic
    }
}

impl From<kiln_sdk::Error> for Fault {
    fn from(error: kiln_sdk::Error) -> Self {
        Self::new(error.message())
    }
}

/// A value and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A scalar as written; empty is no value.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

/// A text and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) place: Place,
}

enum Open {
    List(Place, Vec<Node>),
    Map(Place, Vec<(Text, Node)>, Option<Text>),
}

/// Reads a document.
pub(crate) fn read(text: &str) -> Result<Node, Fault> {
    let lines: Vec<&str> = text.split('\n').collect();
    let point = |line: usize, column: usize| {
        let before = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let bytes: usize = before.chars().take(column).map(char::len_utf8).sum();
        (line.clamp(1, lines.len()) as u32, bytes as u32 + 1)
    };
    let mut open: Vec<Open> = Vec::new();
    let mut result: Option<Node> = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = point(error.marker().line(), error.marker().col());
            Fault::at(
                Place { start: at, end: at },
                format!("cannot read YAML: {}", error.info()),
            )
        })?;
        let place = Place {
            start: point(span.start.line(), span.start.col()),
            end: point(span.end.line(), span.end.col()),
        };
        let node = match event {
            Event::Scalar(text, ..) => Node {
                place,
                value: Value::Text(text.into_owned()),
            },
            Event::SequenceStart(..) => {
                open.push(Open::List(place, Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(place, Vec::new(), None));
                if open.len() > DEPTH {
                    return Err(Fault::at(place, "nested too deeply"));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(place, list)) => Node {
                    place,
                    value: Value::List(list),
                },
                Some(Open::Map(place, map, _)) => Node {
                    place,
                    value: Value::Map(map),
                },
                None => return Err(Fault::at(place, "an end without a beginning")),
            },
            Event::Alias(_) => return Err(Fault::at(place, "aliases are not supported")),
            Event::DocumentStart(_) if result.is_some() => {
                return Err(Fault::at(place, "a second document"));
            }
            _ => continue,
        };
        add(&mut open, &mut result, node)?;
    }
    result.ok_or_else(|| Fault::new("the file is empty"))
}

fn add(open: &mut [Open], result: &mut Option<Node>, node: Node) -> Result<(), Fault> {
    match open.last_mut() {
        None => *result = Some(node),
        Some(Open::List(_, list)) => list.push(node),
        Some(Open::Map(_, map, key)) => match key.take() {
            Some(key) => {
                if map.iter().any(|(known, _)| known.text == key.text) {
                    return Err(Fault::at(key.place, format!("`{}` is given twice", key.text)));
                }
                map.push((key, node));
            }
            None => *key = Some(node.text("a key")?),
        },
    }
    Ok(())
}

impl Node {
    /// Returns the scalar; `what` says what was expected.
    pub(crate) fn text(&self, what: &str) -> Result<Text, Fault> {
        match &self.value {
            Value::Text(text) => Ok(Text {
                text: text.clone(),
                place: self.place,
            }),
            _ => Err(Fault::at(self.place, format!("expected {what}, one value"))),
        }
    }

    /// Returns the elements of a list; one scalar is a list of one, no value an empty one.
    pub(crate) fn list(&self, what: &str) -> Result<Vec<&Self>, Fault> {
        match &self.value {
            Value::List(list) => Ok(list.iter().collect()),
            Value::Text(text) if text.is_empty() => Ok(Vec::new()),
            Value::Text(_) => Ok(vec![self]),
            Value::Map(_) => Err(Fault::at(self.place, format!("expected a list of {what}"))),
        }
    }

    pub(crate) fn texts(&self, what: &str) -> Result<Vec<Text>, Fault> {
        self.list(what)?.into_iter().map(|node| node.text(what)).collect()
    }

    pub(crate) fn map(&self, what: &str) -> Result<&[(Text, Self)], Fault> {
        match &self.value {
            Value::Map(map) => Ok(map),
            Value::Text(text) if text.is_empty() => Ok(&[]),
            _ => Err(Fault::at(
                self.place,
                format!("expected {what}, as `key: value` lines"),
            )),
        }
    }

    pub(crate) fn number(&self, what: &str) -> Result<u32, Fault> {
        let text = self.text(what)?;
        let number = text.text.parse().ok();
        number.ok_or_else(|| {
            Fault::at(
                self.place,
                format!("expected {what}, a number, found `{}`", text.text),
            )
        })
    }

    /// Returns permission bits, octal with or without a leading 0.
    pub(crate) fn mode(&self) -> Result<u32, Fault> {
        let text = self.text("permissions")?;
        let digits = text.text.trim_start_matches("0o");
        let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| {
            Fault::at(
                self.place,
                format!("expected octal permissions such as `0755`, found `{}`", text.text),
            )
        })
    }

    pub(crate) fn bool(&self) -> Result<bool, Fault> {
        match self.text("true or false")?.text.as_str() {
            "true" | "yes" => Ok(true),
            "false" | "no" => Ok(false),
            other => Err(Fault::at(
                self.place,
                format!("expected true or false, found `{other}`"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_places() {
        let node = read("packages:\n  - a\n  - ü: b\n").expect("YAML");
        let map = node.map("x").expect("a mapping");
        assert_eq!(map[0].0.text, "packages");
        let list = map[0].1.list("x").expect("a list");
        assert_eq!((list[0].place.start, list[0].place.end), ((2, 5), (2, 6)));
        let inner = list[1].map("x").expect("a mapping");
        assert_eq!(inner[0].1.place.start, (3, 9));
    }

    #[test]
    fn what_is_no_plain_document_is_refused() {
        let cases = [
            ("a: [", "cannot read YAML", 1),
            ("a: 1\na: 2\n", "`a` is given twice", 2),
            ("a: &x 1\nb: *x\n", "aliases are not supported", 2),
            ("a: 1\n---\nb: 1\n", "a second document", 2),
            ("? [k]\n: v\n", "expected a key", 1),
            ("", "the file is empty", 0),
        ];
        for (text, expected, line) in cases {
            let fault = read(text).expect_err(text);
            assert!(fault.message.contains(expected), "{text}: {fault:?}");
            assert_eq!(fault.place.map_or(0, |place| place.start.0), line, "{text}");
        }
        let deep = "[".repeat(10_000);
        assert!(read(&deep).is_err());
    }
}
