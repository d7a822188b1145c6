//! The trait of everything that makes root file systems.

use std::fmt::Debug;
use std::path::Path;
use std::path::PathBuf;

use kiln_tree::ChangeSet;

use crate::Lookup;
use crate::SnapshotError;

/// How a step gets its root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootMount {
    /// An overlay, mounted with `userxattr,index=off,metacopy=off`, which makes no redirects.
    Overlay {
        /// Read-only layer directories, bottom first; may be empty.
        lowers: Vec<PathBuf>,
        /// Where changes go.
        upper: PathBuf,
        /// Empty directory on the same file system as `upper`.
        work: PathBuf,
    },
    /// A directory that is used in place.
    Directory {
        /// The directory.
        path: PathBuf,
    },
}

/// Makes root file systems from layer directories.
pub trait Snapshotter: Debug + Send + Sync {
    /// Returns the name, for people: `overlay` or `copy`.
    fn name(&self) -> &'static str;

    /// Prepares a root file system from `lowers`, layer directories, bottom first. All that is needed beside them is
    /// made in `scratch`, an existing directory that is empty and stays the caller's: it is removed by the caller.
    ///
    /// # Errors
    /// When a directory cannot be made or a layer not be read.
    fn prepare(&self, lowers: &[PathBuf], scratch: &Path) -> Result<Box<dyn Prepared>, SnapshotError>;
}

/// A root file system that a step may change.
pub trait Prepared: Debug + Send {
    /// Returns how to mount it.
    fn root(&self) -> RootMount;

    /// Returns what changed since [`Snapshotter::prepare`], once nothing uses the root file system any more. `lower`
    /// is what the layers below amount to.
    ///
    /// # Errors
    /// When the changes cannot be read or no layer can have them.
    fn commit(self: Box<Self>, lower: &dyn Lookup) -> Result<Committed, SnapshotError>;
}

/// What a step changed.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The changes; contents lie in `dir`.
    pub changes: ChangeSet,
    /// Directory in the form of an overlay upper directory, inside the scratch directory, that has these changes and
    /// nothing else.
    pub dir: PathBuf,
}
