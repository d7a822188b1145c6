//! Compression block by block. Each block is compressed by itself, so that the bytes depend on the input alone, never
//! on the number of threads.

use std::io;

use flate2::Compress;
use flate2::FlushCompress;
use kiln_image::Compression;

use crate::LayerError;

/// How far back deflate looks.
pub(crate) const WINDOW: usize = 32 << 10;
/// Levels that BuildKit's names of zstd speeds stand for.
const ZSTD_SPEEDS: [i32; 4] = [1, 3, 7, 11];

/// A compression with its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    /// One gzip member: raw deflate blocks that know the 32 KiB before them, each ended by a sync flush.
    Gzip(u32),
    /// One zstd frame for each block.
    Zstd(i32),
}

/// A compressed block.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Sum of the uncompressed block; gzip's trailer has that of all.
    pub(crate) crc: Option<crc32fast::Hasher>,
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
            (Compression::Gzip, -1) => Ok(Self::Gzip(6)),
            (Compression::Gzip, level @ 0..=9) => Ok(Self::Gzip(level.unsigned_abs())),
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

    /// Compresses a block; `before` are the up to 32 KiB before it.
    pub(crate) fn compress(self, block: &[u8], before: &[u8]) -> io::Result<Piece> {
        match self {
            Self::Plain => Ok(Piece {
                bytes: block.to_vec(),
                crc: None,
            }),
            Self::Gzip(level) => {
                let mut crc = crc32fast::Hasher::new();
                crc.update(block);
                Ok(Piece {
                    bytes: deflate(block, before, level)?,
                    crc: Some(crc),
                })
            }
            Self::Zstd(level) => {
                let mut frame = zstd::bulk::Compressor::new(level)?;
                frame.include_checksum(true)?;
                Ok(Piece {
                    bytes: frame.compress(block)?,
                    crc: None,
                })
            }
        }
    }

    /// Returns what comes before the first block.
    pub(crate) fn head(self) -> Vec<u8> {
        let Self::Gzip(level) = self else {
            return Vec::new();
        };
        let speed = match level {
            9 => 2,
            1 => 4,
            _ => 0,
        };
        // As Go's writer: no name, no time, system unknown.
        vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, speed, 255]
    }

    /// Returns what comes after the last block.
    pub(crate) fn tail(self, crc: crc32fast::Hasher, size: u64) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(_) => {
                let mut tail = vec![3, 0]; // an empty last block
                tail.extend_from_slice(&crc.finalize().to_le_bytes());
                tail.extend_from_slice(&(size as u32).to_le_bytes()); // modulo 2^32, as RFC 1952 wants it
                Ok(tail)
            }
            Self::Zstd(_) if size == 0 => Ok(self.compress(&[], &[])?.bytes), // no frame at all would be no zstd
            Self::Zstd(_) => Ok(Vec::new()),
        }
    }
}

fn deflate(block: &[u8], before: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut state = Compress::new(flate2::Compression::new(level), false);
    if !before.is_empty() {
        state.set_dictionary(before).map_err(io::Error::other)?;
    }
    let mut out = Vec::with_capacity(block.len() / 2 + 64);
    loop {
        let done = state.total_in() as usize;
        state
            .compress_vec(&block[done..], &mut out, FlushCompress::Sync)
            .map_err(io::Error::other)?;
        // Room that is left says that the flush is complete.
        if out.len() < out.capacity() {
            return Ok(out);
        }
        out.reserve(block.len() / 4 + 64);
    }
}
