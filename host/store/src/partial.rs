//! Downloads that go on where a process before stopped.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Digest;
use kiln_image::Hasher;
use rustix::fs::FlockOperation;

use crate::Result;
use crate::StoreError;
use crate::layout;
use crate::object::Object;
use crate::store::Store;

/// The part of a blob that has arrived. Only one process has it at a time. Dropping it keeps the bytes for the next.
#[derive(Debug)]
pub struct Partial {
    store: Store,
    digest: Digest,
    path: PathBuf,
    /// Nothing when the blob turned out to be whole.
    file: Option<File>,
    hasher: Hasher,
    len: u64,
}

impl Store {
    /// Takes up the download of a blob, with the bytes that are there. When another process completed the blob
    /// meanwhile, [`Partial::is_whole`] says so.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another process (or another part of this one) downloads it.
    pub fn resume(&self, digest: &Digest) -> Result<Partial> {
        Partial::open(self, digest, FlockOperation::NonBlockingLockExclusive)
    }

    /// As [`Store::resume`], but waits for the other process.
    ///
    /// # Errors
    /// When the file cannot be made or read.
    pub fn resume_when_free(&self, digest: &Digest) -> Result<Partial> {
        Partial::open(self, digest, FlockOperation::LockExclusive)
    }
}

impl Partial {
    /// Returns the number of bytes that are there; the download goes on from this offset.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no bytes are there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the whole blob is in the store already: there is nothing to write, [`Partial::commit`] succeeds.
    pub fn is_whole(&self) -> bool {
        self.file.is_none()
    }

    /// Throws the bytes away: the source cannot go on in the middle.
    ///
    /// # Errors
    /// When the file cannot be shortened.
    pub fn restart(&mut self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.set_len(0)
            .map_err(|e| StoreError::io("shorten", &self.path, e))?;
        self.hasher = Hasher::new();
        self.len = 0;
        Ok(())
    }

    /// Makes the blob visible; returns its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when the bytes do not hash to the digest; they are thrown away then, because
    /// nothing can be added that would make them right.
    pub fn commit(mut self) -> Result<u64> {
        if self.file.is_none() {
            return Ok(self.len);
        }
        let actual = std::mem::take(&mut self.hasher).finish();
        if actual != self.digest {
            self.restart()?;
            return Err(StoreError::Mismatch {
                expected: self.digest,
                actual,
            });
        }
        self.store
            .show(&Object::Blob(self.digest), &self.path, self.len)?;
        Ok(self.len)
    }

    fn open(store: &Store, digest: &Digest, lock: FlockOperation) -> Result<Self> {
        let path = store.layout().partial(digest);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            let file = options
                .open(&path)
                .map_err(|e| StoreError::io("create", &path, e))?;
            match layout::flock(&file, lock) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(StoreError::Busy { digest: *digest });
                }
                other => other.map_err(|e| StoreError::io("lock", &path, e))?,
            }
            // Whoever had the lock may have moved the file to its place among the blobs, or removed it.
            if !same_file(&file, &path) {
                continue;
            }
            let mut partial = Self {
                store: store.clone(),
                digest: *digest,
                path,
                file: Some(file),
                hasher: Hasher::new(),
                len: 0,
            };
            match store.size(digest)? {
                Some(size) => {
                    drop(fs::remove_file(&partial.path));
                    partial.file = None;
                    partial.len = size;
                }
                None => partial.hash_what_is_there()?,
            }
            return Ok(partial);
        }
    }

    fn hash_what_is_there(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut buffer = vec![0; 1 << 17];
        loop {
            let n = file
                .read(&mut buffer)
                .map_err(|e| StoreError::io("read", &self.path, e))?;
            if n == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..n]);
            self.len += n as u64;
        }
    }
}

/// Removes downloads that nobody goes on with and that were not written to for `age` milliseconds. Returns their
/// number and size in bytes.
pub(crate) fn remove_abandoned(store: &Store, age: i64) -> Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for (path, metadata) in list(store)? {
        let written = metadata.mtime().saturating_mul(1000);
        if written > crate::store::now().saturating_sub(age) {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(&path) else {
            continue;
        };
        let free = layout::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if free && same_file(&file, &path) && fs::remove_file(&path).is_ok() {
            count += 1;
            bytes += metadata.len();
        }
    }
    Ok((count, bytes))
}

/// The files of all downloads that are not complete.
pub(crate) fn list(store: &Store) -> Result<Vec<(PathBuf, fs::Metadata)>> {
    let dir = store.layout().ingest();
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).map_err(|e| StoreError::io("list", &dir, e))? {
        let entry = entry.map_err(|e| StoreError::io("list", &dir, e))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b"partial-") {
            continue;
        }
        // One that has gone meanwhile is no longer of interest.
        if let Ok(metadata) = entry.metadata() {
            found.push((entry.path(), metadata));
        }
    }
    Ok(found)
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

impl Write for Partial {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the blob is whole"));
        };
        let n = file
            .write(buf)
            .map_err(|e| StoreError::io("write", &self.path, e))?;
        self.hasher.update(&buf[..n]);
        self.len += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let empty = self.len == 0 && self.file.as_ref().is_some_and(|file| same_file(file, &self.path));
        if empty {
            drop(fs::remove_file(&self.path));
        }
    }
}
