//! The merged tree as one change set, and hard links that survive a move.

use std::collections::HashMap;
use std::collections::HashSet;

use super::Found;
use super::Tree;
use crate::ChangeSet;
use crate::Entry;
use crate::Node;
use crate::TreePath;

/// Which file an entry is, whatever its names: the layer and the path in it that holds the content.
type Identity = (usize, TreePath);

/// Keeps hard links among entries that are copied out of a tree: the first name that comes along gets the content,
/// later ones become links to it.
#[derive(Debug)]
pub(crate) struct Links<'a> {
    tree: &'a Tree,
    linked: HashSet<Identity>,
    first: HashMap<Identity, TreePath>,
}

impl<'a> Links<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        let mut linked = HashSet::new();
        for (index, layer) in tree.layers.iter().enumerate() {
            for entry in layer.entries() {
                if let Node::Hardlink { target } = &entry.node
                    && let Some((at, file)) = tree.link_target(target, index)
                {
                    linked.insert((at, file.path.clone()));
                }
            }
        }
        Self {
            tree,
            linked,
            first: HashMap::new(),
        }
    }

    /// Returns what `found` becomes at `path`; none for a hard link to nothing.
    pub(crate) fn node_at(&mut self, found: &Found<'_>, path: &TreePath) -> Option<Node> {
        let (layer, file) = match &found.node {
            Node::File { .. } if self.linked.is_empty() => return Some(found.node.clone()),
            Node::Directory { .. } => return Some(Node::Directory { opaque: false }),
            Node::File { .. } => (found.layer(), found.entry()),
            Node::Hardlink { target } => self.tree.link_target(target, found.layer())?,
            node => return Some(node.clone()),
        };
        let identity = (layer, file.path.clone());
        if self.linked.contains(&identity) {
            if let Some(target) = self.first.get(&identity) {
                return Some(Node::Hardlink {
                    target: target.clone(),
                });
            }
            self.first.insert(identity, path.clone());
        }
        Some(file.node.clone())
    }
}

impl Tree {
    /// Returns the whole tree as one change set: no whiteouts, no opaque directories, hard links among what is left.
    pub fn flatten(&self) -> ChangeSet {
        let mut links = Links::new(self);
        let root = self
            .lookup(&TreePath::root())
            .filter(|root| self.layers.iter().any(|l| l.get(&root.path).is_some()));
        let entries = root
            .into_iter()
            .chain(self.walk(&TreePath::root()))
            .filter_map(|found| {
                let node = links.node_at(&found, &found.path)?;
                Some(Entry {
                    path: found.path.clone(),
                    meta: found.meta.clone(),
                    node,
                })
            });
        ChangeSet::new(entries.collect())
    }
}
