//! How an engine is set up. The caller decides; the engine reads no environment and no home directory.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_cache::AdapterPlace;
use kiln_exec::Executor;
use kiln_image::Platform;
use kiln_plugin::Authority;
use kiln_plugin::CacheAdapter;
use kiln_plugin::Cataloger;
use kiln_plugin::Frontend;
use kiln_plugin::Ledger;
use kiln_plugin::MemoStore;
use kiln_plugin::PluginError;
use kiln_plugin::Scanner;

/// Opens frontends. The command line wires it to the component runtime; tests to what they like.
#[async_trait]
pub trait Frontends: Send + Sync {
    /// Returns the frontend that `reference` names, or the default one, which remembers its answers in `memo` if it
    /// can. Without a memo nothing of the call may stay. What it does is noted in `ledger`.
    ///
    /// # Errors
    /// When there is none, or it cannot be loaded.
    async fn open(
        &self,
        reference: Option<&str>,
        memo: Option<Arc<dyn MemoStore>>,
        ledger: &Ledger,
    ) -> Result<Arc<dyn Frontend>, PluginError>;
}

/// What a plugin is told by the user: names and values.
pub type Options = Vec<(String, String)>;

/// What finds out what is in an image.
#[derive(Clone, Default)]
pub struct Finders {
    /// Those that get files.
    pub catalogers: Vec<Arc<dyn Cataloger>>,
    /// Those that look through the tree, each with its options.
    pub scanners: Vec<(Arc<dyn Scanner>, Options)>,
}

impl std::fmt::Debug for Finders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let catalogers = self.catalogers.iter().map(|one| one.component().name);
        let scanners = self.scanners.iter().map(|(one, _)| one.component().name);
        f.debug_list().entries(catalogers.chain(scanners)).finish()
    }
}

/// Opens catalogers and scanners.
#[async_trait]
pub trait Catalogers: Send + Sync {
    /// Returns the built-in ones and those that `more` names. What they do is noted in `ledger`.
    ///
    /// # Errors
    /// When one is not there, or cannot be loaded.
    async fn open(&self, more: &[String], ledger: &Ledger) -> Result<Finders, PluginError>;
}

/// A cache adapter that was opened, with what it may do and what the user says of it everywhere.
pub struct OpenedAdapter {
    /// The adapter.
    pub adapter: Arc<dyn CacheAdapter>,
    /// What it may do.
    pub authority: Authority,
    /// Parameters that are not of one `--cache-to` alone.
    pub options: Options,
}

impl std::fmt::Debug for OpenedAdapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedAdapter")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// Opens cache adapters.
#[async_trait]
pub trait Adapters: Send + Sync {
    /// Returns the adapter that keeps a cache. What it does is noted in `ledger`.
    ///
    /// # Errors
    /// When there is none, or it cannot be loaded.
    async fn open(&self, place: &AdapterPlace, ledger: &Ledger) -> Result<OpenedAdapter, PluginError>;
}

/// How steps get layers as a file system that they may change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Snapshotter {
    /// By overlays where they can be mounted, else by copying.
    #[default]
    Auto,
    /// By overlays.
    Overlay,
    /// By copying all layers for every step.
    Copy,
}

impl Snapshotter {
    /// Returns the one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "overlay" => Some(Self::Overlay),
            "copy" => Some(Self::Copy),
            _ => None,
        }
    }
}

/// How an engine is set up.
pub struct Config {
    /// Directory of the store.
    pub root: PathBuf,
    /// Platform that steps run on.
    pub platform: Platform,
    /// Most steps that run at a time.
    pub parallelism: usize,
    /// Threads for reading contexts and compressing.
    pub threads: usize,
    /// Runs steps.
    pub executor: Arc<dyn Executor>,
    /// Network of steps that do not say.
    pub network: kiln_exec::Network,
    /// How steps get their file systems.
    pub snapshotter: Snapshotter,
    /// Devices that steps can ask for.
    pub devices: kiln_exec::Devices,
    /// Opens frontends.
    pub frontends: Arc<dyn Frontends>,
    /// Opens catalogers.
    pub catalogers: Arc<dyn Catalogers>,
    /// Opens cache adapters.
    pub adapters: Arc<dyn Adapters>,
    /// How registries are talked to.
    pub registry: kiln_registry::Client,
    /// How files and repositories are fetched.
    pub fetch: kiln_fetch::Config,
    /// Files cannot be given owners here: neither root nor inside a user namespace.
    pub unprivileged: bool,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("root", &self.root)
            .field("platform", &self.platform)
            .field("parallelism", &self.parallelism)
            .finish_non_exhaustive()
    }
}
