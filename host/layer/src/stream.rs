//! The bytes of an archive: read, hashed and bounded by one thread, parsed by another.

use std::io;
use std::io::Read;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::SyncSender;
use std::thread;

use kiln_image::Digest;
use kiln_image::Hasher;

use crate::LayerError;
use crate::ReadOptions;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// Chunks that wait to be parsed.
const AHEAD: usize = 8;

/// What a whole archive adds up to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
}

/// The end of the pipe that is parsed.
pub(crate) struct Stream {
    chunks: Receiver<Result<Vec<u8>, LayerError>>,
    /// Takes chunks back: memory that is new every time costs as much as reading.
    spent: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    position: u64,
}

/// Reads `archive` to its end on a thread of its own while `parse` takes its bytes, and returns its sums.
pub(crate) fn pump<T>(
    archive: impl Read + Send,
    options: &ReadOptions,
    parse: impl FnOnce(&mut Stream) -> Result<T, LayerError>,
) -> Result<(T, Sums), LayerError> {
    let (send, chunks) = mpsc::sync_channel(AHEAD);
    let (spent, spare) = mpsc::channel();
    thread::scope(|scope| {
        let reading = scope.spawn(move || forward(archive, options, &send, &spare));
        let mut stream = Stream {
            chunks,
            spent,
            chunk: Vec::new(),
            at: 0,
            position: 0,
        };
        let parsed = parse(&mut stream).and_then(|parsed| stream.drain().map(|()| parsed));
        drop(stream);
        let sums = reading.join().map_err(|_| LayerError::Thread)?;
        let parsed = parsed?;
        // No sums without an error that the parser saw: it drained the stream.
        Ok((parsed, sums.ok_or(LayerError::Thread)?))
    })
}

fn forward(
    mut archive: impl Read,
    options: &ReadOptions,
    send: &SyncSender<Result<Vec<u8>, LayerError>>,
    spare: &Receiver<Vec<u8>>,
) -> Option<Sums> {
    let (mut hasher, mut size) = (Hasher::new(), 0);
    loop {
        let mut chunk: Vec<u8> = spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        chunk.clear();
        match archive.by_ref().take(CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => {
                return Some(Sums {
                    diff_id: hasher.finish(),
                    size,
                });
            }
            Ok(count) => size += count as u64,
            Err(error) => {
                // Nobody listens when the parser has failed already.
                drop(send.send(Err(stream_error(error, options))));
                return None;
            }
        }
        hasher.update(&chunk);
        let limit = options.limits.uncompressed;
        let item = match size > limit {
            true => Err(LayerError::Limit {
                layer: options.name.clone(),
                what: "uncompressed bytes",
                limit,
            }),
            false => Ok(chunk),
        };
        let failed = item.is_err();
        if send.send(item).is_err() || failed {
            return None;
        }
    }
}

/// Names the layer, unless a reader of this crate has said all already.
pub(crate) fn stream_error(error: io::Error, options: &ReadOptions) -> LayerError {
    match error.downcast::<LayerError>() {
        Ok(known) => known,
        Err(source) => LayerError::Stream {
            layer: options.name.clone(),
            source,
        },
    }
}

impl Stream {
    /// Returns how many bytes were taken.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns bytes that come next, at most `limit`; none at the end.
    pub(crate) fn next(&mut self, limit: u64) -> Result<&[u8], LayerError> {
        if self.at == self.chunk.len() {
            let next = match self.chunks.recv() {
                Ok(chunk) => chunk?,
                Err(_) => Vec::new(),
            };
            // Nobody takes it back once everything is read.
            drop(self.spent.send(std::mem::replace(&mut self.chunk, next)));
            self.at = 0;
        }
        let left = self.chunk.len() - self.at;
        let count = usize::try_from(limit).unwrap_or(usize::MAX).min(left);
        let start = self.at;
        self.at += count;
        self.position += count as u64;
        Ok(&self.chunk[start..self.at])
    }

    /// Returns the `count` bytes that were taken last, of those that the last call of [`Self::next`] returned.
    pub(crate) fn last(&self, count: usize) -> &[u8] {
        &self.chunk[self.at - count..self.at]
    }

    /// Fills `into`; returns how much there was.
    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<usize, LayerError> {
        let mut done = 0;
        while done < into.len() {
            let bytes = self.next((into.len() - done) as u64)?;
            if bytes.is_empty() {
                break;
            }
            into[done..done + bytes.len()].copy_from_slice(bytes);
            done += bytes.len();
        }
        Ok(done)
    }

    fn drain(&mut self) -> Result<(), LayerError> {
        while !self.next(u64::MAX)?.is_empty() {}
        Ok(())
    }
}
