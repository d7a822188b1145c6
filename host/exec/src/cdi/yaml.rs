//! YAML as a JSON value: what specifications of devices use of it. Aliases and several documents are refused.

use saphyr_parser::Event;
use saphyr_parser::Parser;
use saphyr_parser::ScalarStyle;
use serde_json::Map;
use serde_json::Number;
use serde_json::Value;

/// Deepest nesting: specifications have five levels.
const DEPTH_LIMIT: usize = 32;

/// A list or a mapping that is not complete yet.
enum Open {
    List(Vec<Value>),
    /// The entries, and the key whose value comes next.
    Mapping(Map<String, Value>, Option<String>),
}

/// Reads a document.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut result = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let at = |reason: &str| format!("line {}: {reason}", span.start.line());
        let value = match event {
            Event::Scalar(text, style, _, _) => scalar(&text, style),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                if open.len() > DEPTH_LIMIT {
                    return Err(at("nested too deeply"));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Mapping(entries, _)) => Value::Object(entries),
                None => return Err(at("an end without a beginning")),
            },
            Event::Alias(_) => return Err(at("aliases are not supported")),
            Event::DocumentStart(_) if result.is_some() => return Err(at("a second document")),
            _ => continue,
        };
        match open.last_mut() {
            None => result = Some(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Mapping(entries, key)) => match key.take() {
                Some(key) => drop(entries.insert(key, value)),
                None => *key = Some(key_of(value).ok_or_else(|| at("a key that is no text"))?),
            },
        }
    }
    Ok(result.unwrap_or_default())
}

fn key_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A scalar as YAML 1.1 reads it where that matters here: `0660` is octal.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
    if let Some(number) = octal.and_then(|digits| u64::from_str_radix(digits, 8).ok()) {
        return Value::from(number);
    }
    let number = text.parse::<i64>().map(Value::from);
    let number = number.or_else(|_| {
        text.parse::<f64>()
            .map(|f| Number::from_f64(f).map_or(Value::Null, Value::from))
    });
    match number {
        Ok(number) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => number,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents() {
        let cases = [
            (
                "a: 1\nb: [x, 'y', \"0\"]\n",
                json!({"a": 1, "b": ["x", "y", "0"]}),
            ),
            (
                "---\n# text\n- k: v\n  l:\n  - true\n  - 1.5\n- null\n",
                json!([{"k": "v", "l": [true, 1.5]}, null]),
            ),
            (
                "mode: 0660\nother: 0o17\nversion: 0.6.0\nzero: 0\n",
                json!({"mode": 432, "other": 15, "version": "0.6.0", "zero": 0}),
            ),
            ("{\"json\": {\"is\": \"yaml\"}}", json!({"json": {"is": "yaml"}})),
            (
                "env:\n- A=b c\n- \"D=e: f\"\n",
                json!({"env": ["A=b c", "D=e: f"]}),
            ),
            ("a: inf\nb: nan\n", json!({"a": "inf", "b": "nan"})),
            ("", Value::Null),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).expect(text), expected, "{text}");
        }
        for text in ["a: &x 1\nb: *x\n", "a: [", "? [k]\n: v\n", "a: 1\n---\nb: 2\n"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
