//! A stage while it is lowered.

use crate::api::Input;
use crate::api::Platform;
use crate::env::Env;
use crate::fault::Fault;
use crate::fault::Trigger;
use crate::image::Image;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::Stage as Source;
use kiln_dockerfile_syntax::span::Span;
use std::collections::BTreeSet;

/// What the next step of a stage starts from.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The root file system; none is empty.
    pub(crate) out: Option<Input>,
    /// The environment, build arguments included.
    pub(crate) env: Env,
    /// The working directory with `/` as separator; empty is the root.
    pub(crate) dir: String,
    /// The user.
    pub(crate) user: String,
}

/// An instruction and where its files come from.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The instruction.
    pub(crate) command: Command,
    /// The stages that COPY, or each mount of RUN, reads.
    pub(crate) sources: Vec<Option<usize>>,
    /// It comes from a trigger of the base.
    pub(crate) on_build: bool,
    /// That trigger.
    pub(crate) trigger: Option<Trigger>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Progress {
    /// Nothing was done.
    #[default]
    Waiting,
    /// Its base was looked up.
    Resolved,
    /// Its steps are lowered, or it has none.
    Done,
}

/// Whether the file has a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// It has.
    #[default]
    Stage,
    /// It stands for an image that is only read.
    Image,
}

/// A stage, or an image that COPY or a mount reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stage {
    /// Name after AS.
    pub(crate) name: Option<String>,
    /// What it starts from, variables expanded.
    pub(crate) base_name: String,
    /// The place of FROM.
    pub(crate) span: Span,
    /// The comments above FROM.
    pub(crate) comments: Vec<String>,
    /// The stage it starts from.
    pub(crate) base: Option<usize>,
    /// The stages it copies from or mounts, and the instruction that does.
    pub(crate) deps: Vec<(usize, Span)>,
    /// Its instructions, triggers in front.
    pub(crate) steps: Vec<Step>,
    /// Its platform.
    pub(crate) platform: Option<Platform>,
    /// What the next step starts from.
    pub(crate) state: State,
    /// The image so far.
    pub(crate) image: Image,
    /// The config of the base image, as it was.
    pub(crate) base_image: Option<Vec<u8>>,
    /// The named context that stands in for it: key and value.
    pub(crate) context: Option<NamedContext>,
    /// Its build arguments.
    pub(crate) args: Vec<(String, Option<String>)>,
    /// The set of paths that others read of its base: an index.
    pub(crate) paths: usize,
    /// How far it is.
    pub(crate) progress: Progress,
    /// Triggers of the base were read.
    pub(crate) triggered: bool,
    /// Whether the file has it.
    pub(crate) kind: Kind,
    /// Run its steps whatever the cache has.
    pub(crate) ignore_cache: bool,
    /// The name shown with steps.
    pub(crate) shown: String,
    /// How many steps were shown.
    pub(crate) step: usize,
    /// How many steps will be shown.
    pub(crate) steps_total: usize,
    /// WORKDIR was used in the file.
    pub(crate) workdir_set: bool,
    /// Where CMD, ENTRYPOINT and HEALTHCHECK were used last.
    pub(crate) cmd: Option<Span>,
    pub(crate) entrypoint: Option<Span>,
    pub(crate) healthcheck: Option<Span>,
}

/// A context that the user gave a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedContext {
    /// The name as the user wrote it.
    pub(crate) key: String,
    /// Where it is.
    pub(crate) value: String,
}

impl Stage {
    /// Makes a stage of a FROM line.
    pub(crate) fn new(source: &Source, base_name: String) -> Self {
        let step = |command: &Command| Step {
            command: command.clone(),
            sources: Vec::new(),
            on_build: false,
            trigger: None,
        };
        Self {
            name: source.name.clone(),
            shown: source.name.clone().unwrap_or_default(),
            base_name,
            span: source.span(),
            comments: source.node.comments.clone(),
            steps: source.commands.iter().map(step).collect(),
            ..Self::default()
        }
    }

    /// Makes a stand-in for an image that COPY or a mount reads.
    pub(crate) fn unregistered(base_name: &str, span: Span) -> Self {
        Self {
            base_name: base_name.to_owned(),
            span,
            kind: Kind::Image,
            ..Self::default()
        }
    }

    /// Takes over what a stage hands down.
    pub(crate) fn inherit(&mut self, base: &Self) {
        self.state = base.state.clone();
        self.platform.clone_from(&base.platform);
        self.image = base.image.clone();
        self.image.config.on_build.clear();
        self.base_image.clone_from(&base.base_image);
        self.paths = base.paths;
        self.workdir_set = base.workdir_set;
        self.args.extend(base.args.iter().cloned());
    }

    /// Returns the operating system it is for.
    pub(crate) fn os(&self) -> &str {
        self.platform.as_ref().map_or("linux", |p| &p.os)
    }

    /// Adds the place of FROM to a fault.
    pub(crate) fn fault(&self, fault: impl Into<Fault>) -> Fault {
        fault.into().within(self.span)
    }
}

/// Paths that are read of something.
pub(crate) type Paths = BTreeSet<String>;

/// Returns the paths to fetch, none where all are.
pub(crate) fn follow_paths(paths: &Paths) -> Vec<String> {
    if paths.contains("/") {
        return Vec::new();
    }
    paths
        .iter()
        .map(|path| path.trim_start_matches('/').to_owned())
        .collect()
}
