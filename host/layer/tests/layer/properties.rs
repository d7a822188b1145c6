//! Properties of change sets that a seed makes up. A failure prints what was made up.

use kiln_image::Compression;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture::file;
use crate::fixture::inline;
use crate::fixture::options;
use crate::fixture::path;
use crate::fixture::read;
use crate::fixture::tar;
use crate::fixture::write;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-e]", 2 => "[a-z][a-z\u{e4}.-]{1,30}x", 1 => "[n]{120,255}"]
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        3 => any::<bool>().prop_map(|opaque| Node::Directory { opaque }),
        6 => vec(any::<u8>(), 0..1500).prop_map(|bytes| file("x", &bytes).node),
        2 => "[a-z/.]{1,150}".prop_map(|target| Node::Symlink { target: target.as_bytes().into() }),
        1 => (1..4000u32, 0..1_000_000u32).prop_map(|(major, minor)| Node::CharDevice { major, minor }),
        1 => (0..4000u32, 0..1_000_000u32).prop_map(|(major, minor)| Node::BlockDevice { major, minor }),
        1 => Just(Node::Fifo),
        2 => Just(Node::Whiteout),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let xattr = ("user\\.[a-z]{1,10}", vec(any::<u8>(), 0..20));
    let time = prop_oneof![-5000..5_000_000_000i64, any::<i64>()];
    (
        0..0o10000u32,
        any::<u32>(),
        any::<u32>(),
        time,
        proptest::collection::btree_map(xattr.0, xattr.1, 0..3),
    )
        .prop_map(|(mode, uid, gid, seconds, xattrs)| Metadata {
            mode,
            uid,
            gid,
            mtime: Timestamp { seconds, nanos: 0 },
            xattrs: xattrs
                .into_iter()
                .map(|(key, value)| (key.as_bytes().into(), value.into()))
                .collect(),
        })
}

/// Change sets that a walk could have found: nothing below anything but directories.
fn changes() -> impl Strategy<Value = ChangeSet> {
    let entry = (vec(name(), 1..4), metadata(), node());
    (vec(entry, 0..30), vec((0..30usize, name()), 0..4)).prop_map(|(entries, links)| {
        let mut kept: Vec<Entry> = Vec::new();
        for (parts, meta, node) in entries {
            let path = path(&parts.join("/"));
            let fits = |other: &Entry| {
                let directory = |node: &Node| matches!(node, Node::Directory { .. });
                other.path != path
                    && (!path.starts_with(&other.path) || directory(&other.node))
                    && (!other.path.starts_with(&path) || directory(&node))
            };
            if kept.iter().all(fits) {
                let meta = if node == Node::Whiteout {
                    Metadata::default()
                } else {
                    meta
                };
                kept.push(Entry { path, meta, node });
            }
        }
        for (at, name) in links {
            let file = kept
                .get(at)
                .filter(|entry| matches!(entry.node, Node::File { .. }))
                .cloned();
            let path = path(&format!("{}-link", &name.chars().take(20).collect::<String>()));
            if let Some(file) = file
                && kept.iter().all(|entry| entry.path != path)
            {
                kept.push(Entry {
                    path,
                    meta: file.meta,
                    node: Node::Hardlink { target: file.path },
                });
            }
        }
        ChangeSet::new(kept)
    })
}

/// Moves contents of linked files to their first names, where the writer puts them.
fn canonical(changes: ChangeSet) -> ChangeSet {
    let mut entries = changes.into_entries();
    for at in 0..entries.len() {
        let Node::Hardlink { target } = entries[at].node.clone() else {
            continue;
        };
        let Some(file) = entries.iter().position(|entry| entry.path == target) else {
            continue;
        };
        if file > at {
            entries[at].node = entries[file].node.clone();
            let first = entries[at].path.clone();
            entries[file].node = Node::Hardlink {
                target: first.clone(),
            };
            for entry in &mut entries[at..] {
                if entry.node
                    == (Node::Hardlink {
                        target: target.clone(),
                    })
                {
                    entry.node = Node::Hardlink {
                        target: first.clone(),
                    };
                }
            }
        }
    }
    ChangeSet::new(entries)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_gives_what_was_written(changes in changes()) {
        let archive = tar(&changes);
        let found = inline(read(&archive).unwrap().changes, &archive);
        prop_assert_eq!(&found, &canonical(changes));
        prop_assert_eq!(tar(&found), archive);
    }

    #[test]
    fn blobs_decompress_to_the_archive(changes in changes(), gzip in any::<bool>()) {
        let compression = if gzip { Compression::Gzip } else { Compression::Zstd };
        let (blob, sums) = write(&changes, &options(compression));
        let reader = kiln_layer::decompress(&*blob, None, &kiln_layer::ReadOptions::default()).unwrap();
        let index = kiln_layer::read_layer(reader, &kiln_layer::ReadOptions::default()).unwrap();
        prop_assert_eq!(index.diff_id, sums.diff_id);
        prop_assert_eq!(index.diff_id, kiln_image::Digest::of(tar(&changes)));
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..3000)) {
        drop(read(&bytes));
        let reader = kiln_layer::decompress(&*bytes, None, &kiln_layer::ReadOptions::default());
        drop(reader.map(|reader| kiln_layer::read_layer(reader, &kiln_layer::ReadOptions::default())));
    }
}
