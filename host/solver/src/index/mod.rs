//! The persistent cache index as the solver sees it: links between keys, and results under keys.
//!
//! Implementations: [`MemoryIndex`] here, SQLite in the engine, imported caches through [`LayeredIndex`]. Each
//! calls `conformance::run` from a test.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod layered;
mod memory;

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_image::Digest;

pub use self::layered::LayeredIndex;
pub use self::memory::MemoryIndex;
use crate::key::Entry;
use crate::key::KeyId;
use crate::key::Link;

/// Where keys and results are kept. A future of any method may be dropped at any time: a write is then either
/// whole or not there.
#[async_trait]
pub trait CacheIndex<R>: Send + Sync {
    /// Returns whether any key of the operation `op` was ever written, for any output and inputs. `true` may be
    /// wrong; `false` makes the solver skip every lookup of the step and compute no content key before it runs.
    ///
    /// # Errors
    /// When the index cannot be read.
    async fn has_any(&self, op: &Digest) -> Result<bool, IndexError>;

    /// Returns the keys that `link` leads to from any of `from`, without duplicates.
    ///
    /// # Errors
    /// When the index cannot be read.
    async fn query(&self, from: &[KeyId], link: &Link) -> Result<Vec<KeyId>, IndexError>;

    /// Returns the results stored under any of `keys`, newest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    async fn records(&self, keys: &[KeyId]) -> Result<Vec<Record>, IndexError>;

    /// Returns the result of `record`, or `None` when it is gone; the step then runs.
    ///
    /// # Errors
    /// When the result cannot be read; the step then runs as well.
    async fn load(&self, record: &Record) -> Result<Option<R>, IndexError>;

    /// Writes the key, its preimage and its links, adding to those that are there.
    ///
    /// # Errors
    /// When the index cannot be written.
    async fn link(&self, entry: &Entry) -> Result<(), IndexError>;

    /// Does what [`CacheIndex::link`] does and stores `result` under the key, as its newest. A result that is
    /// there already may be kept as one record.
    ///
    /// # Errors
    /// When the index cannot be written.
    async fn save(&self, entry: &Entry, result: &R) -> Result<(), IndexError>;
}

/// One stored result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key it is stored under.
    pub key: KeyId,
    /// The index's own name for it.
    pub id: String,
    /// Whether it is the index's own.
    pub origin: Origin,
}

/// Where a record lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the index that results are saved to.
    Own,
    /// In an imported cache: saved to the own index once it has been loaded. The number is its place among the
    /// imports.
    Imported(u32),
}

/// The index could not be read or written. Keeps the cause's chain of sources.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct IndexError(Arc<dyn Error + Send + Sync>);

impl IndexError {
    /// Wraps the cause.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}
