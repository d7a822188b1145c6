//! The JSON of answers: BuildKit's fields in BuildKit's order, written as Go's encoder writes them.

use crate::outline::Arg as ArgUse;
use kiln_dockerfile_syntax::span::Span;
use serde::Serialize;

/// Writes JSON as Go's `MarshalIndent` does: characters that mean something in HTML are escaped.
pub(super) fn to_json(shape: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(shape).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

/// A question that can be asked.
#[derive(Debug, Serialize)]
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) description: &'static str,
    pub(super) opts: Vec<Field>,
    pub(super) metadata: Vec<Field>,
}

/// A key of an answer.
#[derive(Debug, Serialize)]
pub(super) struct Field {
    pub(super) name: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct Position {
    #[serde(skip_serializing_if = "is_zero")]
    line: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Range {
    start: Position,
    end: Position,
}

/// Lines of the first source.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Location {
    ranges: Vec<Range>,
}

impl Location {
    pub(super) fn of(span: Span) -> Self {
        let (first, last) = span.line_range();
        // One for each line, as BuildKit has them.
        let line = |line| Range {
            start: Position { line },
            end: Position { line },
        };
        Self {
            ranges: (first..=last).map(line).collect(),
        }
    }
}

/// A text, with where it comes from.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) filename: String,
    pub(super) data: String,
    pub(super) language: &'static str,
}

/// The answer of `frontend.lint`.
#[derive(Debug, Serialize)]
pub(super) struct LintResults {
    /// `null` without any, as in BuildKit.
    pub(super) warnings: Option<Vec<Warning>>,
    pub(super) sources: Vec<Source>,
    #[serde(rename = "buildError", skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<BuildError>,
}

/// What a rule found.
#[derive(Debug, Serialize)]
pub(super) struct Warning {
    #[serde(rename = "ruleName")]
    pub(super) rule: &'static str,
    pub(super) description: &'static str,
    pub(super) url: String,
    pub(super) detail: String,
    pub(super) location: Location,
}

/// Why the build would fail.
#[derive(Debug, Serialize)]
pub(super) struct BuildError {
    pub(super) message: String,
    pub(super) location: Option<Location>,
}

/// The answer of `frontend.targets`.
#[derive(Debug, Serialize)]
pub(super) struct Targets {
    pub(super) targets: Vec<Target>,
    pub(super) sources: Vec<String>,
}

/// A stage.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) default: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) base: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) platform: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<Location>,
}

/// The answer of `frontend.outline`.
#[derive(Debug, Serialize)]
pub(super) struct Outline {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) args: Vec<Arg>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) secrets: Vec<Named>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ssh: Vec<Named>,
    pub(super) sources: Vec<String>,
}

/// A build argument.
#[derive(Debug, Serialize)]
pub(super) struct Arg {
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) value: String,
    pub(super) location: Location,
}

impl Arg {
    pub(super) fn of(name: &str, arg: &ArgUse) -> Self {
        Self {
            name: name.to_owned(),
            description: arg.comment.clone(),
            value: arg.value.clone().unwrap_or_default(),
            location: Location::of(arg.span),
        }
    }
}

/// A secret or an SSH agent.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub(super) name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) required: bool,
    pub(super) location: Location,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Writes bytes in base 64, as JSON has them.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= chunk.len() {
                out.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;
    use super::to_json;

    #[test]
    fn base64_is_padded() {
        for (bytes, expect) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expect);
        }
    }

    #[test]
    fn markup_is_escaped_as_go_does() {
        assert_eq!(to_json(&"a<b>&\u{2028}"), r#""a\u003cb\u003e\u0026\u2028""#);
    }
}
