//! A stack of layers, seen as one tree. Nothing is materialised: lookups search the layers' change sets, walks merge
//! them.
//!
//! The rules are those of an overlay of the layers: a whiteout or a non-directory hides what is below it, an opaque
//! directory what lower layers have in it. A layer that names `a/b` without `a` implies a directory `a`: a lower
//! layer's directory keeps its metadata, otherwise it is root's with mode 0755.

mod flatten;
mod resolve;
mod walk;

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use crate::ChangeSet;
use crate::Content;
use crate::Entry;
use crate::Metadata;
use crate::Node;
use crate::TreePath;

pub(crate) use flatten::Links;
pub use resolve::Follow;
pub use resolve::ResolveError;
pub(crate) use resolve::resolve;
pub use walk::Walk;

/// Most hard links that are followed to the file they name: links to links are not what writers make.
const MAX_LINKS: usize = 16;

/// A stack of layers, bottom first. Cloning it copies pointers.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    layers: Vec<Arc<ChangeSet>>,
}

/// What a lookup or a walk found: never a whiteout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    entry: Cow<'a, Entry>,
    layer: usize,
}

impl<'a> Found<'a> {
    fn named(entry: &'a Entry, layer: usize) -> Self {
        Self {
            entry: Cow::Borrowed(entry),
            layer,
        }
    }

    fn implied(path: TreePath, layer: usize) -> Self {
        Self {
            entry: Cow::Owned(implied_directory(path)),
            layer,
        }
    }

    /// Returns the entry. A hard link is returned as such, see [`Tree::file_of`].
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Returns the index of the layer that the entry is from, counted from the bottom.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// Returns the entry, copied if need be.
    pub fn into_entry(self) -> Entry {
        self.entry.into_owned()
    }
}

impl Deref for Found<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

/// Returns the directory that a path implies which no layer names.
pub(crate) fn implied_directory(path: TreePath) -> Entry {
    let meta = Metadata {
        mode: 0o755,
        ..Metadata::default()
    };
    Entry {
        path,
        meta,
        node: Node::Directory { opaque: false },
    }
}

/// What a layer does to a path and what is below it in lower layers.
enum Barrier {
    /// Nothing.
    Open,
    /// Hides what lower layers have there.
    Below,
    /// Has a non-directory above the path.
    Blocked,
}

impl Tree {
    /// Stacks layers, bottom first.
    pub fn new(layers: Vec<Arc<ChangeSet>>) -> Self {
        Self { layers }
    }

    /// Puts a layer on top.
    pub fn push(&mut self, layer: Arc<ChangeSet>) {
        self.layers.push(layer);
    }

    /// Returns the layers, bottom first.
    pub fn layers(&self) -> &[Arc<ChangeSet>] {
        &self.layers
    }

    /// Returns what is at `path`, without following a symlink anywhere in it. The root is always there.
    pub fn lookup(&self, path: &TreePath) -> Option<Found<'_>> {
        self.lookup_under(path, self.layers.len())
    }

    /// Does a lookup in the lowest `count` layers.
    fn lookup_under(&self, path: &TreePath, count: usize) -> Option<Found<'_>> {
        let mut implied = path.is_root().then_some(0);
        for (index, layer) in self.layers[..count].iter().enumerate().rev() {
            match layer.get(path) {
                Some(entry) if entry.node.is_directory() => return Some(Found::named(entry, index)),
                Some(entry) if entry.node.is_solid() && implied.is_none() => {
                    return Some(Found::named(entry, index));
                }
                Some(entry) if entry.node.is_solid() => break,
                here => {
                    if layer.has_below(path) {
                        implied = implied.or(Some(index));
                    }
                    if here.is_some() || !matches!(barrier_above(layer, path), Barrier::Open) {
                        break;
                    }
                }
            }
        }
        implied.map(|index| Found::implied(path.clone(), index))
    }

    /// Returns the lowest layer that has a say in what is below the directory `path`.
    fn floor(&self, path: &TreePath) -> usize {
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let here = layer.get(path).map(|entry| &entry.node);
            match (barrier_above(layer, path), here) {
                (Barrier::Blocked, _) => return index + 1,
                (_, Some(Node::Whiteout | Node::Directory { opaque: true })) => return index,
                (Barrier::Below, Some(Node::Directory { .. }) | None) => return index,
                (Barrier::Open, Some(Node::Directory { .. }) | None) => {}
                (_, Some(_)) => return index + 1,
            }
        }
        0
    }

    /// Returns the regular file that `found` is or is a hard link to: its size and where its bytes are. None for
    /// anything else, a dangling hard link included.
    pub fn file_of<'s>(&'s self, found: &'s Found<'_>) -> Option<(u64, &'s Content)> {
        match &found.entry.node {
            Node::File { size, content } => Some((*size, content)),
            Node::Hardlink { target } => match &self.link_target(target, found.layer)?.1.node {
                Node::File { size, content } => Some((*size, content)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the file that a hard link of layer `index` names, and its layer. A writer that saw the whole tree may
    /// have linked to a file of a lower layer.
    fn link_target(&self, target: &TreePath, index: usize) -> Option<(usize, &Entry)> {
        let (mut index, mut target) = (index, target);
        for _ in 0..MAX_LINKS {
            let layers = self.layers[..=index].iter().enumerate().rev();
            let (at, entry) = layers
                .filter_map(|(at, layer)| Some((at, layer.get(target)?)))
                .next()?;
            match &entry.node {
                Node::Hardlink { target: next } => (index, target) = (at, next),
                Node::File { .. } => return Some((at, entry)),
                _ => return None,
            }
        }
        None
    }

    /// Returns the regular file at `path`, symlinks followed and a hard link replaced by the file it names.
    pub fn file(&self, path: &TreePath) -> Option<Entry> {
        let found = self.lookup(&self.resolve_existing(path).ok()?)?;
        let (size, content) = self.file_of(&found)?;
        let node = Node::File {
            size,
            content: content.clone(),
        };
        Some(Entry {
            path: found.path.clone(),
            meta: found.meta.clone(),
            node,
        })
    }

    /// Returns what is in the directory `path`, by name. Empty for anything else.
    pub fn read_dir(&self, path: &TreePath) -> Vec<Found<'_>> {
        let mut walk = self.walk(path);
        let mut children = Vec::new();
        while let Some(child) = walk.next() {
            walk.skip_below();
            children.push(child);
        }
        children
    }

    /// Walks all that is below `path`, without `path` itself: a directory, then what is in it, then its next sibling.
    pub fn walk(&self, path: &TreePath) -> Walk<'_> {
        Walk::new(self, path)
    }
}

fn barrier_above(layer: &ChangeSet, path: &TreePath) -> Barrier {
    let mut barrier = Barrier::Open;
    for above in path.above() {
        match layer.get_bytes(above).map(|entry| &entry.node) {
            Some(Node::Whiteout | Node::Directory { opaque: true }) => barrier = Barrier::Below,
            Some(Node::Directory { opaque: false }) | None => {}
            Some(_) => return Barrier::Blocked,
        }
    }
    barrier
}
