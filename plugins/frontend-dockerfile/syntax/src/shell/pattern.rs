//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and escapes, nothing else.
//! They match as the regular expressions do that BuildKit makes of them, in time pattern × text.

use crate::error::SyntaxError;

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Literal(char),
    /// `?`: any character but a line feed.
    Any,
    /// `*`: any number of characters but line feeds.
    Star,
}

/// How much a `*` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greed {
    /// As little as possible.
    Shortest,
    /// As much as possible.
    Longest,
}

/// How many matches are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// The first one; the text is put in as it is.
    First,
    /// All; `$` in the text is a group, as in Go's `ReplaceAllString`.
    All,
}

/// Reads a pattern.
pub(super) fn parse(pattern: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            // These two have to be escaped inside `${}`; the escape is not part of the pattern.
            '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\')) => Token::Literal(c),
                other => {
                    let shown = other.unwrap_or(char::REPLACEMENT_CHARACTER);
                    return Err(SyntaxError::new(format!("invalid escape '\\{shown}'")));
                }
            },
            c => Token::Literal(c),
        });
    }
    Ok(tokens)
}

/// For every place in the text: where the match that starts there ends, if one does.
fn ends(tokens: &[Token], text: &[char], greed: Greed) -> Vec<Option<usize>> {
    let mut row: Vec<Option<usize>> = (0..=text.len()).map(Some).collect();
    for token in tokens.iter().rev() {
        match token {
            Token::Star => {
                for i in (0..text.len()).rev() {
                    let more = if text[i] == '\n' { None } else { row[i + 1] };
                    row[i] = if greed == Greed::Longest {
                        more.or(row[i])
                    } else {
                        row[i].or(more)
                    };
                }
            }
            Token::Literal(_) | Token::Any => {
                for i in 0..text.len() {
                    let fits = match token {
                        Token::Literal(c) => text[i] == *c,
                        _ => text[i] != '\n',
                    };
                    row[i] = if fits { row[i + 1] } else { None };
                }
                row[text.len()] = None;
            }
        }
    }
    row
}

/// Drops what the pattern matches at the start.
pub(super) fn trim_prefix(tokens: &[Token], value: &str, greed: Greed) -> String {
    let text: Vec<char> = value.chars().collect();
    let end = ends(tokens, &text, greed)[0].unwrap_or(0);
    text[end..].iter().collect()
}

/// Replaces the first match or all of them, up to a length of the result.
pub(super) fn replace(
    tokens: &[Token],
    value: &str,
    by: &str,
    count: Count,
    limit: usize,
) -> Result<String, SyntaxError> {
    let text: Vec<char> = value.chars().collect();
    let ends = ends(tokens, &text, Greed::Longest);
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some((start, end)) = (at..=text.len()).find_map(|i| Some((i, ends[i]?))) {
        out.extend(&text[copied..start]);
        // An empty match right behind another one does not count.
        if end > copied || start == 0 {
            match count {
                Count::First => out.push_str(by),
                Count::All => push_template(by, &text[start..end], &mut out),
            }
        }
        if out.len() > limit {
            return Err(SyntaxError::new(format!(
                "the result is longer than {limit} bytes"
            )));
        }
        copied = end;
        at = end.max(at + 1);
        if count == Count::First {
            break;
        }
    }
    out.extend(&text[copied..]);
    Ok(out)
}

/// Writes a replacement in which `$0` is the match, other groups are empty and `$$` is a dollar.
fn push_template(template: &str, found: &[char], out: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        match group(after) {
            Some((name, after)) => {
                // Go reads the name as a number when it is one.
                if !name.is_empty() && name.bytes().all(|b| b == b'0') {
                    out.extend(found);
                }
                rest = after;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
}

/// Splits `name…` or `{name}…`; `None` when there is no name.
fn group(text: &str) -> Option<(&str, &str)> {
    let (braced, text) = match text.strip_prefix('{') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    Some((name, if braced { after.strip_prefix('}')? } else { after }))
}

/// Turns a pattern round without tearing escapes apart: `a\*c` becomes `c\*a`.
pub fn reverse(pattern: &str) -> String {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next)) => {
                chars.next();
                parts.push((c, Some(next)));
            }
            _ => parts.push((c, None)),
        }
    }
    parts
        .iter()
        .rev()
        .flat_map(|(c, next)| std::iter::once(*c).chain(*next))
        .collect()
}

/// Writes a pattern as the regular expression that it stands for, anchored at the start, `*` greedy.
///
/// # Errors
/// An escape before a character that has no special meaning, or at the end.
pub fn to_regex(pattern: &str) -> Result<String, SyntaxError> {
    let mut out = String::from("^");
    for token in parse(pattern)? {
        match token {
            Token::Star => out.push_str(".*"),
            Token::Any => out.push('.'),
            Token::Literal(c) => {
                if "\\*?[]{}.+()|^$".contains(c) {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
    Ok(out)
}
