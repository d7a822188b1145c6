//! Why a build failed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_graph::SourceFile;
use kiln_graph::Span;
use kiln_image::Digest;
use kiln_image::Platform;

use crate::context::WalkError;
use crate::images::ImageError;
use crate::layers::LayersError;
use crate::request::Entitlement;

/// Whose fault an error is: decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The build failed: the user's files or a step of the build.
    Build,
    /// Wrong use or configuration.
    Usage,
    /// Nobody wants the result any more.
    Canceled,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A cataloger gave no packages.
    #[error(transparent)]
    Catalog(#[from] kiln_plugin::CatalogError),
    /// A scanner gave no report.
    #[error(transparent)]
    Scan(#[from] kiln_plugin::ScanError),
    /// A file that a cataloger wants cannot be read.
    #[error("cannot read `{path}` for a cataloger")]
    ReadForCatalog {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process ended with an exit code that is not valid.
    #[error(
        "process {} did not complete successfully: exit code: {code}",
        quoted(command)
    )]
    Exit {
        /// What ran.
        command: String,
        /// Its exit code.
        code: i32,
    },
    /// A process was killed because memory ran out.
    #[error(
        "process {} did not complete successfully: cannot allocate memory: exit code: {code}",
        quoted(command)
    )]
    OutOfMemory {
        /// What ran.
        command: String,
        /// Its exit code.
        code: i32,
    },
    /// A step could not be started.
    #[error("process {} did not complete successfully", quoted(command))]
    Exec {
        /// What should have run.
        command: String,
        /// Why not.
        #[source]
        source: kiln_exec::ExecError,
    },
    /// The step was cancelled.
    #[error("context canceled")]
    Cancelled,
    /// A step needs what the user did not allow.
    #[error("{} is not allowed (allow it with `--allow {}`)", .0.name(), .0.name())]
    NotEntitled(Entitlement),
    /// A device that a step cannot have.
    #[error(transparent)]
    Device(#[from] kiln_exec::DeviceError),
    /// A secret that the user did not give.
    #[error("secret {0}: not found (give it with `--secret id={0},src=FILE` or `,env=NAME`)")]
    SecretMissing(String),
    /// An SSH agent that the user did not give.
    #[error(
        "unset ssh forward key {0}: no SSH key \"{0}\" forwarded from the client (give it with `--ssh {0}`)"
    )]
    SshMissing(String),
    /// The SSH agent cannot be reached.
    #[error("cannot forward the SSH agent at `{}`", path.display())]
    Ssh {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step for a machine that this one is not.
    #[error(
        "cannot run a step for {platform} on {host}: no emulator is registered (install `qemu-user-static`, which \
         registers `qemu-{interpreter}` with binfmt_misc, or build the stage for {host} with `FROM --platform=$BUILDPLATFORM`)"
    )]
    Platform {
        /// What the step is for.
        platform: Platform,
        /// What the machine is.
        host: Platform,
        /// The emulator's name.
        interpreter: String,
    },
    /// An emulator that is not in the step's root file system, and that the kernel does not hold open.
    #[error(
        "cannot run a step for {platform} on {host}: the emulator `{}` is registered without the flag `F`, so it would \
         have to be in the image (register it with `F`: `qemu-user-static` of Debian and `tonistiigi/binfmt` do)", path.display()
    )]
    EmulatorNotOpened {
        /// What the step is for.
        platform: Platform,
        /// What the machine is.
        host: Platform,
        /// The emulator.
        path: PathBuf,
    },
    /// Something that is known but not done yet.
    #[error("{0} is not supported yet")]
    NotYet(&'static str),
    /// A step without a root file system.
    #[error("the step has no root mount")]
    NoRoot,
    /// A value that cannot be read.
    #[error("`{value}` is not a value of `{key}`")]
    Attribute {
        /// The attribute.
        key: String,
        /// The value.
        value: String,
    },
    /// A source of a file operation cannot be read.
    #[error("cannot read `{path}`")]
    ReadSource {
        /// The file.
        path: kiln_tree::TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path that cannot be used.
    #[error("unusable path")]
    Path(#[source] kiln_tree::PathError),
    /// The user of a step cannot be found.
    #[error("process {} did not complete successfully", quoted(command))]
    User {
        /// What should have run.
        command: String,
        /// Why there is no such user.
        #[source]
        source: kiln_tree::users::UserError,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(kiln_tree::OpError),
    /// What an operation reads of an input is not there or cannot be hashed. One line, as people search for it.
    #[error(
        "failed to compute cache key: failed to calculate checksum of ref {vertex}: {problem}{}",
        why(problem)
    )]
    Checksum {
        /// The step that reads it.
        vertex: Digest,
        /// Why.
        problem: kiln_tree::OpError,
    },
    /// A layer cannot be read or made.
    #[error(transparent)]
    Layers(#[from] LayersError),
    /// An image cannot be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file or a repository cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] kiln_fetch::FetchError),
    /// What a source is now cannot be found out.
    #[error("failed to load cache key")]
    SourceKey(#[source] kiln_fetch::FetchError),
    /// A context cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A source that the user's policy denies, or a policy that comes to no end.
    #[error(transparent)]
    Policy(#[from] kiln_graph::PolicyError),
    /// A source that is not understood.
    #[error(
        "unknown source `{0}` (expected docker-image://, oci-layout://, local://, git://, http:// or https://)"
    )]
    UnknownSource(String),
    /// A context that was not given.
    #[error("no context named `{0}` (give it with `--build-context {0}=…`)")]
    NoContext(String),
    /// A context that is no repository any more.
    #[error("unable to prepare context: `{}` is not a git repository", .0.display())]
    NoRepository(PathBuf),
    /// A cache mount's directory cannot be used.
    #[error("cannot use the cache mount `{id}`")]
    CacheMount {
        /// The cache's name.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A context archive cannot be unpacked.
    #[error("cannot read the context archive `{}`", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: kiln_layer::LayerError,
    },
    /// A thread of the engine panicked: a bug.
    #[error("internal error: {0}")]
    Panicked(String),
}

/// A place in a build file.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Where in it.
    pub span: Span,
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The frontend refused the build file.
    #[error("{0}")]
    Frontend(Box<kiln_plugin::Failure>),
    /// The frontend itself failed: a trap, a limit, a denied import.
    #[error(transparent)]
    Plugin(kiln_plugin::PluginError),
    /// The frontend returned a graph that is none.
    #[error("frontend `{plugin}` returned an invalid graph")]
    Graph {
        /// The frontend.
        plugin: String,
        /// What is wrong.
        #[source]
        source: kiln_graph::GraphError,
    },
    /// A step failed.
    #[error("failed to solve")]
    Step {
        /// The step's name.
        name: String,
        /// Its digest.
        vertex: Digest,
        /// Where it comes from.
        places: Vec<Place>,
        /// What went wrong.
        #[source]
        source: kiln_solver::OpError,
    },
    /// The build file cannot be read.
    #[error("failed to read dockerfile: open {name}: no such file or directory")]
    NoBuildFile {
        /// Its name.
        name: String,
        /// The directory that was looked in.
        directory: PathBuf,
    },
    /// An operation outside any step failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The result could not be written.
    #[error("failed to export")]
    Export(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cache could not be left where the user wants it.
    #[error("failed to export cache")]
    CacheExport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] kiln_store::StoreError),
    /// The request asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// The build was cancelled.
    #[error("context canceled")]
    Canceled,
}

impl BuildError {
    /// Returns whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Usage(_) => Fault::Usage,
            Self::Canceled => Fault::Canceled,
            _ => Fault::Build,
        }
    }
}

/// Returns what is behind a problem, for a text that has to be one line.
fn why(problem: &kiln_tree::OpError) -> String {
    std::error::Error::source(problem).map_or_else(String::new, |source| format!(": {source}"))
}

/// Returns text as Go's `%q` does, in quotes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}
