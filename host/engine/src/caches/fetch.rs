//! Brings layers of imported caches into the store, and remembers which turned out to be of no use.

use std::collections::BTreeSet;
use std::io;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use async_trait::async_trait;
use kiln_cache::Backend;
use kiln_cache::CacheError;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_store::Store;
use kiln_store::StoreError;

use crate::bridge::chain;
use crate::images::ImageError;
use crate::layers::FetchLayer;

/// What turned out to be wrong with imported caches while a build used them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    blobs: BTreeSet<Digest>,
    places: BTreeSet<String>,
    texts: Vec<String>,
}

impl Faults {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a blob cannot be used; the whole place when it is not about the blob.
    fn note(&self, place: &str, blob: &Digest, error: &CacheError) {
        let mut found = self.found();
        let is_new = if error.is_about_one_blob() {
            found.blobs.insert(*blob)
        } else {
            found.places.insert(place.to_owned())
        };
        if is_new {
            found.texts.push(chain(error));
        }
    }

    /// Returns whether a layer of that place is worth a try.
    pub(super) fn allow(&self, place: &str, blob: &Digest) -> bool {
        let found = self.found();
        !found.blobs.contains(blob) && !found.places.contains(place)
    }

    /// Returns what was noted since the last call.
    pub(crate) fn news(&self) -> Vec<String> {
        std::mem::take(&mut self.found().texts)
    }
}

/// A cache that layers are fetched from.
#[derive(Debug)]
pub(super) struct FromCache {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) faults: Faults,
}

impl FromCache {
    /// Copies the blob; bytes that an earlier attempt left are thrown away when they turn out to be wrong.
    async fn copy(&self, store: &Store, blob: &Descriptor) -> Result<(), Failure> {
        match self.attempt(store, blob).await {
            Err(Failure::Stale) => self.attempt(store, blob).await,
            done => done,
        }
    }

    async fn attempt(&self, store: &Store, blob: &Descriptor) -> Result<(), Failure> {
        if store.contains(&blob.digest)? {
            return Ok(());
        }
        let (digest, resumed) = (blob.digest, store.clone());
        let opened = tokio::task::spawn_blocking(move || resumed.resume_when_free(&digest)).await;
        let mut partial = opened.map_err(|error| Failure::Own(io::Error::other(error)))??;
        if partial.is_whole() {
            return Ok(()); // another process was faster
        }
        if partial.len() > blob.size {
            partial.restart()?;
        }
        let (offset, mut own, mut too_long) = (partial.len(), None, false);
        let mut sink = |bytes: &[u8]| {
            if partial.len() + bytes.len() as u64 > blob.size {
                too_long = true;
                return Err(io::Error::other("longer than announced"));
            }
            partial.write_all(bytes).map_err(|error| {
                let text = error.to_string();
                own = Some(error);
                io::Error::other(text)
            })
        };
        let got = self.backend.get(blob, offset, &mut sink).await;
        if let Some(error) = own {
            return Err(Failure::Own(error));
        }
        let length = partial.len();
        let found = match got {
            Err(_) if too_long => {
                partial.restart()?;
                format!("longer than {} bytes", blob.size)
            }
            Err(error) => {
                // What a cache sent is not left for others to go on with.
                partial.restart()?;
                return Err(Failure::Cache(error));
            }
            Ok(()) if length != blob.size => {
                partial.restart()?;
                format!("{length} bytes long (expected {})", blob.size)
            }
            Ok(()) => match partial.commit() {
                Ok(_) => return Ok(()),
                Err(StoreError::Mismatch { actual, .. }) => actual.to_string(),
                Err(error) => return Err(error.into()),
            },
        };
        if offset > 0 {
            return Err(Failure::Stale);
        }
        Err(Failure::Cache(CacheError::Corrupt {
            place: self.backend.place(),
            digest: blob.digest,
            found,
        }))
    }

    fn failed(&self, blob: &Descriptor, failure: Failure) -> ImageError {
        let error = match failure {
            Failure::Store(error) => return ImageError::Store(error),
            Failure::Own(source) => {
                return ImageError::Read {
                    reference: self.backend.place(),
                    digest: blob.digest,
                    source,
                };
            }
            Failure::Cache(error) => error,
            Failure::Stale => CacheError::NoBlob {
                place: self.backend.place(),
                digest: blob.digest,
            },
        };
        self.faults.note(&self.backend.place(), &blob.digest, &error);
        ImageError::Cache(Box::new(error))
    }
}

enum Failure {
    /// The cache's.
    Cache(CacheError),
    /// Bytes that were here before do not fit.
    Stale,
    /// This machine's.
    Own(io::Error),
    /// The store's.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[async_trait]
impl FetchLayer for FromCache {
    async fn fetch(
        &self,
        store: &Store,
        blob: &Descriptor,
        _: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        let copied = self.copy(store, blob).await;
        copied.map_err(|failure| self.failed(blob, failure))
    }

    fn origin(&self) -> String {
        format!("cache://{}", self.backend.place())
    }

    fn is_cache(&self) -> bool {
        true
    }

    fn is_usable(&self, blob: &Descriptor) -> bool {
        self.faults.allow(&self.backend.place(), &blob.digest)
    }

    fn condemn(&self, blob: &Descriptor, problem: &str) {
        let error = CacheError::Corrupt {
            place: self.backend.place(),
            digest: blob.digest,
            found: format!("no layer: {problem}"),
        };
        self.faults.note(&self.backend.place(), &blob.digest, &error);
    }
}
