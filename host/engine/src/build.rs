//! One build: what its operations share.

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use jiff::Timestamp;
use kiln_graph::Definition;
use kiln_graph::Op;
use kiln_graph::Source;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_progress::Sink;
use kiln_store::Store;
use tokio::sync::OnceCell;

use crate::caches::CacheMounts;
use crate::config::Config;
use crate::context::LocalTree;
use crate::context::Wanted;
use crate::error::EngineError;
use crate::images::Image;
use crate::images::ImageError;
use crate::images::ImageId;
use crate::images::Images;
use crate::images::Pull;
use crate::layers::FetchLayer;
use crate::layers::Layer;
use crate::layers::Layers;
use crate::layers::Ref;
use crate::request::BuildFile;
use crate::request::BuildRequest;
use crate::request::Context;
use crate::request::NamedContext;

/// A local context that was read.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) tree: Arc<LocalTree>,
    pub(crate) layer: Arc<Layer>,
}

/// Values that are found once.
pub(crate) type Once<K, V> = Mutex<HashMap<K, Arc<OnceCell<V>>>>;

/// What the operations of one build share.
pub(crate) struct BuildContext {
    pub(crate) config: Arc<Config>,
    pub(crate) request: BuildRequest,
    pub(crate) layers: Layers,
    pub(crate) images: Images,
    pub(crate) sink: Arc<dyn Sink>,
    /// Tells this build's local sources from another's.
    pub(crate) session: String,
    /// Time of what operations make: now, or the epoch.
    pub(crate) created: Timestamp,
    pub(crate) fetchers: Arc<crate::remote::Fetchers>,
    pub(crate) files: Once<String, crate::remote::HttpFile>,
    pub(crate) commits: Once<String, kiln_fetch::Resolved>,
    pub(crate) started: Timestamp,
    locals: Once<(String, Wanted), Local>,
    found: Once<(ImageId, Platform), Image>,
    unpacked: Once<String, PathBuf>,
    scratch: Mutex<Vec<kiln_store::Scratch>>,
    kept: Mutex<Vec<Arc<Layer>>>,
    /// Cache mounts that this build has used.
    caches: Mutex<HashSet<PathBuf>>,
    /// Cache mounts of elsewhere.
    pub(crate) mounts: Arc<CacheMounts>,
}

pub(crate) fn cell<K: Hash + Eq, V>(cells: &Once<K, V>, key: K) -> Arc<OnceCell<V>> {
    cells
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(key)
        .or_default()
        .clone()
}

impl BuildContext {
    /// Tells whether this build has not used the cache mount at `path` before; from now on it has.
    pub(crate) fn is_first_use(&self, path: PathBuf) -> bool {
        let caches = self.caches.lock();
        caches.unwrap_or_else(PoisonError::into_inner).insert(path)
    }

    pub(crate) fn new(
        config: Arc<Config>,
        request: BuildRequest,
        layers: Layers,
        (images, fetchers, mounts): (Images, Arc<crate::remote::Fetchers>, Arc<CacheMounts>),
        sink: Arc<dyn Sink>,
    ) -> Self {
        let now = Timestamp::now();
        let created = request
            .epoch
            .and_then(|epoch| Timestamp::from_second(epoch).ok())
            .unwrap_or(now);
        let session = Digest::of(format!("{} {now}", std::process::id())).short();
        let (locals, found, unpacked, scratch, kept) = Default::default();
        let caches = Mutex::default();
        let (files, commits) = Default::default();
        Self {
            config,
            request,
            layers,
            images,
            sink,
            session,
            created,
            fetchers,
            files,
            commits,
            started: now,
            locals,
            found,
            unpacked,
            scratch,
            kept,
            caches,
            mounts,
        }
    }

    /// Keeps a layer for as long as the build.
    pub(crate) fn keep(&self, layer: Arc<Layer>) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(layer);
    }

    /// Returns the source that the policies of sources put in the place of this one.
    pub(crate) fn admitted(&self, source: &Source) -> Result<Source, EngineError> {
        let mut source = source.clone();
        kiln_graph::apply_policies(&self.request.source_policies, &mut source)?;
        Ok(source)
    }

    /// Applies the policies of sources to a graph.
    pub(crate) fn admit(&self, definition: &mut Definition) -> Result<(), EngineError> {
        for vertex in &mut definition.vertices {
            if let Op::Source(source) = &mut vertex.op {
                *source = self.admitted(source)?;
            }
        }
        Ok(())
    }

    /// Returns the image, found once in a build.
    pub(crate) async fn image(
        &self,
        id: &ImageId,
        platform: &Platform,
        mode: &str,
        vertex: Option<Digest>,
    ) -> Result<Image, EngineError> {
        let _ = vertex;
        let pull = match (mode, self.request.pull) {
            ("pull", _) | ("", true) => Pull::Always,
            ("local", _) => Pull::Never,
            _ => Pull::Missing,
        };
        let cell = cell(&self.found, (id.clone(), platform.clone()));
        let find = || self.images.find(id, platform, pull);
        Ok(cell.get_or_try_init(find).await?.clone())
    }

    /// Returns the image's layers as a stack; nothing is fetched yet. What is fetched later is reported under `vertex`.
    pub(crate) fn image_layers(&self, image: &Image, vertex: Option<Digest>) -> Ref {
        let fetch: Arc<dyn FetchLayer> = match vertex {
            Some(vertex) => Arc::new(Reporting {
                inner: image.fetch.clone(),
                sink: self.sink.clone(),
                vertex,
            }),
            None => image.fetch.clone(),
        };
        let layers = image.manifest.layers.iter().zip(image.diff_ids());
        let layers = layers.map(|(blob, diff_id)| self.layers.of_image(blob.clone(), diff_id, fetch.clone()));
        Ref::new(layers.collect())
    }

    /// Returns where the context of that name is on this machine; none when there is no such context.
    async fn directory(&self, name: &str) -> Result<Option<PathBuf>, EngineError> {
        let context = match name {
            "context" => &self.request.context,
            "dockerfile" => match &self.request.build_file {
                BuildFile::Path { directory, .. } => return Ok(Some(directory.clone())),
                BuildFile::Remote(_) => return Ok(None),
                BuildFile::InContext { .. } => &self.request.context,
                BuildFile::Inline { name, data } => {
                    let cell = cell(&self.unpacked, "\0dockerfile".to_owned());
                    let write = || async { self.inline_file(name, data) };
                    return cell.get_or_try_init(write).await.cloned().map(Some);
                }
            },
            name => {
                let given = self.request.contexts.iter().find(|(given, _)| given == name);
                match given.map(|(_, context)| context) {
                    Some(NamedContext::Files(context)) => context,
                    _ => return Ok(None),
                }
            }
        };
        match context {
            Context::Directory(path) => Ok(Some(path.clone())),
            Context::Remote(_) => Ok(None),
            Context::Repository {
                path,
                reference,
                subdir,
            } => {
                let cell = cell(&self.unpacked, format!("{}#{reference}:{subdir}", path.display()));
                let checkout = || self.local_repository(path, reference, subdir);
                cell.get_or_try_init(checkout).await.cloned().map(Some)
            }
            Context::Empty => {
                let cell = cell(&self.unpacked, "\0empty".to_owned());
                cell.get_or_try_init(|| async { self.new_scratch() })
                    .await
                    .cloned()
                    .map(Some)
            }
            Context::Archive(path) => {
                let cell = cell(&self.unpacked, path.display().to_string());
                cell.get_or_try_init(|| self.unpack(path))
                    .await
                    .cloned()
                    .map(Some)
            }
        }
    }

    fn new_scratch(&self) -> Result<PathBuf, EngineError> {
        let scratch = self
            .layers
            .store()
            .scratch()
            .map_err(crate::layers::LayersError::from)?;
        let path = scratch.path().to_owned();
        self.scratch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scratch);
        Ok(path)
    }

    async fn local_repository(
        &self,
        path: &std::path::Path,
        reference: &str,
        subdir: &str,
    ) -> Result<PathBuf, EngineError> {
        let source = kiln_fetch::GitSource::local(path.to_owned(), reference, subdir)?;
        let source = source.ok_or_else(|| EngineError::NoRepository(path.to_owned()))?;
        let directory = self.new_scratch()?.join("files");
        let failed = |source| crate::context::WalkError::Read {
            path: directory.clone(),
            source,
        };
        std::fs::create_dir(&directory).map_err(failed)?;
        let resolved = self.fetchers.git.resolve(&source, &kiln_fetch::Nobody).await?;
        let checkout = self
            .fetchers
            .git
            .checkout(&source, &resolved, &directory, &kiln_fetch::Nobody);
        checkout.await?;
        Ok(directory)
    }

    fn inline_file(&self, name: &str, data: &[u8]) -> Result<PathBuf, EngineError> {
        let directory = self.new_scratch()?;
        let path = directory.join(name);
        std::fs::write(&path, data).map_err(|source| crate::context::WalkError::Read { path, source })?;
        Ok(directory)
    }

    async fn unpack(&self, archive: &std::path::Path) -> Result<PathBuf, EngineError> {
        let directory = self.new_scratch()?;
        let (path, into) = (archive.to_owned(), directory.clone());
        let failed = |source| EngineError::Archive {
            path: archive.to_owned(),
            source,
        };
        tokio::task::spawn_blocking(move || crate::archive::unpack_context(&path, &into))
            .await
            .map_err(|error| EngineError::Panicked(error.to_string()))?
            .map_err(failed)?;
        Ok(directory)
    }

    /// Returns a local context, read once for each filter.
    pub(crate) async fn local(
        &self,
        name: &str,
        wanted: Wanted,
        vertex: Option<Digest>,
    ) -> Result<Local, EngineError> {
        let root = self
            .directory(name)
            .await?
            .ok_or_else(|| EngineError::NoContext(name.to_owned()))?;
        let cell = cell(&self.locals, (name.to_owned(), wanted.clone()));
        let read = || async {
            let cache = self.layers.store().root().join("contexts");
            let threads = self.config.threads;
            let tree = tokio::task::spawn_blocking(move || LocalTree::read(&root, &wanted, &cache, threads))
                .await
                .map_err(|error| EngineError::Panicked(error.to_string()))??;
            let tree = Arc::new(tree);
            let layer = self.layers.of_context(tree.clone());
            if let Some(vertex) = vertex {
                report_context(&self.sink, vertex, &tree);
            }
            Ok::<_, EngineError>(Local { tree, layer })
        };
        Ok(cell.get_or_try_init(read).await?.clone())
    }

    /// Returns whether a context of files has that name.
    pub(crate) async fn has_files(&self, name: &str) -> Result<bool, EngineError> {
        Ok(self.directory(name).await?.is_some())
    }

    /// Writes down what was learned about local contexts.
    pub(crate) fn save(&self) {
        let locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        locals
            .values()
            .filter_map(|cell| cell.get())
            .for_each(|local| local.tree.save());
    }
}

fn report_context(sink: &Arc<dyn Sink>, vertex: Digest, tree: &LocalTree) {
    let size = tree.changes().entries().iter().map(|entry| match entry.node {
        kiln_tree::Node::File { size, .. } => size,
        _ => 0,
    });
    let (current, now) = (size.sum(), std::time::SystemTime::now());
    sink.emit(kiln_progress::Event::Status(kiln_progress::Status {
        vertex,
        id: "transferring context:".to_owned(),
        action: "transferring",
        current,
        total: 0,
        started: now,
        completed: Some(now),
    }));
}

/// Reports downloads under the step that named the image.
#[derive(Debug)]
struct Reporting {
    inner: Arc<dyn FetchLayer>,
    sink: Arc<dyn Sink>,
    vertex: Digest,
}

/// Least time between two reports of one download.
const REPORT_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

#[async_trait]
impl FetchLayer for Reporting {
    async fn fetch(
        &self,
        store: &Store,
        blob: &Descriptor,
        report: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        let started = std::time::SystemTime::now();
        let emit = |current, completed| {
            self.sink
                .emit(kiln_progress::Event::Status(kiln_progress::Status {
                    vertex: self.vertex,
                    id: blob.digest.to_string(),
                    action: "downloading",
                    current,
                    total: blob.size,
                    started,
                    completed,
                }));
        };
        let last = Mutex::new(std::time::Instant::now());
        let forward = |bytes| {
            report(bytes);
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= REPORT_EVERY {
                *last = std::time::Instant::now();
                emit(bytes, None);
            }
        };
        emit(0, None);
        self.inner.fetch(store, blob, &forward).await?;
        emit(blob.size, Some(std::time::SystemTime::now()));
        Ok(())
    }

    fn origin(&self) -> String {
        self.inner.origin()
    }
}
