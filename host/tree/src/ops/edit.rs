//! A tree that is being changed: what it was and the changes so far.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::OpError;
use super::Problem;
use crate::ChangeSet;
use crate::Entry;
use crate::Follow;
use crate::Metadata;
use crate::Node;
use crate::Timestamp;
use crate::Tree;
use crate::TreePath;
use crate::path::compare;
use crate::tree::resolve;
use crate::users::Ids;

/// The changes of one operation on a tree.
#[derive(Debug)]
pub(super) struct Edit<'a> {
    base: &'a Tree,
    changes: Changes,
    /// How many hard links were put, at least: without any, nothing needs to be looked for.
    links: usize,
}

/// Metadata of what an operation makes from nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) mode: u32,
    pub(super) owner: Option<Ids>,
    pub(super) time: Timestamp,
}

impl Made {
    pub(super) fn metadata(self) -> Metadata {
        let Ids { uid, gid } = self.owner.unwrap_or_default();
        Metadata {
            mode: self.mode,
            uid,
            gid,
            mtime: self.time,
            xattrs: Vec::new(),
        }
    }
}

impl<'a> Edit<'a> {
    pub(super) fn new(base: &'a Tree) -> Self {
        Self {
            base,
            changes: Changes::default(),
            links: 0,
        }
    }

    /// Returns what is at `path` now. Never a whiteout.
    pub(super) fn look(&self, path: &TreePath) -> Option<Cow<'_, Entry>> {
        if let Some(entry) = self.changes.get(path.as_bytes()) {
            return (entry.node != Node::Whiteout).then_some(Cow::Borrowed(entry));
        }
        for above in path.above() {
            match self.changes.get(above).map(|entry| &entry.node) {
                Some(Node::Directory { opaque: false }) | None => {}
                Some(_) => return None,
            }
        }
        self.base.lookup(path).map(|found| Cow::Owned(found.into_entry()))
    }

    pub(super) fn is_directory(&self, path: &TreePath) -> bool {
        self.look(path).is_some_and(|entry| entry.node.is_directory())
    }

    /// Resolves the symlinks of `path` as things are now.
    pub(super) fn resolve(&self, path: &[u8], follow: Follow) -> Result<TreePath, OpError> {
        let readlink = |path: &TreePath| match &self.look(path)?.node {
            Node::Symlink { target } => Some(target.clone()),
            _ => None,
        };
        Ok(resolve(path, follow, &readlink)?)
    }

    /// Returns what a hard link to the file at `path` is in this change set: a link when the file is part of it, else
    /// another file with the same content, for links do not reach into other layers.
    pub(super) fn link_to(&self, path: &TreePath) -> Option<Node> {
        match self.changes.get(path.as_bytes()).map(|entry| &entry.node) {
            Some(Node::File { .. }) => Some(Node::Hardlink { target: path.clone() }),
            Some(node) => Some(node.clone()),
            None => {
                self.look(path)?;
                let found = self.base.lookup(path)?;
                match self.base.file_of(&found) {
                    Some((size, content)) => Some(Node::File {
                        size,
                        content: content.clone(),
                    }),
                    None => Some(found.node.clone()),
                }
            }
        }
    }

    /// Moves the content of the file at `path`, which is about to go, to the first of its hard links.
    fn move_content(&mut self, path: &TreePath) {
        if self.links == 0
            || !matches!(
                self.changes.get(path.as_bytes()).map(|entry| &entry.node),
                Some(Node::File { .. })
            )
        {
            return;
        }
        let is_link = |entry: &Entry| matches!(&entry.node, Node::Hardlink { target } if target == path);
        let mut heirs: Vec<TreePath> = Vec::new();
        heirs.extend(
            self.changes
                .all()
                .values()
                .filter(|entry| is_link(entry))
                .map(|entry| entry.path.clone()),
        );
        let Some((first, others)) = heirs.split_first() else {
            return;
        };
        let content = self.changes.get(path.as_bytes()).map(|entry| entry.node.clone());
        if let (Some(heir), Some(node)) = (self.changes.all().get_mut(first), content) {
            heir.node = node;
        }
        for other in others {
            if let Some(link) = self.changes.all().get_mut(other) {
                link.node = Node::Hardlink {
                    target: first.clone(),
                };
            }
        }
    }

    /// Puts an entry where nothing is, a non-directory where another is, or a directory where one is. The directory
    /// above must be there.
    pub(super) fn put(&mut self, mut entry: Entry) {
        self.move_content(&entry.path);
        self.links += usize::from(matches!(entry.node, Node::Hardlink { .. }));
        if let Node::Directory { opaque } = &mut entry.node {
            // What was there before this operation and was removed by it must not shine through.
            *opaque |= match self.changes.get(entry.path.as_bytes()).map(|before| &before.node) {
                Some(Node::Directory { opaque }) => *opaque,
                Some(Node::Whiteout) => true,
                _ => false,
            };
        }
        self.changes.insert(entry);
    }

    /// Removes `path` and all below it, if it is there.
    pub(super) fn remove(&mut self, path: &TreePath) {
        if self.look(path).is_none() {
            return;
        }
        let mut gone: Vec<TreePath> = Vec::new();
        let from_here = self.changes.all().range(path.clone()..);
        gone.extend(
            from_here
                .map(|(path, _)| path)
                .take_while(|below| below.starts_with(path))
                .cloned(),
        );
        for path in gone {
            self.move_content(&path);
            self.changes.all().remove(&path);
        }
        if self.look(path).is_some() {
            // It is in a layer below.
            let entry = Entry {
                path: path.clone(),
                meta: Metadata::default(),
                node: Node::Whiteout,
            };
            self.changes.insert(entry);
        }
    }

    /// Makes a directory and those above it that are missing.
    pub(super) fn mkdir_all(&mut self, path: &TreePath, made: Made) -> Result<(), OpError> {
        let mut missing = Vec::new();
        let mut at = Some(path.clone());
        while let Some(path) = at {
            match self.look(&path) {
                Some(entry) if entry.node.is_directory() => break,
                Some(_) => {
                    return Err(OpError::Path {
                        action: "mkdir",
                        path,
                        problem: Problem::NotDirectory,
                    });
                }
                None => {
                    at = path.parent();
                    missing.push(path);
                }
            }
        }
        for path in missing.into_iter().rev().filter(|path| !path.is_root()) {
            self.put(Entry {
                path,
                meta: made.metadata(),
                node: Node::Directory { opaque: false },
            });
        }
        Ok(())
    }

    /// Checks that the directory that holds `path` is there.
    pub(super) fn check_parent(&self, action: &'static str, path: &TreePath) -> Result<(), OpError> {
        match self.parent_problem(path) {
            Some(problem) => Err(OpError::Path {
                action,
                path: path.clone(),
                problem,
            }),
            None => Ok(()),
        }
    }

    /// Returns why nothing can be made at `path`.
    pub(super) fn parent_problem(&self, path: &TreePath) -> Option<Problem> {
        let mut above = path.parent().unwrap_or_default();
        let mut problem = None;
        loop {
            match self.look(&above) {
                Some(entry) if entry.node.is_directory() => return problem,
                Some(_) => return Some(Problem::NotDirectory),
                None => problem = Some(Problem::NotFound),
            }
            above = above.parent()?;
        }
    }

    /// Returns the changes, with the directories above each.
    pub(super) fn finish(mut self) -> ChangeSet {
        let mut missing = Vec::new();
        let mut last = &[][..];
        for path in self.changes.paths() {
            // What is next to a path that was looked at has nothing new above it.
            let parent = path.above().next().unwrap_or_default();
            if parent == last {
                continue;
            }
            last = parent;
            let unnamed = path
                .above()
                .take_while(|above| !above.is_empty() && self.changes.get(above).is_none());
            missing.extend(unnamed.map(|above| path.prefix(above.len())));
        }
        for path in missing {
            if let Some(found) = self.base.lookup(&path) {
                let node = Node::Directory { opaque: false };
                self.changes.insert(Entry {
                    path,
                    meta: found.meta.clone(),
                    node,
                });
            }
        }
        ChangeSet::from_sorted(self.changes.into_entries())
    }
}

/// Entries by path. Those that come in order, as most do, are only appended.
#[derive(Debug, Default)]
struct Changes {
    sorted: BTreeMap<TreePath, Entry>,
    /// In order; none of them is in the map.
    tail: Vec<Entry>,
}

impl Changes {
    fn get(&self, path: &[u8]) -> Option<&Entry> {
        let found = match self.tail.last() {
            Some(last) if compare(last.path.as_bytes(), path).is_ge() => self
                .tail
                .binary_search_by(|entry| compare(entry.path.as_bytes(), path))
                .ok(),
            _ => None,
        };
        match found {
            Some(at) => Some(&self.tail[at]),
            None if self.sorted.is_empty() => None,
            None => self.sorted.get(&TreePath::parse(path).ok()?),
        }
    }

    fn insert(&mut self, entry: Entry) {
        let is_next = self.tail.last().is_none_or(|last| last.path < entry.path);
        let is_known = !self.sorted.is_empty() && self.sorted.contains_key(&entry.path);
        if is_next && !is_known {
            self.tail.push(entry);
        } else {
            self.all().insert(entry.path.clone(), entry);
        }
    }

    /// Returns all entries as one map.
    fn all(&mut self) -> &mut BTreeMap<TreePath, Entry> {
        self.sorted
            .extend(self.tail.drain(..).map(|entry| (entry.path.clone(), entry)));
        &mut self.sorted
    }

    fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.sorted
            .keys()
            .chain(self.tail.iter().map(|entry| &entry.path))
    }

    fn into_entries(mut self) -> Vec<Entry> {
        if self.sorted.is_empty() {
            return self.tail;
        }
        self.all();
        self.sorted.into_values().collect()
    }
}
