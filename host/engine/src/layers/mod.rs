//! Layers and stacks of them: what operations take and return.
//!
//! A layer is known by what it changes (a change set), by its blobs (one for each way of compressing it), and by its
//! directory, each made only when somebody needs it: an export needs a blob, a `RUN` a directory, a `COPY` only the
//! change set. The store keeps what was made; a record says what there is.

mod blobs;
mod codec;
mod content;
mod dirs;
mod mounts;
mod record;
mod rootfs;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::Weak;

use async_trait::async_trait;
use jiff::Timestamp;
use kiln_cache::LayerInfo;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_layer::LayerError;
use kiln_store::Lease;
use kiln_store::Object;
use kiln_store::Store;
use kiln_store::StoreError;
use kiln_tree::ChangeSet;
use kiln_tree::Tree;
use kiln_tree::TreePath;

use crate::config::Snapshotter;

pub(crate) use blobs::BlobForm;
pub(crate) use blobs::LayerBlob;
pub(crate) use blobs::Recompress;
pub(crate) use content::Contents;
pub(crate) use content::is_in_layer;
pub(crate) use mounts::PackedMount;
pub(crate) use rootfs::Writable;

use crate::context::LocalTree;
use crate::images::ImageError;

/// Identity of a layer in this store: the diff ID of an image's layer, a random one for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LayerId(pub(crate) Digest);

/// Gets a layer's blob into the store.
#[async_trait]
pub(crate) trait FetchLayer: Send + Sync + std::fmt::Debug {
    /// Makes sure that the blob is in the store and that its content is what its digest says.
    /// Calls `report` with the number of bytes that are there.
    async fn fetch(
        &self,
        store: &Store,
        blob: &Descriptor,
        report: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError>;

    /// Returns what a later build needs to fetch it again: an identifier such as `docker-image://…`.
    fn origin(&self) -> String;

    /// Returns true when the layer is an operation's result of elsewhere, false when it is an image's.
    fn is_cache(&self) -> bool {
        false
    }

    /// Returns false when it is known that the blob cannot be had.
    fn is_usable(&self, _blob: &Descriptor) -> bool {
        true
    }

    /// Takes note that a blob that was fetched is not what it was said to be.
    fn condemn(&self, _blob: &Descriptor, _problem: &str) {}
}

/// Where a layer comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A layer of an image somewhere, or of a cache.
    Image {
        blob: Descriptor,
        fetch: Arc<dyn FetchLayer>,
    },
    /// An operation's result.
    Made,
}

#[derive(Debug, Default)]
struct State {
    changes: Option<Arc<ChangeSet>>,
    dir: Option<PathBuf>,
    blobs: Vec<(BlobForm, LayerBlob)>,
}

/// One layer.
#[derive(Debug)]
pub(crate) struct Layer {
    id: LayerId,
    origin: Origin,
    created: Timestamp,
    created_by: String,
    state: Mutex<State>,
    /// Held while something is made of the layer, so that it is made once.
    making: tokio::sync::Mutex<()>,
}

impl Layer {
    pub(crate) fn id(&self) -> LayerId {
        self.id
    }

    /// Returns true for a layer that an operation made, false for one of an image.
    pub(crate) fn is_made(&self) -> bool {
        match &self.origin {
            Origin::Made => true,
            Origin::Image { fetch, .. } => fetch.is_cache(),
        }
    }

    /// Returns false for a layer of a cache that turned out to be of no use.
    fn is_usable(&self) -> bool {
        match &self.origin {
            Origin::Made => true,
            Origin::Image { blob, fetch } => fetch.is_usable(blob),
        }
    }

    /// Takes note that the layer's blob cannot be used.
    fn condemn(&self, problem: &LayersError) {
        if let Origin::Image { blob, fetch } = &self.origin {
            fetch.condemn(blob, &problem.to_string());
        }
    }

    /// When the layer was made.
    pub(crate) fn created(&self) -> Timestamp {
        self.created
    }

    /// What made it, for people.
    pub(crate) fn created_by(&self) -> &str {
        &self.created_by
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file tree as a stack of layers, base first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ref(Arc<[Arc<Layer>]>);

impl Ref {
    pub(crate) fn new(layers: Vec<Arc<Layer>>) -> Self {
        Self(layers.into())
    }

    /// Returns the layers, base first.
    pub(crate) fn layers(&self) -> &[Arc<Layer>] {
        &self.0
    }

    /// Returns the same stack with one more layer on top.
    pub(crate) fn push(&self, layer: Arc<Layer>) -> Self {
        self.0.iter().cloned().chain([layer]).collect::<Vec<_>>().into()
    }
}

impl From<Vec<Arc<Layer>>> for Ref {
    fn from(layers: Vec<Arc<Layer>>) -> Self {
        Self::new(layers)
    }
}

/// All layers of this process.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    lease: Lease,
    live: Mutex<HashMap<LayerId, Weak<Layer>>>,
    contexts: Mutex<HashMap<LayerId, Arc<LocalTree>>>,
    pool: kiln_layer::Pool,
    fetchers: Arc<dyn Fetchers>,
    unprivileged: bool,
    snapshotter: Snapshotter,
    /// Whether overlays cannot be used, once somebody wanted to know.
    copies: OnceLock<bool>,
}

/// Finds again where layers of an earlier build came from.
pub(crate) trait Fetchers: Send + Sync + std::fmt::Debug {
    /// Returns who fetches layers of `origin`; none when it cannot be reached any more.
    fn fetcher(&self, origin: &str) -> Option<Arc<dyn FetchLayer>>;
}

/// A layer cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layer's archive or files failed.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The layer's directory failed.
    #[error(transparent)]
    Snapshot(#[from] kiln_snapshot::SnapshotError),
    /// The layer cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] Box<ImageError>),
    /// A layer is not what the image's config says.
    #[error("layer {blob} has the diff ID {found} where the image config says {expected}")]
    DiffId {
        /// The layer's blob.
        blob: Digest,
        /// What the config says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A hard link of a layer leads nowhere.
    #[error("layer {blob} has the hard link `{path}` to `{target}`, which is not there")]
    DanglingLink {
        /// The layer's blob.
        blob: Digest,
        /// The link.
        path: TreePath,
        /// Where it leads.
        target: TreePath,
    },
    /// A file of a layer cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A layer that neither the store nor anybody else has.
    #[error("layer {0} is gone from the store")]
    Gone(Digest),
    /// A thread panicked: a bug.
    #[error("internal error: {0}")]
    Panicked(String),
}

impl From<ImageError> for LayersError {
    fn from(error: ImageError) -> Self {
        Self::Fetch(Box::new(error))
    }
}

/// Runs work that blocks.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, LayersError>
where
    T: Send + 'static,
    E: Send + 'static,
    LayersError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(LayersError::from),
        Err(error) => Err(LayersError::Panicked(error.to_string())),
    }
}

/// What [`Layers`] needs.
#[derive(Debug)]
pub(crate) struct LayersConfig {
    pub(crate) store: Store,
    pub(crate) pool: kiln_layer::Pool,
    pub(crate) fetchers: Arc<dyn Fetchers>,
    /// Files cannot be given owners: neither root nor inside a user namespace.
    pub(crate) unprivileged: bool,
    /// How steps get their file systems.
    pub(crate) snapshotter: Snapshotter,
}

impl Layers {
    pub(crate) fn open(config: LayersConfig) -> Result<Self, StoreError> {
        let LayersConfig {
            store,
            pool,
            fetchers,
            unprivileged,
            snapshotter,
        } = config;
        let lease = store.lease()?;
        let (live, contexts) = Default::default();
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                lease,
                live,
                contexts,
                pool,
                fetchers,
                unprivileged,
                snapshotter,
                copies: OnceLock::new(),
            }),
        })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<LayerId, Weak<Layer>>> {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, id: LayerId) -> Option<Arc<Layer>> {
        let layer = self.live().get(&id).and_then(Weak::upgrade);
        layer.filter(|layer| layer.is_usable())
    }

    fn add(&self, layer: Layer) -> Arc<Layer> {
        let mut live = self.live();
        let known = live.get(&layer.id).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.is_usable()) {
            return known;
        }
        let layer = Arc::new(layer);
        live.insert(layer.id, Arc::downgrade(&layer));
        layer
    }

    fn layer(&self, id: LayerId, origin: Origin, created_by: String, state: State) -> Arc<Layer> {
        let created = Timestamp::now();
        let state = Mutex::new(state);
        self.add(Layer {
            id,
            origin,
            created,
            created_by,
            state,
            making: tokio::sync::Mutex::default(),
        })
    }

    /// Returns a layer of an image; nothing is fetched yet.
    pub(crate) fn of_image(
        &self,
        blob: Descriptor,
        diff_id: Digest,
        fetch: Arc<dyn FetchLayer>,
    ) -> Arc<Layer> {
        let id = LayerId(diff_id);
        if let Ok(Some(layer)) = self.load(id) {
            return layer;
        }
        let state = State {
            blobs: vec![(
                BlobForm::of_image(&blob),
                LayerBlob {
                    descriptor: blob.clone(),
                    diff_id,
                },
            )],
            ..State::default()
        };
        self.layer(id, Origin::Image { blob, fetch }, String::new(), state)
    }

    /// Returns a layer of a cache; nothing is fetched yet.
    pub(crate) fn of_cache(&self, layer: &LayerInfo, fetch: Arc<dyn FetchLayer>) -> Arc<Layer> {
        let id = LayerId(layer.diff_id);
        if let Ok(Some(layer)) = self.load(id) {
            return layer;
        }
        let (descriptor, diff_id) = (layer.descriptor.clone(), layer.diff_id);
        let form = BlobForm::of_cache(&descriptor);
        let origin = Origin::Image {
            blob: descriptor.clone(),
            fetch,
        };
        let blobs = vec![(form, LayerBlob { descriptor, diff_id })];
        let state = Mutex::new(State {
            blobs,
            ..State::default()
        });
        self.add(Layer {
            id,
            origin,
            created: layer.created.unwrap_or_else(Timestamp::now),
            created_by: String::new(),
            state,
            making: tokio::sync::Mutex::default(),
        })
    }

    /// Returns a layer that is known by what it changes.
    pub(crate) fn of_changes(&self, changes: Arc<ChangeSet>, created_by: String) -> Arc<Layer> {
        let state = State {
            changes: Some(changes),
            ..State::default()
        };
        self.layer(random_id(), Origin::Made, created_by, state)
    }

    /// Returns an uncompressed archive of the store as a layer whose files can be read.
    pub(crate) fn of_archive(&self, digest: Digest, size: u64, diff_id: Digest) -> Arc<Layer> {
        let descriptor = Descriptor::new(kiln_image::MediaType::OCI_LAYER, digest, size);
        let blobs = vec![(BlobForm::of_image(&descriptor), LayerBlob { descriptor, diff_id })];
        self.layer(
            LayerId(diff_id),
            Origin::Made,
            String::new(),
            State {
                blobs,
                ..State::default()
            },
        )
    }

    /// Returns a local context as a layer.
    pub(crate) fn of_context(&self, context: Arc<LocalTree>) -> Arc<Layer> {
        let state = State {
            changes: Some(context.changes().clone()),
            ..State::default()
        };
        let layer = self.layer(random_id(), Origin::Made, String::new(), state);
        self.contexts().insert(layer.id, context);
        layer
    }

    /// Returns the local context that a layer is.
    pub(crate) fn context_of(&self, id: LayerId) -> Option<Arc<LocalTree>> {
        self.contexts().get(&id).cloned()
    }

    fn contexts(&self) -> std::sync::MutexGuard<'_, HashMap<LayerId, Arc<LocalTree>>> {
        self.shared
            .contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the stack amounts to.
    pub(crate) async fn tree(&self, stack: &Ref) -> Result<Tree, LayersError> {
        let mut tree = Tree::default();
        for (at, layer) in stack.layers().iter().enumerate() {
            let changes = self.changes(stack, at).await?;
            tree.push(changes.clone());
            if let Origin::Image { blob, .. } = &layer.origin {
                check_links(&tree, &changes, &blob.digest).inspect_err(|error| layer.condemn(error))?;
            }
        }
        Ok(tree)
    }

    /// Returns what the layer at `at` of the stack changes.
    pub(crate) async fn changes(&self, stack: &Ref, at: usize) -> Result<Arc<ChangeSet>, LayersError> {
        let layer = &stack.layers()[at];
        if let Some(changes) = layer.state().changes.clone() {
            return Ok(changes);
        }
        let _making = layer.making.lock().await;
        if let Some(changes) = layer.state().changes.clone() {
            return Ok(changes);
        }
        let changes = match self.recorded_changes(layer)? {
            Some(changes) => changes,
            None => self.index_blob(layer).await?,
        };
        let changes = Arc::new(changes);
        layer.state().changes = Some(changes.clone());
        Ok(changes)
    }
}

impl LayerId {
    /// Returns the layer's record as something that a cache record or image needs.
    pub(crate) fn object(self) -> Object {
        Object::Entry(record::BUCKET.to_owned(), self.0.as_bytes().to_vec())
    }
}

/// Checks that the hard links of an image's layer lead to files, of the layer itself or of one below.
fn check_links(tree: &Tree, changes: &ChangeSet, blob: &Digest) -> Result<(), LayersError> {
    for entry in changes.entries() {
        if let kiln_tree::Node::Hardlink { target } = &entry.node
            && changes.get(target).is_none()
            && tree.file(&entry.path).is_none()
        {
            let (path, target) = (entry.path.clone(), target.clone());
            return Err(LayersError::DanglingLink {
                blob: *blob,
                path,
                target,
            });
        }
    }
    Ok(())
}

fn random_id() -> LayerId {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    LayerId(Digest::of(format!(
        "kiln layer {} {} {count}",
        std::process::id(),
        now.as_nanos()
    )))
}
