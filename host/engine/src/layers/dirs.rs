//! Layers as directories: what a `RUN` mounts.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::try_join_all;
use kiln_layer::Devices;
use kiln_layer::Owner as FileOwner;
use kiln_layer::ReadOptions;
use kiln_layer::UnpackOptions;
use kiln_store::TreeIngest;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Tree;
use kiln_tree::TreePath;

use super::Layer;
use super::Layers;
use super::LayersError;
use super::Origin;
use super::Ref;
use super::State;
use super::blocking;
use super::mounts::new_mount;
use super::mounts::place_mount;
use super::random_id;

/// Where a layer's files are below its tree in the store.
const FILES: &str = "fs";

/// A directory for the changes of a step. Dropped without being committed it is removed.
#[derive(Debug)]
pub(crate) struct NewDir {
    tree: TreeIngest,
}

impl NewDir {
    /// Returns where changes go: overlayfs' upper directory.
    pub(crate) fn upper(&self) -> PathBuf {
        self.tree.path().join(FILES)
    }

    /// Returns overlayfs' work directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.tree.path().join("work")
    }
}

impl Layers {
    /// Returns a new directory for changes.
    pub(crate) fn new_dir(&self) -> Result<NewDir, LayersError> {
        let dir = NewDir {
            tree: self.shared.store.new_tree()?,
        };
        for path in [dir.upper(), dir.work()] {
            std::fs::create_dir(&path).map_err(|source| LayersError::Read {
                path: TreePath::root(),
                source,
            })?;
            set_mode(&path)?;
        }
        Ok(dir)
    }

    /// Returns the directories of all layers that show, base first, making those that are not there, several at a time.
    /// A layer whose root is opaque hides all below it: overlayfs looks at no such mark of a lower directory's root.
    pub(crate) async fn dirs(&self, stack: &Ref) -> Result<Vec<PathBuf>, LayersError> {
        let alone = try_join_all((0..stack.layers().len()).map(|at| self.dir(stack, at, None))).await?;
        let mut dirs = Vec::with_capacity(alone.len());
        for (at, dir) in alone.into_iter().enumerate() {
            let dir = match dir {
                Some(dir) => dir,
                // It needs what lies below it.
                None => self
                    .dir(stack, at, Some(&dirs))
                    .await?
                    .ok_or(LayersError::Gone(stack.layers()[at].id.0))?,
            };
            dirs.push(dir);
        }
        let mut hidden = 0;
        for at in 1..dirs.len() {
            let changes = self.changes(stack, at).await?;
            if let Some(Node::Directory { opaque: true }) =
                changes.get(&TreePath::root()).map(|root| &root.node)
            {
                hidden = at;
            }
        }
        Ok(dirs.split_off(hidden))
    }

    /// Returns the layer's directory. Without `lowers` a layer that needs what lies below it gives none.
    async fn dir(
        &self,
        stack: &Ref,
        at: usize,
        lowers: Option<&[PathBuf]>,
    ) -> Result<Option<PathBuf>, LayersError> {
        let layer = &stack.layers()[at];
        if let Some(dir) = layer.state().dir.clone() {
            return Ok(Some(dir));
        }
        let changes = match &layer.origin {
            Origin::Made => Some(self.changes(stack, at).await?),
            Origin::Image { .. } => None,
        };
        let _making = layer.making.lock().await;
        if let Some(dir) = layer.state().dir.clone() {
            return Ok(Some(dir));
        }
        let lowers: Option<Vec<PathBuf>> = lowers.map(|lowers| lowers.iter().rev().cloned().collect());
        match changes {
            Some(changes) => self.materialise(layer, changes).await.map(Some),
            None => self.unpack(layer, lowers).await,
        }
    }

    pub(super) fn options(&self, name: String, lowers: Vec<PathBuf>) -> UnpackOptions {
        let owner = if self.shared.unprivileged {
            FileOwner::Own
        } else {
            FileOwner::Keep
        };
        UnpackOptions {
            read: ReadOptions::new(name),
            lowers,
            devices: Devices::Skip,
            owner,
        }
    }

    async fn materialise(&self, layer: &Arc<Layer>, changes: Arc<ChangeSet>) -> Result<PathBuf, LayersError> {
        let source = self.content_source(&changes).await?;
        let options = self.options(layer.id.0.to_string(), Vec::new());
        let dir = self.new_dir()?;
        let (dir, changes) = blocking(move || {
            let written = kiln_layer::materialise(&changes, &source, &dir.upper(), &options)?;
            Ok::<_, LayersError>((dir, written))
        })
        .await?;
        self.keep_dir(layer, dir, changes).await
    }

    async fn unpack(
        &self,
        layer: &Arc<Layer>,
        lowers: Option<Vec<PathBuf>>,
    ) -> Result<Option<PathBuf>, LayersError> {
        let archive = self.archive_of(layer).await?;
        let blob = archive.blob.digest;
        let alone = lowers.is_none();
        let options = self.options(blob.to_string(), lowers.unwrap_or_default());
        let dir = self.new_dir()?;
        let (dir, unpacked) = blocking(move || {
            let unpacked = kiln_layer::unpack(archive.open()?, &dir.upper(), &options)?;
            Ok::<_, LayersError>((dir, unpacked))
        })
        .await
        .inspect_err(|error| layer.condemn(error))?;
        if alone && !unpacked.implied_parents.is_empty() {
            return Ok(None);
        }
        if unpacked.diff_id != layer.id.0 {
            let error = LayersError::DiffId {
                blob,
                expected: layer.id.0,
                found: unpacked.diff_id,
            };
            layer.condemn(&error);
            return Err(error);
        }
        self.keep_dir(layer, dir, unpacked.changes).await.map(Some)
    }

    /// Puts a finished directory into the store as the layer's own.
    pub(super) async fn keep_dir(
        &self,
        layer: &Arc<Layer>,
        dir: NewDir,
        changes: ChangeSet,
    ) -> Result<PathBuf, LayersError> {
        let key = layer.id.tree_key();
        let size = size(&changes);
        let dir = blocking(move || {
            remove_work(&dir)?;
            Ok::<_, LayersError>(dir.tree.commit(&key, size)?.join(FILES))
        })
        .await?;
        let changes = Arc::new(in_directory(changes, &dir));
        {
            let mut state = layer.state();
            state.dir = Some(dir.clone());
            state.changes = Some(changes.clone());
        }
        self.record_changes(layer, &changes)?;
        self.write_record(layer)?;
        Ok(dir)
    }

    /// Makes a layer of what a step changed over `base`.
    pub(crate) async fn commit_dir(
        &self,
        dir: NewDir,
        base: &Ref,
        created_by: String,
    ) -> Result<Arc<Layer>, LayersError> {
        let tree = self.tree(base).await?;
        let (dir, changes) = blocking(move || {
            let upper = kiln_snapshot::scan_upper(&dir.upper())?;
            let changes = kiln_snapshot::normalise(upper, &Below(tree));
            Ok::<_, LayersError>((dir, changes))
        })
        .await?;
        let layer = self.layer(random_id(), Origin::Made, created_by, State::default());
        self.keep_dir(&layer, dir, changes).await?;
        Ok(layer)
    }

    /// Makes a layer of files that were fetched. They belong to whom the source says, whoever wrote them.
    pub(crate) async fn commit_fetched(
        &self,
        dir: NewDir,
        (uid, gid): (u32, u32),
        created_by: String,
    ) -> Result<Arc<Layer>, LayersError> {
        let (dir, changes) = blocking(move || {
            let mut entries = kiln_snapshot::scan_tree(&dir.upper())?.into_entries();
            for entry in &mut entries {
                let meta = &mut entry.meta;
                if (meta.uid, meta.gid) == (uid, gid) {
                    continue;
                }
                (meta.uid, meta.gid) = (uid, gid);
                // Who may give nothing away keeps the file; what counts is what the layer says.
                let _ =
                    std::os::unix::fs::lchown(dir.upper().join(entry.path.as_path()), Some(uid), Some(gid));
            }
            Ok::<_, LayersError>((dir, ChangeSet::new(entries)))
        })
        .await?;
        let layer = self.layer(random_id(), Origin::Made, created_by, State::default());
        self.keep_dir(&layer, dir, changes).await?;
        Ok(layer)
    }

    /// Returns where cache mounts are kept.
    pub(crate) fn cache_mounts(&self) -> PathBuf {
        self.shared.store.root().join("cache-mounts")
    }

    /// Makes the directory `path` from what `seed` has at `selector`; empty without a seed.
    pub(crate) async fn seed(&self, path: &Path, seed: &Ref, selector: &str) -> Result<(), LayersError> {
        let tree = self.tree(seed).await?;
        let failed = |source| LayersError::Read {
            path: TreePath::root(),
            source,
        };
        let below = TreePath::clean(selector).map_err(|e| failed(std::io::Error::other(e)))?;
        let root = tree
            .lookup(&below)
            .map_or_else(root_metadata, |found| found.entry().meta.clone());
        let files = tree.flatten();
        let inside: Vec<_> = files
            .below(&below)
            .iter()
            .filter_map(|entry| {
                let mut entry = entry.clone();
                entry.path = entry.path.strip_prefix(&below)?;
                if let Node::Hardlink { target } = &mut entry.node {
                    *target = target.strip_prefix(&below)?;
                }
                Some(entry)
            })
            .collect();
        let changes = ChangeSet::new(inside);
        let source = self.content_source(&changes).await?;
        let options = self.options("cache mount".to_owned(), Vec::new());
        let parent = self.cache_mounts();
        let path = path.to_owned();
        blocking(move || {
            let made = new_mount(&parent)?;
            kiln_layer::materialise(&changes, &source, made.path(), &options)?;
            place_mount(made, &root, &path)
        })
        .await
    }
}

/// What the layers below a step amount to.
pub(super) struct Below(pub(super) Tree);

impl kiln_snapshot::Lookup for Below {
    fn lookup(&self, path: &TreePath) -> Option<Entry> {
        self.0.lookup(path).map(kiln_tree::Found::into_entry)
    }
}

pub(super) fn root_metadata() -> Metadata {
    Metadata {
        mode: 0o755,
        ..Metadata::default()
    }
}

fn set_mode(path: &Path) -> Result<(), LayersError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(|source| LayersError::Read {
        path: TreePath::root(),
        source,
    })
}

/// overlayfs leaves a directory without permissions in its work directory.
fn remove_work(dir: &NewDir) -> Result<(), LayersError> {
    use std::os::unix::fs::PermissionsExt as _;
    let work = dir.work();
    for inner in ["work", "index"] {
        let inner = work.join(inner);
        if inner.exists() {
            let _ = std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o700));
        }
    }
    std::fs::remove_dir_all(work).map_err(|source| LayersError::Read {
        path: TreePath::root(),
        source,
    })
}

fn size(changes: &ChangeSet) -> u64 {
    let sizes = changes.entries().iter().map(|entry| match &entry.node {
        Node::File { size, .. } => *size,
        _ => 0,
    });
    sizes.sum()
}

/// Says that each file's content is in the directory at the file's own path.
fn in_directory(changes: ChangeSet, dir: &Path) -> ChangeSet {
    let root: Arc<Path> = dir.into();
    let mut entries = changes.into_entries();
    for entry in &mut entries {
        if let Node::File { content, .. } = &mut entry.node {
            *content = Content::Disk {
                root: root.clone(),
                path: entry.path.clone(),
            };
        }
    }
    ChangeSet::new(entries)
}
