//! Which stages there are, what they need of each other, and which of them the target needs.

use super::Lowerer;
use super::Scope;
use super::stage::Paths;
use super::stage::Progress;
use super::stage::Stage;
use super::stage::Step;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::fault::Trigger;
use crate::go;
use crate::lint::Rule;
use crate::lint::checks;
use crate::platform;
use crate::suggest;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::instructions::Stage as Source;
use kiln_dockerfile_syntax::instructions::parse_trigger;
use kiln_dockerfile_syntax::shell::Expanded;
use std::collections::BTreeSet;

impl Lowerer<'_> {
    /// Makes a stage of each FROM.
    pub(super) fn build_stages(&mut self) -> Outcome<()> {
        let file = self.file;
        for (at, source) in file.parsed.stages.iter().enumerate() {
            let span = source.span();
            let name = self
                .expand_from(source, &source.base_name)
                .map_err(|f| f.within(span))?;
            if name.text.is_empty() {
                let text = format!("base name ({}) should not be blank", source.base_name);
                return Err(Fault::new(text).at(source.node.source(0)).within(span));
            }
            let mut used = name.matched;
            let mut stage = Stage::new(source, name.text);
            if let Some(text) = source.platform.as_deref().filter(|p| !p.is_empty()) {
                stage.platform = Some(
                    self.read_platform(source, text, &mut used)
                        .map_err(|f| f.at(source.node.flag("platform", 0)).within(span))?,
                );
            }
            if let Some(name) = &stage.name {
                stage.context = self.named_context(name, stage.platform.as_ref())?;
            }
            let replaced = stage.context.is_some();
            if stage.name.is_none() {
                stage.shown = format!("stage-{at}");
            }
            if !replaced {
                stage.ignore_cache = self
                    .options()
                    .no_cache
                    .covers(stage.name.as_deref().unwrap_or_default());
            }
            let index = self.add_stage(stage);
            let stage = &mut self.stages[index];
            if replaced {
                stage.base = None;
                continue;
            }
            self.outline.stage_uses(index, used);
            let from = usize::from(stage.base_name != "scratch" && stage.base.is_none());
            stage.steps_total = from
                + stage
                    .steps
                    .iter()
                    .filter(|s| is_shown(&s.command.instruction))
                    .count();
        }
        Ok(())
    }

    /// Adds a stage and finds the one it starts from.
    pub(super) fn add_stage(&mut self, mut stage: Stage) -> usize {
        let index = self.stages.len();
        stage.base = self.by_name.get(&stage.base_name.to_lowercase()).copied();
        stage.paths = self.paths.len();
        self.paths.push(Paths::new());
        if let Some(name) = &stage.name {
            self.by_name.insert(name.to_lowercase(), index);
        }
        self.stages.push(stage);
        index
    }

    /// Expands a word of FROM, which sees global arguments only.
    fn expand_from(&mut self, source: &Source, word: &str) -> Outcome<Expanded> {
        let env = &self.global_args;
        let result = self.lex.process(word, env);
        let unmatched = match &result {
            Ok(expanded) => &expanded.unmatched,
            Err(error) => &error.unmatched,
        };
        let mut known: Vec<&str> = env.keys().collect();
        known.extend(self.outline.declared());
        checks::undefined_in_from(&mut self.lint, source, unmatched, &known);
        result.map_err(|e| Fault::from(e.error).at(source.node.place(word, e.at)))
    }

    /// Reads `--platform` of FROM.
    fn read_platform(
        &mut self,
        source: &Source,
        text: &str,
        used: &mut BTreeSet<String>,
    ) -> Outcome<crate::api::Platform> {
        let expanded = self
            .expand_from(source, text)
            .map_err(|f| f.wrap("failed to process arguments for platform "))?;
        let (lint, comments) = (&mut self.lint, &source.node.comments);
        let target = self.global_args.get("TARGETPLATFORM");
        let only_target = expanded.matched.len() == 1
            && expanded.unmatched.is_empty()
            && expanded.matched.contains("TARGETPLATFORM");
        if only_target && target == Some(expanded.text.as_str()) {
            let message = format!(
                "Setting platform to predefined {text} in FROM is redundant as this is the default behavior"
            );
            lint.report(Rule::RedundantTargetPlatform, source.span(), comments, message);
        }
        let parsed = platform::parse(&expanded.text, &self.build);
        let constant = expanded.matched.is_empty() && expanded.unmatched.is_empty();
        if let (true, Ok(parsed)) = (constant, &parsed) {
            let name = source.name.as_deref().unwrap_or_default();
            if !name.contains(&parsed.os) && !name.contains(&parsed.architecture) {
                let value = go::quote(&expanded.text);
                let message = format!("FROM --platform flag should not use constant value {value}");
                lint.report(
                    Rule::FromPlatformFlagConstDisallowed,
                    source.span(),
                    comments,
                    message,
                );
            }
        }
        let keys: Vec<&str> = self.global_args.keys().collect();
        let hint = |message: String| match expanded.unmatched.first() {
            Some(name) => suggest::add(message, name, &keys),
            None => message,
        };
        if expanded.text.is_empty() {
            return Err(Fault::new(hint(format!(
                "empty platform value from expression {text}"
            ))));
        }
        let platform =
            parsed.map_err(|e| Fault::new(format!("failed to parse platform {text}: {}", hint(e))))?;
        used.extend(expanded.matched);
        Ok(platform)
    }

    /// Finds the stage to build.
    pub(super) fn find_target(&self) -> Outcome<usize> {
        let Some(target) = &self.options().target else {
            return Ok(self.stages.len() - 1);
        };
        if let Some(index) = self.by_name.get(&target.to_lowercase()) {
            return Ok(*index);
        }
        let text = format!("target stage {} could not be found", go::quote(target));
        Err(Fault::new(suggest::add(text, target, &self.stage_names())))
    }

    /// Returns the names of the stages.
    pub(super) fn stage_names(&self) -> Vec<String> {
        self.stages
            .iter()
            .map(|s| s.shown.clone())
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// Finds what each stage copies from and mounts.
    pub(super) fn build_dependencies(&mut self) -> Outcome<()> {
        for at in 0..self.file.parsed.stages.len() {
            let mut steps = std::mem::take(&mut self.stages[at].steps);
            for step in &mut steps {
                self.connect(at, step)
                    .map_err(|fault| fault.within(step.command.span()))?;
            }
            self.stages[at].steps = steps;
        }
        self.check_circles()?;
        if let [only] = self.stages.as_mut_slice() {
            only.shown.clear();
        }
        Ok(())
    }

    /// Finds the sources of an instruction; tells whether it has any.
    fn connect(&mut self, at: usize, step: &mut Step) -> Outcome<bool> {
        let span = step.command.span();
        step.sources = match &step.command.instruction {
            Instruction::Copy(copy) => match copy.from.as_deref().filter(|from| !from.is_empty()) {
                Some(from) => {
                    let source = self.copy_source(from, span);
                    vec![Some(
                        source.map_err(|fault| fault.at(step.command.node.flag("from", 0)))?,
                    )]
                }
                None => Vec::new(),
            },
            Instruction::Run(run) => run
                .mount_flags
                .iter()
                .map(|flag| mount_from(flag).map(|from| self.named_source(&from, span)))
                .collect(),
            _ => Vec::new(),
        };
        let found: Vec<usize> = step.sources.iter().flatten().copied().collect();
        for source in &found {
            self.stages[at].deps.push((*source, span));
        }
        Ok(!found.is_empty())
    }

    /// Finds what `COPY --from` names: a stage by name or number, or an image.
    fn copy_source(&mut self, from: &str, span: kiln_dockerfile_syntax::span::Span) -> Outcome<usize> {
        let none = |_: &str| None;
        let expanded = self.lex.process_word(from, &none)?;
        if expanded != from {
            return Err(Fault::new(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global \
                 scope as a workaround",
            ));
        }
        match from.parse::<i64>() {
            Ok(number) => usize::try_from(number)
                .ok()
                .filter(|index| *index < self.stages.len())
                .ok_or_else(|| Fault::new(format!("invalid stage index {number}"))),
            Err(_) => Ok(self.named_source(from, span)),
        }
    }

    fn named_source(&mut self, from: &str, span: kiln_dockerfile_syntax::span::Span) -> usize {
        match self.by_name.get(&from.to_lowercase()) {
            Some(index) => *index,
            None => self.add_stage(Stage::unregistered(from, span)),
        }
    }

    /// Fails where stages copy from each other in a circle.
    fn check_circles(&self) -> Outcome<()> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.stages.len()];
        for root in 0..self.stages.len() {
            let mut path: Vec<(usize, usize)> = Vec::new();
            if marks[root] == Mark::New {
                marks[root] = Mark::Open;
                path.push((root, 0));
            }
            while let Some((at, next)) = path.last_mut() {
                let Some((dep, span)) = self.stages[*at].deps.get(*next) else {
                    marks[*at] = Mark::Done;
                    path.pop();
                    continue;
                };
                *next += 1;
                match marks[*dep] {
                    Mark::Done => {}
                    Mark::New => {
                        marks[*dep] = Mark::Open;
                        path.push((*dep, 0));
                    }
                    Mark::Open => {
                        let name = &self.stages[root].shown;
                        let text = format!("circular dependency detected on stage: {name}");
                        return Err(Fault::new(text).at(*span));
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks up the base images of all stages that the target needs, and runs triggers until none brings new stages.
    pub(super) fn resolve_stages(&mut self, target: usize) -> Outcome<Vec<bool>> {
        loop {
            let reachable = self.reachable(target);
            for (at, needed) in reachable.iter().enumerate() {
                let wanted = self.scope == Scope::All || *needed;
                let stage = &self.stages[at];
                if stage.base.is_none() && stage.progress == Progress::Waiting {
                    self.resolve_base(at, wanted)?;
                }
            }
            let mut changed = false;
            for at in 0..self.stages.len() {
                if reachable.get(at) == Some(&true) {
                    changed |= self.take_triggers(at)?;
                }
            }
            if !changed {
                return Ok(reachable);
            }
        }
    }

    /// Returns which stages a stage needs, itself included.
    pub(crate) fn reachable(&self, target: usize) -> Vec<bool> {
        let mut seen = vec![false; self.stages.len()];
        let mut open = vec![target];
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            open.extend(self.stages[at].base);
            open.extend(self.stages[at].deps.iter().map(|(dep, _)| *dep));
        }
        seen
    }

    /// Returns what people call the base of a stage.
    fn name_of_base(&self, at: usize) -> String {
        let stage = &self.stages[at];
        match stage.base {
            Some(base) => self.stages[base].shown.clone(),
            None => stage.base_name.split('@').next().unwrap_or_default().to_owned(),
        }
    }

    /// Puts the triggers of the base in front of a stage's steps; tells whether they bring new stages.
    fn take_triggers(&mut self, at: usize) -> Outcome<bool> {
        let stage = &mut self.stages[at];
        if stage.progress == Progress::Done || std::mem::replace(&mut stage.triggered, true) {
            return Ok(false);
        }
        let mut triggers = std::mem::take(&mut self.stages[at].image.config.on_build);
        if let Some(base) = self.stages[at].base {
            for step in &self.stages[base].steps {
                if let Instruction::Onbuild(onbuild) = &step.command.instruction {
                    triggers.push(onbuild.expression.clone());
                }
            }
        }
        let span = self.stages[at].span;
        let base = self.name_of_base(at);
        let mut steps = Vec::new();
        let mut changed = false;
        for (number, text) in triggers.into_iter().enumerate() {
            let trigger = Trigger {
                base: base.clone(),
                number: number + 1,
                text,
            };
            let mut command = parse_trigger(&trigger.text)
                .map_err(|e| Fault::new(e.to_string()).at(e.span).in_trigger(&trigger, span))?;
            command.node.span = span;
            let mut step = Step {
                command,
                sources: Vec::new(),
                on_build: true,
                trigger: None,
            };
            changed |= self
                .connect(at, &mut step)
                .map_err(|fault| fault.in_trigger(&trigger, span))?;
            step.trigger = Some(trigger);
            steps.push(step);
        }
        let stage = &mut self.stages[at];
        stage.steps_total += steps.len();
        steps.append(&mut stage.steps);
        stage.steps = steps;
        Ok(changed)
    }
}

/// Tells whether an instruction is counted in step names.
fn is_shown(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Add(_) | Instruction::Copy(_) | Instruction::Run(_) | Instruction::Workdir(_)
    )
}

/// Returns what a mount is taken from, as written; the other keys are read when variables are known.
fn mount_from(flag: &str) -> Option<String> {
    let fields = go::csv(flag).ok()?;
    let mut from = None;
    let mut tmpfs = false;
    for field in &fields {
        match field.split_once('=') {
            Some((key, value)) if key.eq_ignore_ascii_case("from") => from = Some(value.to_owned()),
            Some((key, value)) if key.eq_ignore_ascii_case("type") => tmpfs = value == "tmpfs",
            _ => {}
        }
    }
    from.filter(|from| !from.is_empty() && !tmpfs)
}
