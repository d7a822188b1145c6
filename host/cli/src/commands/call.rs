//! `kiln build --call`: prints answers about a build file as buildx prints them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_graph::SourceFile;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use super::print;
use crate::args::Call;
use crate::exit;
use crate::exit::Failure;
use crate::progress::printable;
use crate::report::Report;
use crate::report::excerpt_as_buildkit;

/// Keys and values of an answer.
pub(super) type Answer = BTreeMap<String, Vec<u8>>;

/// The answer of `frontend.lint`, as far as it is printed.
#[derive(Debug, Default, Deserialize)]
struct Lint {
    #[serde(default)]
    warnings: Option<Vec<Warning>>,
    #[serde(default)]
    sources: Option<Vec<Source>>,
    #[serde(default, rename = "buildError")]
    error: Option<BuildError>,
}

#[derive(Debug, Deserialize)]
struct Warning {
    #[serde(default, rename = "ruleName")]
    rule: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    location: Option<Location>,
}

#[derive(Debug, Default, Deserialize)]
struct Source {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    data: String,
}

#[derive(Debug, Deserialize)]
struct BuildError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    location: Option<Location>,
}

#[derive(Debug, Default, Deserialize)]
struct Location {
    #[serde(default, rename = "sourceIndex")]
    source: i64,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Debug, Default, Deserialize)]
struct Range {
    #[serde(default)]
    start: Position,
    #[serde(default)]
    end: Position,
}

#[derive(Debug, Default, Deserialize)]
struct Position {
    #[serde(default)]
    line: u32,
}

/// Prints an answer and returns the exit code.
///
/// # Errors
/// When the build file is wrong, or nothing can be printed.
pub(super) fn show(call: &Call, answer: &Answer) -> Result<u8, Failure> {
    let text = |key: &str| answer.get(key).map(|value| String::from_utf8_lossy(value));
    let json = text("result.json").unwrap_or_default();
    if call.json {
        print(&format!("{json}\n"))?;
    }
    if call.name == "lint" {
        let lint = serde_json::from_str(&json).map_err(|e| {
            Failure::failed(
                Report::new("the frontend's answer to `frontend.lint` is none").caused_by(Some(&e)),
            )
        })?;
        if !call.json {
            print(&lint_text(&lint))?;
        }
        if let Some(error) = lint_error(&lint) {
            super::print_error(&format!("ERROR: {error}\n"));
            return Ok(exit::FAILED);
        }
    } else if !call.json {
        let lines = text("result.txt").unwrap_or_default();
        print(&lines.split_inclusive('\n').map(clean).collect::<String>())?;
    }
    let status = text("result.statuscode").and_then(|code| code.parse().ok());
    Ok(status.filter(|_| !call.ignore_status).unwrap_or(0))
}

/// Returns what `--metadata-file` holds of an answer: JSON stays JSON.
pub(super) fn metadata(answer: &Answer) -> Map<String, Value> {
    let value = |bytes: &Vec<u8>| match serde_json::from_slice(bytes) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::String(String::from_utf8_lossy(bytes).into_owned()),
    };
    answer
        .iter()
        .map(|(key, bytes)| (key.clone(), value(bytes)))
        .collect()
}

/// Takes what steers terminals out of a line: texts come from plugins.
fn clean(line: &str) -> String {
    let end = if line.ends_with('\n') { "\n" } else { "" };
    format!("{}{end}", printable(line.trim_end_matches('\n')))
}

fn lint_text(lint: &Lint) -> String {
    let mut warnings: Vec<&Warning> = lint.warnings.iter().flatten().collect();
    let mut out = match warnings.len() {
        0 if lint.error.is_none() => "Check complete, no warnings found.\n".to_owned(),
        0 => String::new(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    let line = |warning: &&Warning| {
        let ranges = warning.location.iter().flat_map(|location| &location.ranges);
        ranges.map(|range| range.start.line).next()
    };
    warnings.sort_by_key(line);
    for warning in &warnings {
        out += &format!("\nWARNING: {}", printable(&warning.rule));
        if !warning.url.is_empty() {
            out += &format!(" - {}", printable(&warning.url));
        }
        out += &format!("\n{}\n", printable(&warning.detail));
        out += &excerpt(lint, warning.location.as_ref());
    }
    if lint.error.is_some() && !warnings.is_empty() {
        out.push('\n');
    }
    out
}

fn lint_error(lint: &Lint) -> Option<String> {
    let error = lint.error.as_ref()?;
    let message: String = error.message.split_inclusive('\n').map(clean).collect();
    Some(format!("{message}\n{}", excerpt(lint, error.location.as_ref())))
}

fn excerpt(lint: &Lint, location: Option<&Location>) -> String {
    let Some(location) = location else {
        return String::new();
    };
    let source = usize::try_from(location.source).ok();
    let source = source.and_then(|at| lint.sources.as_ref()?.get(at));
    let data = source.and_then(|source| STANDARD.decode(&source.data).ok());
    let (Some(source), Some(data)) = (source, data) else {
        return String::new();
    };
    let file = SourceFile {
        name: source.filename.clone(),
        language: String::new(),
        data,
    };
    let lines: Vec<(u32, u32)> = location
        .ranges
        .iter()
        .map(|range| (range.start.line, range.end.line))
        .collect();
    excerpt_as_buildkit(&file, &lines)
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use super::Lint;
    use super::lint_error;
    use super::lint_text;
    use super::metadata;

    fn lint(json: &str) -> Lint {
        serde_json::from_str(json).expect("JSON")
    }

    const TWO: &str = r#"{"warnings":[
        {"ruleName":"B","url":"https://example.com/b","detail":"second (line 3)","location":{"ranges":[{"start":{"line":3},"end":{"line":3}}]}},
        {"ruleName":"A","detail":"first","location":{"ranges":[{"start":{"line":1},"end":{"line":1}}]}}],
        "sources":[{"filename":"Dockerfile","data":"RlJPTSBhCgpFTlYgYSBiCg=="}]}"#;

    #[test]
    fn warnings_are_printed_in_the_order_of_the_file() {
        let expect = "Check complete, 2 warnings have been found!

WARNING: A
first
Dockerfile:1
--------------------
   1 | >>> FROM a
   2 |     
   3 |     ENV a b
--------------------

WARNING: B - https://example.com/b
second (line 3)
Dockerfile:3
--------------------
   1 |     FROM a
   2 |     
   3 | >>> ENV a b
   4 |     
--------------------
";
        assert_eq!(lint_text(&lint(TWO)), expect);
    }

    #[test]
    fn nothing_found() {
        assert_eq!(
            lint_text(&lint(r#"{"warnings":null}"#)),
            "Check complete, no warnings found.\n"
        );
    }

    #[test]
    fn an_error_has_its_lines() {
        let lint = lint(
            r#"{"warnings":null,"sources":[{"filename":"Dockerfile","data":"RlJPTSBhCgpFTlYgYSBiCg=="}],
                "buildError":{"message":"no\u001b[2J such stage","location":{"ranges":[{"start":{"line":1},"end":{"line":1}}]}}}"#,
        );
        assert_eq!(lint_text(&lint), "");
        let expect = "no [2J such stage
Dockerfile:1
--------------------
   1 | >>> FROM a
   2 |     
   3 |     ENV a b
--------------------
";
        assert_eq!(lint_error(&lint).expect("an error"), expect);
    }

    #[test]
    fn places_outside_the_text_are_left_out() {
        let far = TWO
            .replace("\"line\":3", "\"line\":4000000000")
            .replace("RlJPTSBhCgpFTlYgYSBiCg==", "!");
        assert!(!lint_text(&lint(&far)).contains("-----"));
        let far = TWO.replace("\"line\":3", "\"line\":4000000000");
        assert_eq!(lint_text(&lint(&far)).matches("Dockerfile:").count(), 1);
        let far = TWO.replace("\"ranges\"", "\"sourceIndex\":7,\"ranges\"");
        assert!(!lint_text(&lint(&far)).contains("-----"));
    }

    #[test]
    fn metadata_is_json_where_it_can_be() {
        let answer: Answer = [
            ("result.json", "{\"a\":1}"),
            ("result.txt", "1"),
            ("version", "1.0.0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
        .into();
        let text = serde_json::to_string(&metadata(&answer)).expect("JSON");
        assert_eq!(
            text,
            r#"{"result.json":{"a":1},"result.txt":"1","version":"1.0.0"}"#
        );
    }
}
