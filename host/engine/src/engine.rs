//! The engine: opens a store, builds.

use std::collections::HashMap;
use std::sync::Arc;

use kiln_cache::CacheTo;
use kiln_cache::Location;
use kiln_graph::Definition;
use kiln_graph::SourceFile;
use kiln_image::Digest;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::Frontend;
use kiln_plugin::FrontendBridge;
use kiln_plugin::FrontendError;
use kiln_plugin::Lowered;
use kiln_plugin::Request;
use kiln_plugin::Severity;
use kiln_progress::End;
use kiln_progress::Sink;
use kiln_progress::Step;
use kiln_solver::CacheIndex;
use kiln_solver::Edge;
use kiln_solver::LayeredIndex;
use kiln_solver::Limits;
use kiln_solver::SolveError;
use kiln_solver::Solver;
use kiln_solver::VertexId;
use kiln_store::GcPolicy;
use kiln_store::Store;

use crate::attest;
use crate::attest::Attested;
use crate::bridge::Bridge;
use crate::bridge::Forwarding;
use crate::build::BuildContext;
use crate::caches;
use crate::caches::CacheMounts;
use crate::caches::Imports;
use crate::caches::Places;
use crate::caches::Solved;
use crate::config::Config;
use crate::context::Wanted;
use crate::error::BuildError;
use crate::error::EngineError;
use crate::error::Fault;
use crate::export;
use crate::export::Built;
use crate::files::RefTree;
use crate::images::Fetchers;
use crate::images::ImageStore;
use crate::images::Images;
use crate::images::Layout;
use crate::index::StoreIndex;
use crate::layers::Layers;
use crate::layers::LayersConfig;
use crate::layers::Ref;
use crate::memo::StoreMemo;
use crate::observer::Reporter;
use crate::outcome::BuildOutcome;
use crate::request::BuildRequest;
use crate::request::Context;
use crate::request::NamedContext;
use crate::request::NoCache;

/// The only key of an answer that says: ask the frontend of this reference.
const FORWARD: &str = "frontend.forward";

/// How long a repository is kept that nobody uses: fetching what has changed since is faster than fetching all.
const REPOSITORIES: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// Builds images on one store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    config: Arc<Config>,
    store: Store,
    layers: Layers,
    fetchers: Arc<crate::remote::Fetchers>,
}

impl Engine {
    /// Opens the store, making it if it is not there.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn open(config: Config) -> Result<Self, BuildError> {
        let store = Store::open(&config.root)?;
        let layers = Layers::open(LayersConfig {
            store: store.clone(),
            pool: kiln_layer::Pool::new(config.threads),
            fetchers: Arc::new(Fetchers {
                client: config.registry.clone(),
            }),
            unprivileged: config.unprivileged,
            snapshotter: config.snapshotter,
        })?;
        let fetchers = crate::remote::Fetchers::new(&config.fetch).map_err(EngineError::from)?;
        Ok(Self {
            config: Arc::new(config),
            store,
            layers,
            fetchers: Arc::new(fetchers),
        })
    }

    /// Returns the engine's setting.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the local image store.
    pub fn images(&self) -> ImageStore {
        ImageStore::new(self.store.clone())
    }

    pub(crate) fn fetchers(&self) -> &crate::remote::Fetchers {
        &self.fetchers
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Builds. Dropping the future cancels: steps are killed, and nothing half-done stays.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        &self,
        request: BuildRequest,
        sink: Arc<dyn Sink>,
    ) -> Result<BuildOutcome, BuildError> {
        let places = Places::new(&self.config, &request);
        let imports = Imports::read(&request.cache_from, &places, &self.layers, &sink).await;
        let mounts = CacheMounts::new(&request.cache_from, &places, &sink);
        let mounts = Arc::new(mounts);
        loop {
            let caches = (imports.indexes(), mounts.clone());
            let (run, solver) = self.start(request.clone(), sink.clone(), caches)?;
            let build = run.build.clone();
            let result = run.run().await;
            drop(run);
            solver.idle().await;
            build.save();
            match result {
                // Each turn finds something new that is of no use, so there is an end.
                Err(error) if error.fault() == Fault::Build && imports.has_failed() => {}
                result => return result,
            }
        }
    }

    /// Asks the frontend about the build file without building: BuildKit's subrequest `question`, such as
    /// `frontend.lint`. Returns BuildKit's metadata keys, such as `result.json`.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn ask(
        &self,
        request: BuildRequest,
        question: &str,
        sink: Arc<dyn Sink>,
    ) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
        let mounts = Arc::new(CacheMounts::new(&[], &Places::new(&self.config, &request), &sink));
        let (run, solver) = self.start(request, sink, (Vec::new(), mounts))?;
        let build = run.build.clone();
        let answer = run.ask(question).await;
        drop(run);
        solver.idle().await;
        build.save();
        answer
    }

    fn start(
        &self,
        request: BuildRequest,
        sink: Arc<dyn Sink>,
        (imports, mounts): (Vec<Arc<dyn CacheIndex<Ref>>>, Arc<CacheMounts>),
    ) -> Result<(Run, Solver<Ref>), BuildError> {
        let layouts = open_layouts(&request)?;
        let images = Images::new(self.store.clone(), self.config.registry.clone(), layouts);
        let (config, layers) = (self.config.clone(), self.layers.clone());
        let sources = (images, self.fetchers.clone(), mounts);
        let build = Arc::new(BuildContext::new(config, request, layers, sources, sink.clone()));
        let index = StoreIndex::new(self.store.clone(), self.layers.clone());
        let solver = Solver::new(
            Arc::new(LayeredIndex::new(Arc::new(index), imports)),
            Limits {
                parallel: self.config.parallelism,
            },
        );
        let reporter = Arc::new(Reporter::new(sink));
        let session = Arc::new(solver.session(reporter.clone()));
        let run = Run {
            build,
            session,
            reporter,
        };
        Ok((run, solver))
    }

    /// Makes room by `policies`, BuildKit's defaults without any, and lets the system write out what is new. Called
    /// after the user has the result.
    ///
    /// # Errors
    /// When the store cannot be changed.
    pub fn tidy(&self, policies: Vec<GcPolicy>) -> Result<(), BuildError> {
        let policies = if policies.is_empty() {
            GcPolicy::defaults(self.store.disk_space()?)
        } else {
            policies
        };
        self.store.gc_all(&policies)?;
        self.fetchers.git.tidy(REPOSITORIES).map_err(EngineError::from)?;
        StoreMemo::trim(&self.store)?;
        Ok(())
    }
}

fn open_layouts(request: &BuildRequest) -> Result<HashMap<String, Layout>, BuildError> {
    let mut layouts = HashMap::new();
    for (name, context) in &request.contexts {
        if let NamedContext::OciLayout { path, selector } = context {
            let layout = Layout::open(path).map_err(|e| EngineError::Image(e.into()))?;
            layout
                .select(selector.as_deref())
                .map_err(|e| EngineError::Image(e.into()))?;
            layouts.insert(name.clone(), layout);
        }
    }
    Ok(layouts)
}

fn frontend_error(error: FrontendError) -> BuildError {
    match error {
        FrontendError::Failure(failure) => BuildError::Frontend(Box::new(failure)),
        FrontendError::Plugin(error) => BuildError::Plugin(error),
    }
}

/// A build file and who reads it.
struct Loaded {
    frontend: Arc<dyn Frontend>,
    files: Arc<RefTree>,
    /// What the build file is called there.
    name: String,
    /// The step that warnings are shown under.
    step: Digest,
}

pub(crate) struct Run {
    pub(crate) build: Arc<BuildContext>,
    pub(crate) session: Arc<kiln_solver::Session<Ref>>,
    pub(crate) reporter: Arc<Reporter>,
}

impl Run {
    async fn run(&self) -> Result<BuildOutcome, BuildError> {
        let loaded = self.load().await?;
        let lowered = self.lower(&loaded).await?;
        let (mut built, solved) = self.solve(&lowered).await?;
        self.inline_cache(&mut built, &solved).await;
        let warnings = lowered
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Warning)
            .count();
        let attested = self.attested(&loaded, &lowered, &built).await?;
        let made = export::Made {
            lowered: &lowered,
            built,
            attested,
        };
        let outcome = export::export(&self.build, made, warnings).await?;
        caches::export(&self.build, &self.session, &solved).await?;
        Ok(outcome)
    }

    /// Writes down what is said of the images.
    async fn attested(
        &self,
        loaded: &Loaded,
        lowered: &Lowered,
        built: &[Built],
    ) -> Result<Attested, BuildError> {
        let asked = &self.build.request.attestations;
        let mut attested = Attested::default();
        if asked.sbom.is_some() || asked.sidecar {
            let mut options = asked.sbom.clone().unwrap_or_default();
            // A file that was asked for cannot be left out.
            options.required |= asked.sidecar;
            attested.scans = self.scans(&options, built).await?;
        }
        let Some(options) = &asked.provenance else {
            return Ok(attested);
        };
        let reader = attest::Reader {
            description: loaded.frontend.describe().await.ok(),
            component: loaded.frontend.component(),
        };
        attested.recorded = attest::record(&self.build, options, &reader, lowered).await?;
        Ok(attested)
    }

    /// Finds out what is in each image. A scan that fails is told, and fails the build only where it is required.
    async fn scans(
        &self,
        options: &attest::SbomOptions,
        built: &[Built],
    ) -> Result<Vec<Option<attest::Scan>>, BuildError> {
        let finders = self
            .build
            .config
            .catalogers
            .open(&options.generators, &self.build.request.ledger)
            .await;
        let finders = finders.map_err(BuildError::Plugin)?;
        let mut scans = Vec::new();
        for (at, built) in built.iter().enumerate() {
            let platform = built.output.platform.as_ref().map(ToString::to_string);
            let title = format!("[{}] generating sbom", platform.unwrap_or_default());
            let digest = Digest::of(format!("{} {title} {at}", self.build.session));
            let step = Step::start(&self.build.sink, digest, &title);
            match attest::scan(&self.build.layers, &built.stack, &finders).await {
                Ok(scan) => {
                    for warning in &scan.warnings {
                        step.part("warning", warning.clone(), 0).done();
                    }
                    let found = format!("found {} packages", scan.packages.len());
                    step.part("sbom", found, 0).done();
                    step.finish(End::Done);
                    scans.push(Some(scan));
                }
                Err(error) => {
                    step.finish(End::Failed(crate::bridge::chain(&error)));
                    if options.required {
                        return Err(error.into());
                    }
                    scans.push(None);
                }
            }
        }
        Ok(scans)
    }

    async fn ask(&self, question: &str) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
        let loaded = self.load().await?;
        let (mut request, bridge) = (self.request(&loaded), self.bridge(&loaded));
        let answer = loaded
            .frontend
            .subrequest(question, &request, loaded.files.clone(), bridge);
        let answer = answer.await.map_err(frontend_error)?;
        let Some(name) = self.forwarded(&answer)? else {
            return Ok(answer);
        };
        // As when a frontend calls another to lower the file: that one is told, and can call nobody else.
        request.options.push(("cmdline".to_owned(), name.clone()));
        let memo = StoreMemo::for_request(self.build.layers.store(), &self.build.request);
        let other = self
            .build
            .config
            .frontends
            .open(Some(&name), memo, &self.build.request.ledger)
            .await;
        let other = other.map_err(BuildError::Plugin)?;
        let bridge = self.bridge_with(&loaded, Forwarding::Denied);
        let answer = other.subrequest(question, &request, loaded.files.clone(), bridge);
        answer.await.map_err(frontend_error)
    }

    /// Returns the frontend that is to answer in place of the default one.
    fn forwarded(&self, answer: &[(String, Vec<u8>)]) -> Result<Option<String>, BuildError> {
        let [(key, name)] = answer else { return Ok(None) };
        if key != FORWARD {
            return Ok(None);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        match self.build.request.frontend {
            None => Ok(Some(name)),
            Some(_) => Err(frontend_error(FrontendError::Failure(Failure::of(format!(
                "the frontend wants to call the frontend `{name}`, which is not granted"
            ))))),
        }
    }

    /// Reads the build file and finds its frontend.
    async fn load(&self) -> Result<Loaded, BuildError> {
        // What comes from elsewhere is fetched by steps of its own.
        let remote = self.remote_build_file().await?;
        let name = match &remote {
            Some((_, name)) => name.clone(),
            None => self.build.request.build_file.name().to_owned(),
        };
        let shown = format!("[internal] load build definition from {name}");
        let step = Step::start(
            &self.build.sink,
            Digest::of(format!("{} {shown}", self.build.session)),
            &shown,
        );
        let vertex = step.digest();
        let files = match remote {
            Some((files, _)) => Ok(files),
            None => self.build_file(&name).await,
        };
        let files = match files {
            Ok(files) => Arc::new(files),
            Err(error) => {
                step.finish(End::Failed(error.to_string()));
                return Err(error);
            }
        };
        let size = files.size_of(&name).unwrap_or_default();
        let mut part = step.part("transferring", "transferring dockerfile:", 0);
        part.advance(size);
        part.done();
        step.finish(End::Done);
        let reference = self.build.request.frontend.as_deref();
        let memo = StoreMemo::for_request(self.build.layers.store(), &self.build.request);
        let frontend = self
            .build
            .config
            .frontends
            .open(reference, memo, &self.build.request.ledger)
            .await;
        Ok(Loaded {
            frontend: frontend.map_err(BuildError::Plugin)?,
            files,
            name,
            step: vertex,
        })
    }

    fn bridge(&self, loaded: &Loaded) -> Arc<dyn FrontendBridge> {
        let forwarding = match self.build.request.frontend {
            None => Forwarding::Allowed,
            Some(_) => Forwarding::Denied,
        };
        self.bridge_with(loaded, forwarding)
    }

    fn bridge_with(&self, loaded: &Loaded, forwarding: Forwarding) -> Arc<dyn FrontendBridge> {
        Arc::new(Bridge {
            build: self.build.clone(),
            session: self.session.clone(),
            reporter: self.reporter.clone(),
            step: loaded.step,
            files: loaded.files.clone(),
            forwarding,
        })
    }

    async fn lower(&self, loaded: &Loaded) -> Result<Lowered, BuildError> {
        let (request, bridge) = (self.request(loaded), self.bridge(loaded));
        let lowered = loaded.frontend.lower(&request, loaded.files.clone(), bridge);
        let lowered = lowered.await;
        if let Err(FrontendError::Failure(failure)) = &lowered {
            // What rules found before it failed.
            self.warn(loaded.step, &failure.diagnostics, &failure.sources);
        }
        let mut lowered = lowered.map_err(frontend_error)?;
        self.build.admit(&mut lowered.definition)?;
        self.warn(loaded.step, &lowered.diagnostics, &lowered.definition.sources);
        Ok(lowered)
    }

    /// Reports what is no error.
    fn warn(&self, step: Digest, diagnostics: &[Diagnostic], sources: &[SourceFile]) {
        for diagnostic in diagnostics.iter().filter(|d| d.severity != Severity::Error) {
            self.reporter.warn(&self.build.sink, step, diagnostic, sources);
        }
    }

    /// Returns the build file with what may lie beside it.
    async fn build_file(&self, name: &str) -> Result<RefTree, BuildError> {
        let beside = format!("{name}.dockerignore");
        let escape = |name: &str| name.replace(['*', '?', '[', '\\'], "?");
        let wanted = Wanted {
            include: vec![escape(name), escape(&beside)],
            ..Wanted::default()
        };
        let local = self.build.local("dockerfile", wanted, None).await?;
        let stack = Ref::new(vec![local.layer]);
        let tree = self.build.layers.tree(&stack).await.map_err(EngineError::from)?;
        let files = RefTree::new(self.build.layers.clone(), tree);
        match (files.size_of(name), &self.build.request.build_file) {
            (Some(_), _) => Ok(files),
            (None, crate::request::BuildFile::Path { directory, .. }) => Err(BuildError::NoBuildFile {
                name: name.to_owned(),
                directory: directory.clone(),
            }),
            (None, _) => Err(BuildError::NoBuildFile {
                name: name.to_owned(),
                directory: "the context".into(),
            }),
        }
    }

    fn request(&self, loaded: &Loaded) -> Request {
        let asked = &self.build.request;
        let mut request = Request::new(&loaded.name, self.build.config.platform.clone());
        request.target.clone_from(&asked.target);
        request.args.clone_from(&asked.args);
        request.labels.clone_from(&asked.labels);
        request.platforms.clone_from(&asked.platforms);
        request.contexts = asked
            .contexts
            .iter()
            .map(|(name, context)| self.context(name, context))
            .collect();
        if let Context::Remote(url) = &asked.context {
            request.contexts.push(("context".to_owned(), url.clone()));
        }
        request.options.clone_from(&asked.options);
        match &asked.no_cache {
            NoCache::Never => {}
            NoCache::Always => request.options.push(("no-cache".to_owned(), String::new())),
            NoCache::Stages(stages) => request.options.push(("no-cache".to_owned(), stages.join(","))),
        }
        if asked.pull {
            request
                .options
                .push(("image-resolve-mode".to_owned(), "pull".to_owned()));
        }
        request
    }

    fn context(&self, name: &str, context: &NamedContext) -> (String, String) {
        let value = match context {
            NamedContext::Files(_) => format!("local:{name}"),
            NamedContext::Image(reference) => format!("docker-image://{reference}"),
            NamedContext::OciLayout { selector, .. } => {
                match self.build.images.layout_digest(name, selector.as_deref()) {
                    Some(digest) => format!("oci-layout://{name}@{digest}"),
                    None => format!("oci-layout://{name}"),
                }
            }
            NamedContext::Remote(url) => url.clone(),
        };
        (name.to_owned(), value)
    }

    /// Puts the cache into the images' configs, where that is asked for.
    async fn inline_cache(&self, built: &mut [Built], solved: &Solved) {
        let wanted = |to: &CacheTo| to.location == Location::Inline;
        if !self.build.request.cache_to.iter().any(wanted) {
            return;
        }
        let with_result = built.iter_mut().filter(|built| built.output.result.is_some());
        for (built, target) in with_result.zip(&solved.targets) {
            let Some(cache) = caches::inline(&self.session, solved, *target).await else {
                continue;
            };
            if let Ok(mut config) = serde_json::from_slice::<serde_json::Map<_, _>>(&built.output.config) {
                config.insert(kiln_cache::INLINE_KEY.to_owned(), cache.into());
                built.output.config = serde_json::to_vec(&config).expect("JSON can be written");
            }
        }
    }

    async fn solve(&self, lowered: &Lowered) -> Result<(Vec<Built>, Solved), BuildError> {
        let definition = &lowered.definition;
        self.reporter.learn(&self.build, definition);
        let graph = crate::ops::graph(&self.build, definition)
            .map_err(|error| BuildError::Usage(format!("the frontend returned an invalid graph: {error}")))?;
        let edge = |input: kiln_graph::Input| Edge {
            vertex: VertexId(input.vertex),
            output: input.output,
        };
        let targets: Vec<Edge> = lowered
            .outputs
            .iter()
            .filter_map(|output| output.result)
            .map(edge)
            .collect();
        let solved = self
            .session
            .solve(&graph, &targets)
            .await
            .map_err(|error| self.failed(error, definition))?;
        let mut results = solved.into_iter();
        let stack =
            |result: Option<kiln_graph::Input>| result.and_then(|_| results.next()).unwrap_or_default();
        let mut stack = stack;
        let built = lowered
            .outputs
            .iter()
            .map(|output| Built {
                output: output.clone(),
                stack: stack(output.result),
            })
            .collect();
        Ok((built, Solved { graph, targets }))
    }

    pub(crate) fn failed(&self, error: SolveError, _: &Definition) -> BuildError {
        match error {
            SolveError::Step {
                source: kiln_solver::OpError::Cancelled,
                ..
            } => BuildError::Canceled,
            SolveError::Step {
                digest, name, source, ..
            } => BuildError::Step {
                name,
                vertex: digest,
                places: self.reporter.places(&digest),
                source,
            },
            error @ SolveError::NoSuchTarget(_) => BuildError::Usage(error.to_string()),
        }
    }
}
