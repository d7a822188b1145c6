//! The forms in which instructions take their arguments.

use crate::error::SyntaxError;
use crate::json;
use crate::lines::Piece;
use crate::parser::no_equals;
use std::ops::Range;

/// The spaces between words that are not quoted.
const SPACES: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// What is wrong with the words of an instruction, and the bytes of the line it is about.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) error: SyntaxError,
    pub(crate) range: Range<usize>,
}

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn piece(line: &str, range: Range<usize>) -> Piece {
    Piece {
        text: line[range.clone()].to_owned(),
        range,
    }
}

/// Narrows a range to what is left without the spaces at both ends.
fn trim(line: &str, range: Range<usize>) -> Range<usize> {
    let text = &line[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    let end = start + text.trim().len();
    start..end
}

/// Splits an instruction into its name, its flags and the rest.
pub(crate) fn split_command(line: &str) -> (Piece, Vec<Piece>, Range<usize>) {
    let whole = trim(line, 0..line.len());
    let text = &line[whole.clone()];
    let name_end = whole.start + text.find(is_space).unwrap_or(text.len());
    let name = piece(line, whole.start..name_end);
    let (flags, rest) = split_flags(line, name_end..whole.end);
    (name, flags, trim(line, rest))
}

/// Takes words that start with `--` off the front. Quotes and backslashes in them are removed.
fn split_flags(line: &str, range: Range<usize>) -> (Vec<Piece>, Range<usize>) {
    let mut flags = Vec::new();
    let mut at = range.start;
    loop {
        let text = &line[at..range.end];
        at += text.len() - text.trim_start().len();
        if !line[at..range.end].starts_with("--") {
            return (flags, at..range.end);
        }
        let flag = one_flag(line, at..range.end);
        at = flag.range.end;
        match flag.text.as_str() {
            "--" => return (flags, at..range.end),
            "" => {}
            _ => flags.push(flag),
        }
    }
}

fn one_flag(line: &str, range: Range<usize>) -> Piece {
    let mut text = String::new();
    let mut quote = None;
    let mut chars = line[range.clone()].char_indices();
    let mut end = range.end;
    while let Some((i, c)) = chars.next() {
        match c {
            c if quote.is_none() && c.is_whitespace() => {
                end = range.start + i;
                break;
            }
            c if quote == Some(c) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            '\\' => text.extend(chars.next().map(|(_, next)| next)),
            c => text.push(c),
        }
    }
    Piece {
        text,
        range: range.start..end,
    }
}

/// Reads the arguments in the form of the instruction, given by its name in lower case; tells whether they were a
/// JSON array. Nothing is read of an instruction that does not exist.
pub(crate) fn read(name: &str, rest: &str, escape: char) -> Result<(Vec<Piece>, bool), Wrong> {
    let plain = |pieces| Ok((pieces, false));
    match name {
        "add" | "copy" | "volume" => match json_words(rest, 0)? {
            Some(words) => Ok((words, true)),
            None => plain(split(rest)),
        },
        "cmd" | "entrypoint" | "run" | "shell" => maybe_json(rest, 0),
        "arg" => plain(words(rest, escape)),
        "env" | "label" => plain(pairs(rest, &name.to_uppercase(), escape)?),
        "expose" | "from" => plain(split(rest)),
        "maintainer" | "stopsignal" | "user" | "workdir" => plain(whole(rest, 0)),
        "healthcheck" => health(rest),
        _ => plain(Vec::new()),
    }
}

fn whole(rest: &str, from: usize) -> Vec<Piece> {
    if rest.len() == from {
        Vec::new()
    } else {
        vec![piece(rest, from..rest.len())]
    }
}

/// Splits at spaces.
fn split(rest: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut at = 0;
    for word in rest.split(is_space) {
        if !word.is_empty() {
            out.push(piece(rest, at..at + word.len()));
        }
        at += word.len() + 1;
    }
    out
}

fn maybe_json(rest: &str, from: usize) -> Result<(Vec<Piece>, bool), Wrong> {
    Ok(match json_words(rest, from)? {
        Some(words) => (words, true),
        None => (whole(rest, from), false),
    })
}

/// Reads a JSON array; text that is not one is no error, an array of other things than strings is.
fn json_words(rest: &str, from: usize) -> Result<Option<Vec<Piece>>, Wrong> {
    let text = &rest[from..];
    let start = from + (text.len() - text.trim_start().len());
    let Some(elements) = json::array(&rest[start..]) else {
        return Ok(None);
    };
    let mut words = Vec::with_capacity(elements.len());
    for element in elements {
        let range = element.range.start + start..element.range.end + start;
        let Some(text) = element.text else {
            let text = "when using JSON array syntax, arrays must be comprised of strings only";
            let error = SyntaxError::new(text);
            return Err(Wrong { error, range });
        };
        words.push(Piece { text, range });
    }
    Ok(Some(words))
}

fn health(rest: &str) -> Result<(Vec<Piece>, bool), Wrong> {
    let kind_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    if kind_end == 0 {
        return Ok((Vec::new(), false));
    }
    let command = trim(rest, kind_end..rest.len()).start;
    let (command, json) = maybe_json(rest, command.min(rest.len()))?;
    let mut words = vec![piece(rest, 0..kind_end)];
    words.extend(command);
    Ok((words, json))
}

/// Reads `name=value` words, or the old form: a name, spaces, and all the rest as value.
fn pairs(rest: &str, name: &str, escape: char) -> Result<Vec<Piece>, Wrong> {
    let words = words(rest, escape);
    let Some(first) = words.first() else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    if !first.text.contains('=') {
        let Some(key_end) = rest.find(is_space) else {
            let error = SyntaxError::new(format!("{name} must have two arguments"));
            return Err(Wrong {
                error,
                range: 0..rest.len(),
            });
        };
        let value = rest.len() - rest[key_end..].trim_start_matches(is_space).len();
        out.push(piece(rest, 0..key_end));
        out.push(piece(rest, value..rest.len()));
        out.push(piece(rest, rest.len()..rest.len()));
        return Ok(out);
    }
    for word in words {
        let Some((key, value)) = word.text.split_once('=') else {
            return Err(Wrong {
                error: no_equals(&word.text),
                range: word.range,
            });
        };
        let Range { start, end } = word.range;
        let middle = start + key.len();
        out.push(Piece {
            text: key.to_owned(),
            range: start..middle,
        });
        out.push(Piece {
            text: value.to_owned(),
            range: middle + 1..end.max(middle + 1),
        });
        out.push(Piece {
            text: "=".to_owned(),
            range: middle..middle + 1,
        });
    }
    Ok(out)
}

/// Splits at spaces that are neither quoted nor escaped; quotes and escapes stay.
pub(crate) fn words(rest: &str, escape: char) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = rest.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if let Some(start) = start.take() {
                out.push(Piece {
                    text: std::mem::take(&mut word),
                    range: start..i,
                });
            }
            continue;
        }
        start.get_or_insert(i);
        // Nothing can be escaped in single quotes.
        if c == escape && quote != Some('\'') {
            // At the end of the line the escape is dropped.
            if let Some((_, next)) = chars.next() {
                word.push(c);
                word.push(next);
            }
            continue;
        }
        if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && (c == '\'' || c == '"') {
            quote = Some(c);
        }
        word.push(c);
    }
    if let Some(start) = start.filter(|_| !word.is_empty()) {
        out.push(Piece {
            text: word,
            range: start..rest.len(),
        });
    }
    out
}
