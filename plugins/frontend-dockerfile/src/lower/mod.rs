//! Lowers a parsed Dockerfile for one platform: stages, their base images, and each instruction in turn.
//!
//! Follows BuildKit in what becomes a vertex and what is written into config and history.

mod args;
mod config;
mod context;
mod copy;
mod dispatch;
mod epoch;
mod mounts;
mod names;
mod resolve;
mod run;
mod session;
mod stage;
mod stages;

pub(crate) use mounts::secret_id;
pub(crate) use session::Session;
pub(crate) use stage::NamedContext;

use crate::api::Input;
use crate::api::Platform;
use crate::env::Env;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::fault::Trigger;
use crate::graph::Graph;
use crate::graph::Meta;
use crate::image::Image;
use crate::lint::Linter;
use crate::lint::Rule;
use crate::lint::checks;
use crate::options::Options;
use crate::platform;
use context::Locals;
use kiln_dockerfile_syntax::ast::Ast;
use kiln_dockerfile_syntax::instructions::Dockerfile;
use kiln_dockerfile_syntax::instructions::Instruction;
use kiln_dockerfile_syntax::shell::Lex;
use kiln_dockerfile_syntax::span::Span;
use stage::Paths;
use stage::Progress;
use stage::Stage;
use std::collections::BTreeMap;
use std::collections::HashMap;

/// A Dockerfile that was read.
#[derive(Debug)]
pub(crate) struct File {
    /// The tree.
    pub(crate) ast: Ast,
    /// The stages.
    pub(crate) parsed: Dockerfile,
    /// Features of the `labs` channel are on.
    pub(crate) labs: bool,
}

/// One image of the answer.
#[derive(Debug)]
pub(crate) struct Built {
    /// The root file system.
    pub(crate) result: Option<Input>,
    /// The config.
    pub(crate) image: Image,
    /// The config of the base image, as it was.
    pub(crate) base_image: Option<Vec<u8>>,
    /// Time of everything that is made, in seconds since the epoch.
    pub(crate) epoch: Option<i64>,
}

/// Which stages are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that the target needs.
    Target,
    /// All: for checks.
    All,
}

/// A Dockerfile on its way to a graph, for one platform.
pub(crate) struct Lowerer<'a> {
    session: &'a Session<'a>,
    file: &'a File,
    graph: &'a mut Graph,
    /// What rules found.
    pub(crate) lint: Linter,
    lex: Lex,
    target: Platform,
    build: Platform,
    implicit_target: bool,
    args: BTreeMap<String, String>,
    global_args: Env,
    epoch: Option<i64>,
    created: Option<String>,
    /// The stages, then the images that are read.
    pub(crate) stages: Vec<Stage>,
    by_name: HashMap<String, usize>,
    paths: Vec<Paths>,
    locals: Locals,
    scope: Scope,
    /// What the outline tells.
    pub(crate) outline: crate::outline::Capture,
}

impl<'a> Lowerer<'a> {
    /// Prepares lowering for a platform; none is the machine's own.
    pub(crate) fn new(
        session: &'a Session<'a>,
        file: &'a File,
        graph: &'a mut Graph,
        on: Option<&Platform>,
        scope: Scope,
    ) -> Outcome<Self> {
        let options = session.options;
        let build = options.build_platform();
        Ok(Self {
            session,
            file,
            graph,
            lint: Linter::new(session.lint_config(&file.ast)?),
            lex: Lex::new(file.ast.escape),
            target: on.cloned().unwrap_or_else(|| build.clone()),
            build,
            implicit_target: on.is_none(),
            args: options.args.clone(),
            global_args: Env::default(),
            epoch: None,
            created: None,
            stages: Vec::new(),
            by_name: HashMap::new(),
            paths: Vec::new(),
            locals: Locals::default(),
            scope,
            outline: crate::outline::Capture::default(),
        })
    }

    /// Lowers the file.
    pub(crate) fn run(&mut self) -> Outcome<Built> {
        let target = self.lower_stages()?;
        self.lint.check()?;
        self.finish(target)
    }

    /// Lowers all stages that are needed and returns the target's index.
    pub(crate) fn lower_stages(&mut self) -> Outcome<usize> {
        let file = self.file;
        if file.parsed.stages.is_empty() {
            return Err(Fault::new("dockerfile contains no stages to build"));
        }
        checks::file(
            &mut self.lint,
            &file.ast,
            &file.parsed.meta_args,
            &file.parsed.stages,
        );
        self.prepare_args()?;
        self.build_stages()?;
        let target = self.find_target()?;
        self.build_dependencies()?;
        let reachable = self.resolve_stages(target)?;
        self.dispatch_stages(&reachable)?;
        let paths = self.stages[target].paths;
        self.paths[paths].insert("/".to_owned());
        Ok(target)
    }

    fn options(&self) -> &'a Options {
        self.session.options
    }

    fn dispatch_stages(&mut self, reachable: &[bool]) -> Outcome<()> {
        for (at, needed) in reachable.iter().enumerate() {
            let wanted = self.scope == Scope::All || *needed;
            if !wanted || self.stages[at].progress == Progress::Done {
                continue;
            }
            self.dispatch_stage(at)?;
        }
        Ok(())
    }

    fn dispatch_stage(&mut self, at: usize) -> Outcome<()> {
        self.inherit(at);
        let default = self.target.clone();
        let stage = &mut self.stages[at];
        stage.progress = Progress::Done;
        let os = stage.platform.get_or_insert(default).os.clone();
        let has_path = stage
            .image
            .config
            .env
            .iter()
            .any(|e| crate::env::split(e).0 == "PATH");
        if !has_path && os != "windows" {
            stage
                .image
                .config
                .env
                .push(format!("PATH={}", platform::DEFAULT_PATH));
        }
        for entry in &stage.image.config.env {
            let (key, value) = crate::env::split(entry);
            stage.state.env.set(key, value);
        }
        if !stage.image.config.working_dir.is_empty() {
            let dir = stage.image.config.working_dir.clone();
            stage.enter(&dir).map_err(|e| stage.fault(e))?;
        }
        stage.state.user.clone_from(&stage.image.config.user);
        let steps = std::mem::take(&mut stage.steps);
        for step in &steps {
            let span = step.command.span();
            self.lint.trigger = step.trigger.as_ref().map(Trigger::name);
            self.dispatch(at, step).map_err(|fault| match &step.trigger {
                Some(trigger) => fault.in_trigger(trigger, span),
                None => fault.within(span),
            })?;
        }
        self.lint.trigger = None;
        self.stages[at].steps = steps;
        Ok(())
    }

    /// Returns the arguments that triggers of base images declare.
    pub(crate) fn triggered_args(&self) -> impl Iterator<Item = &str> {
        let steps = self.stages.iter().flat_map(|stage| &stage.steps);
        let args = steps.filter_map(|step| match &step.command.instruction {
            Instruction::Arg(arg) if step.on_build => Some(&arg.args),
            _ => None,
        });
        args.flatten().map(|pair| pair.key.as_str())
    }

    /// Takes over what the base stage hands down.
    fn inherit(&mut self, at: usize) {
        let Some(base) = self.stages[at].base else { return };
        // A base always stands before the stages that start from it.
        let (before, behind) = self.stages.split_at_mut(at);
        if let (Some(base), Some(stage)) = (before.get(base), behind.first_mut()) {
            stage.inherit(base);
        }
    }

    fn finish(&mut self, target: usize) -> Outcome<Built> {
        self.finish_locals()?;
        let stage = &mut self.stages[target];
        for (key, value) in &self.session.options.labels {
            stage.image.config.labels.insert(key.clone(), value.clone());
        }
        if !self.implicit_target {
            let same =
                self.target.os == stage.image.os && self.target.architecture == stage.image.architecture;
            let (variant, version) = (stage.image.variant.clone(), stage.image.os_version.clone());
            stage.image.set_platform(&self.target);
            if same && self.target.variant.is_none() {
                stage.image.variant = variant;
            }
            if same && self.target.os_version.is_none() {
                stage.image.os_version = version;
            }
        }
        let normal = platform::normalize(stage.image.platform());
        stage.image.set_platform(&normal);
        Ok(Built {
            result: stage.state.out,
            image: stage.image.clone(),
            base_image: stage.base_image.clone(),
            epoch: self.epoch,
        })
    }

    /// Returns what a step's vertex is besides its operation.
    fn step_meta(&self, at: usize, name: String, span: Span) -> Meta {
        Meta {
            platform: self.stages[at].platform.clone(),
            name,
            spans: vec![self.session.span(span)],
            ignore_cache: self.stages[at].ignore_cache,
            group: None,
        }
    }

    /// Returns what a vertex is that people did not write.
    fn internal_meta(&self, at: usize, name: &str) -> Meta {
        Meta {
            platform: self.stages[at].platform.clone(),
            name: format!("[internal] {name}"),
            ..Meta::default()
        }
    }

    /// Notes what a rule found at a stage's FROM.
    fn report(&mut self, rule: Rule, at: usize, message: String) {
        let stage = &self.stages[at];
        self.lint.report(rule, stage.span, &stage.comments, message);
    }
}
