//! What can go wrong in the store, and how an operating system's or database's error becomes one of these.

use std::error::Error;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Digest;

/// The source of a database error; the database library stays a detail of this crate.
type Source = Box<dyn Error + Send + Sync>;

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed for a reason that has no variant of its own.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file system of the store (or the caller's quota on it) is full.
    #[error(
        "cannot {action} `{path}`: no space left on the disk of the store\nhint: free space with `kiln prune`"
    )]
    Full {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the operating system or the database said.
        #[source]
        source: Source,
    },
    /// The store cannot be written: read-only file system or missing permission.
    #[error(
        "cannot {action} `{path}`: the store is read-only\nhint: make the directory writable for this user, or \
         choose another directory for the store"
    )]
    ReadOnly {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the operating system or the database said.
        #[source]
        source: Source,
    },
    /// A newer kiln wrote the store.
    #[error(
        "the store at `{path}` has version `{found}`, this kiln reads version `{supported}`\nhint: use a newer \
         kiln, or choose another directory for the store"
    )]
    Version {
        /// Root directory of the store.
        path: PathBuf,
        /// What its version file says.
        found: String,
        /// The version this code reads and writes.
        supported: u32,
    },
    /// The store has no such blob, tree, record or owner.
    #[error("`{object}` is not in the store")]
    NotFound {
        /// What was asked for.
        object: String,
    },
    /// Content does not hash to the digest it was announced or stored under.
    #[error("blob `{expected}` has content `{actual}`")]
    Mismatch {
        /// The digest that was expected.
        expected: Digest,
        /// The digest of the bytes that are there.
        actual: Digest,
    },
    /// A blob is larger than the caller wants to read into memory.
    #[error("blob `{digest}` has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// Another process downloads the same blob.
    #[error("blob `{digest}` is being downloaded by another process")]
    Busy {
        /// The blob.
        digest: Digest,
    },
    /// A tree key that is not a plain file name.
    #[error("`{key}` is not a tree key (expected 1 to 200 of `a-z A-Z 0-9 . _ -`, not beginning with `.`)")]
    TreeKey {
        /// The key as given.
        key: String,
    },
    /// A garbage collection filter that cannot be read.
    #[error("parse error: [{text} >|{at}|<]: {expected}")]
    Filter {
        /// The filter up to the place of the error.
        text: String,
        /// What stands there.
        at: String,
        /// What was expected.
        expected: String,
    },
    /// The metadata database failed.
    #[error("cannot {action} in the database `{path}`")]
    Database {
        /// What was being done.
        action: &'static str,
        /// The database file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: Source,
    },
}

impl StoreError {
    /// Sorts an operating system's error into a variant.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full {
                action,
                path,
                source: source.into(),
            },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly {
                action,
                path,
                source: source.into(),
            },
            _ => Self::Io { action, path, source },
        }
    }

    /// Sorts a database error into a variant.
    pub(crate) fn database(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(Code::DiskFull) => Self::Full {
                action,
                path,
                source: source.into(),
            },
            Some(Code::ReadOnly | Code::PermissionDenied) => Self::ReadOnly {
                action,
                path,
                source: source.into(),
            },
            _ => Self::Database {
                action,
                path,
                source: source.into(),
            },
        }
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Returns the store's error inside an [`io::Error`] that a writer of this crate gave, or wraps the error
    /// as it is.
    pub fn from_write(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::Io {
                action: "write to",
                path: PathBuf::from("the store"),
                source: error,
            },
        }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Io { source, .. } => source.kind(),
            StoreError::Full { .. } => io::ErrorKind::StorageFull,
            StoreError::ReadOnly { .. } => io::ErrorKind::ReadOnlyFilesystem,
            StoreError::NotFound { .. } => io::ErrorKind::NotFound,
            StoreError::Busy { .. } => io::ErrorKind::ResourceBusy,
            StoreError::Mismatch { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
