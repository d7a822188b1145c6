//! PAX records: what a header has no room for.

/// Prefix of records that hold extended attributes.
pub(crate) const XATTR: &[u8] = b"SCHILY.xattr.";

/// Adds the record `key=value`, which says its own length.
pub(crate) fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3; // space, `=`, newline
    let mut total = rest + 1;
    while rest + total.to_string().len() > total {
        total += 1;
    }
    out.extend_from_slice(total.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// Splits the first record off.
pub(crate) fn split(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = records.iter().take(20).position(|&b| b == b' ')?;
    let digits = std::str::from_utf8(&records[..space]).ok()?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let total: usize = digits.parse().ok()?;
    let (record, rest) = records.split_at_checked(total)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=').filter(|&at| at > 0)?;
    Some(((&record[..equals], &record[equals + 1..]), rest))
}

/// Reads a time: seconds with an optional fraction. The result is floored: nanoseconds count forward.
pub(crate) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    match whole.starts_with('-') && nanos > 0 {
        true => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
        false => Some((seconds, nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_their_own_length() {
        for length in [0, 1, 2, 3, 88, 89, 90, 91, 92, 985, 986, 987, 9980, 9990] {
            let value = vec![b'v'; length];
            let mut out = Vec::new();
            push(&mut out, b"path", &value);
            push(&mut out, b"k", b"a=b\n");
            let ((key, read), rest) = split(&out).unwrap();
            assert_eq!((key, read), (&b"path"[..], &value[..]));
            assert_eq!(split(rest).unwrap(), ((&b"k"[..], &b"a=b\n"[..]), &b""[..]));
        }
    }

    #[test]
    fn bad_records_are_refused() {
        for bad in [
            "",
            "5",
            "6 a=b",
            "7 a=b\n",
            "5 a=b\n",
            "6 =ab\n",
            "6 abc\n",
            "+6 a=b\n",
            "99999999999999999999 a=b\n",
        ] {
            assert_eq!(split(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn times() {
        let cases = [
            ("5", Some((5, 0))),
            ("5.25", Some((5, 250_000_000))),
            ("-1.25", Some((-2, 750_000_000))),
            ("1.1234567891", Some((1, 123_456_789))),
            ("x", None),
            ("1.-5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }
}
