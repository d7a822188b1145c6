//! Compression block by block. Each block is compressed by itself, so that the bytes depend on the input alone, never
//! on the number of threads.

use std::io;

use kiln_image::Compression;
use libdeflater::CompressionLvl;
use libdeflater::Compressor;

use crate::LayerError;

/// libdeflate's level for each of zlib's: the fastest one that compresses at least as well.
const GZIP_LEVELS: [i32; 10] = [0, 1, 1, 2, 3, 4, 5, 6, 8, 9];
/// Levels that BuildKit's names of zstd speeds stand for.
const ZSTD_SPEEDS: [i32; 4] = [1, 3, 7, 11];

/// A compression with its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    /// One gzip member for each block; RFC 1952 §2.2 makes one file of them. The level is libdeflate's.
    Gzip(i32),
    /// One zstd frame for each block.
    Zstd(i32),
}

impl Codec {
    pub(crate) fn new(compression: Compression, level: Option<i32>) -> Result<Self, LayerError> {
        let refused = |expected| LayerError::Level {
            compression,
            level: level.unwrap_or_default(),
            expected,
        };
        match (compression, level.unwrap_or(-1)) {
            (Compression::None, _) => Ok(Self::Plain),
            (Compression::Gzip, -1) => Ok(Self::Gzip(GZIP_LEVELS[6])),
            (Compression::Gzip, level @ 0..=9) => Ok(Self::Gzip(GZIP_LEVELS[level as usize])),
            (Compression::Gzip, _) => Err(refused("-1 to 9")),
            (Compression::Zstd, 0..=2) => Ok(Self::Zstd(ZSTD_SPEEDS[0])),
            (Compression::Zstd, -1 | 3..=6) => Ok(Self::Zstd(ZSTD_SPEEDS[1])),
            (Compression::Zstd, 7..=8) => Ok(Self::Zstd(ZSTD_SPEEDS[2])),
            (Compression::Zstd, 9..=22) => Ok(Self::Zstd(ZSTD_SPEEDS[3])),
            (Compression::Zstd, _) => Err(refused("-1 to 22")),
        }
    }

    /// Returns the size of a block in MiB. Larger zstd frames compress better, and take more memory.
    pub(crate) fn block_mib(self) -> usize {
        match self {
            Self::Plain | Self::Gzip(_) => 1,
            Self::Zstd(_) => 2,
        }
    }

    /// Compresses a block, by itself.
    pub(crate) fn compress(self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(block.to_vec()),
            Self::Gzip(level) => gzip(block, level),
            Self::Zstd(level) => {
                let mut frame = zstd::bulk::Compressor::new(level)?;
                frame.include_checksum(true)?;
                frame.compress(block)
            }
        }
    }

    /// Returns what an archive of no bytes becomes: nothing at all would not be of that format.
    pub(crate) fn empty(self) -> io::Result<Vec<u8>> {
        self.compress(&[])
    }
}

fn gzip(block: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let level = CompressionLvl::new(level).map_err(|_| io::Error::other("no such level of libdeflate"))?;
    let mut compressor = Compressor::new(level);
    let mut out = vec![0; compressor.gzip_compress_bound(block.len())];
    let size = compressor
        .gzip_compress(block, &mut out)
        .map_err(io::Error::other)?;
    out.truncate(size);
    out.shrink_to_fit();
    Ok(out)
}
