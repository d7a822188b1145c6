//! The digest of one path of a tree.

use kiln_image::Digest;
use kiln_image::Hasher;
use kiln_pattern::Patterns;

use super::FileDigests;
use super::filter;
use super::filter::Included;
use super::header::header;
use crate::Entry;
use crate::Follow;
use crate::Found;
use crate::Node;
use crate::OpError;
use crate::Tree;
use crate::TreePath;

/// What the root directory itself adds to digests that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RootHeader {
    /// Its owner and mode, as for a snapshot.
    #[default]
    Entry,
    /// Nothing, as for a local context, whose root is never sent.
    Empty,
}

/// How a path is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The path has wildcards.
    pub wildcard: bool,
    /// A symlink at the end is followed.
    pub follow_links: bool,
    /// Only what matches counts, relative to the path.
    pub include_patterns: Vec<String>,
    /// What matches does not count, relative to the path.
    pub exclude_patterns: Vec<String>,
    /// Paths that must be there.
    pub required_paths: Vec<String>,
    /// What the root directory adds.
    pub root: RootHeader,
}

impl Options {
    fn has_filters(&self) -> bool {
        let patterns = self.include_patterns.len() + self.exclude_patterns.len() + self.required_paths.len();
        self.wildcard || patterns > 0
    }
}

/// Returns the digest of what is at `path`, however it is spelled. Nothing outside of it is looked at, and each file in
/// it is asked for once.
///
/// # Errors
/// The path or a required one is missing, a pattern is malformed, a file cannot be read.
pub fn checksum(
    tree: &Tree,
    path: &str,
    options: &Options,
    files: &dyn FileDigests,
) -> Result<Digest, OpError> {
    let hash = Hash {
        tree,
        files,
        root: options.root,
    };
    for required in &options.required_paths {
        hash.existing(required, Follow::Last)?;
    }
    let follow = if options.follow_links {
        Follow::Last
    } else {
        Follow::NotLast
    };
    if !options.has_filters() {
        return hash.path(path, follow);
    }
    let included = filter::included(tree, path, options)?;
    let mut digests = Vec::with_capacity(included.len());
    for one in &included {
        digests.push(hash.included(one, options.follow_links)?);
    }
    if let ([one], [digest]) = (&included[..], &digests[..])
        && filter::base(path.as_bytes()) == filter::base(&one.name)
    {
        return Ok(*digest);
    }
    let mut hasher = Hasher::new();
    for (one, digest) in included.iter().zip(&digests) {
        hasher.update(one.key());
        hasher.update(digest.to_string());
    }
    Ok(hasher.finish())
}

/// Returns the patterns of a list; none for an empty one.
pub(super) fn patterns(kind: &'static str, list: &[String]) -> Result<Option<Patterns>, OpError> {
    if list.is_empty() {
        return Ok(None);
    }
    let patterns = Patterns::new(list);
    patterns.map(Some).map_err(|source| OpError::Patterns {
        kind,
        patterns: list.join(" "),
        source,
    })
}

struct Hash<'a> {
    tree: &'a Tree,
    files: &'a dyn FileDigests,
    root: RootHeader,
}

/// A directory that is being hashed.
struct Open {
    path: TreePath,
    hasher: Hasher,
}

impl Hash<'_> {
    fn existing(&self, path: &str, follow: Follow) -> Result<Found<'_>, OpError> {
        let clean = TreePath::clean(path)?;
        let resolved = self.tree.resolve(clean.as_bytes(), follow)?;
        let not_found = || OpError::NotFound {
            path: clean.to_string(),
        };
        self.tree.lookup(&resolved).ok_or_else(not_found)
    }

    /// Hashes a path with all that is in it.
    fn path(&self, path: &str, follow: Follow) -> Result<Digest, OpError> {
        let found = self.existing(path, follow)?;
        if found.node.is_directory() {
            self.directory(&found)
        } else {
            self.header(&found)
        }
    }

    fn included(&self, included: &Included<'_>, follow_links: bool) -> Result<Digest, OpError> {
        let is_link = matches!(included.found.node, Node::Symlink { .. });
        if follow_links && included.is_top && is_link {
            return self.path(&String::from_utf8_lossy(&included.name), Follow::Last);
        }
        self.header(&included.found)
    }

    /// Hashes an entry; of a directory the header alone.
    fn header(&self, found: &Found<'_>) -> Result<Digest, OpError> {
        if found.path.is_root() && self.root == RootHeader::Empty {
            return Ok(Digest::of([]));
        }
        let read = |source| OpError::Read {
            path: found.path.clone(),
            source,
        };
        match &found.node {
            Node::File { .. } => self.files.digest(found, &header(found)).map_err(read),
            Node::Hardlink { .. } => {
                let dangling = || OpError::DanglingLink {
                    path: found.path.clone(),
                };
                let (size, content) = self.tree.file_of(found).ok_or_else(dangling)?;
                let node = Node::File {
                    size,
                    content: content.clone(),
                };
                let file = Entry {
                    path: found.path.clone(),
                    meta: found.meta.clone(),
                    node,
                };
                self.files.digest(&file, &header(&file)).map_err(read)
            }
            _ => Ok(Digest::of(header(found))),
        }
    }

    fn open(&self, found: &Found<'_>) -> Result<Open, OpError> {
        let mut hasher = Hasher::new();
        // The record of the header has the directory's key and one more separator, which is a NUL.
        hasher.update([0]);
        hasher.update(self.header(found)?.to_string());
        Ok(Open {
            path: found.path.clone(),
            hasher,
        })
    }

    /// Hashes a directory with all that is in it.
    fn directory(&self, found: &Found<'_>) -> Result<Digest, OpError> {
        let mut open = vec![self.open(found)?];
        for found in self.tree.walk(&found.path) {
            while open.len() > 1 && !open.last().is_some_and(|dir| found.path.starts_with(&dir.path)) {
                close(&mut open);
            }
            if found.node.is_directory() {
                open.push(self.open(&found)?);
            } else {
                let digest = self.header(&found)?;
                add(&mut open, &found.path, digest);
            }
        }
        while open.len() > 1 {
            close(&mut open);
        }
        let top = open.pop().expect("the top is closed last");
        Ok(top.hasher.finish())
    }
}

fn close(open: &mut Vec<Open>) {
    if let Some(dir) = open.pop() {
        add(open, &dir.path, dir.hasher.finish());
    }
}

/// Adds the digest of `path` to the directory that it is in.
fn add(open: &mut [Open], path: &TreePath, digest: Digest) {
    if let Some(dir) = open.last_mut() {
        dir.hasher.update([0]);
        dir.hasher.update(path.file_name());
        dir.hasher.update(digest.to_string());
    }
}
