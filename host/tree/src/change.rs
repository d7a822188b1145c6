//! What a layer changes.

use std::path::Path;
use std::sync::Arc;

use kiln_image::Digest;

use crate::TreePath;
use crate::path::compare;

/// A point in time as seconds and nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z; may be negative.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// Extended attributes as name and value, sorted by name.
pub type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// What a file system says of an entry beside its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of the content.
    pub mtime: Timestamp,
    /// Extended attributes. Overlayfs' own (`user.overlay.*`, `trusted.overlay.*`) never appear.
    pub xattrs: Xattrs,
}

/// Where the bytes of a regular file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In memory.
    Inline(Arc<[u8]>),
    /// A file on this machine: `path` below the directory `root`. Read with symlinks not followed.
    Disk {
        /// Directory that the path is relative to; shared by all entries of one walk.
        root: Arc<Path>,
        /// Path below `root`.
        path: TreePath,
    },
    /// A range of a layer's uncompressed tar stream.
    Layer {
        /// Digest of the uncompressed stream.
        diff_id: Digest,
        /// Where the bytes start, in bytes; their length is the entry's size.
        offset: u64,
    },
}

/// What kind of thing an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory. An opaque one hides what the layers below have in it.
    Directory {
        /// Hides everything below this directory in lower layers.
        opaque: bool,
    },
    /// A regular file.
    File {
        /// Size in bytes.
        size: u64,
        /// Where the bytes are.
        content: Content,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: Box<[u8]>,
    },
    /// Another name of a regular file of the same change set.
    Hardlink {
        /// The entry that holds the content; it sorts anywhere, a writer puts it first.
        target: TreePath,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// The path is gone: what lower layers have there is hidden.
    Whiteout,
}

impl Node {
    /// Returns true for a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    /// Returns true for what is there and is no directory.
    pub(crate) fn is_solid(&self) -> bool {
        !matches!(self, Self::Directory { .. } | Self::Whiteout)
    }
}

/// One path and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// Owner, permissions, time; meaningless for a [`Node::Whiteout`].
    pub meta: Metadata,
    /// What.
    pub node: Node,
}

impl Entry {
    /// Returns the size of a regular file in bytes; none for anything else, a hard link included.
    pub fn size(&self) -> Option<u64> {
        match self.node {
            Node::File { size, .. } => Some(size),
            _ => None,
        }
    }
}

/// What one layer changes: entries in walk order ([`TreePath`]'s), each path once, parents before children where the
/// layer names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeSet(Vec<Entry>);

impl ChangeSet {
    /// Sorts `entries`; of entries with the same path the last wins, as it does in a tar archive. What lies in a
    /// non-directory of the same set is dropped.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        if !entries.is_sorted_by(|a, b| a.path < b.path) {
            entries.sort_by(|a, b| a.path.cmp(&b.path)); // stable: the last of equal paths stays last
            entries.reverse();
            entries.dedup_by(|later, earlier| later.path == earlier.path);
            entries.reverse();
        }
        let mut solid: Option<TreePath> = None;
        entries.retain(|entry| {
            if solid.as_ref().is_some_and(|solid| entry.path.starts_with(solid)) {
                return false;
            }
            solid = entry.node.is_solid().then(|| entry.path.clone());
            true
        });
        Self(entries)
    }

    /// Takes entries that are in order and have different paths.
    pub(crate) fn from_sorted(entries: Vec<Entry>) -> Self {
        debug_assert!(
            entries.is_sorted_by(|a, b| a.path < b.path),
            "entries out of order"
        );
        Self(entries)
    }

    /// Returns the entries in walk order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Returns the entry of `path`.
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.get_bytes(path.as_bytes())
    }

    /// Returns the entry of a path.
    pub(crate) fn get_bytes(&self, path: &[u8]) -> Option<&Entry> {
        let at = self
            .0
            .binary_search_by(|entry| compare(entry.path.as_bytes(), path))
            .ok()?;
        Some(&self.0[at])
    }

    /// Returns true when there are entries below `path`.
    pub(crate) fn has_below(&self, path: &TreePath) -> bool {
        let next = self.0.partition_point(|entry| entry.path <= *path);
        self.0.get(next).is_some_and(|entry| entry.path.starts_with(path))
    }

    /// Returns all entries below `path`, without `path` itself.
    pub fn below(&self, path: &TreePath) -> &[Entry] {
        let start = self.0.partition_point(|entry| entry.path <= *path);
        let length = self.0[start..].partition_point(|entry| entry.path.starts_with(path));
        &self.0[start..start + length]
    }

    /// Returns true when nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the entries.
    pub fn into_entries(self) -> Vec<Entry> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, mode: u32) -> Entry {
        let meta = Metadata {
            mode,
            ..Metadata::default()
        };
        Entry {
            path: TreePath::parse(path).unwrap(),
            meta,
            node: Node::Directory { opaque: false },
        }
    }

    #[test]
    fn the_last_of_equal_paths_wins() {
        let set = ChangeSet::new(vec![entry("b", 1), entry("a", 2), entry("b", 3)]);
        let modes: Vec<_> = set.entries().iter().map(|e| e.meta.mode).collect();
        assert_eq!(modes, [2, 3]);
    }

    #[test]
    fn below_is_what_a_directory_holds() {
        let set = ChangeSet::new(["a", "a-b", "a/c", "a/c/d", "b"].map(|p| entry(p, 0)).into());
        let paths: Vec<_> = set
            .below(&TreePath::parse("a").unwrap())
            .iter()
            .map(|e| e.path.to_string())
            .collect();
        assert_eq!(paths, ["/a/c", "/a/c/d"]);
        assert_eq!(set.below(&TreePath::root()).len(), 5);
    }
}
