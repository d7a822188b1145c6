//! What a target can be told: build arguments, secrets and SSH agents, noted while stages are lowered.

use crate::env::Env;
use crate::lower::secret_id;
use kiln_dockerfile_syntax::instructions::Mount;
use kiln_dockerfile_syntax::shell::Lex;
use kiln_dockerfile_syntax::span::Span;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arg {
    /// What it is in this build.
    pub(crate) value: Option<String>,
    /// What the comment above says.
    pub(crate) comment: String,
    /// Where it is declared.
    pub(crate) span: Span,
    /// The variables of its default.
    pub(crate) used: Vec<String>,
}

/// Something that the user has to bring, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// Building fails without it.
    pub(crate) required: bool,
    /// Where it is used first.
    pub(crate) span: Span,
}

/// What one stage uses.
#[derive(Debug, Clone, Default)]
pub(crate) struct StageUse {
    pub(crate) args: BTreeMap<String, Arg>,
    pub(crate) used: BTreeSet<String>,
    pub(crate) secrets: BTreeMap<String, Need>,
    pub(crate) agents: BTreeMap<String, Need>,
}

/// What all stages use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture {
    globals: BTreeMap<String, Arg>,
    stages: BTreeMap<usize, StageUse>,
}

impl Capture {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Notes an argument before the first FROM.
    pub(crate) fn declare(&mut self, name: &str, mut arg: Arg) {
        let own = arg.used.iter().any(|used| used == name);
        arg.used.retain(|used| used != name);
        if let (true, Some(old)) = (own, self.globals.get(name)) {
            arg.used.extend(old.used.iter().cloned());
        }
        self.globals.insert(name.to_owned(), arg);
    }

    /// Returns the names of the arguments before the first FROM.
    pub(crate) fn declared(&self) -> impl Iterator<Item = &str> {
        self.globals.keys().map(String::as_str)
    }

    /// Notes what FROM uses.
    pub(crate) fn stage_uses(&mut self, at: usize, names: BTreeSet<String>) {
        self.stage(at).used.extend(names);
    }

    /// Notes an argument of a stage; without definition it is a global one's.
    pub(crate) fn stage_arg(&mut self, at: usize, name: &str, arg: Option<Arg>) {
        let stage = self.stage(at);
        stage.used.insert(name.to_owned());
        if let Some(arg) = arg {
            stage.args.insert(name.to_owned(), arg);
        }
    }

    /// Notes a secret.
    pub(crate) fn secret(&mut self, at: usize, mount: &Mount, span: Span) {
        if let Some(id) = secret_id(mount) {
            let need = Need {
                required: mount.required,
                span,
            };
            self.stage(at).secrets.entry(id.to_owned()).or_insert(need);
        }
    }

    /// Notes an SSH agent.
    pub(crate) fn agent(&mut self, at: usize, mount: &Mount, span: Span) {
        let id = mount
            .id
            .clone()
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| "default".to_owned());
        let need = Need {
            required: mount.required,
            span,
        };
        self.stage(at).agents.entry(id).or_insert(need);
    }

    fn stage(&mut self, at: usize) -> &mut StageUse {
        self.stages.entry(at).or_default()
    }

    /// Returns what a stage uses by itself, arguments before the first FROM included.
    pub(crate) fn of_stage(&self, at: usize) -> StageUse {
        let mut stage = self.stages.get(&at).cloned().unwrap_or_default();
        let mut open: Vec<String> = stage.used.iter().cloned().collect();
        while let Some(name) = open.pop() {
            let arg = stage.args.get(&name).or_else(|| self.globals.get(&name));
            for used in arg.into_iter().flat_map(|arg| &arg.used) {
                if stage.used.insert(used.clone()) {
                    open.push(used.clone());
                }
            }
        }
        for (name, arg) in &self.globals {
            stage.args.entry(name.clone()).or_insert_with(|| arg.clone());
        }
        stage.args.retain(|name, _| stage.used.contains(name));
        stage
    }
}

/// Returns the variables that a word names and that are set.
pub(crate) fn variables(lex: &Lex, word: &str, env: &Env) -> Vec<String> {
    if !word.contains('$') {
        return Vec::new();
    }
    let expanded = lex.process(word, env);
    expanded
        .map(|e| e.matched.into_iter().collect())
        .unwrap_or_default()
}
