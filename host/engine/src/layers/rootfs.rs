//! Layers as a directory that a step may change: an overlay, or a copy where overlays cannot be mounted.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_snapshot::Copy;
use kiln_snapshot::Prepared;
use kiln_snapshot::RootMount;
use kiln_snapshot::Snapshotter as _;
use kiln_snapshot::Unsupported;

use super::Layer;
use super::Layers;
use super::LayersError;
use super::Origin;
use super::Ref;
use super::State;
use super::blocking;
use super::dirs::Below;
use super::dirs::NewDir;
use super::random_id;
use crate::config::Snapshotter;

/// Layers that a step may change. Dropped without being committed the changes are gone.
#[derive(Debug)]
pub(crate) struct Writable {
    lowers: Vec<PathBuf>,
    dir: NewDir,
    copied: Option<(Box<dyn Prepared>, PathBuf)>,
}

impl Writable {
    /// Returns the directories of the layers, bottom first.
    pub(crate) fn lowers(&self) -> Vec<PathBuf> {
        self.lowers.clone()
    }

    /// Returns overlayfs' upper and work directory.
    pub(crate) fn changes(&self) -> (PathBuf, PathBuf) {
        (self.dir.upper(), self.dir.work())
    }

    /// Returns the directory that is used in place, when no overlay is to be mounted.
    pub(crate) fn copy(&self) -> Option<&Path> {
        self.copied.as_ref().map(|(_, path)| path.as_path())
    }
}

impl Layers {
    /// Returns whether overlays can be mounted on the store's files, and why not.
    pub(crate) fn overlay(&self) -> Result<(), Unsupported> {
        kiln_snapshot::supported(self.shared.store.root())
    }

    /// Tells whether layers are copied for every step.
    pub(crate) fn copies(&self) -> bool {
        match self.shared.snapshotter {
            Snapshotter::Overlay => false,
            Snapshotter::Copy => true,
            Snapshotter::Auto => *self.shared.copies.get_or_init(|| self.overlay().is_err()),
        }
    }

    /// Makes layers ready for a step that may change them.
    pub(crate) async fn writable(&self, base: &Ref) -> Result<Writable, LayersError> {
        let lowers = self.dirs(base).await?;
        let dir = self.new_dir()?;
        if !self.copies() {
            return Ok(Writable {
                lowers,
                dir,
                copied: None,
            });
        }
        let snapshotter = Copy {
            options: self.options("copied layers".to_owned(), Vec::new()),
        };
        blocking(move || {
            let prepared = snapshotter.prepare(&lowers, &dir.work())?;
            let path = match prepared.root() {
                RootMount::Directory { path } => path,
                RootMount::Overlay { upper, .. } => upper,
            };
            Ok::<_, LayersError>(Writable {
                lowers,
                dir,
                copied: Some((prepared, path)),
            })
        })
        .await
    }

    /// Makes a layer of what a step changed.
    pub(crate) async fn commit_writable(
        &self,
        writable: Writable,
        base: &Ref,
        created_by: String,
    ) -> Result<Arc<Layer>, LayersError> {
        let Writable { dir, copied, .. } = writable;
        let Some((prepared, _)) = copied else {
            return self.commit_dir(dir, base, created_by).await;
        };
        let tree = self.tree(base).await?;
        let (dir, changes) = blocking(move || {
            let committed = prepared.commit(&Below(tree))?;
            let failed = |source| LayersError::Read {
                path: kiln_tree::TreePath::root(),
                source,
            };
            std::fs::remove_dir(dir.upper()).map_err(failed)?;
            std::fs::rename(&committed.dir, dir.upper()).map_err(failed)?;
            Ok::<_, LayersError>((dir, committed.changes))
        })
        .await?;
        let layer = self.layer(random_id(), Origin::Made, created_by, State::default());
        self.keep_dir(&layer, dir, changes).await?;
        Ok(layer)
    }
}
