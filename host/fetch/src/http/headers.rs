//! What answers say in their headers.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kiln_giturl::unescape;
use reqwest::Response;

fn text<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok().map(str::trim)
}

/// Returns the server's name of the version, without the mark of weak ones.
pub(super) fn etag(response: &Response) -> Option<String> {
    const LONGEST: usize = 1024;
    let value = text(response, "etag")?;
    let value = value.strip_prefix("W/").unwrap_or(value);
    (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
}

/// Returns when the file changed, in seconds since 1970 and in HTTP's format.
pub(super) fn last_modified(response: &Response) -> Option<(i64, String)> {
    time(text(response, "last-modified")?)
}

fn time(text: &str) -> Option<(i64, String)> {
    let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let time: Timestamp = parser.parse_timestamp(text).ok()?;
    let shown = rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .ok()?;
    Some((time.as_second(), shown))
}

/// Returns true for a body that is packed for the way.
pub(super) fn is_gzip(response: &Response) -> bool {
    text(response, "content-encoding").is_some_and(|value| value.eq_ignore_ascii_case("gzip"))
}

/// Returns the file name that the server proposes.
pub(super) fn disposition(response: &Response) -> Option<String> {
    disposition_name(text(response, "content-disposition")?)
}

fn disposition_name(value: &str) -> Option<String> {
    let (_, parameters) = value.split_once(';')?;
    let (mut plain, mut extended) = (None, None);
    for (key, value) in pairs(parameters) {
        match key.as_str() {
            "filename" => plain = Some(value),
            "filename*" => {
                // charset'language'text
                let encoded = value.splitn(3, '\'').nth(2).and_then(unescape);
                extended = encoded.or(extended);
            }
            _ => {}
        }
    }
    let name = extended.or(plain)?;
    (!name.is_empty() && !name.ends_with('/')).then_some(name)
}

/// Splits `key=value; key="quoted \" value"`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (Vec::new(), text);
    while let Some((key, behind)) = rest.split_once('=') {
        let key = key.trim_matches([' ', '\t', ';']).to_ascii_lowercase();
        let (value, next) = match behind.trim_start().strip_prefix('"') {
            Some(inner) => quoted(inner),
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        pairs.push((key, value));
        rest = next;
    }
    pairs
}

/// Reads up to the closing quote; returns what is behind it.
fn quoted(inner: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &inner[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispositions() {
        let check = |value: &str, expect: Option<&str>| {
            assert_eq!(disposition_name(value).as_deref(), expect, "{value}");
        };
        check("attachment; filename=a.txt", Some("a.txt"));
        check("attachment; filename=\"a b.txt\"", Some("a b.txt"));
        check("attachment;filename=\"a\\\"b\"; x=y", Some("a\"b"));
        check(
            "attachment; filename=x; filename*=UTF-8''%e2%82%ac.txt",
            Some("€.txt"),
        );
        check("attachment; filename=\"dir/\"", None);
        check("attachment", None);
        check("attachment; filename=", None);
        check("attachment; filename=\"open", Some("open"));
    }

    #[test]
    fn times() {
        let stamp = (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 GMT".to_owned());
        assert_eq!(time("Tue, 14 Nov 2023 22:13:20 GMT"), Some(stamp));
        assert_eq!(time("yesterday"), None);
    }
}
