//! What references lead from and to: owners and objects.

use kiln_image::Digest;

/// Something that a reference can keep alive or a lease can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A blob.
    Blob(Digest),
    /// A tree, by its key.
    Tree(String),
    /// A metadata entry: bucket and key. When the last owner that refers to it goes, so does the entry, unless it
    /// is an owner itself.
    Entry(String, Vec<u8>),
}

impl Object {
    /// Returns the numbers and bytes that stand for the object in the database.
    pub(crate) fn columns(&self) -> (Kind, &str, &[u8]) {
        match self {
            Self::Blob(digest) => (Kind::Blob, "", digest.as_bytes()),
            Self::Tree(key) => (Kind::Tree, "", key.as_bytes()),
            Self::Entry(bucket, key) => (Kind::Entry, bucket, key),
        }
    }

    /// The object that [`Object::columns`] describes; nothing when the row is not one this code wrote.
    pub(crate) fn from_columns(kind: i64, bucket: String, key: Vec<u8>) -> Option<Self> {
        match kind {
            k if k == Kind::Blob as i64 => Some(Self::Blob(Digest::from_bytes(key.try_into().ok()?))),
            k if k == Kind::Tree as i64 => Some(Self::Tree(String::from_utf8(key).ok()?)),
            k if k == Kind::Entry as i64 => Some(Self::Entry(bucket, key)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blob(digest) => digest.fmt(f),
            Self::Tree(key) => f.write_str(key),
            Self::Entry(bucket, key) => write!(f, "{bucket}/{}", key.escape_ascii()),
        }
    }
}

/// The numbers of the kinds in the database; they never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Blob = 1,
    Tree = 2,
    Entry = 3,
}

/// A metadata entry that keeps objects alive: an image name, a cache record. When garbage collection removes the
/// owner, the entry of that bucket and key goes with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The bucket of the entry.
    pub bucket: String,
    /// The key of the entry.
    pub key: Vec<u8>,
}

impl Owner {
    /// Names an owner.
    pub fn new(bucket: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
        }
    }
}

/// Whether garbage collection may remove an owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pin {
    /// It may: a cache record.
    #[default]
    Collectable,
    /// It may not; only [`crate::Store::unrefer`] does: an image the user named.
    Pinned,
}

/// What is known of an owner apart from its name, for people and for the filters of garbage collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerInfo {
    /// Whether it may be collected.
    pub pin: Pin,
    /// BuildKit's record type: `regular` (also when empty), `internal`, `frontend`, `source.local`,
    /// `source.git.checkout`, `exec.cachemount`.
    pub record_type: String,
    /// One line for people.
    pub description: String,
}
