//! What callers choose.

use std::path::PathBuf;

use kiln_image::Compression;

use crate::Pool;

/// How a layer is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Compression of the blob.
    pub compression: Compression,
    /// Level as BuildKit's `compression-level`: gzip -1 to 9 (default 6), zstd 0 to 22 (default 3; mapped to four
    /// speeds: below 3, 3 to 6, 7 and 8, above 8). Ignored without compression.
    pub level: Option<i32>,
    /// Latest modification time, in seconds since the epoch (`SOURCE_DATE_EPOCH`); later ones become it.
    pub clamp: Option<i64>,
    /// Threads that compress, shared by all layers.
    pub pool: Pool,
}

/// Bounds for archives that nobody trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries of an archive.
    pub entries: u64,
    /// Uncompressed size of an archive, in bytes.
    pub uncompressed: u64,
    /// Extended headers of one entry (PAX records, GNU long names), in bytes.
    pub header: u64,
    /// Names, link targets and attributes of all entries, in bytes: what an index keeps in memory.
    pub index: u64,
    /// Bytes out for each byte in; looked at once 1 GiB came out.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            uncompressed: 1 << 40,
            header: 1 << 20,
            index: 256 << 20,
            ratio: 20_000,
        }
    }
}

/// How an archive is read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// What errors call the layer: its digest.
    pub name: String,
    /// Bounds.
    pub limits: Limits,
}

impl ReadOptions {
    /// Returns the default limits with a name for errors.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            limits: Limits::default(),
        }
    }
}

/// What becomes of device nodes of a layer. They stay in its index in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Devices {
    /// The layer is refused.
    #[default]
    Refuse,
    /// They are created.
    Create,
    /// They are left out.
    Skip,
}

/// Who owns what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owner {
    /// Whom the layer names.
    #[default]
    Keep,
    /// Whoever runs kiln: for a process that may give nothing away. Attributes that need privileges are left out.
    Own,
}

/// How a layer directory is written.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// Name for errors and bounds.
    pub read: ReadOptions,
    /// Layer directories below this one, top first: parents that the layer does not name get their owner and mode
    /// from there, and hard links to files of lower layers their content.
    pub lowers: Vec<PathBuf>,
    /// What becomes of device nodes.
    pub devices: Devices,
    /// Who owns the files.
    pub owner: Owner,
}
