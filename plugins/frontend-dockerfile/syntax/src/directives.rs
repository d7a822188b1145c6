//! Parser directives: `# syntax=`, `# escape=` and `# check=` at the very top of a file.

use crate::error::SyntaxError;
use crate::json;
use crate::lines::MAX_LINE;
use crate::lines::strip_bom;

/// What a comment at the top of the file tells the parser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// `syntax`, `escape` or `check`.
    pub name: String,
    /// All that stands behind the `=`, without the spaces around it.
    pub value: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl Directive {
    /// Returns the value up to the first space: what follows is a comment, or arguments of a frontend.
    pub fn first_word(&self) -> &str {
        self.value.split(' ').next().unwrap_or_default()
    }
}

/// The names that are directives. Any other ends them.
const NAMES: [&str; 3] = ["syntax", "escape", "check"];

/// Reads directives line by line until the first line that is not one.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    found: Vec<Directive>,
    done: bool,
}

impl Reader {
    /// Looks at the next line; tells whether it is a directive.
    ///
    /// # Errors
    /// A directive that was there before.
    pub(crate) fn line(&mut self, line: &str, number: usize, comment: &str) -> Result<bool, SyntaxError> {
        if self.done {
            return Ok(false);
        }
        let Some((name, value)) = line.strip_prefix(comment).and_then(key_value) else {
            self.done = true;
            return Ok(false);
        };
        let name = name.to_ascii_lowercase();
        if !NAMES.contains(&name.as_str()) {
            self.done = true;
            return Ok(false);
        }
        if self.found.iter().any(|d| d.name == name) {
            return Err(SyntaxError::new(format!(
                "only one {name} parser directive can be used"
            )));
        }
        self.found.push(Directive {
            name,
            value: value.to_owned(),
            line: number,
        });
        Ok(true)
    }

    /// Returns the last directive found.
    pub(crate) fn last(&self) -> Option<&Directive> {
        self.found.last()
    }

    /// Returns the directives found, in order.
    pub(crate) fn finish(self) -> Vec<Directive> {
        self.found
    }
}

fn key_value(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.trim_start().split_once('=')?;
    let key = key.trim_end_matches(is_space);
    let valid = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric())
        && !value.is_empty();
    if !valid {
        return None;
    }
    let trimmed = value.trim_matches(is_space);
    if trimmed.is_empty() {
        // Only spaces: one of them is the value.
        let last = value.len() - value.chars().next_back().map_or(0, char::len_utf8);
        return Some((key, &value[last..]));
    }
    Some((key, trimmed))
}

/// The spaces of regular expressions.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// Finds which frontend a file asks for: `# syntax=`, `// syntax=` or `{"syntax": …}`, after an optional `#!` line.
pub fn detect_syntax(file: &[u8]) -> Option<Directive> {
    let text = String::from_utf8_lossy(strip_bom(file));
    let (text, first) = skip_shebang(&text);
    if let Some(found) = find(text, first, "syntax", "#").or_else(|| find(text, first, "syntax", "//")) {
        return Some(found);
    }
    let value = json::object_string(text, "syntax")?;
    Some(Directive {
        name: "syntax".to_owned(),
        value,
        line: first,
    })
}

/// Finds a `# name=value` directive at the top of a file, after an optional `#!` line.
pub fn find_directive(name: &str, file: &[u8]) -> Option<Directive> {
    let text = String::from_utf8_lossy(strip_bom(file));
    let (text, first) = skip_shebang(&text);
    find(text, first, name, "#")
}

fn skip_shebang(text: &str) -> (&str, usize) {
    if !text.starts_with("#!") {
        return (text, 1);
    }
    (text.split_once('\n').map_or("", |(_, rest)| rest), 2)
}

fn find(text: &str, first: usize, name: &str, comment: &str) -> Option<Directive> {
    let mut reader = Reader::default();
    for (i, line) in text.lines().enumerate() {
        let read = line.len() <= MAX_LINE && reader.line(line, first + i, comment).unwrap_or(false);
        if !read {
            break;
        }
    }
    reader.finish().into_iter().find(|d| d.name == name)
}
