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
use crate::tree::resolve;
use crate::users::Ids;

/// The changes of one operation on a tree.
#[derive(Debug)]
pub(super) struct Edit<'a> {
    base: &'a Tree,
    changes: BTreeMap<TreePath, Entry>,
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
        Metadata { mode: self.mode, uid, gid, mtime: self.time, xattrs: Vec::new() }
    }
}

impl<'a> Edit<'a> {
    pub(super) fn new(base: &'a Tree) -> Self {
        Self { base, changes: BTreeMap::new(), links: 0 }
    }

    /// Returns what is at `path` now. Never a whiteout.
    pub(super) fn look(&self, path: &TreePath) -> Option<Cow<'_, Entry>> {
        if let Some(entry) = self.changes.get(path) {
            return (entry.node != Node::Whiteout).then_some(Cow::Borrowed(entry));
        }
        let mut above = path.parent();
        while let Some(path) = above {
            match self.changes.get(&path).map(|entry| &entry.node) {
                Some(Node::Directory { opaque: false }) | None => above = path.parent(),
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
        match self.changes.get(path).map(|entry| &entry.node) {
            Some(Node::File { .. }) => Some(Node::Hardlink { target: path.clone() }),
            Some(node) => Some(node.clone()),
            None => {
                self.look(path)?;
                let found = self.base.lookup(path)?;
                match self.base.file_of(&found) {
                    Some((size, content)) => Some(Node::File { size, content: content.clone() }),
                    None => Some(found.node.clone()),
                }
            }
        }
    }

    /// Moves the content of the file at `path`, which is about to go, to the first of its hard links.
    fn move_content(&mut self, path: &TreePath) {
        if self.links == 0 || !matches!(self.changes.get(path).map(|entry| &entry.node), Some(Node::File { .. })) {
            return;
        }
        let is_link = |entry: &Entry| matches!(&entry.node, Node::Hardlink { target } if target == path);
        let mut heirs: Vec<TreePath> = Vec::new();
        heirs.extend(self.changes.values().filter(|entry| is_link(entry)).map(|entry| entry.path.clone()));
        let Some((first, others)) = heirs.split_first() else { return };
        let content = self.changes.get(path).map(|entry| entry.node.clone());
        if let (Some(heir), Some(node)) = (self.changes.get_mut(first), content) {
            heir.node = node;
        }
        for other in others {
            if let Some(link) = self.changes.get_mut(other) {
                link.node = Node::Hardlink { target: first.clone() };
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
            *opaque |= match self.changes.get(&entry.path).map(|before| &before.node) {
                Some(Node::Directory { opaque }) => *opaque,
                Some(Node::Whiteout) => true,
                _ => false,
            };
        }
        self.changes.insert(entry.path.clone(), entry);
    }

    /// Removes `path` and all below it, if it is there.
    pub(super) fn remove(&mut self, path: &TreePath) {
        if self.look(path).is_none() {
            return;
        }
        let mut gone: Vec<TreePath> = Vec::new();
        let from_here = self.changes.range(path.clone()..);
        gone.extend(from_here.map(|(path, _)| path).take_while(|below| below.starts_with(path)).cloned());
        for path in gone {
            self.move_content(&path);
            self.changes.remove(&path);
        }
        if self.look(path).is_some() {
            // It is in a layer below.
            let entry = Entry { path: path.clone(), meta: Metadata::default(), node: Node::Whiteout };
            self.changes.insert(path.clone(), entry);
        }
    }

    /// Makes a directory and those above it that are missing.
    pub(super) fn mkdir_all(&mut self, path: &TreePath, made: Made) -> Result<(), OpError> {
        let mut missing = Vec::new();
        let mut at = Some(path.clone());
        while let Some(path) = at {
            match self.look(&path) {
                Some(entry) if entry.node.is_directory() => break,
                Some(_) => return Err(OpError::Path { action: "mkdir", path, problem: Problem::NotDirectory }),
                None => {
                    at = path.parent();
                    missing.push(path);
                }
            }
        }
        for path in missing.into_iter().rev().filter(|path| !path.is_root()) {
            self.put(Entry { path, meta: made.metadata(), node: Node::Directory { opaque: false } });
        }
        Ok(())
    }

    /// Checks that the directory that holds `path` is there.
    pub(super) fn check_parent(&self, action: &'static str, path: &TreePath) -> Result<(), OpError> {
        match self.parent_problem(path) {
            Some(problem) => Err(OpError::Path { action, path: path.clone(), problem }),
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
        let mut above = Vec::new();
        let mut last = TreePath::root();
        for path in self.changes.keys() {
            let parent = path.parent().unwrap_or_default();
            if parent == last {
                continue;
            }
            last = parent.clone();
            let mut at = Some(parent);
            while let Some(path) = at.filter(|path| !path.is_root() && !self.changes.contains_key(path)) {
                at = path.parent();
                above.push(path);
            }
        }
        for path in above {
            if let Some(found) = self.base.lookup(&path) {
                let node = Node::Directory { opaque: false };
                self.changes.insert(path.clone(), Entry { path, meta: found.meta.clone(), node });
            }
        }
        ChangeSet::from_sorted(self.changes.into_values().collect())
    }
}
