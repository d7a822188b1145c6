//! Drops what an overlay has in its upper directory although nothing changed.

use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::TreePath;

/// What the layers below amount to.
pub trait Lookup {
    /// Returns what is at `path`; `None` when nothing is.
    fn lookup(&self, path: &TreePath) -> Option<Entry>;
}

/// A flattened tree.
impl Lookup for ChangeSet {
    fn lookup(&self, path: &TreePath) -> Option<Entry> {
        self.get(path).cloned()
    }
}

/// Returns `upper` without whiteouts that hide nothing, opaque marks of directories that are new, and directories that
/// are as in `lower` and have nothing changed in them. Parents of what changed stay, as BuildKit keeps them.
pub fn normalise(upper: ChangeSet, lower: &dyn Lookup) -> ChangeSet {
    todo!()
}
