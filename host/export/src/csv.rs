//! One line of comma-separated values with double quotes (RFC 4180), as buildx reads its flags.

/// Splits `text` at commas outside quotes; `""` inside quotes is a quote. `None` when a quote is left open or stands
/// in the middle of an unquoted field.
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = if rest.starts_with('"') {
            quoted(rest)?
        } else {
            plain(rest)?
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

fn plain(text: &str) -> Option<(String, &str)> {
    let end = text.find(',').unwrap_or(text.len());
    let field = &text[..end];
    (!field.contains('"')).then(|| (field.to_owned(), &text[end..]))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&[&str]>) {
        let got = split(text);
        let got = got
            .as_ref()
            .map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(got.as_deref(), expect, "{text}");
    }

    #[test]
    fn fields_are_split_as_buildx_does() {
        check("type=oci,dest=a", Some(&["type=oci", "dest=a"]));
        check("\"annotation.x=a,b\",c", Some(&["annotation.x=a,b", "c"]));
        check("\"a\"\"b\"", Some(&["a\"b"]));
        check("a,,", Some(&["a", "", ""]));
        check("", Some(&[""]));
        check("\"a", None);
        check("a\"b", None);
        check("\"a\"b", None);
    }
}
