//! A build as it is asked for. Every field is checked and in the engine's own types; nothing here comes from a
//! terminal, an environment or a home directory.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_cache::CacheFrom;
use kiln_cache::CacheTo;
use kiln_export::Output;
use kiln_graph::SourcePolicy;
use kiln_image::Platform;
use kiln_image::Reference;

use crate::attest::Attestations;

/// Where a tree of files comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A directory of this machine, read in place.
    Directory(PathBuf),
    /// A tar archive (plain, gzip, bzip2, xz or zstd) in a file of this machine.
    Archive(PathBuf),
    /// A git repository or a file of an http server, by URL.
    Remote(String),
    /// A repository without working tree on this machine.
    Repository {
        /// Its directory.
        path: PathBuf,
        /// Branch, tag or commit; empty is what `HEAD` names.
        reference: String,
        /// Directory inside the repository; empty is all of it.
        subdir: String,
    },
    /// No files.
    Empty,
}

/// A further context that a build file can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// Files.
    Files(Context),
    /// An image of a registry or of the local store.
    Image(String),
    /// An image of an OCI layout directory or archive, maybe by tag or digest.
    OciLayout {
        /// The layout's directory or archive.
        path: PathBuf,
        /// What follows the path: `tag` or `@sha256:…`.
        selector: Option<String>,
    },
    /// Something that the frontend resolves itself: a git or http URL.
    Remote(String),
}

/// The build file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildFile {
    /// A file in a directory of this machine, which may hold a `<name>.dockerignore` as well.
    Path {
        /// The directory.
        directory: PathBuf,
        /// The file's name in it.
        name: String,
    },
    /// A file of an http server.
    Remote(String),
    /// A file of the main context, which is an archive, a repository or on a server.
    InContext {
        /// Its path in the context.
        name: String,
    },
    /// A text that has no place.
    Inline {
        /// The name to show.
        name: String,
        /// The text.
        data: Arc<[u8]>,
    },
}

impl BuildFile {
    /// Returns the name to show.
    pub fn name(&self) -> &str {
        match self {
            Self::Path { name, .. } | Self::InContext { name } | Self::Inline { name, .. } => name,
            Self::Remote(_) => "Dockerfile",
        }
    }
}

/// Something that a step may do only when the user allowed it, by BuildKit's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entitlement {
    /// `network.host`.
    NetworkHost,
    /// `security.insecure`.
    SecurityInsecure,
}

impl Entitlement {
    /// Returns the name that `--allow` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::NetworkHost => "network.host",
            Self::SecurityInsecure => "security.insecure",
        }
    }

    /// Returns the entitlement of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NetworkHost, Self::SecurityInsecure]
            .into_iter()
            .find(|e| e.name() == name)
    }
}

/// A secret's value. Never printed, stored or hashed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Arc<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Which steps do not use the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// All steps use it.
    #[default]
    Never,
    /// No step uses it.
    Always,
    /// The steps of these stages do not.
    Stages(Vec<String>),
}

/// A build that can run.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The main context.
    pub context: Context,
    /// The build file.
    pub build_file: BuildFile,
    /// Frontend to use, as `--plugin` or `# syntax=` name it; none is decided by the build file.
    pub frontend: Option<String>,
    /// Stage to build.
    pub target: Option<String>,
    /// Build arguments in the order given.
    pub args: Vec<(String, String)>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Platforms; empty is the machine's own.
    pub platforms: Vec<Platform>,
    /// Named contexts.
    pub contexts: Vec<(String, NamedContext)>,
    /// More for the frontend, by BuildKit's attribute names.
    pub options: Vec<(String, String)>,
    /// Steps that do not use the cache.
    pub no_cache: NoCache,
    /// Caches of elsewhere that are looked into.
    pub cache_from: Vec<CacheFrom>,
    /// Where the cache of this build is left.
    pub cache_to: Vec<CacheTo>,
    /// Ask registries even for images that are here.
    pub pull: bool,
    /// What becomes of the result.
    pub outputs: Vec<Output>,
    /// Names of the image.
    pub tags: Vec<Reference>,
    /// Annotations of the image manifest.
    pub annotations: BTreeMap<String, String>,
    /// What steps may do beyond the sandbox.
    pub entitlements: BTreeSet<Entitlement>,
    /// Which sources may be used, and what stands in for them.
    pub source_policies: Vec<SourcePolicy>,
    /// Devices that steps may use.
    pub devices: kiln_exec::DeviceGrants,
    /// Secrets by id.
    pub secrets: BTreeMap<String, Secret>,
    /// SSH agent sockets by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// What is said of the images.
    pub attestations: Attestations,
    /// `SOURCE_DATE_EPOCH`: no time in the result is later, and created times are this. Seconds since 1970.
    pub epoch: Option<i64>,
    /// Where it is noted what plugins do.
    pub ledger: kiln_plugin::Ledger,
}
