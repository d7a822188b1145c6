//! Directories as change sets.

use std::path::Path;

use kiln_tree::ChangeSet;

use crate::SnapshotError;

/// Reads `dir`, an upper directory of an overlay: whiteouts, opaque directories, hard links. Contents lie in `dir`.
/// Of extended attributes `security.capability` and `user.*` are kept, as far as they are not the overlay's. Sockets
/// are left out.
///
/// # Errors
/// When something cannot be read, or the overlay was mounted with redirects.
pub fn scan_upper(dir: &Path) -> Result<ChangeSet, SnapshotError> {
    todo!()
}

/// Reads `dir`, a directory that is no overlay's: character devices 0:0 are devices.
///
/// # Errors
/// When something cannot be read.
pub fn scan_tree(dir: &Path) -> Result<ChangeSet, SnapshotError> {
    todo!()
}
