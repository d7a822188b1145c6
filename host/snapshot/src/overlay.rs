//! Root file systems by overlayfs.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::Prepared;
use crate::SnapshotError;
use crate::Snapshotter;

/// Overlayfs. Nothing is copied and nothing mounted here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overlay;

impl Snapshotter for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn prepare(&self, lowers: &[PathBuf], scratch: &Path) -> Result<Box<dyn Prepared>, SnapshotError> {
        todo!()
    }
}

/// Why overlayfs cannot be used in a directory.
#[derive(Debug, thiserror::Error)]
#[error("overlayfs does not work in `{}`: cannot {action}", dir.display())]
pub struct Unsupported {
    /// Where it was tried.
    pub dir: PathBuf,
    /// What failed.
    pub action: &'static str,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Finds out, by mounting one that nobody sees, whether this process can use overlays in the directory `dir`.
///
/// # Errors
/// When it cannot: use [`crate::Copy`].
pub fn supported(dir: &Path) -> Result<(), Unsupported> {
    todo!()
}
