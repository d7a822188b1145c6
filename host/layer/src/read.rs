//! Reads archives into indexes.

use std::io::Read;

use kiln_image::Compression;
use kiln_image::Digest;
use kiln_tree::ChangeSet;

use crate::LayerError;
use crate::ReadOptions;

/// What an archive says.
#[derive(Debug, Clone)]
pub struct LayerIndex {
    /// What the layer changes; contents are ranges of the archive.
    pub changes: ChangeSet,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Size of the uncompressed archive, in bytes.
    pub uncompressed_size: u64,
}

/// Reads an uncompressed archive to its end. Nothing is unpacked.
///
/// # Errors
/// When the archive is bad or exceeds a limit.
pub fn read_layer(archive: impl Read + Send, options: &ReadOptions) -> Result<LayerIndex, LayerError> {
    todo!()
}

/// Returns the uncompressed bytes of a blob. Without `compression` the first bytes tell.
///
/// The reader fails when the compressed bytes are damaged or end early, or a limit is exceeded.
///
/// # Errors
/// When the blob cannot be read or is compressed in a way that kiln does not know.
pub fn decompress<'a>(
    blob: impl Read + Send + 'a,
    compression: Option<Compression>,
    options: &ReadOptions,
) -> Result<Box<dyn Read + Send + 'a>, LayerError> {
    todo!()
}
