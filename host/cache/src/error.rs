//! Why a cache cannot be read or written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_image::Digest;

/// A cache cannot be read or written. None of these fails a build that only reads.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// There is nothing at that place.
    #[error("there is no cache at `{0}`")]
    NoCache(String),
    /// A blob is not there.
    #[error("cache `{place}` has no blob {digest}")]
    NoBlob {
        /// The cache.
        place: String,
        /// The blob.
        digest: Digest,
    },
    /// A blob is not what its digest says.
    #[error("blob {digest} of cache `{place}` is {found}")]
    Corrupt {
        /// The cache.
        place: String,
        /// The blob.
        digest: Digest,
        /// What it is instead.
        found: String,
    },
    /// A document is not what it should be.
    #[error("cache `{place}` has an invalid {what}: {problem}")]
    Invalid {
        /// The cache.
        place: String,
        /// Which document.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// A registry failed.
    #[error("cannot use cache `{place}`")]
    Registry {
        /// The cache.
        place: String,
        /// Why.
        #[source]
        source: Arc<kiln_registry::RegistryError>,
    },
    /// The place that a plugin keeps caches at failed.
    #[error("cannot use cache `{place}`: {problem}")]
    Unavailable {
        /// The cache.
        place: String,
        /// Why.
        problem: String,
    },
    /// The place took too long.
    #[error("cache `{place}` did not answer within {seconds} s")]
    Timeout {
        /// The cache.
        place: String,
        /// How long was waited.
        seconds: u64,
    },
}

impl CacheError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source: Arc::new(source),
        }
    }

    /// Returns true when just this blob is of no use; the rest of the cache may be.
    pub fn is_about_one_blob(&self) -> bool {
        matches!(self, Self::NoBlob { .. } | Self::Corrupt { .. })
    }
}
