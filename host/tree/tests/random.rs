//! Random layers and copies, compared with plain file operations in a directory.

#![expect(clippy::unwrap_used, reason = "functions that tests share count as no tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use common::Random;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Follow;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::Tree;
use kiln_tree::TreePath;
use kiln_tree::ops;
use kiln_tree::ops::CopyAction;

/// Names that sort differently with and without what is behind them.
const NAMES: [&str; 4] = ["a", "a-b", "a.b", "c"];

fn random_path(random: &mut Random) -> TreePath {
    let depth = 1 + random.below(3);
    let names: Vec<&str> = (0..depth).map(|_| NAMES[random.below(NAMES.len())]).collect();
    TreePath::parse(names.join("/")).unwrap()
}

fn random_node(random: &mut Random) -> Node {
    match random.below(12) {
        0..4 => Node::Directory { opaque: false },
        4 => Node::Directory { opaque: true },
        5..9 => {
            let content: Arc<[u8]> = random.below(1000).to_string().as_bytes().into();
            Node::File {
                size: content.len() as u64,
                content: Content::Inline(content),
            }
        }
        9 => Node::Symlink {
            target: NAMES[random.below(NAMES.len())].as_bytes().into(),
        },
        _ => Node::Whiteout,
    }
}

fn random_layer(random: &mut Random) -> ChangeSet {
    let entries = (0..random.below(12)).map(|_| {
        let (path, node) = (random_path(random), random_node(random));
        let mode = match &node {
            Node::Symlink { .. } => 0o777,
            Node::Whiteout => 0,
            _ => 0o700 | u32::try_from(random.below(0o100)).unwrap(),
        };
        Entry {
            path,
            meta: Metadata {
                mode,
                ..Metadata::default()
            },
            node,
        }
    });
    ChangeSet::new(entries.collect())
}

fn random_tree(random: &mut Random) -> Tree {
    Tree::new(
        (0..1 + random.below(4))
            .map(|_| Arc::new(random_layer(random)))
            .collect(),
    )
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn make_dir(path: &Path, mode: u32) {
    if !is_dir(path) {
        remove(path);
        fs::create_dir(path).unwrap();
    }
    set_mode(path, mode);
}

/// Writes one layer over what is in `root`, the plain way.
fn apply(root: &Path, layer: &ChangeSet) {
    let mut solid: Vec<TreePath> = Vec::new();
    for entry in layer.entries() {
        if solid.iter().any(|path| entry.path.starts_with(path)) {
            continue; // something in a file
        }
        let at = root.join(entry.path.as_path());
        let parents: Vec<&Path> = at
            .parent()
            .unwrap()
            .ancestors()
            .take_while(|above| *above != root)
            .collect();
        for above in parents.into_iter().rev().filter(|above| !is_dir(above)) {
            make_dir(above, 0o755);
        }
        match &entry.node {
            Node::Whiteout => remove(&at),
            Node::Directory { opaque } => {
                if *opaque {
                    remove(&at);
                }
                make_dir(&at, entry.meta.mode);
            }
            Node::File {
                content: Content::Inline(content),
                ..
            } => {
                remove(&at);
                fs::write(&at, content).unwrap();
                set_mode(&at, entry.meta.mode);
            }
            Node::Symlink { target } => {
                remove(&at);
                symlink(std::str::from_utf8(target).unwrap(), &at).unwrap();
            }
            node => panic!("{node:?} was not asked for"),
        }
        if !matches!(entry.node, Node::Directory { .. } | Node::Whiteout) {
            solid.push(entry.path.clone());
        }
    }
}

type Listing = BTreeMap<String, String>;

fn list_into(root: &Path, at: &Path, all: &mut Listing) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        let mode = found.permissions().mode() & 0o7777;
        let text = if found.is_dir() {
            list_into(root, &path, all);
            format!("d {mode:o}")
        } else if found.is_symlink() {
            format!("l {}", fs::read_link(&path).unwrap().display())
        } else {
            format!("f {mode:o} {}", fs::read_to_string(&path).unwrap())
        };
        all.insert(format!("/{}", path.strip_prefix(root).unwrap().display()), text);
    }
}

fn list_dir(root: &Path) -> Listing {
    let mut all = Listing::new();
    list_into(root, root, &mut all);
    all
}

fn describe(entry: &Entry) -> String {
    let mode = entry.meta.mode;
    match &entry.node {
        Node::Directory { .. } => format!("d {mode:o}"),
        Node::Symlink { target } => format!("l {}", String::from_utf8_lossy(target)),
        Node::File {
            content: Content::Inline(content),
            ..
        } => format!("f {mode:o} {}", String::from_utf8_lossy(content)),
        node => panic!("{node:?} was not asked for"),
    }
}

fn list(tree: &Tree) -> Listing {
    let walk = tree.walk(&TreePath::root());
    walk.map(|found| (found.path.to_string(), describe(&found)))
        .collect()
}

fn materialise(root: &Path, tree: &Tree) -> PathBuf {
    remove(root);
    fs::create_dir(root).unwrap();
    tree.layers().iter().for_each(|layer| apply(root, layer));
    root.to_owned()
}

#[test]
fn a_stack_of_layers_is_what_comes_out_when_they_are_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..150 {
        let mut random = Random(seed);
        let tree = random_tree(&mut random);
        let root = materialise(&dir.path().join("root"), &tree);
        let expect = list_dir(&root);
        let context = || format!("seed {seed}: {:#?}", tree.layers());
        assert_eq!(list(&tree), expect, "{}", context());

        let walked: Vec<TreePath> = tree
            .walk(&TreePath::root())
            .map(|found| found.path.clone())
            .collect();
        assert!(walked.is_sorted_by(|a, b| a < b), "{}", context());
        assert_eq!(
            list(&Tree::new(vec![Arc::new(tree.flatten())])),
            expect,
            "{}",
            context()
        );
        for _ in 0..10 {
            let path = random_path(&mut random);
            let found = tree.lookup(&path).map(|found| describe(&found));
            assert_eq!(
                found.as_ref(),
                expect.get(&path.to_string()),
                "{path}, {}",
                context()
            );
            let below: Vec<&TreePath> = walked
                .iter()
                .filter(|p| p.starts_with(&path) && **p != path)
                .collect();
            let got: Vec<TreePath> = tree.walk(&path).map(|found| found.path.clone()).collect();
            assert_eq!(got.iter().collect::<Vec<_>>(), below, "{path}, {}", context());
            let children: Vec<&TreePath> = below
                .into_iter()
                .filter(|p| p.parent() == Some(path.clone()))
                .collect();
            let got: Vec<TreePath> = tree
                .read_dir(&path)
                .iter()
                .map(|found| found.path.clone())
                .collect();
            assert_eq!(got.iter().collect::<Vec<_>>(), children, "{path}, {}", context());
        }
    }
}

#[test]
fn two_layers_in_one_do_what_both_do() {
    for seed in 0..600 {
        let mut random = Random(seed);
        let layers: Vec<ChangeSet> = (0..4).map(|_| random_layer(&mut random)).collect();
        let stack = |layers: &[ChangeSet]| list(&Tree::new(layers.iter().cloned().map(Arc::new).collect()));
        let at = random.below(3);
        let mut squashed = layers.clone();
        squashed[at] = layers[at].then(&layers[at + 1]);
        squashed.remove(at + 1);
        assert_eq!(stack(&squashed), stack(&layers), "seed {seed}, {at}: {layers:#?}");
    }
}

/// Copies the plain way; none when something is in the way.
fn copy_plain(from: &Path, to: &Path, top: bool) -> Option<()> {
    let found = fs::symlink_metadata(from).unwrap();
    let there = fs::symlink_metadata(to).ok();
    if !found.is_dir() {
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return None;
        }
        remove(to);
        if found.is_symlink() {
            symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else {
            fs::copy(from, to).unwrap();
        }
        return Some(());
    }
    match there {
        Some(there) if !there.is_dir() => return None,
        Some(_) if top => {}
        _ => make_dir(to, found.permissions().mode() & 0o7777),
    }
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy_plain(&from.join(&name), &to.join(&name), false)?;
    }
    Some(())
}

fn copy_into(from: &Path, root: &Path, to: &Path) -> Option<()> {
    let mut parents: Vec<&Path> = to
        .parent()
        .unwrap()
        .ancestors()
        .take_while(|above| *above != root)
        .collect();
    let is_new = fs::symlink_metadata(to).is_err();
    if from.is_dir() && is_new {
        parents.insert(0, to);
    }
    for above in parents.into_iter().rev().filter(|above| !is_dir(above)) {
        if fs::symlink_metadata(above).is_ok() {
            return None;
        }
        make_dir(above, 0o755);
    }
    if !from.is_dir() && is_dir(to) {
        return copy_plain(from, &to.join(from.file_name().unwrap()), false);
    }
    copy_plain(from, to, true)
}

#[test]
fn a_copy_is_what_comes_out_when_files_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let (mut copied, mut refused) = (0, 0);
    for seed in 0..300 {
        let mut random = Random(seed);
        let (dest, source) = (random_tree(&mut random), random_tree(&mut random));
        let (src, to) = (random_path(&mut random), random_path(&mut random));
        let follows =
            |tree: &Tree, path: &TreePath| tree.resolve(path.as_bytes(), Follow::Last).as_ref() != Ok(path);
        if source.lookup(&src).is_none() || follows(&source, &src) || follows(&dest, &to) {
            continue;
        }
        let dest_root = materialise(&dir.path().join("dest"), &dest);
        let source_root = materialise(&dir.path().join("source"), &source);
        let plain = copy_into(
            &source_root.join(src.as_path()),
            &dest_root,
            &dest_root.join(to.as_path()),
        );
        let action = CopyAction {
            src: src.to_string(),
            dest: to.to_string(),
            dir_copy_contents: true,
            create_dest_path: true,
            ..CopyAction::default()
        };
        let got = ops::copy(&dest, &source, &action, Timestamp::default());
        let context = || {
            format!(
                "seed {seed}: {src} to {to}\n{:#?}\n{:#?}",
                dest.layers(),
                source.layers()
            )
        };
        assert_eq!(got.is_ok(), plain.is_some(), "{got:?} {}", context());
        let Ok(changes) = got else {
            refused += 1;
            continue;
        };
        copied += 1;
        for entry in changes.entries() {
            let parent = entry.path.parent().unwrap();
            assert!(
                parent.is_root() || changes.get(&parent).is_some(),
                "{} {}",
                entry.path,
                context()
            );
        }
        let mut result = dest.clone();
        result.push(Arc::new(changes));
        assert_eq!(list(&result), list_dir(&dest_root), "{}", context());
    }
    assert!(copied > 50 && refused > 5, "{copied} copied, {refused} refused");
}
