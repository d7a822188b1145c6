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
            Instruction::Volume(paths) => return self.volume(at, paths),
            Instruction::Stopsignal(signal) => return self.stopsignal(at, signal),
            Instruction::Shell(words) => self.shell(at, words),
            Instruction::Workdir(path) => return self.workdir(at, path, step, &command),
            Instruction::Run(run) => return self.run_step(at, run, step, &command),
            Instruction::Add(add) => return self.copy(at, &CopyJob::of_add(add), step, &command),
            Instruction::Copy(copy) => {
                if let Some(source) = step.sources.first().copied().flatten() {
                    self.check_defined(at, source, copy.from.as_deref().unwrap_or_default())?;
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
        let mut unmatched = BTreeSet::new();
        let env = &self.stages[at].state.env;
        let done = if let Instruction::Arg(_) = command.instruction {
            Ok(())
        } else {
            command.expand(&mut |word| expand_word(&self.lex, env, word, &mut unmatched))
        };
        let lex = Lex::for_heredoc();
        let done = done
            .and_then(|()| command.expand_contents(&mut |text| expand_word(&lex, env, text, &mut unmatched)));
        self.report_unmatched(at, command, &unmatched);
        done.map_err(Fault::from)
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

/// Expands a word and notes which variables are not set.
pub(super) fn expand_word(
    lex: &Lex,
    env: &Env,
    word: &str,
    unmatched: &mut BTreeSet<String>,
) -> Result<String, SyntaxError> {
    match lex.process(word, env) {
        Ok(expanded) => {
            unmatched.extend(expanded.unmatched);
            Ok(expanded.text)
        }
        Err(error) => {
            unmatched.extend(error.unmatched);
            Err(error.error)
        }
    }
}
