//! What the instructions say once they are understood.

use super::mount::Device;
use super::mount::Mount;
use crate::ast::Node;
use crate::span::Span;

/// A build stage: a `FROM` and everything up to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The name after `AS`, in lower case.
    pub name: Option<String>,
    /// The image or stage it starts from, as written: variables are not expanded.
    pub base_name: String,
    /// What `--platform` says, as written: variables are not expanded.
    pub platform: Option<String>,
    /// What the comment above says about the stage, without the stage's name.
    pub comment: String,
    /// The instructions, `FROM` not included.
    pub commands: Vec<Command>,
    /// The `FROM` line.
    pub node: Node,
}

impl Stage {
    /// Returns the `FROM` line as one line, without the spaces around it.
    pub fn code(&self) -> &str {
        self.node.original.trim()
    }

    /// Returns the place of the `FROM` line.
    pub fn span(&self) -> Span {
        self.node.span
    }

    /// Tells whether this is the stage of that name. Case does not matter.
    pub fn is_named(&self, name: &str) -> bool {
        self.name
            .as_ref()
            .is_some_and(|own| own.to_lowercase() == name.to_lowercase())
    }
}

/// An instruction of a stage, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What it says.
    pub instruction: Instruction,
    /// How and where it is written.
    pub node: Node,
}

impl Command {
    /// Returns the instruction's name as written, in whatever case.
    pub fn name(&self) -> &str {
        &self.node.name.text
    }

    /// Returns the instruction as one line, without heredocs: what step names show.
    pub fn code(&self) -> &str {
        self.node.original.trim()
    }

    /// Returns the place of the instruction.
    pub fn span(&self) -> Span {
        self.node.span
    }

    /// Returns the comment lines directly above, without `#`.
    pub fn comments(&self) -> &[String] {
        &self.node.comments
    }
}

/// What one instruction says. `FROM` is a [`Stage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD source… dest`
    Add(AddCommand),
    /// `ARG name[=default]…`
    Arg(ArgCommand),
    /// `CMD command`
    Cmd(CommandLine),
    /// `COPY source… dest`
    Copy(CopyCommand),
    /// `ENTRYPOINT command`
    Entrypoint(CommandLine),
    /// `ENV name=value…`
    Env(Vec<KeyValue>),
    /// `EXPOSE port…`: the words sorted as text, variables not expanded and not yet split.
    Expose(Vec<String>),
    /// `HEALTHCHECK NONE` or `HEALTHCHECK CMD command`
    Healthcheck(HealthConfig),
    /// `LABEL name=value…`
    Label(Vec<KeyValue>),
    /// `MAINTAINER text`
    Maintainer(String),
    /// `ONBUILD instruction`
    Onbuild(OnbuildCommand),
    /// `RUN command`
    Run(RunCommand),
    /// `SHELL ["program", "argument"…]`
    Shell(Vec<String>),
    /// `STOPSIGNAL signal`
    Stopsignal(String),
    /// `USER user[:group]`
    User(String),
    /// `VOLUME path…`
    Volume(Vec<String>),
    /// `WORKDIR path`
    Workdir(String),
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The name, never empty.
    pub key: String,
    /// The value.
    pub value: String,
    /// Whether it was written `name value`, without `=`: the old form.
    pub legacy: bool,
}

/// A build argument and its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgPair {
    /// The name.
    pub key: String,
    /// What it is when the build does not say.
    pub value: Option<String>,
    /// What the comment above says about it, without its name.
    pub comment: String,
}

/// `ARG`: one or several build arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgCommand {
    /// The arguments, at least one.
    pub args: Vec<ArgPair>,
}

/// What is copied where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourcesAndDest {
    /// The destination.
    pub dest: String,
    /// Paths, URLs or patterns.
    pub paths: Vec<String>,
    /// Inline files, from heredocs.
    pub contents: Vec<SourceContent>,
}

/// An inline file that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceContent {
    /// The file name.
    pub path: String,
    /// The content, tabs dropped where `<<-` asks for it.
    pub data: String,
    /// Whether variables in it are expanded.
    pub expand: bool,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddCommand {
    /// What is added where.
    pub sources: SourcesAndDest,
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
    /// `--link`
    pub link: bool,
    /// `--exclude`, in order
    pub exclude: Vec<String>,
    /// `--keep-git-dir`, when given
    pub keep_git_dir: Option<bool>,
    /// `--checksum`
    pub checksum: Option<String>,
    /// `--unpack`, when given
    pub unpack: Option<bool>,
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyCommand {
    /// What is copied where.
    pub sources: SourcesAndDest,
    /// `--from`: a stage, its number, an image or a named context. Never expanded.
    pub from: Option<String>,
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--exclude`, in order
    pub exclude: Vec<String>,
}

/// A command as RUN, CMD and ENTRYPOINT take it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    /// The words of the JSON array, or the whole text as one word, or nothing.
    pub args: Vec<String>,
    /// The heredocs (RUN only).
    pub files: Vec<InlineFile>,
    /// Whether the text is handed to the shell: true unless it was a JSON array.
    pub shell_form: bool,
}

/// A heredoc of RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFile {
    /// The word that ends it.
    pub name: String,
    /// The content, leading tabs included.
    pub data: String,
    /// Whether leading tabs are to be dropped.
    pub chomp: bool,
}

impl InlineFile {
    /// Returns the content without leading tabs where `<<-` asks for it.
    pub fn text(&self) -> String {
        if self.chomp {
            crate::heredoc::chomp(&self.data)
        } else {
            self.data.clone()
        }
    }
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunCommand {
    /// What is run.
    pub command: CommandLine,
    /// The values of `--mount`, as written.
    pub mount_flags: Vec<String>,
    /// The mounts. Before [`Command::expand`] only `from` is known, which cannot hold a variable.
    pub mounts: Vec<Mount>,
    /// `--network`
    pub network: Network,
    /// `--security`
    pub security: Security,
    /// `--device`, in order
    pub devices: Vec<Device>,
    /// The names of the flags that were given, sorted.
    pub flags_used: Vec<String>,
}

/// What a RUN step sees of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// `default`: what the build says.
    #[default]
    Default,
    /// `none`: nothing.
    None,
    /// `host`: everything the host sees.
    Host,
}

/// How a RUN step is locked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// `sandbox`
    #[default]
    Sandbox,
    /// `insecure`: all privileges.
    Insecure,
}

/// `HEALTHCHECK`. Times are in nanoseconds, 0 is "not given".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthConfig {
    /// `["NONE"]`, `["CMD-SHELL", text]` or `["CMD", word…]`.
    pub test: Vec<String>,
    /// `--interval`
    pub interval: i64,
    /// `--timeout`
    pub timeout: i64,
    /// `--start-period`
    pub start_period: i64,
    /// `--start-interval`
    pub start_interval: i64,
    /// `--retries`
    pub retries: i32,
}

/// `ONBUILD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnbuildCommand {
    /// The stored instruction, heredocs included: what goes into the image.
    pub expression: String,
}
