//! One instruction after the other: expands its variables and hands it on.

use super::Lowerer;
use super::copy::CopyJob;
use super::stage::Progress;
use super::stage::Step;
use crate::env::Env;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::go;
use crate::lint::checks;
use kiln_dockerfile_syntax::SyntaxError;
use kiln_dockerfile_syntax::ast::Node;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::shell::Lex;
use std::collections::BTreeSet;

/// Arguments that are told to the build and never to a step.
const NEVER_IN_ENV: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Tells whether an argument stays out of the environment.
pub(super) fn stays_out(key: &str) -> bool {
    NEVER_IN_ENV.contains(&key)
}

impl Lowerer<'_> {
    /// Lowers one instruction of a stage.
    pub(super) fn dispatch(&mut self, at: usize, step: &Step) -> Outcome<()> {
        let mut command = step.command.clone();
        self.expand(at, &mut command)?;
        match &command.instruction {
            Instruction::Maintainer(text) => self.maintainer(at, text),
            Instruction::Env(pairs) => self.env(at, pairs, &command),
            Instruction::Label(pairs) => self.label(at, pairs, &command),
            Instruction::Arg(arg) => return self.arg(at, arg, &command),
            Instruction::Onbuild(onbuild) => {
                self.stages[at]
                    .image
                    .config
                    .on_build
                    .push(onbuild.expression.clone());
            }
            Instruction::Cmd(line) => self.cmd(at, line, &command),
            Instruction::Entrypoint(line) => self.entrypoint(at, line, &command),
            Instruction::Healthcheck(health) => self.healthcheck(at, health, &command),
            Instruction::Expose(words) => return self.expose(at, words, &command),
            Instruction::User(user) => self.user(at, user),
            Instruction::Volume(paths) => {
                let empty = paths.iter().position(String::is_empty);
                let done = self.volume(at, paths);
                return done.map_err(|fault| fault.at(empty.and_then(|n| command.node.source(n))));
            }
            Instruction::Stopsignal(signal) => {
                let done = self.stopsignal(at, signal);
                return done.map_err(|fault| fault.at(command.node.source(0)));
            }
            Instruction::Shell(words) => self.shell(at, words),
            Instruction::Workdir(path) => {
                let done = self.workdir(at, path, step, &command);
                return done.map_err(|fault| fault.at(command.node.source(0)));
            }
            Instruction::Run(run) => return self.run_step(at, run, step, &command),
            Instruction::Add(add) => return self.copy(at, &CopyJob::of_add(add), step, &command),
            Instruction::Copy(copy) => {
                if let Some(source) = step.sources.first().copied().flatten() {
                    self.check_defined(at, source, copy.from.as_deref().unwrap_or_default())
                        .map_err(|fault| fault.at(command.node.flag("from", 0)))?;
                }
                return self.copy(at, &CopyJob::of_copy(copy), step, &command);
            }
        }
        Ok(())
    }

    /// Fails where a stage is copied from that comes later.
    fn check_defined(&self, at: usize, source: usize, from: &str) -> Outcome<()> {
        if self.stages[source].progress == Progress::Done && source != at {
            return Ok(());
        }
        let (from, current) = (go::quote(from), go::quote(&self.stages[at].shown));
        Err(Fault::new(format!(
            "cannot copy from stage {from}, it needs to be defined before current stage {current}"
        )))
    }

    /// Expands the words of an instruction and the content of its heredocs.
    fn expand(&mut self, at: usize, command: &mut Command) -> Outcome<()> {
        let mut seen = Seen::default();
        let env = &self.stages[at].state.env;
        let done = if let Instruction::Arg(_) = command.instruction {
            Ok(())
        } else {
            command
                .expand(&mut |word| expand_word(&self.lex, env, word, &mut seen))
                .map_err(Fault::from)
        };
        let lex = Lex::for_heredoc();
        let done = done.and_then(|()| {
            command
                .expand_contents(&mut |text| expand_word(&lex, env, text, &mut seen))
                .map_err(Fault::from)
        });
        self.report_unmatched(at, command, &seen.unmatched);
        done.map_err(|fault| seen.place(fault, &command.node))
    }

    /// Notes variables that nobody sets.
    pub(super) fn report_unmatched(&mut self, at: usize, command: &Command, unmatched: &BTreeSet<String>) {
        let stage = &self.stages[at];
        for name in unmatched {
            if stays_out(name) || stage.args.iter().any(|(key, _)| key == name) {
                continue;
            }
            let known: Vec<&str> = stage.state.env.keys().collect();
            checks::undefined(&mut self.lint, command, name, &known);
        }
    }
}

/// What was seen while words were expanded.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Variables that nobody sets.
    pub(super) unmatched: BTreeSet<String>,
    /// The word that cannot be expanded, and the byte where that starts.
    wrong: Option<(String, usize)>,
}

impl Seen {
    /// Puts a fault at the word that could not be expanded, if that is the reason.
    pub(super) fn place(&self, mut fault: Fault, node: &Node) -> Fault {
        if let Some((word, at)) = &self.wrong {
            fault.span = node.place(word, *at).or(fault.span);
        }
        fault
    }
}

/// Expands a word and notes which variables are not set.
pub(super) fn expand_word(lex: &Lex, env: &Env, word: &str, seen: &mut Seen) -> Result<String, SyntaxError> {
    match lex.process(word, env) {
        Ok(expanded) => {
            seen.unmatched.extend(expanded.unmatched);
            Ok(expanded.text)
        }
        Err(error) => {
            seen.unmatched.extend(error.unmatched);
            seen.wrong = Some((word.to_owned(), error.at));
            Err(error.error)
        }
    }
}
