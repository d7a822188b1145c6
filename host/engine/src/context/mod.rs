//! Contexts: directories of this machine, read in place.
//!
//! Nothing is copied. A context becomes a layer whose contents are the files themselves; digests of files come from a
//! cache by what `stat` says.

mod attributes;
mod filter;
mod stat_cache;
mod walk;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use kiln_image::Digest;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::PathError;
use kiln_tree::TreePath;

pub(crate) use filter::Filter;
use stat_cache::Known;
use stat_cache::StatCache;
pub(crate) use walk::Stat;

/// Most times that newly found targets of symbolic links are looked for.
const MAX_FOLLOW: usize = 16;
/// Entries that are looked at before a file is searched for.
const NEAR: usize = 4;

/// A context cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The directory cannot be opened.
    #[error("unable to prepare context: path \"{}\" not found", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry cannot be read.
    #[error("failed to read the context: cannot read `{}`", path.display())]
    Read {
        /// The entry.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that cannot be in an image.
    #[error("failed to read the context")]
    Path(#[source] PathError),
    /// A pattern of the filter is malformed.
    #[error("invalid pattern in the context's filter")]
    Pattern(#[source] kiln_pattern::PatternError),
    /// A file changed while it was read.
    #[error("file `{}` changed while the context was read (build again when nothing writes to it)", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// A directory that was read as a context.
#[derive(Debug)]
pub(crate) struct LocalTree {
    root: Arc<Path>,
    changes: Arc<ChangeSet>,
    stats: Vec<Stat>,
    digests: Mutex<Digests>,
    /// Where the next file that is asked for may be.
    next: AtomicUsize,
}

#[derive(Debug)]
struct Digests {
    cache: StatCache,
    fresh: HashMap<TreePath, Digest>,
}

/// Which part of a context is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Wanted {
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) follow: Vec<String>,
}

impl LocalTree {
    /// Reads the directory. `cache` is where digests are remembered.
    pub(crate) fn read(
        root: &Path,
        wanted: &Wanted,
        cache: &Path,
        threads: usize,
    ) -> Result<Self, WalkError> {
        let root = std::path::absolute(root)
            .and_then(std::fs::canonicalize)
            .map_err(|source| WalkError::Open {
                path: root.to_owned(),
                source,
            })?;
        let walked = walk_following(&root, wanted, threads)?;
        let cache = StatCache::load(cache, &root);
        let walked = attributes::add(&root, walked, &cache, threads)?;
        let digests = Mutex::new(Digests {
            cache,
            fresh: HashMap::new(),
        });
        Ok(Self {
            root: root.into(),
            changes: walked.changes,
            stats: walked.stats,
            digests,
            next: AtomicUsize::new(0),
        })
    }

    /// Returns the context as a change set over nothing.
    pub(crate) fn changes(&self) -> &Arc<ChangeSet> {
        &self.changes
    }

    fn stat(&self, path: &TreePath) -> Option<&Stat> {
        let entries = self.changes.entries();
        // Who asks mostly goes through the files in their order.
        let next = self.next.load(Ordering::Relaxed);
        let near = (next..entries.len().min(next + NEAR)).find(|at| entries[*at].path == *path);
        let at = near.or_else(|| entries.binary_search_by(|entry| entry.path.cmp(path)).ok())?;
        self.next.store(at + 1, Ordering::Relaxed);
        self.stats.get(at)
    }

    /// Tells whether the file at `path` below `root` is as it was when this context was listed; none when it is not one
    /// of this context's files.
    pub(crate) fn is_as_listed(&self, root: &Path, path: &TreePath) -> Option<bool> {
        if *self.root != *root {
            return None;
        }
        let listed = self.stat(path)?;
        Some(walk::stat(&root.join(path.as_path())).is_ok_and(|now| now == *listed))
    }

    fn digests(&self) -> std::sync::MutexGuard<'_, Digests> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the digest of a regular file that is as it was when it was hashed.
    pub(crate) fn known_digest(&self, entry: &Entry) -> Option<Digest> {
        let stat = self.stat(&entry.path).copied().unwrap_or_default();
        let digests = self.digests();
        let fresh = digests.fresh.get(&entry.path).copied();
        fresh.or_else(|| digests.cache.get(&entry.path, &stat))
    }

    /// Returns the digest of a regular file: what is known, or by `hash`, which is given the entry.
    pub(crate) fn file_digest(
        &self,
        entry: &Entry,
        hash: impl FnOnce(&Entry) -> io::Result<Digest>,
    ) -> io::Result<Digest> {
        if let Some(known) = self.known_digest(entry) {
            return Ok(known);
        }
        let stat = self.stat(&entry.path).copied().unwrap_or_default();
        let read_at = SystemTime::now();
        let digest = hash(entry)?;
        let mut digests = self.digests();
        digests.fresh.insert(entry.path.clone(), digest);
        digests.cache.put(
            entry.path.clone(),
            Known::new(stat, digest, &entry.meta.xattrs),
            read_at,
        );
        Ok(digest)
    }

    /// Hashes `files` on several threads. Each comes with what is hashed before it.
    pub(crate) fn hash_ahead(
        &self,
        files: &[(Entry, Vec<u8>)],
        threads: usize,
        hash: &(dyn Fn(&Entry, &[u8]) -> io::Result<Digest> + Sync),
    ) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(files.len().div_ceil(16)) {
                scope.spawn(|| {
                    while let Some((entry, header)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // A file that cannot be read is reported by who needs it.
                        let _ = self.file_digest(entry, |entry| hash(entry, header));
                    }
                });
            }
        });
    }

    /// Writes down what was learned.
    pub(crate) fn save(&self) {
        let keep = |path: &TreePath| self.root.join(path.as_path()).symlink_metadata().is_ok();
        // The cache saves time and nothing else: a build does not fail for it.
        let _ = self
            .digests()
            .cache
            .save(|path| self.changes.get(path).is_some() || keep(path));
    }
}

/// Walks, and walks again while symbolic links lead to paths that were not wanted before.
fn walk_following(root: &Path, wanted: &Wanted, threads: usize) -> Result<walk::Walked, WalkError> {
    let mut follow = wanted.follow.clone();
    for _ in 0..MAX_FOLLOW {
        let filter = Filter::new(&wanted.include, &wanted.exclude, &follow).map_err(WalkError::Pattern)?;
        let walked = walk::walk(root, &filter, threads)?;
        if !filter.follows() {
            return Ok(walked);
        }
        let entries = walked.changes.entries();
        let targets: Vec<String> = walked
            .ways
            .iter()
            .filter_map(|at| link_target(&entries[*at]))
            .filter(|t| !follow.contains(t))
            .collect();
        if targets.is_empty() {
            return Ok(walked);
        }
        follow.extend(targets);
    }
    let filter = Filter::new(&wanted.include, &wanted.exclude, &[]).map_err(WalkError::Pattern)?;
    walk::walk(root, &filter, threads)
}

/// Returns where a symbolic link points inside the context, as a pattern.
fn link_target(entry: &Entry) -> Option<String> {
    let Node::Symlink { target } = &entry.node else {
        return None;
    };
    let parent = entry.path.parent().unwrap_or_default();
    let joined = if target.starts_with(b"/") {
        target.to_vec()
    } else {
        [parent.as_bytes(), b"/", target].concat()
    };
    let clean = TreePath::clean(joined).ok()?;
    let text = std::str::from_utf8(clean.as_bytes()).ok()?;
    let escaped: String = text
        .chars()
        .flat_map(|c| ["\\", ""][usize::from(!"*?[\\".contains(c))].chars().chain([c]))
        .collect();
    (!escaped.is_empty()).then_some(escaped)
}

#[cfg(test)]
mod tests;
