//! Blobs as the archives that they hold.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use kiln_image::Compression;
use lzma_rust2::XzReader;

use crate::LayerError;
use crate::ReadOptions;
use crate::stream::stream_error;

const BUFFER: usize = 128 << 10;
/// Output from which on the ratio is looked at: small archives may well be nearly all zeros.
const RATIO_FROM: u64 = 1 << 30;
/// How compressions begin that kiln can name but not read.
const UNKNOWN: [(&[u8], &str); 1] = [(b"\x04\x22\x4d\x18", "lz4")];
/// Most memory for a dictionary of xz, in KiB: what `xz -9` needs, twice.
const XZ_MEMORY: u32 = 128 << 10;

/// What the first bytes say.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A compression of layers.
    Layer(Compression),
    /// Two more of archives that people make.
    Bzip2,
    Xz,
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
    let taken = Arc::new(AtomicU64::new(0));
    let mut blob = BufReader::with_capacity(
        BUFFER,
        Counted {
            inner: blob,
            count: taken.clone(),
        },
    );
    let form = match compression {
        Some(known) => Form::Layer(known),
        None => sniff(&mut blob).map_err(|error| stream_error(error, options))?,
    };
    let inner: Box<dyn Read + Send + 'a> = match form {
        Form::Layer(Compression::None) => return Ok(Box::new(blob)),
        Form::Layer(Compression::Gzip) => Box::new(MultiGzDecoder::new(blob)),
        Form::Bzip2 => Box::new(MultiBzDecoder::new(blob)),
        Form::Xz => Box::new(XzReader::new_mem_limit(blob, true, XZ_MEMORY)),
        Form::Layer(Compression::Zstd) => {
            let decoder = zstd::stream::read::Decoder::with_buffer(blob);
            Box::new(decoder.map_err(|error| stream_error(error, options))?)
        }
    };
    Ok(Box::new(Bounded {
        inner,
        taken,
        given: 0,
        options: options.clone(),
    }))
}

fn sniff(blob: &mut impl BufRead) -> io::Result<Form> {
    let start = loop {
        match blob.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            start => break start?,
        }
    };
    if let Some((_, name)) = UNKNOWN.iter().find(|(magic, _)| start.starts_with(magic)) {
        let text = format!("it is compressed with {name} (expected gzip, bzip2, xz, zstd or none)");
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    Ok(match start {
        [0x1f, 0x8b, ..] => Form::Layer(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Layer(Compression::Zstd),
        // A skippable frame: some writers of zstd begin with one.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Form::Layer(Compression::Zstd),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Form::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Form::Xz,
        _ => Form::Layer(Compression::None),
    })
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Ends bombs.
struct Bounded<R> {
    inner: R,
    taken: Arc<AtomicU64>,
    given: u64,
    options: ReadOptions,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.given += count as u64;
        let limits = &self.options.limits;
        let layer = || self.options.name.clone();
        if self.given > limits.uncompressed {
            let limit = limits.uncompressed;
            return Err(io::Error::other(LayerError::Limit {
                layer: layer(),
                what: "uncompressed bytes",
                limit,
            }));
        }
        let most = self.taken.load(Ordering::Relaxed).saturating_mul(limits.ratio);
        if self.given > most.max(RATIO_FROM) {
            let (what, limit) = ("bytes for each compressed byte", limits.ratio);
            return Err(io::Error::other(LayerError::Limit {
                layer: layer(),
                what,
                limit,
            }));
        }
        Ok(count)
    }
}
