//! Small things of texts, as Go's standard library does them.

/// Replaces `%41` by what it stands for; none where that is no text.
pub fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

/// Replaces name and password of every URL in `text` by `xxxxx`, as BuildKit shows them. The user of an SSH URL is no
/// secret and stays.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| matches!(c, '/' | '?' | '#' | '\'' | '"' | '`') || c.is_whitespace())
            .unwrap_or(after.len());
        // `https://ssh://…` is one more URL: its `:` belongs to what follows.
        let end = if after[..end].ends_with(':') && after[end..].starts_with("//") {
            end - 1
        } else {
            end
        };
        let (authority, behind) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') || !before.ends_with("ssh://") => {
                out.push_str(match user.split_once(':') {
                    Some(("", _)) => ":xxxxx@",
                    Some(_) => "xxxxx:xxxxx@",
                    None => "xxxxx@",
                });
                out.push_str(host);
            }
            _ => out.push_str(authority),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Writes a text in double quotes, as Go's `%q` does.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads a truth value: `1 t T true TRUE True` and their opposites.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Returns the shortest path from `/` that means the same, as Go's `path.Join("/", path)`: it never leaves `/`.
pub(crate) fn rooted(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let check = |text: &str, expect: &str| assert_eq!(redact(text), expect, "{text}");
        check("https://example.com/a.git#b", "https://example.com/a.git#b");
        check("https://u:p@example.com/a", "https://xxxxx:xxxxx@example.com/a");
        check("x https://token@h/a y", "x https://xxxxx@h/a y");
        check(
            "'https://a:p@b@h' http://c:d@e",
            "'https://xxxxx:xxxxx@h' http://xxxxx:xxxxx@e",
        );
        check("ssh://git@h/a", "ssh://git@h/a");
        check("ssh://git:p@h/a", "ssh://xxxxx:xxxxx@h/a");
        check("git@h:a", "git@h:a");
        check("https://h/@a:b", "https://h/@a:b");
        check("https://ssh://u:p@h", "https://ssh://xxxxx:xxxxx@h");
        check(":///://u:p@h", ":///://xxxxx:xxxxx@h");
        check("https://u:p@h:///x", "https://xxxxx:xxxxx@h:///x");
        check("://", "://");
    }
}
