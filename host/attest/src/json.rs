//! JSON as Go's encoder writes it: compact, with `<`, `>`, `&` and two line separators escaped.

use serde::Serialize;

/// Writes a document. The fields' order is the type's.
pub fn to_json(document: &impl Serialize) -> Vec<u8> {
    let plain = serde_json::to_string(document).expect("attestations serialise to JSON");
    let mut out = String::with_capacity(plain.len());
    // The characters occur inside of strings only.
    for c in plain.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out.into_bytes()
}
