//! What can go wrong with a snapshot.

use std::io;
use std::path::PathBuf;

use kiln_layer::LayerError;
use kiln_tree::PathError;

/// A root file system cannot be prepared, or what changed in it not be found out.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file or directory cannot be handled.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path that no layer can have.
    #[error("`{}` has a file that no layer can have", dir.display())]
    Path {
        /// The directory that was walked.
        dir: PathBuf,
        /// Which.
        #[source]
        source: PathError,
    },
    /// Overlayfs left a mark that kiln mounts it without.
    #[error("`{}` has the overlay attribute `{attribute}` (mount with redirect_dir=nofollow,metacopy=off)", path.display())]
    Attribute {
        /// The file.
        path: PathBuf,
        /// The attribute.
        attribute: String,
    },
    /// A layer directory cannot be written.
    #[error("cannot write a layer directory")]
    Layer(#[source] LayerError),
}
