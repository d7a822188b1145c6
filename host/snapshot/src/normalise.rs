//! Drops what an overlay has in its upper directory although nothing changed.

use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Found;
use kiln_tree::Node;
use kiln_tree::Tree;
use kiln_tree::TreePath;

/// What the layers below amount to.
pub trait Lookup {
    /// Returns what is at `path`, itself, not what it links to; `None` when nothing is.
    fn lookup(&self, path: &TreePath) -> Option<Entry>;
}

/// A flattened tree.
impl Lookup for ChangeSet {
    fn lookup(&self, path: &TreePath) -> Option<Entry> {
        self.get(path).cloned()
    }
}

/// What a stack of layers amounts to.
impl Lookup for Tree {
    fn lookup(&self, path: &TreePath) -> Option<Entry> {
        Tree::lookup(self, path).map(Found::into_entry)
    }
}

/// Returns `upper` without whiteouts that hide nothing, opaque marks of directories that hide nothing, and directories
/// that are as in `lower` and have nothing changed in them. Parents of what changed stay, as BuildKit keeps them.
pub fn normalise(upper: ChangeSet, lower: &dyn Lookup) -> ChangeSet {
    let mut kept: Vec<Entry> = Vec::new();
    // Backwards, what is in a directory comes before it.
    for mut entry in upper.into_entries().into_iter().rev() {
        let below = lower.lookup(&entry.path);
        let keep = match &mut entry.node {
            Node::Whiteout => below.is_some(),
            Node::Directory { opaque } => {
                let old = below.filter(|below| matches!(below.node, Node::Directory { .. }));
                *opaque &= old.is_some() || entry.path.is_root();
                let parent = kept.last().is_some_and(|next| next.path.starts_with(&entry.path));
                *opaque || parent || old.is_none_or(|old| old.meta != entry.meta)
            }
            _ => true,
        };
        if keep {
            kept.push(entry);
        }
    }
    ChangeSet::new(kept)
}

#[cfg(test)]
mod tests {
    use kiln_tree::Content;
    use kiln_tree::Metadata;

    use super::*;

    const DIR: Node = Node::Directory { opaque: false };
    const OPAQUE: Node = Node::Directory { opaque: true };

    fn entry(path: &str, mode: u32, node: Node) -> Entry {
        let meta = Metadata {
            mode,
            ..Metadata::default()
        };
        Entry {
            path: TreePath::parse(path).unwrap(),
            meta,
            node,
        }
    }

    fn file() -> Node {
        Node::File {
            size: 0,
            content: Content::Inline([].into()),
        }
    }

    #[track_caller]
    fn check(upper: Vec<Entry>, expected: &str) {
        let lower = ChangeSet::new(vec![
            entry("d", 1, DIR),
            entry("d/e", 1, DIR),
            entry("d/e/f", 1, file()),
            entry("g", 1, file()),
        ]);
        let found = normalise(ChangeSet::new(upper), &lower);
        let word = |e: &Entry| format!("{}{}", e.path, if e.node == OPAQUE { "!" } else { "" });
        assert_eq!(
            found.entries().iter().map(word).collect::<Vec<_>>().join(" "),
            expected
        );
    }

    #[test]
    fn only_what_changed_and_its_parents_stay() {
        check(vec![], "");
        check(vec![entry("d", 1, DIR), entry("d/e", 1, DIR)], "");
        check(vec![entry("d", 1, DIR), entry("d/e", 2, DIR)], "/d /d/e");
        check(vec![entry("d", 2, DIR), entry("d/e", 1, DIR)], "/d");
        check(
            vec![
                entry("d", 1, DIR),
                entry("d/e", 1, DIR),
                entry("d/e/f", 1, file()),
            ],
            "/d /d/e /d/e/f",
        );
        check(vec![entry("d", 1, DIR), entry("d-x", 1, file())], "/d-x");
        check(vec![entry("d", 1, DIR), entry("d/new", 0, Node::Whiteout)], "");
        check(
            vec![entry("d", 1, DIR), entry("d/e", 0, Node::Whiteout)],
            "/d /d/e",
        );
        check(
            vec![
                entry("d", 1, OPAQUE),
                entry("g", 1, OPAQUE),
                entry("new", 1, OPAQUE),
            ],
            "/d! /g /new",
        );
    }
}
