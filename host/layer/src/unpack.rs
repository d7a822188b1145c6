//! Writes layer directories.

use std::io::Read;
use std::path::Path;

use kiln_tree::ChangeSet;
use kiln_tree::TreePath;

use crate::ContentSource;
use crate::LayerError;
use crate::UnpackOptions;

/// What came out of unpacking an archive.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// What the layer changes. Contents lie in the archive, except those of hard links to files of lower layers, which
    /// are in the directory.
    pub changes: ChangeSet,
    /// Digest of the uncompressed archive.
    pub diff_id: kiln_image::Digest,
    /// Size of the uncompressed archive, in bytes.
    pub uncompressed_size: u64,
    /// Directories that the layer does not name but has something in.
    pub implied_parents: Vec<TreePath>,
}

/// Unpacks an uncompressed archive into `dest`, an empty directory. Nothing outside `dest` is written, whatever the
/// archive says. Nothing is synced to the disk.
///
/// # Errors
/// When the archive is bad, exceeds a limit, has a device that is refused, or a file cannot be written. What is in
/// `dest` then is to be thrown away.
pub fn unpack(archive: impl Read + Send, dest: &Path, options: &UnpackOptions) -> Result<Unpacked, LayerError> {
    todo!()
}

/// Writes `changes` into `dest`, an empty directory, as [`unpack`] would. Contents are copied, never linked. Returns
/// the same changes with contents in `dest`.
///
/// # Errors
/// When a content cannot be read or changed meanwhile, or a file cannot be written.
pub fn materialise(
    changes: &ChangeSet,
    source: &dyn ContentSource,
    dest: &Path,
    options: &UnpackOptions,
) -> Result<ChangeSet, LayerError> {
    todo!()
}
