//! Writes layers.

use std::io::Read;
use std::io::Write;

use kiln_image::Digest;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;

use crate::ContentSource;
use crate::LayerError;
use crate::WriteOptions;

/// What a layer's bytes add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSums {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob, in bytes.
    pub size: u64,
    /// Size of the uncompressed archive, in bytes.
    pub uncompressed_size: u64,
}

/// Writes `changes` as a layer blob to `out`. The bytes depend on the entries, their contents, compression, level and
/// clamp alone. Modification times lose their fraction of a second, as BuildKit's do.
///
/// # Errors
/// When a content cannot be read or changed meanwhile, `out` fails or the level does not exist. What `out` got until
/// then is no layer.
pub fn write_layer(
    changes: &ChangeSet,
    source: &dyn ContentSource,
    out: impl Write + Send,
    options: &WriteOptions,
) -> Result<LayerSums, LayerError> {
    write_layer_watched(changes, source, out, options, &|_| {})
}

/// Like [`write_layer`]; `progress` is called now and then with the number of uncompressed bytes that are done.
///
/// # Errors
/// As [`write_layer`].
pub fn write_layer_watched(
    changes: &ChangeSet,
    source: &dyn ContentSource,
    out: impl Write + Send,
    options: &WriteOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<LayerSums, LayerError> {
    todo!()
}

/// Compresses an uncompressed archive as [`write_layer`] would.
///
/// # Errors
/// As [`write_layer`].
pub fn recompress(
    archive: impl Read + Send,
    out: impl Write + Send,
    options: &WriteOptions,
) -> Result<LayerSums, LayerError> {
    todo!()
}

/// Writes `entries`, a merged tree in walk order, as a plain tar archive with its end marker. Whiteouts and opaque
/// marks are left out.
///
/// # Errors
/// When a content cannot be read or changed meanwhile, or `out` fails.
pub fn write_tar(
    entries: &[Entry],
    source: &dyn ContentSource,
    out: impl Write,
    clamp: Option<i64>,
) -> Result<(), LayerError> {
    todo!()
}
