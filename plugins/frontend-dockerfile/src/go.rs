//! Small things that BuildKit leaves to Go's standard library, with the same texts.

pub(crate) use kiln_dockerfile_syntax::go::parse_bool;
pub(crate) use kiln_dockerfile_syntax::go::quote;

/// Writes a list of texts as Go's `%q` does: `["a" "b"]`.
pub(crate) fn quote_list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|t| quote(t)).collect();
    format!("[{}]", quoted.join(" "))
}

/// Writes a list of texts as Go's `%v` does: `[a b]`.
pub(crate) fn list(texts: &[String]) -> String {
    format!("[{}]", texts.join(" "))
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
