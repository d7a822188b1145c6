//! Writes layers: one thread makes the archive, one adds up the diff ID, the pool compresses, the caller's thread
//! writes in order and adds up the digest.

use std::io;
use std::io::Read;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread;

use kiln_image::Digest;
use kiln_image::Hasher;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;

use crate::ContentSource;
use crate::LayerError;
use crate::Pool;
use crate::WriteOptions;
use crate::codec::Codec;
use crate::pool::Permit;
use crate::tar;
use crate::tar::Buffered;
use crate::tar::Form;
use crate::tar::Sink;

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
/// clamp alone. Modification times lose their fraction of a second, as BuildKit's do; an entry of the root directory
/// is left out, as BuildKit's is.
///
/// # Errors
/// When a content cannot be read or changed meanwhile, `out` fails or the level does not exist. What `out` got until
/// then is no layer.
pub fn write_layer(
    changes: &ChangeSet,
    source: &dyn ContentSource,
    out: impl Write,
    options: &WriteOptions,
) -> Result<LayerSums, LayerError> {
    write_layer_watched(changes, source, out, options, &|_| {})
}

/// Like [`write_layer`]; `progress` is called with the number of uncompressed bytes that are done, after every block.
///
/// # Errors
/// As [`write_layer`].
pub fn write_layer_watched(
    changes: &ChangeSet,
    source: &dyn ContentSource,
    out: impl Write,
    options: &WriteOptions,
    progress: &dyn Fn(u64),
) -> Result<LayerSums, LayerError> {
    let fill =
        |blocks: &mut Blocks| tar::archive(changes.entries(), source, blocks, Form::Layer, options.clamp);
    pipeline(fill, out, options, progress)
}

/// Compresses an uncompressed archive as [`write_layer`] would.
///
/// # Errors
/// When `archive` cannot be read, `out` fails or the level does not exist.
pub fn recompress(
    mut archive: impl Read + Send,
    out: impl Write,
    options: &WriteOptions,
) -> Result<LayerSums, LayerError> {
    let fill = |blocks: &mut Blocks| {
        loop {
            let space = blocks.space().map_err(LayerError::Write)?;
            match tar::read(&mut archive, space).map_err(LayerError::from_reader)? {
                0 => return Ok(()),
                count => blocks.filled(count),
            }
        }
    };
    pipeline(fill, out, options, &|_| {})
}

/// Writes `entries`, a merged tree in walk order, as a plain tar archive with its end marker. Whiteouts, opaque marks
/// and the root directory are left out. Times later than `clamp` become it.
///
/// # Errors
/// When a content cannot be read or changed meanwhile, or `out` fails.
pub fn write_tar(
    entries: &[Entry],
    source: &dyn ContentSource,
    out: impl Write,
    clamp: Option<i64>,
) -> Result<(), LayerError> {
    let mut sink = Buffered::new(out);
    tar::archive(entries, source, &mut sink, Form::Tree, clamp)?;
    sink.finish().map_err(LayerError::Write)
}

/// A piece of the archive, and its part of the memory budget.
struct Block {
    bytes: Vec<u8>,
    permit: Arc<Permit>,
}

/// What becomes of a block: itself, or its compressed form as soon as that is there.
enum Pending {
    Plain(Arc<Block>),
    Compressed {
        size: usize,
        piece: Receiver<io::Result<Vec<u8>>>,
        /// Held until the piece is written: pieces that wait for a slow writer count as well.
        permit: Arc<Permit>,
    },
}

/// The sink that cuts the archive into blocks and hands each to who hashes and who compresses.
struct Blocks {
    codec: Codec,
    pool: Pool,
    current: Option<Block>,
    length: usize,
    hasher: Sender<Arc<Block>>,
    writer: Sender<Pending>,
}

impl Blocks {
    fn ship(&mut self) -> io::Result<()> {
        let Some(mut block) = self.current.take() else {
            return Ok(());
        };
        block.bytes.truncate(self.length);
        self.length = 0;
        let block = Arc::new(block);
        let gone = |_| io::ErrorKind::BrokenPipe.into();
        self.hasher.send(block.clone()).map_err(|_| gone(()))?;
        if self.codec == Codec::Plain {
            return self.writer.send(Pending::Plain(block)).map_err(|_| gone(()));
        }
        let (send, piece) = mpsc::channel();
        let (size, permit) = (block.bytes.len(), block.permit.clone());
        self.writer
            .send(Pending::Compressed { size, piece, permit })
            .map_err(|_| gone(()))?;
        let codec = self.codec;
        self.pool
            .run(move || drop(send.send(codec.compress(&block.bytes))));
        Ok(())
    }
}

impl Sink for Blocks {
    fn space(&mut self) -> io::Result<&mut [u8]> {
        let mib = self.codec.block_mib();
        if self.length == mib << 20 {
            self.ship()?;
        }
        let block = self.current.get_or_insert_with(|| {
            let permit = Arc::new(self.pool.reserve(mib));
            Block {
                bytes: vec![0; mib << 20],
                permit,
            }
        });
        Ok(&mut block.bytes[self.length..])
    }

    fn filled(&mut self, count: usize) {
        self.length += count;
    }
}

fn pipeline(
    fill: impl FnOnce(&mut Blocks) -> Result<(), LayerError> + Send,
    out: impl Write,
    options: &WriteOptions,
    progress: &dyn Fn(u64),
) -> Result<LayerSums, LayerError> {
    let codec = Codec::new(options.compression, options.level)?;
    let (to_hasher, hashing) = mpsc::channel::<Arc<Block>>();
    let (to_writer, pending) = mpsc::channel();
    let pool = options.pool.clone();
    let mut blocks = Blocks {
        codec,
        pool,
        current: None,
        length: 0,
        hasher: to_hasher,
        writer: to_writer,
    };
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            fill(&mut blocks)?;
            blocks.ship().map_err(LayerError::Write)
        });
        let hashing = scope.spawn(move || {
            let mut hasher = Hasher::new();
            for block in hashing {
                hasher.update(&block.bytes);
            }
            hasher.finish()
        });
        let written = Output::new(out, codec).drain(pending, progress);
        let read = reading.join().map_err(|_| LayerError::Thread)?;
        let diff_id = hashing.join().map_err(|_| LayerError::Thread)?;
        // When writing fails, reading fails because of it.
        let output = match (written, read) {
            (Ok(output), Ok(())) => output,
            (Ok(_), Err(error)) | (Err(error), _) => return Err(error),
        };
        Ok(output.sums(diff_id))
    })
}

/// The blob on its way out.
struct Output<W> {
    out: W,
    codec: Codec,
    hasher: Hasher,
    size: u64,
    uncompressed: u64,
}

impl<W: Write> Output<W> {
    fn new(out: W, codec: Codec) -> Self {
        Self {
            out,
            codec,
            hasher: Hasher::new(),
            size: 0,
            uncompressed: 0,
        }
    }

    fn drain(mut self, pending: Receiver<Pending>, progress: &dyn Fn(u64)) -> Result<Self, LayerError> {
        for block in pending {
            match block {
                Pending::Plain(block) => {
                    self.uncompressed += block.bytes.len() as u64;
                    self.write(&block.bytes)?;
                }
                Pending::Compressed { size, piece, permit } => {
                    let piece = piece
                        .recv()
                        .map_err(|_| LayerError::Thread)?
                        .map_err(LayerError::Write)?;
                    self.uncompressed += size as u64;
                    self.write(&piece)?;
                    drop(permit);
                }
            }
            progress(self.uncompressed);
        }
        if self.uncompressed == 0 {
            let empty = self.codec.empty().map_err(LayerError::Write)?;
            self.write(&empty)?;
        }
        self.out.flush().map_err(LayerError::Write)?;
        Ok(self)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        // A plain archive's digest is its diff ID: hashed once.
        if self.codec != Codec::Plain {
            self.hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.out.write_all(bytes).map_err(LayerError::Write)
    }

    fn sums(self, diff_id: Digest) -> LayerSums {
        let digest = if self.codec == Codec::Plain {
            diff_id
        } else {
            self.hasher.finish()
        };
        LayerSums {
            diff_id,
            digest,
            size: self.size,
            uncompressed_size: self.uncompressed,
        }
    }
}
