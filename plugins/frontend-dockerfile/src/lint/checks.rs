//! The rules that need nothing but the text: casing, names, words that look like secrets.

use super::Linter;
use super::Rule;
use crate::env::Env;
use crate::reference::Reference;
use kiln_dockerfile_syntax::ast::Ast;
use kiln_dockerfile_syntax::ast::Node;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::instructions::Stage;
use kiln_dockerfile_syntax::shell::Lex;
use kiln_dockerfile_syntax::span::Span;
use kiln_dockerfile_syntax::suggest;
use std::collections::BTreeSet;
use std::collections::HashSet;

/// Words that make a name look like a secret's.
const SECRETS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// Words that make it harmless again.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Checks the whole file: what can be said before a stage is looked at.
pub(crate) fn file(lint: &mut Linter, ast: &Ast, args: &[Command], stages: &[Stage]) {
    instructions(lint, ast, args, stages);
    stage_names(lint, stages);
    casing(lint, stages);
}

/// Checks each instruction by itself; the file may end early.
pub(crate) fn instructions(lint: &mut Linter, ast: &Ast, args: &[Command], stages: &[Stage]) {
    for warning in &ast.warnings {
        let span = Span::lines(warning.line, warning.line);
        lint.report(
            Rule::NoEmptyContinuation,
            span,
            &[],
            "Empty continuation line".to_owned(),
        );
    }
    for arg in args {
        descriptions(lint, arg);
    }
    for stage in stages {
        from_casing(lint, stage);
        for command in &stage.commands {
            match &command.instruction {
                Instruction::Maintainer(_) => maintainer(lint, command.span(), command.comments()),
                Instruction::Arg(_) => descriptions(lint, command),
                _ => {}
            }
        }
    }
}

/// Checks an instruction that is wrong, by its words alone.
pub(crate) fn unread(lint: &mut Linter, node: &Node) {
    match node.name.text.to_lowercase().as_str() {
        "from" => words_of_from(lint, node, node.span),
        "maintainer" => maintainer(lint, node.span, &node.comments),
        _ => {}
    }
}

fn maintainer(lint: &mut Linter, span: Span, comments: &[String]) {
    let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
    lint.report(Rule::MaintainerDeprecated, span, comments, message);
}

/// `FROM x as y` and `From`: the casing of the words, and what the comment above says.
fn from_casing(lint: &mut Linter, stage: &Stage) {
    words_of_from(lint, &stage.node, stage.span());
    if let Some(name) = &stage.name {
        let comments = &stage.node.comments;
        description(lint, "FROM", std::slice::from_ref(name), stage.span(), comments);
    }
}

fn words_of_from(lint: &mut Linter, node: &Node, span: Span) {
    let comments = &node.comments;
    if let [_, _, name] = node.args.as_slice()
        && name.text != name.text.to_lowercase()
    {
        let message = format!("Stage name '{}' should be lowercase", name.text);
        lint.report(Rule::StageNameCasing, span, comments, message);
    }
    if let [_, keyword, _, ..] = node.args.as_slice() {
        let from = &node.name.text;
        let is_upper = |word: &str| word == word.to_uppercase();
        let is_lower = |word: &str| word == word.to_lowercase();
        let consistent = |word: &str| is_upper(word) || is_lower(word);
        if consistent(from) && (is_upper(from) != is_upper(&keyword.text) || !consistent(&keyword.text)) {
            let message = format!("'{}' and '{from}' keywords' casing do not match", keyword.text);
            lint.report(Rule::FromAsCasing, span, comments, message);
        }
    }
}

fn descriptions(lint: &mut Linter, command: &Command) {
    if let Instruction::Arg(arg) = &command.instruction {
        let names: Vec<String> = arg.args.iter().map(|a| a.key.clone()).collect();
        description(lint, "ARG", &names, command.span(), command.comments());
    }
}

/// The comment above a definition describes it and starts with its name.
fn description(lint: &mut Linter, instruction: &str, names: &[String], span: Span, comments: &[String]) {
    let Some(last) = comments.iter().rev().find(|c| !c.trim().starts_with("check=")) else {
        return;
    };
    let last = last.trim();
    if last.is_empty()
        || names.iter().any(|name| {
            last.strip_prefix(name.as_str())
                .is_some_and(|r| r.starts_with(' '))
        })
    {
        return;
    }
    let shown = if let [name] = names {
        name.as_str()
    } else {
        "<arg_key>"
    };
    let message = format!("Comment for {instruction} should follow the format: `# {shown} <description>`");
    lint.report(Rule::InvalidDefinitionDescription, span, comments, message);
}

fn stage_names(lint: &mut Linter, stages: &[Stage]) {
    let mut seen = HashSet::new();
    for stage in stages {
        let Some(name) = &stage.name else { continue };
        if matches!(name.as_str(), "context" | "scratch") {
            let message = format!(
                "Stage name should not use the same name as reserved stage {}",
                crate::go::quote(name)
            );
            lint.report(Rule::ReservedStageName, stage.span(), &[], message);
        }
        if !seen.insert(name) {
            let message = format!(
                "Duplicate stage name {}, stage names should be unique",
                crate::go::quote(name)
            );
            lint.report(Rule::DuplicateStageName, stage.span(), &[], message);
        }
    }
}

/// All instructions are written as most are: in upper or in lower case.
fn casing(lint: &mut Linter, stages: &[Stage]) {
    let each = || {
        stages.iter().flat_map(|stage| {
            let from = (stage.node.name.text.as_str(), stage.span());
            std::iter::once(from).chain(stage.commands.iter().map(|c| (c.name(), c.span())))
        })
    };
    let lower = each().filter(|(name, _)| *name == name.to_lowercase()).count();
    let upper = each().filter(|(name, _)| *name == name.to_uppercase()).count();
    for (name, span) in each() {
        let wanted = match lower > upper {
            true if name.to_lowercase() != name => "lowercase",
            false if name.to_uppercase() != name => "uppercase",
            _ => continue,
        };
        let message = format!("Command '{name}' should match the case of the command majority ({wanted})");
        lint.report(Rule::ConsistentInstructionCasing, span, &[], message);
    }
}

/// A base image is named even where no build argument is given.
pub(crate) fn default_args(lint: &mut Linter, stages: &[Stage], lex: &Lex, env: &Env) {
    for stage in stages {
        let Ok(name) = lex.process_word(&stage.base_name, env) else {
            return;
        };
        if Reference::parse(&name).is_err() {
            let message = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                stage.base_name
            );
            lint.report(Rule::InvalidDefaultArgInFrom, stage.span(), &[], message);
        }
    }
}

/// Names that look like a secret's have no place in what everybody can read.
pub(crate) fn secret(lint: &mut Linter, instruction: &str, key: &str, command: &Command) {
    let lower = key.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&SECRETS) && !has(&HARMLESS) {
        let message = format!(
            "Do not use ARG or ENV instructions for sensitive data ({instruction} {})",
            crate::go::quote(key)
        );
        lint.report(
            Rule::SecretsUsedInArgOrEnv,
            command.span(),
            command.comments(),
            message,
        );
    }
}

/// Returns ` (did you mean X?)`, or nothing.
fn hint(word: &str, sign: &str, options: &[&str]) -> String {
    suggest::nearest(word, options).map_or_else(String::new, |o| format!(" (did you mean {sign}{o}?)"))
}

/// FROM uses a global argument that nobody declares.
pub(crate) fn undefined_in_from(
    lint: &mut Linter,
    stage: &Stage,
    unmatched: &BTreeSet<String>,
    known: &[&str],
) {
    for name in unmatched.iter().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("FROM argument '{name}' is not declared{}", hint(name, "", known));
        lint.report(
            Rule::UndefinedArgInFrom,
            stage.span(),
            &stage.node.comments,
            message,
        );
    }
}

/// An instruction uses a variable that nobody sets.
pub(crate) fn undefined(lint: &mut Linter, command: &Command, name: &str, known: &[&str]) {
    let message = format!("Usage of undefined variable '${name}'{}", hint(name, "$", known));
    lint.report(Rule::UndefinedVar, command.span(), command.comments(), message);
}
