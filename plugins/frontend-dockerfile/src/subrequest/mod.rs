//! Questions about a Dockerfile that are answered without building.

use crate::api::Diagnostic;
use crate::api::Failure;
use crate::api::Request;
use crate::excerpt;
use crate::fault::Outcome;
use crate::frontend::Text;
use crate::frontend::failure;
use crate::frontend::other_frontend;
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
use serde::Serialize;
use shapes::Arg;
use shapes::BuildError;
use shapes::Field;
use shapes::LintResults;
use shapes::Location;
use shapes::Named;
use shapes::Outline;
use shapes::Question as QuestionShape;
use shapes::Source;
use shapes::Target;
use shapes::Targets;
use shapes::Warning;
use std::collections::BTreeMap;

mod shapes;

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

/// The answer's only key when another component reads the file: the component's reference.
const FORWARD: &str = "frontend.forward";

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
    if let Some((reference, _)) = other_frontend(request, &text) {
        // The host asks that component, by the rules for plugins.
        return Ok(Answer {
            metadata: vec![(FORWARD.to_owned(), reference.into_bytes())],
        });
    }
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

fn make(json: &impl Serialize, text: String) -> Answer {
    Answer {
        metadata: vec![
            ("result.json".to_owned(), shapes::to_json(json).into_bytes()),
            ("result.txt".to_owned(), text.into_bytes()),
            ("version".to_owned(), VERSION.as_bytes().to_vec()),
        ],
    }
}

fn describe_answer() -> Answer {
    let one = |(id, description): &(&'static str, &'static str)| {
        let status = (*id == "frontend.lint").then_some("result.statuscode");
        let names = ["result.json", "result.txt"].into_iter().chain(status);
        QuestionShape {
            name: id,
            version: VERSION,
            kind: "rpc",
            description,
            opts: Vec::new(),
            metadata: names.map(|name| Field { name }).collect(),
        }
    };
    let mut rows = vec![["NAME".to_owned(), "VERSION".to_owned(), "DESCRIPTION".to_owned()]];
    rows.extend(QUESTIONS.iter().map(|(id, description)| {
        [
            id.trim_start_matches("frontend.").to_owned(),
            VERSION.to_owned(),
            (*description).to_owned(),
        ]
    }));
    let list: Vec<_> = QUESTIONS.iter().map(one).collect();
    make(&list, table(&rows))
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

    fn source(&self) -> Vec<String> {
        vec![shapes::base64(&self.text.data)]
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
            list.push(Target {
                name: name.clone(),
                default: at == last,
                description: stage.comment.clone(),
                base: stage.base_name.clone(),
                platform: stage.platform.clone().unwrap_or_default(),
                location: Some(Location::of(stage.span())),
            });
            let shown = match (name.is_empty(), at == last) {
                (true, true) => "(default)".to_owned(),
                (false, true) => format!("{name} (default)"),
                (_, false) => name,
            };
            rows.push([shown, stage.comment.clone()]);
        }
        let shape = Targets {
            targets: list,
            sources: self.source(),
        };
        Ok(make(&shape, table(&rows)))
    }

    fn outline(&mut self) -> Outcome<Answer> {
        let (used, name, comment) = self.lowered(Scope::Target, |lowerer, target, file| {
            let reachable = lowerer.reachable(target);
            let mut all = StageUse::default();
            // A stage comes behind the one that it starts from, and what it declares again counts.
            let order = std::iter::once(target).chain((0..reachable.len()).rev().filter(|at| *at != target));
            for at in order.filter(|at| reachable[*at]) {
                let stage = lowerer.outline.of_stage(at);
                merge(&mut all.args, stage.args);
                merge(&mut all.secrets, stage.secrets);
                merge(&mut all.agents, stage.agents);
            }
            let stage = file.parsed.stages.get(target);
            let name = stage.and_then(|s| s.name.clone()).unwrap_or_default();
            (all, name, stage.map(|s| s.comment.clone()).unwrap_or_default())
        })?;
        let mut args: Vec<_> = used.args.iter().collect();
        args.sort_by_key(|(_, arg)| arg.span.start.line);
        let shape = Outline {
            name: name.clone(),
            description: comment.clone(),
            args: args.iter().map(|(name, arg)| Arg::of(name, arg)).collect(),
            secrets: needs(&used.secrets),
            ssh: needs(&used.agents),
            sources: self.source(),
        };
        Ok(make(&shape, outline_text(&shape)))
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
            warnings.push(Warning {
                rule,
                description: finding.rule.description(),
                url,
                detail: finding.message.clone(),
                location: Location::of(finding.span),
            });
        }
        let status = if warnings.is_empty() && fault.is_none() {
            "0"
        } else {
            "1"
        };
        let shape = LintResults {
            warnings: (!warnings.is_empty()).then_some(warnings),
            sources: vec![Source {
                filename: self.text.name.clone(),
                data: shapes::base64(&self.text.data),
                language: "Dockerfile",
            }],
            error: fault.map(|fault| BuildError {
                location: fault.whole.or(fault.span).map(Location::of),
                message: fault.message,
            }),
        };
        let mut answer = make(&shape, out);
        answer
            .metadata
            .push(("result.statuscode".to_owned(), status.as_bytes().to_vec()));
        Ok(answer)
    }
}

/// Writes an outline as `buildx` prints it.
fn outline_text(outline: &Outline) -> String {
    let mut parts = Vec::new();
    if !(outline.name.is_empty() && outline.description.is_empty()) {
        let name = if outline.name.is_empty() {
            "(default)"
        } else {
            &outline.name
        };
        let mut rows = vec![["TARGET:".to_owned(), name.to_owned()]];
        if !outline.description.is_empty() {
            rows.push(["DESCRIPTION:".to_owned(), outline.description.clone()]);
        }
        parts.push(table(&rows));
    }
    if !outline.args.is_empty() {
        let mut rows = vec![["BUILD ARG", "VALUE", "DESCRIPTION"].map(str::to_owned)];
        rows.extend(
            outline
                .args
                .iter()
                .map(|arg| [arg.name.clone(), arg.value.clone(), arg.description.clone()]),
        );
        parts.push(table(&rows));
    }
    for (title, list) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        let mut rows = vec![[title, "REQUIRED"].map(str::to_owned)];
        rows.extend(list.iter().map(|need| {
            let required = if need.required { "true" } else { "" };
            [need.name.clone(), required.to_owned()]
        }));
        parts.extend((!list.is_empty()).then(|| table(&rows)));
    }
    // A blank line behind each part.
    parts.into_iter().map(|part| part + "\n").collect()
}

fn needs(list: &BTreeMap<String, Need>) -> Vec<Named> {
    let mut list: Vec<_> = list.iter().collect();
    list.sort_by_key(|(_, need)| need.span.start.line);
    let one = |(name, need): (&String, &Need)| Named {
        name: name.clone(),
        required: need.required,
        location: Location::of(need.span),
    };
    list.into_iter().map(one).collect()
}

/// Adds what is not there yet.
fn merge<T>(all: &mut BTreeMap<String, T>, more: BTreeMap<String, T>) {
    for (name, value) in more {
        all.entry(name).or_insert(value);
    }
}
