//! What can go wrong with a layer.

use std::io;
use std::path::PathBuf;

use kiln_image::Compression;
use kiln_tree::TreePath;

/// A layer cannot be written, read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The content of an entry cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The entry.
        path: TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file had another size when it was read than when it was listed.
    #[error("`{path}` changed while it was read (expected {expected} bytes)")]
    Changed {
        /// The file.
        path: TreePath,
        /// Its size when it was listed, in bytes.
        expected: u64,
    },
    /// The layer's bytes cannot be written to where they go.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// The compression level does not exist.
    #[error("compression level {level} is out of range for {compression} (expected {expected})")]
    Level {
        /// The compression.
        compression: Compression,
        /// What was asked for.
        level: i32,
        /// What would do.
        expected: &'static str,
    },
    /// An entry cannot be put into an archive.
    #[error("cannot archive `{path}`: {problem}")]
    Entry {
        /// The entry.
        path: TreePath,
        /// Why.
        problem: &'static str,
    },
    /// The bytes of a layer cannot be read or decompressed.
    #[error("cannot read layer {layer}")]
    Stream {
        /// What the reader was told to call the layer.
        layer: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive that is to be compressed cannot be read.
    #[error("cannot read the archive that is to be compressed")]
    Input(#[source] io::Error),
    /// The archive of a layer breaks a rule of the format, or is not safe to unpack.
    #[error("layer {layer} has a bad archive: {problem} (entry `{entry}`, at byte {offset})")]
    Archive {
        /// What the reader was told to call the layer.
        layer: String,
        /// Name of the entry, as far as it is known.
        entry: String,
        /// Where the entry starts in the uncompressed archive.
        offset: u64,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// An archive is larger than allowed.
    #[error("layer {layer} exceeds the limit of {limit} {what}")]
    Limit {
        /// What the reader was told to call the layer.
        layer: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// An entry cannot be created in a layer directory.
    #[error("cannot {action} `{path}` in layer directory `{}`", dir.display())]
    Unpack {
        /// What was being done.
        action: &'static str,
        /// The entry.
        path: TreePath,
        /// The layer directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A device that may not be created.
    #[error("layer {layer} has the device `{path}`, which is not allowed here")]
    Device {
        /// What the reader was told to call the layer.
        layer: String,
        /// The device.
        path: TreePath,
    },
    /// A thread of the writer ended without a result: a bug.
    #[error("internal error: a compressing thread ended early")]
    Thread,
}

impl LayerError {
    /// Returns the error that a reader of this crate wrapped, so that one cause is one error.
    pub(crate) fn from_reader(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(known) => known,
            Err(error) => Self::Input(error),
        }
    }
}
