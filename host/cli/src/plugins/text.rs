//! Graphs for people and goldens: every field that says something, in the order of the contract.

use std::fmt::Write;

use kiln_graph::Op;
use kiln_graph::Vertex;
use kiln_image::Digest;
use kiln_plugin::FrontendError;
use kiln_plugin::Lowered;
use serde_json::Value;
use serde_json::json;

/// Returns the digest of the graph and of what is exported of it: what a frontend decides about a build. Warnings and
/// places in the build file are not part of it.
pub(crate) fn graph_digest(lowered: &Lowered) -> Digest {
    let mut definition = lowered.definition.clone();
    definition.sources.clear();
    definition
        .vertices
        .iter_mut()
        .for_each(|vertex| vertex.spans.clear());
    let decided = json!({"definition": definition, "outputs": lowered.outputs, "attrs": lowered.attrs});
    Digest::of(decided.to_string())
}

/// Returns the graph as JSON.
pub(crate) fn graph_json(lowered: &Lowered) -> Value {
    let mut value = serde_json::to_value(lowered).unwrap_or_default();
    readable(&mut value);
    value
}

/// Returns the graph as text, one field a line; what is empty or off is left out.
pub(crate) fn graph_text(lowered: &Lowered) -> String {
    let mut out = format!("graph {}\n", graph_digest(lowered));
    for (index, vertex) in lowered.definition.vertices.iter().enumerate() {
        _ = writeln!(out, "\nvertex {index} {:?}", vertex.name);
        let mut value =
            json!({"op": vertex.op, "platform": vertex.platform, "ignore_cache": vertex.ignore_cache});
        readable(&mut value);
        lines(&value, 1, &mut out);
    }
    for output in &lowered.outputs {
        _ = writeln!(out, "\noutput");
        let mut value = serde_json::to_value(output).unwrap_or_default();
        readable(&mut value);
        lines(&value, 1, &mut out);
    }
    for (key, value) in &lowered.attrs {
        _ = writeln!(out, "\nattr {key}={value}");
    }
    for diagnostic in &lowered.diagnostics {
        _ = writeln!(
            out,
            "\n{:?} {} {}",
            diagnostic.severity, diagnostic.code, diagnostic.message
        );
    }
    out
}

/// Returns what a vertex is called in pictures.
pub(super) fn label(vertex: &Vertex) -> String {
    let kind = match &vertex.op {
        _ if !vertex.name.is_empty() => &*vertex.name,
        Op::Source(source) => &*source.identifier,
        Op::Exec(exec) => return exec.args.join(" "),
        Op::File(_) => "file",
        Op::Merge(_) => "merge",
        Op::Diff { .. } => "diff",
    };
    kind.to_owned()
}

/// Returns what came out of a call as text: the graph, what the frontend says of the build file, or how it failed.
pub(crate) fn outcome(result: &Result<Lowered, FrontendError>) -> String {
    match result {
        Ok(lowered) => graph_text(lowered),
        Err(FrontendError::Failure(failure)) => {
            let lines = failure.diagnostics.iter();
            lines
                .map(|d| format!("{:?} {} {}\n", d.severity, d.code, d.message))
                .collect()
        }
        Err(FrontendError::Plugin(error)) => format!("fault {error}\n"),
    }
}

/// Returns the graph for Graphviz.
pub(crate) fn dot(lowered: &Lowered) -> String {
    let mut out = String::from("digraph build {\n  rankdir=LR;\n  node [shape=box];\n");
    for (index, vertex) in lowered.definition.vertices.iter().enumerate() {
        let label: String = label(vertex)
            .chars()
            .take(80)
            .filter(|c| !c.is_control())
            .collect();
        _ = writeln!(out, "  v{index} [label={label:?}];");
        for input in vertex.op.inputs() {
            _ = writeln!(
                out,
                "  v{} -> v{index} [label=\"{}\"];",
                input.vertex, input.output
            );
        }
    }
    for (index, output) in lowered.outputs.iter().enumerate() {
        let label = output
            .platform
            .as_ref()
            .map_or_else(|| "image".to_owned(), ToString::to_string);
        _ = writeln!(out, "  o{index} [label={label:?}, shape=cylinder];");
        if let Some(input) = output.result {
            _ = writeln!(out, "  v{} -> o{index};", input.vertex);
        }
    }
    out + "}\n"
}

/// Turns bytes that are text into text, in fields that hold bytes.
fn readable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match bytes(field).filter(|_| matches!(key.as_str(), "data" | "config")) {
                    Some(text) => *field = Value::String(text),
                    None => readable(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(readable),
        _ => {}
    }
}

fn bytes(value: &Value) -> Option<String> {
    let items = value.as_array()?.iter();
    let bytes: Option<Vec<u8>> = items.map(|item| u8::try_from(item.as_u64()?).ok()).collect();
    String::from_utf8(bytes?).ok()
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(says_nothing),
        _ => false,
    }
}

fn lines(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (key, field) in fields.iter().filter(|(_, field)| !says_nothing(field)) {
                line(&indent, key, field, depth, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                line(&indent, "-", item, depth, out);
            }
        }
        scalar => _ = writeln!(out, "{indent}{scalar}"),
    }
}

fn line(indent: &str, key: &str, field: &Value, depth: usize, out: &mut String) {
    match field {
        Value::Object(_) | Value::Array(_) => {
            _ = writeln!(out, "{indent}{key}");
            lines(field, depth + 1, out);
        }
        scalar => _ = writeln!(out, "{indent}{key} {scalar}"),
    }
}
