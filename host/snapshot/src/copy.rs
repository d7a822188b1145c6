//! Root file systems by copying, for where overlayfs cannot be mounted.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use kiln_layer::ContentSource as _;
use kiln_layer::DiskSource;
use kiln_layer::UnpackOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::TreePath;

use crate::Committed;
use crate::Lookup;
use crate::Prepared;
use crate::RootMount;
use crate::SnapshotError;
use crate::Snapshotter;
use crate::scan_tree;
use crate::scan_upper;

/// Copies all layers into one directory, and compares it with them afterwards. A directory that was deleted and made
/// again is not opaque: what it lost is deleted one by one.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    /// What may be written, and who owns it. `lowers` is not used.
    pub options: UnpackOptions,
}

impl Snapshotter for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn prepare(&self, lowers: &[PathBuf], scratch: &Path) -> Result<Box<dyn Prepared>, SnapshotError> {
        let mut merged = ChangeSet::default();
        for lower in lowers {
            merged = stack(&merged, &scan_upper(lower)?);
        }
        let (root, layer) = (scratch.join("root"), scratch.join("layer"));
        for path in [&root, &layer] {
            fs::create_dir(path).map_err(|source| SnapshotError::Io {
                action: "create",
                path: path.clone(),
                source,
            })?;
        }
        let options = UnpackOptions {
            lowers: Vec::new(),
            ..self.options.clone()
        };
        kiln_layer::materialise(&merged, &DiskSource::new(), &root, &options)
            .map_err(SnapshotError::Layer)?;
        // What is on the disk is what counts: devices that are left out were not deleted by the step.
        let before = scan_tree(&root)?;
        let stamps = before
            .entries()
            .iter()
            .map(|entry| Ok((entry.path.clone(), stamp(&root, &entry.path)?)));
        let stamps = stamps.collect::<Result<_, SnapshotError>>()?;
        Ok(Box::new(Copied {
            merged,
            before,
            stamps,
            root,
            layer,
            options,
        }))
    }
}

#[derive(Debug)]
struct Copied {
    /// The layers' tree, with contents in their directories.
    merged: ChangeSet,
    /// The same as it was copied, before the step.
    before: ChangeSet,
    /// What the kernel changes with every change of a file, and nobody can set back.
    stamps: HashMap<TreePath, Stamp>,
    root: PathBuf,
    layer: PathBuf,
    options: UnpackOptions,
}

/// Inode, and time of its last change.
type Stamp = (u64, i64, i64);

fn stamp(root: &Path, path: &TreePath) -> Result<Stamp, SnapshotError> {
    let path = root.join(path.as_path());
    match fs::symlink_metadata(&path) {
        Ok(stat) => Ok((stat.ino(), stat.ctime(), stat.ctime_nsec())),
        Err(source) => Err(SnapshotError::Io {
            action: "read",
            path,
            source,
        }),
    }
}

impl Prepared for Copied {
    fn root(&self) -> RootMount {
        RootMount::Directory {
            path: self.root.clone(),
        }
    }

    fn commit(self: Box<Self>, _lower: &dyn Lookup) -> Result<Committed, SnapshotError> {
        let after = scan_tree(&self.root)?;
        let changes = self.compare(&after)?;
        let options = UnpackOptions {
            lowers: Vec::new(),
            ..self.options
        };
        let written = kiln_layer::materialise(&changes, &DiskSource::new(), &self.layer, &options);
        let changes = written.map_err(SnapshotError::Layer)?;
        Ok(Committed {
            changes,
            dir: self.layer,
        })
    }
}

impl Copied {
    /// Walks both trees at once.
    fn compare(&self, after: &ChangeSet) -> Result<ChangeSet, SnapshotError> {
        let mut found: Vec<Entry> = Vec::new();
        let mut moved: HashMap<&TreePath, TreePath> = HashMap::new();
        for entry in after.entries() {
            if self.is_unchanged(entry, after)? {
                continue;
            }
            let mut entry = entry.clone();
            if let Node::Hardlink { target } = &entry.node {
                // The name that carries the content may itself be unchanged: then the first changed one gets it.
                let (target, content) = match after.get(target) {
                    Some(file) => (&file.path, file.node.clone()),
                    None => continue,
                };
                let first = moved.entry(target).or_insert_with(|| entry.path.clone());
                entry.node = if *first == entry.path {
                    content
                } else {
                    Node::Hardlink {
                        target: first.clone(),
                    }
                };
            } else if let Some(file) = after.get(&entry.path) {
                moved.insert(&file.path, entry.path.clone());
            }
            found.push(entry);
        }
        self.add_deleted(after, &mut found);
        Ok(with_parents(found, after))
    }

    fn is_unchanged(&self, entry: &Entry, after: &ChangeSet) -> Result<bool, SnapshotError> {
        let Some(old) = self.before.get(&entry.path) else {
            return Ok(false);
        };
        if old.meta != entry.meta {
            return Ok(false);
        }
        match (file_of(old, &self.before), file_of(entry, after)) {
            (Some(old_file), Some(file)) => {
                let same = self.stamps.get(&entry.path) == Some(&stamp(&self.root, &entry.path)?);
                Ok(same || (size(old_file) == size(file) && self.same_content(&entry.path, file)?))
            }
            _ => Ok(old.node == entry.node),
        }
    }

    /// Compares with what lies in the layers.
    fn same_content(&self, path: &TreePath, file: &Entry) -> Result<bool, SnapshotError> {
        let failed = |source| SnapshotError::Io {
            action: "read",
            path: self.root.join(path.as_path()),
            source,
        };
        let Some(lower) = self
            .merged
            .get(path)
            .and_then(|entry| file_of(entry, &self.merged))
        else {
            return Ok(false);
        };
        let source = DiskSource::new();
        let (mut a, mut b) = (
            source.open(lower).map_err(failed)?,
            source.open(file).map_err(failed)?,
        );
        same_bytes(&mut a, &mut b).map_err(failed)
    }

    fn add_deleted(&self, after: &ChangeSet, found: &mut Vec<Entry>) {
        let mut gone: Option<&TreePath> = None;
        for old in self.before.entries() {
            if gone.is_some_and(|gone| old.path.starts_with(gone)) || after.get(&old.path).is_some() {
                continue;
            }
            gone = Some(&old.path);
            // Something that is no directory has taken the parent's place: nothing is left to delete.
            let parent = old
                .path
                .parent()
                .and_then(|parent| after.get(&parent).map(|entry| &entry.node));
            let top = old.path.parent().is_some_and(|parent| parent.is_root());
            if top || matches!(parent, Some(Node::Directory { .. })) {
                found.push(Entry {
                    path: old.path.clone(),
                    meta: Metadata::default(),
                    node: Node::Whiteout,
                });
            }
        }
    }
}

/// Returns the entry that has the content of a regular file, which may be another name of it.
fn file_of<'a>(entry: &'a Entry, tree: &'a ChangeSet) -> Option<&'a Entry> {
    match &entry.node {
        Node::File { .. } => Some(entry),
        Node::Hardlink { target } => tree
            .get(target)
            .filter(|file| matches!(file.node, Node::File { .. })),
        _ => None,
    }
}

fn size(file: &Entry) -> u64 {
    match file.node {
        Node::File { size, .. } => size,
        _ => 0,
    }
}

/// Adds the directories above every entry, as they are in `tree`.
fn with_parents(mut found: Vec<Entry>, tree: &ChangeSet) -> ChangeSet {
    let mut parents = Vec::new();
    for entry in &found {
        let mut above = entry.path.parent();
        while let Some(path) = above.filter(|path| !path.is_root()) {
            parents.extend(tree.get(&path).cloned());
            above = path.parent();
        }
    }
    found.extend(parents); // of equal paths one stays
    ChangeSet::new(found)
}

fn same_bytes(a: &mut dyn Read, b: &mut dyn Read) -> io::Result<bool> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        a.take(128 << 10).read_to_end(&mut left)?;
        b.take(128 << 10).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

/// Puts a layer on top of a tree that has no marks; the result has none either.
pub(crate) fn stack(tree: &ChangeSet, layer: &ChangeSet) -> ChangeSet {
    let hides = |entry: &Entry| !matches!(entry.node, Node::Directory { opaque: false });
    let hidden = |path: &TreePath| {
        let mut at = Some(path.clone());
        while let Some(path_at) = at {
            if layer
                .get(&path_at)
                .is_some_and(|entry| hides(entry) || path_at == *path)
            {
                return true;
            }
            at = path_at.parent();
        }
        false
    };
    let mut entries = promote(tree, &hidden);
    for mut entry in layer.entries().iter().cloned() {
        if let Node::Directory { opaque } = &mut entry.node {
            *opaque = false;
        }
        if entry.node != Node::Whiteout {
            entries.push(entry);
        }
    }
    ChangeSet::new(entries)
}

/// Returns what is not hidden. When the name that carries a content is, another name of the file gets it.
fn promote(tree: &ChangeSet, hidden: &dyn Fn(&TreePath) -> bool) -> Vec<Entry> {
    let mut heirs: HashMap<TreePath, TreePath> = HashMap::new();
    let mut kept = Vec::new();
    for entry in tree.entries() {
        if hidden(&entry.path) {
            continue;
        }
        let mut entry = entry.clone();
        if let Node::Hardlink { target } = &entry.node
            && hidden(target)
            && let Some(file) = tree.get(target)
        {
            let heir = heirs.entry(target.clone()).or_insert_with(|| entry.path.clone());
            entry.node = if *heir == entry.path {
                file.node.clone()
            } else {
                Node::Hardlink { target: heir.clone() }
            };
        }
        kept.push(entry);
    }
    kept
}
