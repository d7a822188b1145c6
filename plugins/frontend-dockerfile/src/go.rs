//! Small things that BuildKit leaves to Go's standard library, with the same texts.

/// Writes a text in double quotes, as Go's `%q` does.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || (c.is_whitespace() && c != ' ') => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Writes a list of texts as Go's `%q` does: `["a" "b"]`.
pub(crate) fn quote_list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|t| quote(t)).collect();
    format!("[{}]", quoted.join(" "))
}

/// Writes a list of texts as Go's `%v` does: `[a b]`.
pub(crate) fn list(texts: &[String]) -> String {
    format!("[{}]", texts.join(" "))
}

/// Reads a truth value: `1 t T true TRUE True` and their opposites.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Splits one record of comma separated values, as Go's `encoding/csv` reads it.
///
/// # Errors
/// A quote where none may be, or one that is not closed.
pub(crate) fn csv(line: &str) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(inner) => quoted_field(inner)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err("bare \" in non-quoted-field".to_owned());
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        out.push(field);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(out),
        }
    }
}

/// Reads a field behind its opening quote; returns what is behind the closing one.
fn quoted_field(inner: &str) -> Result<(String, &str), String> {
    let fault = || "extraneous or missing \" in quoted-field".to_owned();
    let mut field = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find('"').ok_or_else(fault)?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.bytes().next() {
            None | Some(b',') => return Ok((field, rest)),
            Some(b'"') => {
                field.push('"');
                rest = &rest[1..];
            }
            Some(_) => return Err(fault()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::csv;

    #[test]
    fn records_are_split_as_go_does() {
        let check = |line: &str, expect: &[&str]| assert_eq!(csv(line).unwrap(), expect, "{line}");
        check("a,b", &["a", "b"]);
        check("a,", &["a", ""]);
        check("\"a,b\",c", &["a,b", "c"]);
        check("\"a\"\"b\"", &["a\"b"]);
        assert!(csv("a\"b").is_err());
        assert!(csv("\"a").is_err());
        assert!(csv("\"a\"b").is_err());
    }
}
