//! Blobs on their way in.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use kiln_image::Digest;
use kiln_image::Hasher;

use crate::Result;
use crate::StoreError;
use crate::object::Object;
use crate::store::Store;

/// Bytes collected before they are written: tar headers come in pieces of 512.
const BUFFER: usize = 128 << 10;

/// A blob on its way in, hashed as it is written. Nothing is visible in the store before [`Ingest::commit`];
/// dropping it throws the bytes away.
#[derive(Debug)]
pub struct Ingest {
    inner: UnhashedIngest,
    hasher: Hasher,
}

/// A blob on its way in whose writer computes the digest itself. Nothing is visible in the store before
/// [`UnhashedIngest::commit_as`]; dropping it throws the bytes away.
#[derive(Debug)]
pub struct UnhashedIngest {
    store: Store,
    path: PathBuf,
    file: BufWriter<File>,
    size: u64,
}

impl Store {
    /// Begins a blob.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn ingest(&self) -> Result<Ingest> {
        Ok(Ingest {
            inner: self.ingest_unhashed()?,
            hasher: Hasher::new(),
        })
    }

    /// Begins a blob whose digest the caller computes while it writes.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn ingest_unhashed(&self) -> Result<UnhashedIngest> {
        let path = self.session().making("blob")?;
        let open = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let file = open.map_err(|e| StoreError::io("create", &path, e))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(UnhashedIngest {
            store: self.clone(),
            path,
            file,
            size: 0,
        })
    }

    /// Adds a blob that is in memory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let mut ingest = self.ingest()?;
        ingest.write_all(bytes).map_err(StoreError::from_write)?;
        Ok(ingest.commit(None)?.0)
    }
}

impl Ingest {
    /// Makes the blob visible; returns its digest and its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when it does not hash to `expected`; [`StoreError::Full`] when the last bytes do
    /// not fit. The bytes are thrown away then.
    pub fn commit(self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let actual = self.hasher.finish();
        if let Some(expected) = expected.filter(|e| **e != actual) {
            return Err(StoreError::Mismatch {
                expected: *expected,
                actual,
            });
        }
        let size = self.inner.commit_as(&actual)?;
        Ok((actual, size))
    }

    /// Returns the number of bytes written so far.
    pub fn len(&self) -> u64 {
        self.inner.size
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl UnhashedIngest {
    /// Makes the blob visible under a digest that the caller vouches for; returns its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the last bytes do not fit. The bytes are thrown away then.
    pub fn commit_as(mut self, digest: &Digest) -> Result<u64> {
        self.file
            .flush()
            .map_err(StoreError::from_write)
            .map_err(|e| self.named(e))?;
        self.store.show(&Object::Blob(*digest), &self.path, self.size)?;
        Ok(self.size)
    }

    fn named(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Io { source, .. } => StoreError::io("write", &self.path, source),
            other => other,
        }
    }
}

impl Write for UnhashedIngest {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self
            .file
            .write(buf)
            .map_err(|e| StoreError::io("write", &self.path, e))?;
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self
            .file
            .flush()
            .map_err(|e| StoreError::io("write", &self.path, e))?)
    }
}

impl Write for Ingest {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Drop for UnhashedIngest {
    fn drop(&mut self) {
        // Before the buffer is dropped, so that what it still writes goes to a file without a name.
        drop(fs::remove_file(&self.path));
    }
}
