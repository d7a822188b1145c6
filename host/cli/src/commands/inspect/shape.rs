//! What templates see: values with the field names of buildx's Go structs, and JSON as Go writes it.
//!
//! A struct is an object with a hidden list of its fields' names in JSON, so that the function `json` prints them in
//! the struct's order. What comes from documents as it is stays a map, printed with its keys sorted.

use std::collections::HashMap;
use std::fmt::Write;

use gtmpl_ng::FuncError;
use gtmpl_ng::Number;
use gtmpl_ng::Value;
use serde_json::Value as Json;

/// The hidden field: names in JSON and in Go, one after the other.
const ORDER: &str = "\0order";

/// A field of a struct: its name in Go, its name in JSON, and what becomes of it.
pub(super) struct Field(pub(super) &'static str, pub(super) &'static str, pub(super) Kind);

/// What becomes of a field.
pub(super) enum Kind {
    /// Taken as it is; left out of JSON when it is empty.
    Plain,
    /// Taken as it is, there in JSON always.
    Always,
    /// A struct.
    Struct(&'static [Field]),
    /// A list of structs.
    List(&'static [Field]),
}

const PLATFORM: &[Field] = &[
    Field("Architecture", "architecture", Kind::Always),
    Field("OS", "os", Kind::Always),
    Field("OSVersion", "os.version", Kind::Plain),
    Field("OSFeatures", "os.features", Kind::Plain),
    Field("Variant", "variant", Kind::Plain),
];

/// A descriptor.
pub(super) const DESCRIPTOR: &[Field] = &[
    Field("MediaType", "mediaType", Kind::Always),
    Field("Digest", "digest", Kind::Always),
    Field("Size", "size", Kind::Always),
    Field("URLs", "urls", Kind::Plain),
    Field("Annotations", "annotations", Kind::Plain),
    Field("Data", "data", Kind::Plain),
    Field("Platform", "platform", Kind::Struct(PLATFORM)),
    Field("ArtifactType", "artifactType", Kind::Plain),
];

/// An index, with its descriptor's digest and size.
pub(super) const INDEX: &[Field] = &[
    Field("SchemaVersion", "schemaVersion", Kind::Always),
    Field("MediaType", "mediaType", Kind::Plain),
    Field("Digest", "digest", Kind::Always),
    Field("Size", "size", Kind::Always),
    Field("Manifests", "manifests", Kind::List(DESCRIPTOR)),
    Field("Annotations", "annotations", Kind::Plain),
];

const CONFIG: &[Field] = &[
    Field("User", "User", Kind::Plain),
    Field("ExposedPorts", "ExposedPorts", Kind::Plain),
    Field("Env", "Env", Kind::Plain),
    Field("Entrypoint", "Entrypoint", Kind::Plain),
    Field("Cmd", "Cmd", Kind::Plain),
    Field("Volumes", "Volumes", Kind::Plain),
    Field("WorkingDir", "WorkingDir", Kind::Plain),
    Field("Labels", "Labels", Kind::Plain),
    Field("StopSignal", "StopSignal", Kind::Plain),
    Field("ArgsEscaped", "ArgsEscaped", Kind::Plain),
];

const ROOTFS: &[Field] = &[
    Field("Type", "type", Kind::Always),
    Field("DiffIDs", "diff_ids", Kind::Always),
];

const HISTORY: &[Field] = &[
    Field("Created", "created", Kind::Plain),
    Field("CreatedBy", "created_by", Kind::Plain),
    Field("Author", "author", Kind::Plain),
    Field("Comment", "comment", Kind::Plain),
    Field("EmptyLayer", "empty_layer", Kind::Plain),
];

/// An image's config.
pub(super) const IMAGE: &[Field] = &[
    Field("Created", "created", Kind::Plain),
    Field("Author", "author", Kind::Plain),
    Field("Architecture", "architecture", Kind::Always),
    Field("OS", "os", Kind::Always),
    Field("OSVersion", "os.version", Kind::Plain),
    Field("OSFeatures", "os.features", Kind::Plain),
    Field("Variant", "variant", Kind::Plain),
    Field("Config", "config", Kind::Struct(CONFIG)),
    Field("RootFS", "rootfs", Kind::Struct(ROOTFS)),
    Field("History", "history", Kind::List(HISTORY)),
];

/// Makes a struct of fields: name in Go, name in JSON where it is shown there, value.
pub(super) fn object(fields: Vec<(&str, Option<&str>, Value)>) -> Value {
    let mut out = HashMap::new();
    let mut order = Vec::new();
    for (go, json, value) in fields {
        if let Some(json) = json {
            order.extend([Value::from(json), Value::from(go)]);
        }
        out.insert(go.to_owned(), value);
    }
    out.insert(ORDER.to_owned(), Value::Array(order));
    Value::Object(out)
}

/// Makes a struct of a document.
pub(super) fn shaped(fields: &'static [Field], json: &Json) -> Value {
    let made = fields.iter().map(|Field(go, key, kind)| {
        let given = json.get(*key).unwrap_or(&Json::Null);
        let (value, is_shown) = match kind {
            Kind::Plain => (plain(given), !is_empty(given)),
            Kind::Always => (plain(given), true),
            Kind::Struct(fields) if given.is_object() => (shaped(fields, given), true),
            Kind::Struct(_) => (Value::Nil, false),
            Kind::List(fields) => {
                let list = given.as_array().map(Vec::as_slice).unwrap_or_default();
                let list: Vec<Value> = list.iter().map(|one| shaped(fields, one)).collect();
                let is_shown = !list.is_empty();
                (Value::Array(list), is_shown)
            }
        };
        (*go, is_shown.then_some(*key), value)
    });
    object(made.collect())
}

fn is_empty(json: &Json) -> bool {
    match json {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(true) | Json::Number(_) => false,
    }
}

/// Makes a value of JSON as it is: objects become maps.
pub(super) fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(list) => Value::Array(list.iter().map(plain).collect()),
        Json::Object(map) => Value::Map(map.iter().map(|(k, v)| (k.clone(), plain(v))).collect()),
        Json::Number(number) => Value::Number(match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), _, _) => Number::from(value),
            (None, Some(value), _) => Number::from(value),
            (None, None, value) => Number::from(value.unwrap_or_default()),
        }),
    }
}

/// The function `json` of templates.
///
/// # Errors
/// When it is not given one value.
pub(super) fn json(args: &[Value]) -> Result<Value, FuncError> {
    let [value] = args else {
        return Err(FuncError::ExactlyXArgs("json".to_owned(), 1));
    };
    let mut out = String::new();
    write_json(value, 0, &mut out);
    Ok(Value::String(out))
}

fn write_json(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Bool(value) => _ = write!(out, "{value}"),
        Value::Number(number) => _ = write!(out, "{}", Value::Number(*number)),
        Value::String(text) => quote(text, out),
        Value::Array(list) => {
            let items = list.iter().map(|item| (None, item));
            write_list(items.collect(), ['[', ']'], depth, out);
        }
        Value::Object(fields) => {
            let order = match fields.get(ORDER) {
                Some(Value::Array(order)) => order.as_slice(),
                _ => &[],
            };
            let pairs = order.chunks_exact(2).filter_map(|pair| match pair {
                [Value::String(json), Value::String(go)] => Some((Some(json), fields.get(go)?)),
                _ => None,
            });
            write_list(pairs.collect(), ['{', '}'], depth, out);
        }
        Value::Map(map) => {
            let mut pairs: Vec<(Option<&String>, &Value)> = map.iter().map(|(k, v)| (Some(k), v)).collect();
            pairs.sort_by_key(|(key, _)| *key);
            write_list(pairs, ['{', '}'], depth, out);
        }
        Value::NoValue | Value::Nil | Value::Function(_) => out.push_str("null"),
    }
}

fn write_list(items: Vec<(Option<&String>, &Value)>, ends: [char; 2], depth: usize, out: &mut String) {
    out.push(ends[0]);
    let is_empty = items.is_empty();
    for (at, (key, value)) in items.into_iter().enumerate() {
        out.push_str(if at > 0 { ",\n" } else { "\n" });
        out.push_str(&"  ".repeat(depth + 1));
        if let Some(key) = key {
            quote(key, out);
            out.push_str(": ");
        }
        write_json(value, depth + 1, out);
    }
    if !is_empty {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(ends[1]);
}

/// Writes a string as Go does: what means something in HTML is escaped.
fn quote(text: &str, out: &mut String) {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    for c in quoted.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}
