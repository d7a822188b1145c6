//! Contents of cache mounts that come from elsewhere: asked for by the first step that mounts one that is not there.
//!
//! What is wrong with them is a warning, and the cache mount begins as it would without them.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::future::join_all;
use futures::stream;
use kiln_cache::Backend;
use kiln_cache::CacheError;
use kiln_cache::CacheFrom;
use kiln_cache::Chunk;
use kiln_cache::MountSnapshot;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_progress::End;
use kiln_progress::Sink;
use kiln_progress::Step;
use kiln_tree::Metadata;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

use super::Places;
use super::warn_text;
use crate::bridge::chain;
use crate::export::AnyError;
use crate::layers::Layers;

/// Pieces that are fetched at a time.
const FETCHES: usize = 8;
/// A place that sends less in a second, counted over a whole cache mount and beside its timeout, is too slow.
const SLOWEST: u64 = 1 << 20;

/// The cache mounts of a build: who has some elsewhere, and which it used.
pub(crate) struct CacheMounts {
    from: Vec<CacheFrom>,
    opener: Places,
    sink: Arc<dyn Sink>,
    places: OnceCell<Vec<Place>>,
    used: Mutex<BTreeMap<String, PathBuf>>,
}

/// One cache, with the cache mounts that it has.
struct Place {
    backend: Arc<dyn Backend>,
    timeout: Duration,
    max_size: u64,
    mounts: Vec<MountSnapshot>,
    has_failed: AtomicBool,
}

impl CacheMounts {
    /// Returns who looks in these caches. Nothing is asked of them yet.
    pub(crate) fn new(from: &[CacheFrom], opener: &Places, sink: &Arc<dyn Sink>) -> Self {
        Self {
            from: from.to_vec(),
            opener: opener.clone(),
            sink: sink.clone(),
            places: OnceCell::new(),
            used: Mutex::default(),
        }
    }

    /// Notes that the build has used the cache mount `id`, which is at `path`.
    pub(crate) fn note(&self, id: &str, path: PathBuf) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(id.to_owned(), path);
    }

    /// Returns the cache mounts that the build has used, by name.
    pub(super) fn used(&self) -> BTreeMap<String, PathBuf> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the directory `path` of what a cache has of the cache mount `id`. Returns whether one had it.
    pub(crate) async fn bring(&self, layers: &Layers, id: &str, path: &Path) -> bool {
        let places = self.places.get_or_init(|| self.ask()).await;
        let platform = Platform::host().to_string();
        for place in places {
            let has_it = |mount: &&MountSnapshot| mount.id == id && mount.platform == platform;
            let Some(mount) = place.mounts.iter().find(has_it) else {
                continue;
            };
            if place.has_failed.load(Ordering::Relaxed) {
                continue;
            }
            let step = self.step(&format!(
                "importing cache mount {id} from {}",
                place.backend.place()
            ));
            match place.bring(layers, mount, path).await {
                Ok(()) => {
                    step.finish(End::Done);
                    return true;
                }
                Err(error) => {
                    let text = format!("cache mount `{id}` not imported: {}", chain(&*error));
                    warn_text(&self.sink, step.digest(), text);
                    step.finish(End::Done);
                    place.has_failed.store(true, Ordering::Relaxed);
                }
            }
        }
        false
    }

    fn step(&self, name: &str) -> Step {
        Step::start(&self.sink, Digest::of(name), name)
    }

    /// Asks all caches at the same time.
    async fn ask(&self) -> Vec<Place> {
        let asked = self.from.iter().map(|from| self.ask_one(from));
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask_one(&self, from: &CacheFrom) -> Option<Place> {
        let limit = from.mounts?;
        let location = from.location.of_mounts()?;
        // One that cannot be opened was warned of when its records were wanted.
        let backend = self.opener.open_within(&location, from.timeout).await.ok()??;
        let read = tokio::time::timeout(from.timeout, read(&*backend)).await;
        let timeout = |_| CacheError::Timeout {
            place: backend.place(),
            seconds: from.timeout.as_secs(),
        };
        let mounts = match read.map_err(timeout).and_then(|read| read) {
            Ok(mounts) => mounts,
            Err(error) => {
                let step = self.step(&format!("importing cache mounts from {}", backend.place()));
                warn_text(
                    &self.sink,
                    step.digest(),
                    format!("cache mounts not used: {}", chain(&error)),
                );
                step.finish(End::Done);
                return None;
            }
        };
        Some(Place {
            backend,
            timeout: from.timeout,
            max_size: limit.max_size,
            mounts,
            has_failed: AtomicBool::new(false),
        })
    }
}

/// Returns the cache mounts that a place has; where there is no document there are none.
pub(super) async fn read(backend: &dyn Backend) -> Result<Vec<MountSnapshot>, CacheError> {
    let images = match backend.read().await {
        Err(CacheError::NoCache(_)) => return Ok(Vec::new()),
        images => images?,
    };
    let mut found: Vec<MountSnapshot> = Vec::new();
    for image in images {
        let mounts = image.into_mounts().map_err(|problem| CacheError::Invalid {
            place: backend.place(),
            what: "document of cache mounts",
            problem,
        })?;
        for mount in mounts {
            let is_same = |known: &MountSnapshot| known.id == mount.id && known.platform == mount.platform;
            if !found.iter().any(is_same) {
                found.push(mount);
            }
        }
    }
    Ok(found)
}

impl Place {
    async fn bring(&self, layers: &Layers, mount: &MountSnapshot, path: &Path) -> Result<(), AnyError> {
        if mount.size() > self.max_size {
            let (size, most) = (mount.size(), self.max_size);
            return Err(format!("it has {size} bytes (expected at most {most}: `mounts-max-size`)").into());
        }
        let scratch = layers.store().scratch()?;
        let archive = scratch.path().join("archive");
        let bytes: u64 = mount.blobs().map(|blob| blob.size).sum();
        let patience = self.timeout + Duration::from_secs(bytes / SLOWEST);
        let fetched = tokio::time::timeout(patience, self.fetch(mount, &archive)).await;
        fetched.map_err(|_| self.too_late(patience))??;
        let root = Metadata {
            mode: mount.mode,
            uid: mount.uid,
            gid: mount.gid,
            ..Metadata::default()
        };
        layers.unpack_mount(archive, root, path.to_owned()).await?;
        Ok(())
    }

    fn too_late(&self, after: Duration) -> CacheError {
        CacheError::Timeout {
            place: self.backend.place(),
            seconds: after.as_secs(),
        }
    }

    async fn fetch(&self, mount: &MountSnapshot, archive: &Path) -> Result<(), AnyError> {
        let mut file = tokio::fs::File::create(archive).await?;
        let chunks = mount.chunks.iter().map(|chunk| self.chunk(chunk));
        let mut chunks = stream::iter(chunks.collect::<Vec<_>>()).buffered(FETCHES);
        while let Some(bytes) = chunks.try_next().await? {
            file.write_all(&bytes).await?;
        }
        file.flush().await?;
        Ok(())
    }

    async fn chunk(&self, chunk: &Chunk) -> Result<Vec<u8>, CacheError> {
        let (blob, mut bytes, mut is_long) = (chunk.blob(), Vec::new(), false);
        let mut sink = |piece: &[u8]| {
            if (bytes.len() + piece.len()) as u64 > chunk.size {
                is_long = true;
                return Err(std::io::Error::other("longer than announced"));
            }
            bytes.extend_from_slice(piece);
            Ok(())
        };
        let got = tokio::time::timeout(self.timeout, self.backend.get(&blob, 0, &mut sink)).await;
        let corrupt = |found| CacheError::Corrupt {
            place: self.backend.place(),
            digest: chunk.digest,
            found,
        };
        if is_long {
            return Err(corrupt(format!("longer than {} bytes", chunk.size)));
        }
        got.map_err(|_| self.too_late(self.timeout))??;
        let unpacking = chunk.clone();
        let unpacked = tokio::task::spawn_blocking(move || unpacking.unpack(&bytes)).await;
        unpacked
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(corrupt)
    }
}
