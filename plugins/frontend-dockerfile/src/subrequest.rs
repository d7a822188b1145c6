//! Questions about a Dockerfile that are answered without building.

use crate::api::Diagnostic;
use crate::api::Failure;
use crate::api::Request;
use crate::excerpt;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::frontend::Text;
use crate::frontend::failure;
use crate::graph::Graph;
use crate::host::Host;
use crate::lint::Finding;
use crate::lower::File;
use crate::lower::Lowerer;
use crate::lower::Scope;
use crate::lower::Session;
use crate::options::Options;
use crate::outline::Need;
use crate::outline::StageUse;
use kiln_dockerfile_syntax::span::Span;
use kiln_sdk::frontend::Answer;
use kiln_sdk::frontend::Description;
use kiln_sdk::frontend::Subrequest;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Version of the Dockerfile syntax that is read.
const LANGUAGE: &str = "1.26";
/// Version of all answers' shapes.
const VERSION: &str = "1.0.0";

/// Id and description of each question.
const QUESTIONS: [(&str, &str); 4] = [
    (
        "frontend.outline",
        "List all parameters current build target supports",
    ),
    ("frontend.targets", "List all targets current build supports"),
    ("frontend.lint", "Lint a Dockerfile"),
    ("frontend.subrequests.describe", "List available subrequest types"),
];

/// Says what the frontend is.
pub(crate) fn describe() -> Description {
    let question = |(id, description): &(&str, &str)| Subrequest {
        id: (*id).to_owned(),
        version: VERSION.to_owned(),
        description: (*description).to_owned(),
    };
    Description {
        name: "dockerfile".to_owned(),
        version: LANGUAGE.to_owned(),
        subrequests: QUESTIONS.iter().map(question).collect(),
    }
}

/// Answers a question.
///
/// # Errors
/// There is no such question, or the Dockerfile is wrong; a wrong Dockerfile is an answer of `frontend.lint`.
pub(crate) fn answer(host: &dyn Host, id: &str, request: &Request) -> Result<Answer, Failure> {
    if id == "frontend.subrequests.describe" {
        return Ok(describe_answer());
    }
    if !QUESTIONS.iter().any(|(known, _)| *known == id) {
        return Err(Diagnostic::error(format!("unsupported request {id}")).into());
    }
    let text = Text::read(host, &request.source_name).map_err(|fault| failure(&fault, None, &[]))?;
    let mut question = Question {
        host,
        request,
        text: &text,
        findings: Vec::new(),
    };
    let result = match id {
        "frontend.targets" => question.targets(),
        "frontend.outline" => question.outline(),
        _ => question.lint(),
    };
    result.map_err(|fault| failure(&fault, Some((host, &text)), &question.findings))
}

fn make(json: &Value, text: String) -> Answer {
    let json = serde_json::to_vec_pretty(json).unwrap_or_default();
    Answer {
        metadata: vec![
            ("result.json".to_owned(), json),
            ("result.txt".to_owned(), text.into_bytes()),
            ("version".to_owned(), VERSION.as_bytes().to_vec()),
        ],
    }
}

fn describe_answer() -> Answer {
    let names = json!([{"name": "result.json"}, {"name": "result.txt"}]);
    let one = |(id, description): &(&str, &str)| {
        json!({
            "name": id,
            "version": VERSION,
            "type": "rpc",
            "description": description,
            "opts": Value::Null,
            "metadata": names,
        })
    };
    let mut rows = vec![["NAME".to_owned(), "VERSION".to_owned(), "DESCRIPTION".to_owned()]];
    rows.extend(QUESTIONS.iter().map(|(id, description)| {
        [
            id.trim_start_matches("frontend.").to_owned(),
            VERSION.to_owned(),
            (*description).to_owned(),
        ]
    }));
    make(&Value::Array(QUESTIONS.iter().map(one).collect()), table(&rows))
}

/// Writes rows in columns.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = if column + 1 == N { 0 } else { widths[column] + 1 };
            out.push_str(&format!("{cell:<width$}"));
        }
        out.push('\n');
    }
    out
}

/// A place as BuildKit's JSON has it.
fn location(span: Span) -> Value {
    let (first, last) = span.line_range();
    json!({"ranges": [{"start": {"line": first}, "end": {"line": last}}]})
}

/// Leaves out what is empty.
fn object(fields: Vec<(&str, Value)>) -> Value {
    let empty = |value: &Value| value.is_null() || value == "" || value == &Value::Array(Vec::new());
    let kept = fields.into_iter().filter(|(_, value)| !empty(value));
    Value::Object(
        kept.map(|(key, value)| (key.to_owned(), value))
            .collect::<Map<_, _>>(),
    )
}

struct Question<'a> {
    host: &'a dyn Host,
    request: &'a Request,
    text: &'a Text,
    findings: Vec<Finding>,
}

impl Question<'_> {
    /// Lowers as far as the question needs, then looks at the result.
    fn lowered<T>(&mut self, scope: Scope, look: impl FnOnce(&Lowerer<'_>, usize, &File) -> T) -> Outcome<T> {
        let options = Options::new(self.request)?;
        let session = Session::new(self.host, &options, &self.text.name, &self.text.data);
        let file = self.text.parse(&session, &mut self.findings)?;
        let mut graph = Graph::default();
        let mut lowerer = Lowerer::new(&session, &file, &mut graph, options.platforms.first(), scope)?;
        let target = lowerer.lower_stages();
        self.findings.append(&mut lowerer.lint.findings);
        Ok(look(&lowerer, target?, &file))
    }

    fn source(&self) -> Value {
        Value::String(base64(&self.text.data))
    }

    fn targets(&mut self) -> Outcome<Answer> {
        let options = Options::default();
        let session = Session::new(self.host, &options, &self.text.name, &self.text.data);
        let file = self.text.parse(&session, &mut self.findings)?;
        let stages = &file.parsed.stages;
        let last = stages.len().saturating_sub(1);
        let mut rows = vec![["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
        let mut list = Vec::new();
        for (at, stage) in stages.iter().enumerate() {
            let name = stage.name.clone().unwrap_or_default();
            list.push(object(vec![
                ("name", json!(name)),
                ("default", if at == last { json!(true) } else { Value::Null }),
                ("description", json!(stage.comment)),
                ("base", json!(stage.base_name)),
                ("platform", json!(stage.platform)),
                ("location", location(stage.span())),
            ]));
            let shown = match (name.is_empty(), at == last) {
                (true, false) => continue,
                (true, true) => "(default)".to_owned(),
                (false, true) => format!("{name} (default)"),
                (false, false) => name,
            };
            rows.push([shown, stage.comment.clone()]);
        }
        Ok(make(
            &json!({"targets": list, "sources": [self.source()]}),
            table(&rows),
        ))
    }

    fn outline(&mut self) -> Outcome<Answer> {
        let (used, name, comment) = self.lowered(Scope::Target, |lowerer, target, file| {
            let reachable = lowerer.reachable(target);
            let mut all = StageUse::default();
            let order = std::iter::once(target).chain((0..reachable.len()).filter(|at| *at != target));
            for at in order.filter(|at| reachable[*at]) {
                let stage = lowerer.outline.of_stage(at);
                merge(&mut all.args, stage.args);
                merge(&mut all.secrets, stage.secrets);
                merge(&mut all.agents, stage.agents);
                all.caches.extend(stage.caches);
            }
            let stage = file.parsed.stages.get(target);
            let name = stage.and_then(|s| s.name.clone()).unwrap_or_default();
            (all, name, stage.map(|s| s.comment.clone()).unwrap_or_default())
        })?;
        let mut args: Vec<_> = used.args.iter().collect();
        args.sort_by_key(|(_, arg)| arg.span.start.line);
        let args_json: Vec<Value> = args
            .iter()
            .map(|(name, arg)| {
                object(vec![
                    ("name", json!(name)),
                    ("description", json!(arg.comment)),
                    ("value", json!(arg.value)),
                    ("location", location(arg.span)),
                ])
            })
            .collect();
        let caches: Vec<Value> = used.caches.iter().map(|id| json!({"ID": id})).collect();
        let json = object(vec![
            ("name", json!(name)),
            ("description", json!(comment)),
            ("args", Value::Array(args_json)),
            ("secrets", needs(&used.secrets)),
            ("ssh", needs(&used.agents)),
            ("cache", Value::Array(caches)),
            ("sources", json!([self.source()])),
        ]);
        let mut text = format!(
            "TARGET:      {}\n",
            if name.is_empty() { "(default)" } else { &name }
        );
        if !comment.is_empty() {
            text.push_str(&format!("DESCRIPTION: {comment}\n"));
        }
        if !args.is_empty() {
            let mut rows = vec![[
                "BUILD ARG".to_owned(),
                "VALUE".to_owned(),
                "DESCRIPTION".to_owned(),
            ]];
            rows.extend(args.iter().map(|(name, arg)| {
                [
                    (*name).clone(),
                    arg.value.clone().unwrap_or_default(),
                    arg.comment.clone(),
                ]
            }));
            text.push_str(&format!("\n{}", table(&rows)));
        }
        for (title, list) in [("SECRET", &used.secrets), ("SSH", &used.agents)] {
            if !list.is_empty() {
                let mut rows = vec![[title.to_owned(), "REQUIRED".to_owned()]];
                let yes = |need: &Need| {
                    if need.required {
                        "true".to_owned()
                    } else {
                        String::new()
                    }
                };
                rows.extend(list.iter().map(|(name, need)| [name.clone(), yes(need)]));
                text.push_str(&format!("\n{}", table(&rows)));
            }
        }
        Ok(make(&json, text))
    }

    fn lint(&mut self) -> Outcome<Answer> {
        let scope = if self.request.target.is_some() {
            Scope::Target
        } else {
            Scope::All
        };
        let fault = self.lowered(scope, |_, _, _| ()).err();
        self.findings.sort_by_key(|finding| finding.span.start.line);
        let text = String::from_utf8_lossy(&self.text.data).into_owned();
        let excerpt = |span: Span| {
            let (first, last) = span.line_range();
            excerpt::around(&self.text.name, &text, first, last)
        };
        let mut out = String::new();
        let mut warnings = Vec::new();
        for finding in &self.findings {
            let (rule, url) = (finding.rule.name(), finding.rule.url());
            out.push_str(&format!(
                "\nWARNING: {rule} - {url}\n{}\n{}",
                finding.message,
                excerpt(finding.span)
            ));
            warnings.push(json!({
                "ruleName": rule,
                "description": finding.rule.description(),
                "url": url,
                "detail": finding.message,
                "location": location(finding.span),
            }));
        }
        let error = fault.as_ref().map(|Fault { message, spans, .. }| {
            let place = spans.first();
            out.push_str(&format!(
                "\nERROR: {message}\n{}",
                place.map(|s| excerpt(*s)).unwrap_or_default()
            ));
            object(vec![
                ("message", json!(message)),
                ("location", place.map_or(Value::Null, |span| location(*span))),
            ])
        });
        let status = if warnings.is_empty() && error.is_none() {
            "0"
        } else {
            "1"
        };
        let source = json!({"filename": self.text.name, "language": "Dockerfile", "data": self.source()});
        let mut json = json!({"warnings": warnings, "sources": [source]});
        if let Some(error) = error {
            json["buildError"] = error;
        }
        let mut answer = make(&json, out);
        answer
            .metadata
            .push(("result.statuscode".to_owned(), status.as_bytes().to_vec()));
        Ok(answer)
    }
}

fn needs(list: &BTreeMap<String, Need>) -> Value {
    let mut list: Vec<_> = list.iter().collect();
    list.sort_by_key(|(_, need)| need.span.start.line);
    let one = |(name, need): (&String, &Need)| {
        object(vec![
            ("name", json!(name)),
            ("required", if need.required { json!(true) } else { Value::Null }),
            ("location", location(need.span)),
        ])
    };
    Value::Array(list.into_iter().map(one).collect())
}

/// Adds what is not there yet.
fn merge<T>(all: &mut BTreeMap<String, T>, more: BTreeMap<String, T>) {
    for (name, value) in more {
        all.entry(name).or_insert(value);
    }
}

/// Writes bytes in base 64, as JSON has them.
fn base64(bytes: &[u8]) -> String {
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
}
