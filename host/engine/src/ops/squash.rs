//! Makes one layer of several.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::TreePath;

/// Puts change sets on top of each other, the first at the bottom.
pub(super) fn squash(layers: &[Arc<ChangeSet>]) -> ChangeSet {
    if let [only] = layers {
        return (**only).clone();
    }
    let mut all: BTreeMap<TreePath, Entry> = BTreeMap::new();
    for layer in layers {
        for entry in layer.entries() {
            put(&mut all, entry.clone());
        }
    }
    ChangeSet::new(all.into_values().collect())
}

fn put(all: &mut BTreeMap<TreePath, Entry>, mut entry: Entry) {
    let before = all.get(&entry.path).map(|before| before.node.clone());
    let keeps_below = matches!(entry.node, Node::Directory { opaque: false });
    if !keeps_below {
        let below: Vec<TreePath> = all
            .range(entry.path.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&entry.path))
            .cloned()
            .collect();
        for path in below {
            all.remove(&path);
        }
    }
    if let Node::Directory { opaque } = &mut entry.node {
        // What lies below all of these layers stays hidden when one of them hid it.
        *opaque |= matches!(before, Some(Node::Whiteout | Node::Directory { opaque: true }));
    }
    all.insert(entry.path.clone(), entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_tree::Metadata;

    fn layer(text: &str) -> Arc<ChangeSet> {
        let entries = text.split_whitespace().map(|word| {
            let (kind, path) = word.split_at(1);
            let node = match kind {
                "d" => Node::Directory { opaque: false },
                "o" => Node::Directory { opaque: true },
                "-" => Node::Whiteout,
                _ => Node::Fifo,
            };
            Entry { path: TreePath::parse(path).unwrap(), meta: Metadata::default(), node }
        });
        Arc::new(ChangeSet::new(entries.collect()))
    }

    #[track_caller]
    fn check(layers: &[&str], expect: &str) {
        let squashed = squash(&layers.iter().map(|l| layer(l)).collect::<Vec<_>>());
        let shown: Vec<String> = squashed
            .entries()
            .iter()
            .map(|entry| {
                let kind = match entry.node {
                    Node::Directory { opaque: false } => 'd',
                    Node::Directory { opaque: true } => 'o',
                    Node::Whiteout => '-',
                    _ => 'f',
                };
                format!("{kind}{}", &entry.path.to_string()[1..])
            })
            .collect();
        assert_eq!(shown.join(" "), expect);
    }

    #[test]
    fn later_layers_win_and_hide() {
        check(&["da fa/b", "da fa/c"], "da fa/b fa/c");
        check(&["da fa/b", "-a"], "-a");
        check(&["-a", "da fa/b"], "oa fa/b");
        check(&["da fa/b", "fa"], "fa");
        check(&["da fa/b", "oa fa/c"], "oa fa/c");
        check(&["oa fa/b", "da fa/c"], "oa fa/b fa/c");
    }
}
