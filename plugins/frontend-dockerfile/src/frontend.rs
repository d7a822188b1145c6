//! The frontend: reads the Dockerfile, lowers it for each platform, and puts the answer together.

use crate::api::Attr;
use crate::api::Diagnostic;
use crate::api::Failure;
use crate::api::Lowered;
use crate::api::Output;
use crate::api::Platform;
use crate::api::Request;
use crate::api::SourceFile;
use crate::api::Span;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::graph::Graph;
use crate::host::Host;
use crate::host::MAX_BUILD_FILE;
use crate::lint::Finding;
use crate::lint::Linter;
use crate::lint::checks;
use crate::lower::File;
use crate::lower::Lowerer;
use crate::lower::Scope;
use crate::lower::Session;
use crate::options::Options;
use crate::paths;
use crate::syntax::Syntax;
use kiln_dockerfile_syntax::ast::Ast;
use kiln_dockerfile_syntax::instructions;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::Parsed;
use kiln_dockerfile_syntax::instructions::Stage;
use kiln_dockerfile_syntax::parse;
use kiln_dockerfile_syntax::suggest::nearest;
use std::collections::BTreeSet;

/// The name that is looked for in lower case as well.
const DEFAULT_NAME: &str = "Dockerfile";

/// A Dockerfile's name and text.
pub(crate) struct Text {
    /// The name as the user gave it.
    pub(crate) name: String,
    /// The text.
    pub(crate) data: Vec<u8>,
}

impl Text {
    /// Reads the Dockerfile that a request names.
    ///
    /// # Errors
    /// It is not there, or not readable.
    pub(crate) fn read(host: &dyn Host, name: &str) -> Outcome<Self> {
        let name = if name.is_empty() {
            DEFAULT_NAME.to_owned()
        } else {
            paths::clean(name)
        };
        let name = name.trim_start_matches('/');
        let wrap = |e: String| Fault::new(e).wrap("failed to read dockerfile");
        let mut found = host.build_file(name, MAX_BUILD_FILE).map_err(wrap)?;
        if found.is_none() && paths::base(name) == DEFAULT_NAME {
            let dir = &name[..name.len() - DEFAULT_NAME.len()];
            found = host
                .build_file(&format!("{dir}dockerfile"), MAX_BUILD_FILE)
                .map_err(wrap)?;
        }
        let data = found.ok_or_else(|| wrap(format!("open {name}: no such file or directory")))?;
        Ok(Self {
            name: name.to_owned(),
            data,
        })
    }

    /// Cuts and understands the text.
    ///
    /// # Errors
    /// What is wrong with it; `findings` then has what rules say of the instructions before.
    pub(crate) fn parse(&self, session: &Session<'_>, findings: &mut Vec<Finding>) -> Outcome<File> {
        if self.data.is_empty() {
            return Err(Fault::new("the Dockerfile cannot be empty"));
        }
        let labs = match Syntax::of(session.options, &self.data)? {
            Syntax::Own { labs } => labs,
            Syntax::Component(other) => {
                let fault = Fault::new(format!("the build file is read by another frontend, `{other}`"));
                return Err(fault.help(format!("ask that frontend: `--plugin {other}`")));
            }
        };
        let ast = parse(&self.data)?;
        match instructions::parse(&ast) {
            Ok(parsed) => Ok(File { ast, parsed, labs }),
            Err(error) => {
                let mut lint = Linter::new(session.lint_config(&ast)?);
                let (args, stages) = well_formed(&ast);
                checks::instructions(&mut lint, &ast, &args, &stages);
                if let Some(node) = ast
                    .nodes
                    .iter()
                    .find(|node| instructions::parse_node(node).is_err())
                {
                    checks::unread(&mut lint, node);
                }
                findings.append(&mut lint.findings);
                Err(error.into())
            }
        }
    }

    /// Returns the text for spans to point into.
    pub(crate) fn source(&self) -> SourceFile {
        SourceFile {
            name: self.name.clone(),
            language: "Dockerfile".to_owned(),
            data: self.data.clone(),
        }
    }
}

/// Returns the instructions up to the first that is wrong.
fn well_formed(ast: &Ast) -> (Vec<Command>, Vec<Stage>) {
    let (mut args, mut stages) = (Vec::new(), Vec::<Stage>::new());
    for parsed in ast
        .nodes
        .iter()
        .map_while(|node| instructions::parse_node(node).ok())
    {
        match (parsed, stages.last_mut()) {
            (Parsed::Stage(stage), _) => stages.push(stage),
            (Parsed::Command(command), Some(stage)) => stage.commands.push(command),
            (Parsed::Command(command), None) => args.push(command),
        }
    }
    (args, stages)
}

/// Lowers the Dockerfile of a request.
///
/// # Errors
/// Diagnostics: what is wrong, then the warnings found before.
pub(crate) fn lower(host: &dyn Host, request: &Request) -> Result<Lowered, Failure> {
    let text = Text::read(host, &request.source_name).map_err(|fault| failure(&fault, None, &[]))?;
    let mut findings = Vec::new();
    if let Some(other) = other_frontend(request, &text) {
        return host.call_frontend(&other.0, &other.1);
    }
    lower_text(host, request, &text, &mut findings)
        .map_err(|fault| failure(&fault, Some((host, &text)), &findings))
}

/// Returns the component that the file wants to be read by, and what it is asked. What is wrong with the wish is said
/// when the file is parsed.
pub(crate) fn other_frontend(request: &Request, text: &Text) -> Option<(String, Request)> {
    let options = Options::new(request).ok()?;
    let Ok(Syntax::Component(reference)) = Syntax::of(&options, &text.data) else {
        return None;
    };
    let mut request = request.clone();
    request.source_name.clone_from(&text.name);
    request.options.push(Attr::new("cmdline", reference.clone()));
    Some((reference, request))
}

fn lower_text(
    host: &dyn Host,
    request: &Request,
    text: &Text,
    findings: &mut Vec<Finding>,
) -> Outcome<Lowered> {
    let options = Options::new(request)?;
    let session = Session::new(host, &options, &text.name, &text.data);
    let file = text.parse(&session, findings)?;
    let mut graph = Graph::default();
    let targets: Vec<Option<&Platform>> = match options.platforms.as_slice() {
        [] => vec![None],
        platforms => platforms.iter().map(Some).collect(),
    };
    let mut built = Vec::new();
    let mut triggered = BTreeSet::new();
    for (number, target) in targets.iter().enumerate() {
        let mut lowerer = Lowerer::new(&session, &file, &mut graph, *target, Scope::Target)?;
        let result = lowerer.run();
        if number == 0 {
            findings.append(&mut lowerer.lint.findings);
        }
        built.push(result?);
        triggered.extend(lowerer.triggered_args().map(str::to_owned));
    }
    let mut results: Vec<_> = built.iter().map(|one| one.result).collect();
    let epoch = built.iter().find_map(|one| one.epoch);
    let definition = graph.finish(&mut results, vec![text.source()]);
    let default = options.build_platform();
    let outputs = built
        .into_iter()
        .zip(results)
        .zip(&targets)
        .map(|((one, result), target)| Output {
            platform: Some(target.cloned().unwrap_or_else(|| default.clone())),
            result,
            config: one.image.to_json(),
            attrs: one
                .base_image
                .map(|json| Attr::new("base-config", String::from_utf8_lossy(&json)))
                .into_iter()
                .collect(),
        });
    let mut diagnostics: Vec<Diagnostic> = findings
        .iter()
        .map(|finding| warning(&session, finding))
        .collect();
    diagnostics.extend(unused_args(&options, &file, &triggered));
    Ok(Lowered {
        definition,
        outputs: outputs.collect(),
        diagnostics,
        attrs: epoch
            .map(|at| Attr::new("source-date-epoch", at.to_string()))
            .into_iter()
            .chain(
                options
                    .multi_platform
                    .then(|| Attr::new("multi-platform", "true")),
            )
            .collect(),
    })
}

/// Makes a diagnostic of what a rule found.
pub(crate) fn warning(session: &Session<'_>, finding: &Finding) -> Diagnostic {
    let mut diagnostic =
        Diagnostic::warning(finding.rule.name(), finding.message.clone()).at(session.span(finding.span));
    diagnostic.detail = vec![finding.rule.description().to_owned()];
    diagnostic.detail.extend(finding.trigger.clone());
    diagnostic.url = Some(finding.rule.url());
    diagnostic
}

/// Makes the answer for a Dockerfile that cannot be lowered.
pub(crate) fn failure(fault: &Fault, text: Option<(&dyn Host, &Text)>, findings: &[Finding]) -> Failure {
    let mut error = Diagnostic::error(fault.message.clone());
    error.help.clone_from(&fault.help);
    let Some((host, text)) = text else {
        return error.into();
    };
    let options = Options::default();
    let session = Session::new(host, &options, &text.name, &text.data);
    error.spans = fault.span.iter().map(|span| session.span(*span)).collect();
    let mut sources = vec![text.source()];
    if let Some(inside) = &fault.trigger {
        let data = inside.trigger.text.as_bytes();
        let shown = Session::new(host, &options, "", data).span(inside.span);
        error.spans.push(Span { source: 1, ..shown });
        sources.push(SourceFile {
            name: inside.trigger.name(),
            language: "Dockerfile".to_owned(),
            data: data.to_vec(),
        });
    }
    let mut diagnostics = vec![error];
    diagnostics.extend(findings.iter().map(|finding| warning(&session, finding)));
    Failure::new(diagnostics, sources)
}

/// Arguments that mean something without being declared.
const PREDEFINED: [&str; 17] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
    "source_date_epoch",
    "buildplatform",
    "buildos",
    "buildosversion",
    "buildarch",
    "buildvariant",
    "targetplatform",
    "targetos",
    "targetosversion",
    "targetarch",
    "targetvariant",
    "targetstage",
];

/// Warns of build arguments that no ARG names; `triggered` are those of base images.
fn unused_args(options: &Options, file: &File, triggered: &BTreeSet<String>) -> Option<Diagnostic> {
    let stages = file.parsed.stages.iter().flat_map(|stage| &stage.commands);
    let declared: BTreeSet<&str> = file
        .parsed
        .meta_args
        .iter()
        .chain(stages)
        .filter_map(|command| match &command.instruction {
            instructions::Instruction::Arg(arg) => Some(arg.args.iter().map(|pair| pair.key.as_str())),
            _ => None,
        })
        .flatten()
        .chain(triggered.iter().map(String::as_str))
        .collect();
    let known = |name: &str| {
        let lower = name.to_ascii_lowercase();
        declared.contains(name) || PREDEFINED.contains(&lower.as_str()) || name.starts_with("BUILDKIT_")
    };
    let unused: Vec<&str> = options
        .args
        .keys()
        .map(String::as_str)
        .filter(|name| !known(name))
        .collect();
    if unused.is_empty() {
        return None;
    }
    let text = format!(
        "[Warning] One or more build-args [{}] were not consumed",
        unused.join(" ")
    );
    let declared: Vec<&str> = declared.into_iter().collect();
    let meant = unused
        .iter()
        .filter_map(|name| Some(format!("{name}: did you mean {}?", nearest(name, &declared)?)));
    let mut warning = Diagnostic::warning("", text);
    warning.detail = meant.collect();
    Some(warning.with_help("declare them with ARG, before FROM or in the stage that uses them"))
}
