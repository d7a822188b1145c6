//! Reads archives into indexes.

use std::io::Read;

use kiln_image::Digest;
use kiln_tree::ChangeSet;

use crate::LayerError;
use crate::ReadOptions;
use crate::archive::Archive;
use crate::placing::Placing;
use crate::stream;

/// What an archive says.
#[derive(Debug, Clone)]
pub struct LayerIndex {
    /// What the layer changes; contents are ranges of the archive. A hard link whose target is not among the entries
    /// means a file of lower layers.
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
    let (placing, sums) = stream::pump(archive, options, |stream| {
        let (mut archive, mut placing) = (Archive::new(stream, options), Placing::default());
        while let Some(member) = archive.next()? {
            placing.place(&member).map_err(|problem| archive.bad(problem))?;
        }
        Ok(placing)
    })?;
    let (changes, _) = placing.finish(sums.diff_id);
    Ok(LayerIndex {
        changes,
        diff_id: sums.diff_id,
        uncompressed_size: sums.size,
    })
}
