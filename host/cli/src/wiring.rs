//! Puts the engine together: where state lives, who runs steps, where frontends come from.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_cache::AdapterPlace;
use kiln_engine::Adapters;
use kiln_engine::Catalogers;
use kiln_engine::Config;
use kiln_engine::Engine;
use kiln_engine::Finders;
use kiln_engine::Frontends;
use kiln_engine::OpenedAdapter;
use kiln_engine::Snapshotter;
use kiln_exec::Devices;
use kiln_exec::Executor;
use kiln_exec::NativeExecutor;
use kiln_exec::Network;
use kiln_exec::OciExecutor;
use kiln_image::Platform;
use kiln_plugin::Authority;
use kiln_plugin::Frontend;
use kiln_plugin::Grant;
use kiln_plugin::GrantedFrontend;
use kiln_plugin::Grants;
use kiln_plugin::Ledger;
use kiln_plugin::MemoStore;
use kiln_plugin::PluginError;
use kiln_plugin::PluginKind;
use kiln_plugin::Policies;
use kiln_plugin::Selection;
use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;

use crate::args::ArgError;
use crate::args::Surroundings;
use crate::compiler::Helper;
use crate::embedded;
use crate::exit::Failure;
use crate::plugins::PluginStore;
use crate::plugins::Resolved;
use crate::plugins::Resolver;
use crate::plugins::Traced;
use crate::plugins::unusable;
use crate::report::Report;
use crate::settings::Settings;

/// What the embedded frontend for Dockerfiles is called.
const DOCKERFILE_NAME: &str = "builtin:dockerfile";

/// What a command wants of the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// OCI runtime, instead of the configured one.
    pub(crate) oci_runtime: Option<String>,
    /// Most steps at a time, instead of the configured number.
    pub(crate) parallelism: Option<std::num::NonZeroUsize>,
    /// How steps get their file systems, instead of the configured way.
    pub(crate) snapshotter: Option<String>,
    /// Where devices are described, instead of the configured directories.
    pub(crate) cdi_spec_dirs: Vec<PathBuf>,
    /// Registries that may be insecure, beside the configured ones.
    pub(crate) insecure_registries: Vec<String>,
    /// Limits of plugins, `NAME=VALUE`.
    pub(crate) plugin_limits: Vec<String>,
    /// Which plugins, and how they are found.
    pub(crate) plugins: WantedPlugins,
}

/// What a command wants of plugins.
#[derive(Debug, Clone, Default)]
pub(crate) struct WantedPlugins {
    /// Those that flags select.
    pub(crate) selections: Vec<Selection>,
    /// Only those of `kiln.lock`.
    pub(crate) locked: bool,
    /// Nothing is fetched.
    pub(crate) offline: bool,
    /// A policy beside the machine's.
    pub(crate) policy: Option<PathBuf>,
    /// Where the call of the frontend is written down.
    pub(crate) trace: Option<PathBuf>,
}

/// Returns the directory of the store: `$KILN_HOME`, `$XDG_DATA_HOME/kiln`, `~/.local/share/kiln`, for root
/// `/var/lib/kiln`.
///
/// # Errors
/// When there is neither of these variables nor a home directory.
pub(crate) fn root(around: &Surroundings) -> Result<PathBuf, ArgError> {
    let set = |name: &str| around.env.get(name).filter(|value| !value.is_empty());
    if let Some(home) = set("KILN_HOME") {
        return Ok(around.path(home));
    }
    // Inside the user namespace everybody is root; the marker tells who was it before.
    if is_root() {
        return Ok(PathBuf::from("/var/lib/kiln"));
    }
    let data = set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let data = data.or_else(|| set("HOME").map(|home| Path::new(home).join(".local/share")));
    let data = data
        .ok_or_else(|| ArgError::new("cannot tell where the store is: neither KILN_HOME nor HOME is set"))?;
    Ok(data.join("kiln"))
}

/// Tells whether the user is root outside any user namespace that this program made.
fn is_root() -> bool {
    rustix::process::geteuid().is_root() && !is_mapped()
}

/// Tells whether root is somebody else outside.
fn is_mapped() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut words = map.split_whitespace();
    words.next() == Some("0") && words.next().is_some_and(|outside| outside != "0")
}

/// Opens the engine.
///
/// # Errors
/// When something is configured wrongly or the store cannot be used.
pub(crate) fn engine(around: &Surroundings, settings: &Settings, wanted: &Wanted) -> Result<Engine, Failure> {
    let root = root(around)?;
    let executor = executor(&root, settings, wanted)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parallelism = wanted
        .parallelism
        .or(settings.max_parallelism)
        .map_or(threads, usize::from);
    let found = resolver(around, settings, wanted)?;
    let components = Arc::new(Components::new(&root, found, wanted)?);
    let config = Config {
        frontends: components.clone(),
        catalogers: components.clone(),
        adapters: components,
        platform: Platform::host(),
        parallelism,
        threads,
        executor,
        network: Network::Default,
        snapshotter: snapshotter(settings, wanted)?,
        devices: devices(settings, wanted),
        registry: registry(around, settings, wanted)?,
        fetch: fetch(around, &root, wanted.plugins.offline),
        unprivileged: !rustix::process::geteuid().is_root(),
        root,
    };
    Ok(Engine::open(config)?)
}

/// Returns how steps get their file systems.
fn snapshotter(settings: &Settings, wanted: &Wanted) -> Result<Snapshotter, ArgError> {
    let Some(name) = wanted.snapshotter.as_ref().or(settings.snapshotter.as_ref()) else {
        return Ok(Snapshotter::Auto);
    };
    let error = || ArgError::value("--snapshotter", name, "auto, overlay or copy");
    Snapshotter::from_name(name).ok_or_else(error)
}

/// Returns the devices that steps can ask for.
fn devices(settings: &Settings, wanted: &Wanted) -> Devices {
    let given = [&wanted.cdi_spec_dirs, &settings.cdi.spec_dirs];
    let given = given.into_iter().find(|dirs| !dirs.is_empty());
    Devices::new(given.map_or_else(|| Devices::DIRS.map(PathBuf::from).to_vec(), Clone::clone))
}

/// Returns how files and repositories are fetched.
fn fetch(around: &Surroundings, root: &Path, offline: bool) -> kiln_fetch::Config {
    let proxies = proxies(around);
    let set = |name: &str| around.env.get(name).filter(|value| !value.is_empty());
    let home = set("HOME").map(PathBuf::from);
    let known = home.into_iter().flat_map(|home| {
        let ssh = home.join(".ssh");
        [ssh.join("known_hosts"), ssh.join("known_hosts2")]
    });
    kiln_fetch::Config {
        user_agent: format!("kiln/{}", env!("CARGO_PKG_VERSION")),
        proxies: kiln_fetch::Proxies {
            http: proxies.http,
            https: proxies.https,
            except: proxies.except,
        },
        limits: kiln_fetch::Limits::default(),
        offline,
        git: PathBuf::from("git"),
        path: set("PATH")
            .cloned()
            .unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
        repositories: root.join("git"),
        known_hosts: known.chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect(),
    }
}

/// Returns how registries are talked to.
///
/// # Errors
/// When the credentials file cannot be understood.
fn registry(
    around: &Surroundings,
    settings: &Settings,
    wanted: &Wanted,
) -> Result<kiln_registry::Client, Failure> {
    let configured = settings.registry.iter().filter(|(_, registry)| registry.insecure);
    let insecure = configured
        .map(|(host, _)| host.clone())
        .chain(wanted.insecure_registries.clone());
    let mut config = kiln_registry::Config {
        insecure: insecure.collect(),
        offline: wanted.plugins.offline,
        ..kiln_registry::Config::default()
    };
    config.proxies = proxies(around);
    if let Some(file) = docker_config(around) {
        let credentials = kiln_registry::DockerConfig::load(&file);
        config.credentials = Arc::new(credentials.map_err(|e| Failure::failed(Report::of(&e)))?);
    }
    kiln_registry::Client::new(config).map_err(|e| Failure::failed(Report::of(&e)))
}

/// Returns the proxies that the environment names.
fn proxies(around: &Surroundings) -> kiln_registry::Proxies {
    let variable = |name: &str| {
        let lower = around
            .env
            .get(&name.to_lowercase())
            .filter(|value| !value.is_empty());
        lower
            .or_else(|| around.env.get(name))
            .filter(|value| !value.is_empty())
            .cloned()
    };
    kiln_registry::Proxies {
        http: variable("HTTP_PROXY"),
        https: variable("HTTPS_PROXY"),
        except: variable("NO_PROXY").unwrap_or_default(),
    }
}

/// Returns what runs steps.
///
/// # Errors
/// When it cannot be set up.
pub(crate) fn executor(
    root: &Path,
    settings: &Settings,
    wanted: &Wanted,
) -> Result<Arc<dyn Executor>, Failure> {
    let failed = |error: kiln_exec::ExecError| Failure::failed(Report::of(&error));
    match wanted.oci_runtime.as_ref().or(settings.oci_runtime.as_ref()) {
        Some(runtime) => Ok(Arc::new(
            OciExecutor::new(runtime, root.join("exec")).map_err(failed)?,
        )),
        None => Ok(Arc::new(NativeExecutor::new().map_err(failed)?)),
    }
}

/// Frontends as components. The runtime is set up when it is first needed: a command that builds nothing does not pay
/// for it.
struct Components {
    resolver: Resolver,
    config: std::sync::Mutex<Option<RuntimeConfig>>,
    runtime: tokio::sync::OnceCell<Runtime>,
    /// Where the call of the first frontend is written down.
    trace: std::sync::Mutex<Option<PathBuf>>,
}

impl Components {
    fn new(root: &Path, resolver: Resolver, wanted: &Wanted) -> Result<Self, Failure> {
        let config = limited(runtime_config(root), &resolver, &wanted.plugin_limits)?;
        let trace = wanted
            .plugins
            .trace
            .as_ref()
            .map(|file| resolver.directory.join(file));
        Ok(Self {
            trace: std::sync::Mutex::new(trace),
            resolver,
            config: std::sync::Mutex::new(Some(config)),
            runtime: tokio::sync::OnceCell::new(),
        })
    }

    async fn runtime(&self) -> Result<&Runtime, PluginError> {
        self.runtime
            .get_or_try_init(|| async {
                let mut config = self
                    .config
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                Runtime::open(config.take().unwrap_or_default())
                    .map_err(|e| unusable(DOCKERFILE_NAME, e.to_string()))
            })
            .await
    }
}

/// Sets limits: the user's, and then the operator's, which only lower them.
fn limited(
    mut config: RuntimeConfig,
    resolver: &Resolver,
    limits: &[String],
) -> Result<RuntimeConfig, Failure> {
    let kinds = [
        (PluginKind::Frontend, &mut config.frontend),
        (PluginKind::Cataloger, &mut config.cataloger),
        (PluginKind::Scanner, &mut config.scanner),
        (PluginKind::Cache, &mut config.cache),
    ];
    for (kind, own) in kinds {
        for limit in limits {
            let set = own.set_of(kind, limit);
            set.map_err(|e| Failure::usage(Report::prefixed("invalid `--plugin-limit`", &e)))?;
        }
        let capped = resolver.policies.cap(kind, own);
        capped.map_err(|(file, error)| {
            let what = format!("cannot use the policy `{}`", file.display());
            Failure::usage(Report::prefixed(&what, &error))
        })?;
    }
    Ok(config)
}

/// Tells whether a reference means the embedded frontend: by its own name, or by the image that `# syntax=` lines of
/// Dockerfiles name.
fn is_dockerfile(reference: &str) -> bool {
    let image = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let image = image.strip_prefix("docker/dockerfile").unwrap_or("-");
    reference == DOCKERFILE_NAME || image.is_empty() || image.starts_with([':', '@'])
}

#[async_trait]
impl Catalogers for Components {
    async fn open(&self, more: &[String], ledger: &Ledger) -> Result<Finders, PluginError> {
        let runtime = self.runtime().await?.with_ledger(ledger);
        let mut given = Vec::new();
        for reference in more {
            given.push(self.resolver.find(reference).await?);
        }
        // Compiling takes seconds when there is no machine code yet.
        let ledger = ledger.clone();
        let load = move || {
            let mut all = Finders::default();
            for plugin in embedded::catalogers() {
                let name = format!("builtin:{}", plugin.name);
                let cataloger = runtime.cataloger(&name, plugin.component, plugin.code)?;
                all.catalogers.push(cataloger);
            }
            for found in given {
                let (name, component) = (&found.name, &found.component);
                match found.seen.kind {
                    Some(PluginKind::Scanner) => {
                        let scanner = runtime.scanner(name, component, found.code)?;
                        all.scanners.push((scanner, found.options));
                    }
                    _ => all
                        .catalogers
                        .push(runtime.cataloger(name, component, found.code)?),
                }
                // These kinds get nothing that could be granted; what they ask for is told all the same.
                let asked: Vec<String> = found.seen.asks().iter().map(ToString::to_string).collect();
                ledger.granted(name, &asked, Vec::new());
            }
            match all.catalogers.is_empty() && all.scanners.is_empty() {
                true => Err(unusable(
                    "builtin:cataloger-debian",
                    "this program was built without catalogers (build them with `cargo xtask plugins`, or give one \
                     with `--sbom=generator=PATH`)",
                )),
                false => Ok(all),
            }
        };
        let loaded = tokio::task::spawn_blocking(load).await;
        loaded.map_err(|error| unusable("builtin:cataloger", error.to_string()))?
    }
}

#[async_trait]
impl Adapters for Components {
    async fn open(&self, place: &AdapterPlace, ledger: &Ledger) -> Result<OpenedAdapter, PluginError> {
        let found = self.resolver.find(&adapter_reference(&place.plugin)).await?;
        let runtime = self.runtime().await?.with_ledger(ledger);
        let mut authority = found.authority(&self.resolver.policies, ledger);
        if authority.grants == Grants::All {
            // What comes with the program reaches what the user names, and nothing else.
            authority.grants = named_by(&place.config);
        }
        load_adapter(runtime, found, authority).await
    }
}

/// Returns what a type of `--cache-to` is as a plugin's reference: a part of the program goes by its short name.
fn adapter_reference(kind: &str) -> String {
    match embedded::find(&format!("cache-{kind}")) {
        Some(plugin) => format!("builtin:{}", plugin.name),
        None => kind.to_owned(),
    }
}

/// Returns the hosts of URLs, and the secrets, that the user's parameters name.
fn named_by(config: &[(String, String)]) -> Grants {
    let grants = config.iter().filter_map(|(key, value)| match key.as_str() {
        "auth" => Some(Grant::Secret(value.clone())),
        _ => kiln_plugin::source_host(value)
            .filter(|_| value.starts_with("http"))
            .map(Grant::Http),
    });
    grants.collect()
}

/// Loads a cache adapter that was found.
///
/// # Errors
/// It is of another kind, or does not load.
pub(crate) async fn load_adapter(
    runtime: Runtime,
    found: Resolved,
    authority: Authority,
) -> Result<OpenedAdapter, PluginError> {
    if let Some(kind) = found.seen.kind.filter(|kind| *kind != PluginKind::Cache) {
        let message = format!("it is a {kind}, and caches are kept by a cache adapter");
        return Err(unusable(&found.name, message));
    }
    let asked: Vec<String> = found.seen.asks().iter().map(ToString::to_string).collect();
    let (options, plugin) = (found.options, found.name.clone());
    let (component, code) = (found.component, found.code);
    // Compiling takes seconds when there is no machine code yet.
    let compile = move || runtime.adapter(&found.name, &component, code);
    let loaded = tokio::task::spawn_blocking(compile).await;
    let adapter = loaded.map_err(|error| unusable(&plugin, error.to_string()))??;
    authority
        .ledger
        .granted(&plugin, &asked, authority.grants.names());
    Ok(OpenedAdapter {
        adapter,
        authority,
        options,
    })
}

#[async_trait]
impl Frontends for Components {
    async fn open(
        &self,
        reference: Option<&str>,
        memo: Option<Arc<dyn MemoStore>>,
        ledger: &Ledger,
    ) -> Result<Arc<dyn Frontend>, PluginError> {
        let reference = reference.filter(|reference| !is_dockerfile(reference));
        let plugin = reference.unwrap_or(DOCKERFILE_NAME);
        let found = self.resolver.find(plugin).await?;
        let runtime = self.runtime().await?.with_memo(memo).with_ledger(ledger);
        let inner = load(runtime, found, &self.resolver.policies, ledger).await?;
        let trace = self
            .trace
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        Ok(match trace {
            Some(file) => Arc::new(Traced {
                inner,
                plugin: plugin.to_owned(),
                file,
            }),
            None => inner,
        })
    }
}

/// Loads a plugin that was found, held to its authority.
///
/// # Errors
/// It is not a frontend, or does not load.
pub(crate) async fn load(
    runtime: Runtime,
    found: Resolved,
    policies: &Policies,
    ledger: &Ledger,
) -> Result<Arc<dyn Frontend>, PluginError> {
    if let Some(kind) = found.seen.kind.filter(|kind| *kind != PluginKind::Frontend) {
        let message = format!("it is a {kind}, and a build file is read by a frontend");
        return Err(unusable(&found.name, message));
    }
    let authority = found.authority(policies, ledger);
    let asked: Vec<String> = found.seen.asks().iter().map(ToString::to_string).collect();
    let (options, plugin) = (found.options, found.name.clone());
    let (component, code) = (found.component, found.code);
    // Compiling takes seconds when there is no machine code yet.
    let compile = move || runtime.frontend(&found.name, &component, code);
    let loaded = tokio::task::spawn_blocking(compile).await;
    let loaded = loaded.map_err(|error| unusable(&plugin, error.to_string()))??;
    ledger.granted(&plugin, &asked, authority.grants.names());
    Ok(Arc::new(GrantedFrontend::new(loaded, authority, options)))
}

/// Returns what finds plugins.
///
/// # Errors
/// When a file that says something of plugins cannot be understood.
pub(crate) fn resolver(
    around: &Surroundings,
    settings: &Settings,
    wanted: &Wanted,
) -> Result<Resolver, Failure> {
    let kept = root(around)?.join("plugins");
    let vendored = around.path("kiln-plugins");
    Ok(Resolver {
        directory: around.directory.clone(),
        selections: wanted.plugins.selections.clone(),
        entries: settings.plugins.clone(),
        lock: crate::settings::lock(around)?,
        locked: wanted.plugins.locked,
        offline: wanted.plugins.offline,
        policies: crate::settings::policies(around, wanted.plugins.policy.as_deref())?,
        stores: vec![PluginStore::at(vendored), PluginStore::at(kept)],
        client: registry(around, settings, wanted)?,
    })
}

/// Sets up a runtime for commands that run plugins without building.
///
/// # Errors
/// When a limit cannot be read, or this machine cannot run components.
pub(crate) fn plugin_runtime(
    around: &Surroundings,
    resolver: &Resolver,
    limits: &[String],
) -> Result<Runtime, Failure> {
    let config = limited(runtime_config(&root(around)?), resolver, limits)?;
    Runtime::open(config).map_err(|e| Failure::failed(Report::of(&e)))
}

fn runtime_config(root: &Path) -> RuntimeConfig {
    RuntimeConfig {
        cache_dir: Some(root.join("wasm")),
        compiler: Some(Arc::new(Helper)),
        ..RuntimeConfig::default()
    }
}

/// Loads the embedded frontend.
fn dockerfile(runtime: &Runtime) -> Result<Arc<dyn Frontend>, PluginError> {
    let plugin = embedded::find("frontend-dockerfile")
        .ok_or_else(|| unusable(DOCKERFILE_NAME, "this program was built without it".to_owned()))?;
    runtime.frontend(DOCKERFILE_NAME, plugin.component, plugin.code)
}

/// Returns docker's file with credentials, whether it is there or not: `$DOCKER_CONFIG` or `~/.docker`.
pub(crate) fn docker_config(around: &Surroundings) -> Option<PathBuf> {
    let set = |name: &str| around.env.get(name).filter(|value| !value.is_empty());
    let directory = set("DOCKER_CONFIG").map(PathBuf::from);
    let directory = directory.or_else(|| set("HOME").map(|home| Path::new(home).join(".docker")));
    directory.map(|directory| directory.join("config.json"))
}

/// Loads the embedded frontend, for `kiln doctor`.
///
/// # Errors
/// When this machine cannot run components.
pub(crate) fn try_plugins(around: &Surroundings) -> Result<(), Failure> {
    let runtime =
        Runtime::open(runtime_config(&root(around)?)).map_err(|e| Failure::failed(Report::of(&e)))?;
    dockerfile(&runtime)
        .map(drop)
        .map_err(|e| Failure::failed(Report::of(&e)))
}
