//! What a place that keeps caches can do. Implementations here for directories and registries, in the wiring for
//! components.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use kiln_image::Descriptor;
use kiln_image::Digest;

use crate::config::CacheConfig;
use crate::error::CacheError;

/// What is known of a layer's blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Media type, digest, size.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// When the layer was made.
    pub created: Option<Timestamp>,
}

/// A cache: the document, and how its layers' blobs can be had.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheImage {
    /// The document.
    pub config: CacheConfig,
    /// Facts about the blobs that it names. A blob without any is unknown, and so are results that need it.
    pub layers: BTreeMap<Digest, LayerInfo>,
}

/// Takes the bytes of a blob.
pub type BlobSink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + Send + 'a;

/// A place that keeps caches. What it says is hostile: callers check every blob against its digest.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// Returns the place for people, such as `local:/tmp/cache`; never a credential.
    fn place(&self) -> String;

    /// Returns the caches that are there. None is no error.
    ///
    /// # Errors
    /// When the place cannot be read.
    async fn read(&self) -> Result<Vec<CacheImage>, CacheError>;

    /// Returns which of the blobs are not there yet.
    ///
    /// # Errors
    /// When the place cannot be asked.
    async fn absent(&self, blobs: &[Descriptor]) -> Result<Vec<Digest>, CacheError>;

    /// Stores a blob whose bytes are in a file.
    ///
    /// # Errors
    /// When it cannot be stored.
    async fn put(&self, blob: &Descriptor, file: &Path) -> Result<(), CacheError>;

    /// Hands over a blob's bytes from `offset` on, unchecked.
    ///
    /// # Errors
    /// When it is not there or cannot be had.
    async fn get(&self, blob: &Descriptor, offset: u64, sink: &mut BlobSink<'_>) -> Result<(), CacheError>;

    /// Makes the cache visible in place of the one before; its blobs are there.
    ///
    /// # Errors
    /// When it cannot be stored.
    async fn commit(&self, image: &CacheImage) -> Result<(), CacheError>;
}
