//! One line of comma separated values, as Go's `encoding/csv` reads it.

use crate::error::SyntaxError;

/// Splits one record into its fields.
///
/// # Errors
/// A quote where none may be, or one that is not closed.
pub(crate) fn fields(line: &str) -> Result<Vec<String>, SyntaxError> {
    if line.is_empty() {
        return Err(SyntaxError::new("EOF"));
    }
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let (field, end) = if rest.starts_with('"') {
            quoted(line, at)?
        } else {
            plain(line, at)?
        };
        out.push(field);
        if end == line.len() {
            return Ok(out);
        }
        at = end + 1;
    }
}

fn fault(byte: usize, what: &str) -> SyntaxError {
    SyntaxError::new(format!("parse error on line 1, column {}: {what}", byte + 1))
}

/// Reads up to the next comma; returns where it stands, or the end.
fn plain(line: &str, start: usize) -> Result<(String, usize), SyntaxError> {
    let rest = &line[start..];
    let field = &rest[..rest.find(',').unwrap_or(rest.len())];
    if let Some(quote) = field.find('"') {
        return Err(fault(start + quote, "bare \" in non-quoted-field"));
    }
    Ok((field.to_owned(), start + field.len()))
}

/// Reads a field in quotes, a doubled quote being one.
fn quoted(line: &str, start: usize) -> Result<(String, usize), SyntaxError> {
    let mut field = String::new();
    let mut at = start + 1;
    loop {
        let Some(quote) = line[at..].find('"') else {
            return Err(fault(line.len(), "extraneous or missing \" in quoted-field"));
        };
        field.push_str(&line[at..at + quote]);
        at += quote + 1;
        match line.as_bytes().get(at) {
            None | Some(b',') => return Ok((field, at)),
            Some(b'"') => {
                field.push('"');
                at += 1;
            }
            Some(_) => return Err(fault(at - 1, "extraneous or missing \" in quoted-field")),
        }
    }
}
