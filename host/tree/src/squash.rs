//! Two layers in one.

use std::collections::HashMap;

use crate::ChangeSet;
use crate::Entry;
use crate::Node;
use crate::TreePath;
use crate::tree::implied_directory;

impl ChangeSet {
    /// Returns the change set that does what this one and then `upper` do.
    pub fn then(&self, upper: &Self) -> Self {
        let mut entries: Vec<Entry> = upper.entries().to_vec();
        let mut hidden = Hidden { upper, above: None };
        let mut moved: HashMap<&TreePath, TreePath> = HashMap::new();
        for lower in self.entries() {
            if hidden.hides(&lower.path) {
                continue;
            }
            if let Ok(at) = upper
                .entries()
                .binary_search_by(|entry| entry.path.cmp(&lower.path))
            {
                cover(&mut entries[at], lower);
            } else if !lower.node.is_directory() && upper.has_below(&lower.path) {
                let node = Node::Directory { opaque: true };
                entries.push(Entry {
                    node,
                    ..implied_directory(lower.path.clone())
                });
            } else {
                entries.push(Entry {
                    node: self.relink(lower, &mut hidden, &mut moved),
                    ..lower.clone()
                });
            }
        }
        Self::new(entries)
    }

    /// Returns the node of a lower layer's entry. A hard link to a file that is gone now becomes that file.
    fn relink<'a>(
        &'a self,
        lower: &'a Entry,
        hidden: &mut Hidden<'_>,
        moved: &mut HashMap<&'a TreePath, TreePath>,
    ) -> Node {
        let Node::Hardlink { target } = &lower.node else {
            return lower.node.clone();
        };
        let gone = hidden.upper.get(target).is_some()
            || Hidden {
                upper: hidden.upper,
                above: None,
            }
            .hides(target);
        let file = self
            .get(target)
            .filter(|file| gone && matches!(file.node, Node::File { .. }));
        match (moved.get(target), file) {
            (Some(first), _) => Node::Hardlink {
                target: first.clone(),
            },
            (None, Some(file)) => {
                moved.insert(target, lower.path.clone());
                file.node.clone()
            }
            (None, None) => lower.node.clone(),
        }
    }
}

/// Puts an upper layer's entry over a lower one of the same path: what the lower one hid stays hidden.
fn cover(upper: &mut Entry, lower: &Entry) {
    if let Node::Directory { opaque } = &mut upper.node {
        *opaque |= !matches!(lower.node, Node::Directory { opaque: false });
    }
}

/// Tells what a layer hides of those below it, for paths in walk order.
struct Hidden<'a> {
    upper: &'a ChangeSet,
    /// The last directory that was looked at, and whether what is in it is hidden.
    above: Option<(TreePath, bool)>,
}

impl Hidden<'_> {
    fn hides(&mut self, path: &TreePath) -> bool {
        let Some(parent) = path.parent() else { return false };
        if let Some((known, hidden)) = &self.above
            && *known == parent
        {
            return *hidden;
        }
        let mut at = Some(parent.clone());
        let mut hidden = false;
        while let Some(above) = at {
            hidden |= match self.upper.get(&above).map(|entry| &entry.node) {
                None | Some(Node::Directory { opaque: false }) => false,
                Some(_) => true,
            };
            at = above.parent();
        }
        self.above = Some((parent, hidden));
        hidden
    }
}
