//! Content-defined pieces: bytes are cut where their content says so, so that a change moves only the pieces around it.
//!
//! Knows no archive and no place; pieces are compressed one by one and named by what they are compressed to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;

/// No piece is shorter, but the last.
const SHORTEST: usize = 256 << 10;
/// No piece is longer.
pub(crate) const LONGEST: usize = 4 << 20;
/// A cut is where these bits of the rolling sum are zero: once in a mebibyte behind the shortest length.
const MASK: u64 = ((1 << 20) - 1) << 44;
/// zstd's level.
const LEVEL: i32 = 3;

/// One piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Number of bytes that they become.
    pub length: u64,
}

/// Bytes of a rolling sum: never the same again, or every piece there is would be another.
static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut state = 0x6b69_6c6e_u64;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
});

/// Returns how long the first piece of `bytes` is, which are at least [`LONGEST`] or all that is left.
fn cut(bytes: &[u8]) -> usize {
    let end = bytes.len().min(LONGEST);
    if end <= SHORTEST {
        return end;
    }
    let mut sum = 0_u64;
    // The sum forgets what is 64 bytes back.
    for (at, byte) in bytes[..end].iter().enumerate().skip(SHORTEST - 64) {
        sum = (sum << 1).wrapping_add(GEAR[usize::from(*byte)]);
        if at >= SHORTEST && sum & MASK == 0 {
            return at + 1;
        }
    }
    end
}

/// Cuts `source` into pieces and leaves each, compressed, in `dir` under its digest. Returns them in order.
///
/// # Errors
/// When `source` cannot be read or a piece cannot be written.
pub fn pack(mut source: impl Read, dir: &Path) -> io::Result<Vec<Chunk>> {
    let (mut chunks, mut known) = (Vec::new(), BTreeMap::new());
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let mut window = Vec::with_capacity(LONGEST);
    loop {
        let missing = (LONGEST - window.len()) as u64;
        source.by_ref().take(missing).read_to_end(&mut window)?;
        if window.is_empty() {
            return Ok(chunks);
        }
        let length = cut(&window);
        let raw = Digest::of(&window[..length]);
        let chunk = match known.get(&raw) {
            Some(chunk) => Chunk::clone(chunk),
            None => {
                let bytes = compressor.compress(&window[..length])?;
                let digest = Digest::of(&bytes);
                fs::write(dir.join(digest.hex()), &bytes)?;
                Chunk {
                    digest,
                    size: bytes.len() as u64,
                    length: length as u64,
                }
            }
        };
        known.insert(raw, chunk.clone());
        chunks.push(chunk);
        window.drain(..length);
    }
}

impl Chunk {
    /// Returns whether a piece can have these sizes.
    pub(crate) fn is_possible(&self) -> bool {
        let room = zstd::zstd_safe::compress_bound(LONGEST) as u64;
        (1..=LONGEST as u64).contains(&self.length) && (1..=room).contains(&self.size)
    }

    /// Returns what the compressed bytes become, or what is wrong with them.
    ///
    /// # Errors
    /// When they are not this piece: what they are instead.
    pub fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let found = Digest::of(bytes);
        if found != self.digest {
            return Err(found.to_string());
        }
        let room = usize::try_from(self.length).unwrap_or(LONGEST).min(LONGEST);
        let unpacked = zstd::bulk::decompress(bytes, room).map_err(|error| format!("no zstd ({error})"))?;
        if unpacked.len() as u64 == self.length {
            return Ok(unpacked);
        }
        Err(format!(
            "{} bytes once unpacked (expected {})",
            unpacked.len(),
            self.length
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look random and are always the same.
    fn noise(seed: u64, count: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..count).map(|_| next()).collect()
    }

    fn packed(bytes: &[u8], dir: &Path) -> Vec<Chunk> {
        pack(bytes, dir).expect("it can be packed")
    }

    fn unpacked(chunks: &[Chunk], dir: &Path) -> Vec<u8> {
        let read = |chunk: &Chunk| {
            let bytes = fs::read(dir.join(chunk.digest.hex())).expect("the chunk is there");
            assert_eq!(bytes.len() as u64, chunk.size);
            assert!(chunk.is_possible(), "{chunk:?}");
            chunk.unpack(&bytes).expect("it is whole")
        };
        chunks.iter().flat_map(read).collect()
    }

    #[test]
    fn what_was_packed_comes_out_again() {
        for length in [0, 1, SHORTEST, SHORTEST + 1, LONGEST, LONGEST + 1, 9 << 20] {
            for bytes in [noise(7, length), vec![0; length]] {
                let dir = tempfile::tempdir().expect("a directory");
                let chunks = packed(&bytes, dir.path());
                assert_eq!(unpacked(&chunks, dir.path()), bytes, "{length}");
            }
        }
    }

    #[test]
    fn a_change_moves_the_pieces_around_it_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut bytes = noise(3, 24 << 20);
        let before = packed(&bytes, dir.path());
        assert!(before.len() > 10, "{}", before.len());
        // Everything behind the change moves by some bytes.
        bytes.splice(10_000_000..10_000_010, noise(4, 777));
        let after = packed(&bytes, dir.path());
        let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
        assert!((1..=3).contains(&new), "{new} of {}", after.len());
    }

    #[test]
    fn what_is_the_same_is_kept_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let chunks = packed(&vec![0; 64 << 20], dir.path());
        assert_eq!(chunks.len(), 16);
        let files = fs::read_dir(dir.path()).expect("the directory").count();
        assert_eq!(files, 1);
    }

    #[test]
    fn what_is_not_the_piece_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let chunk = packed(b"text", dir.path()).remove(0);
        let bytes = fs::read(dir.path().join(chunk.digest.hex())).expect("the chunk is there");
        assert_eq!(
            chunk.unpack(&bytes[1..]),
            Err(Digest::of(&bytes[1..]).to_string())
        );
        for length in [3, 5] {
            let other = Chunk {
                length,
                ..chunk.clone()
            };
            assert!(other.unpack(&bytes).is_err(), "{length}");
        }
        let plain = Chunk {
            digest: Digest::of("text"),
            ..chunk
        };
        assert!(plain.unpack(b"text").expect_err("no zstd").starts_with("no zstd"));
    }
}
