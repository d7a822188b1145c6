//! File trees that are lent to a plugin.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;

use crate::HostError;

/// Most entries of one page of a listing.
pub const PAGE: usize = 4096;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Device, pipe or socket.
    Other,
}

/// One path and what the file system says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the tree's root.
    pub path: String,
    /// What is there.
    pub kind: EntryKind,
    /// Size of a regular file in bytes, else 0.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Where a symbolic link points, as written.
    pub target: Option<String>,
}

/// One file's bytes.
#[async_trait]
pub trait FileBlob: Send + Sync {
    /// Returns the digest of the content.
    ///
    /// # Errors
    /// The file cannot be read.
    async fn digest(&self) -> Result<Digest, HostError>;

    /// Returns the size in bytes.
    fn size(&self) -> u64;

    /// Returns at most `len` bytes from `offset`; fewer at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    async fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, HostError>;
}

/// A file tree: a context, a checkout, an image's root file system, or the result of a part of the build.
///
/// Paths were checked by the caller: relative, separated by `/`, no empty names, no `.` and `..`. Symbolic links never
/// lead out of the tree.
#[async_trait]
pub trait FileTree: Send + Sync {
    /// Returns what is at `path`, not following a symbolic link at its end; none when nothing is there.
    ///
    /// # Errors
    /// The tree cannot be read.
    async fn stat(&self, path: &str) -> Result<Option<FileEntry>, HostError>;

    /// Returns at most `limit` entries that match `patterns`, themselves or through a parent (the pattern language of
    /// `.dockerignore`), sorted by path as bytes, behind the path `after`.
    ///
    /// # Errors
    /// A pattern is malformed, or the tree cannot be read.
    async fn glob(
        &self,
        patterns: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, HostError>;

    /// Opens a regular file, following symbolic links inside the tree.
    ///
    /// # Errors
    /// [`HostError::NotFound`] when there is no such file, [`HostError::Invalid`] when it is not a regular one.
    async fn open(&self, path: &str) -> Result<Arc<dyn FileBlob>, HostError>;

    /// Returns a whole file.
    ///
    /// # Errors
    /// As [`FileTree::open`], and [`HostError::Limit`] when it has more than `limit` bytes.
    async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, HostError> {
        let blob = self.open(path).await?;
        let size = blob.size();
        let too_large = || HostError::Limit(format!("`{path}` has more than {limit} bytes"));
        if size > limit {
            return Err(too_large());
        }
        let len = u32::try_from(size).map_err(|_| too_large())?;
        let mut data = Vec::new();
        while data.len() < len as usize {
            let offset = data.len() as u64;
            let part = blob.read(offset, len - data.len() as u32).await?;
            if part.is_empty() {
                break;
            }
            data.extend(part);
        }
        Ok(data)
    }

    /// Returns many small files, stopping before `limit` bytes in all; those that are missing or not regular files are
    /// left out.
    ///
    /// # Errors
    /// The tree cannot be read.
    async fn read_many(&self, paths: &[String], limit: u64) -> Result<Vec<(String, Vec<u8>)>, HostError> {
        let mut left = limit;
        let mut files = Vec::new();
        for path in paths {
            match self.read(path, left).await {
                Ok(data) => {
                    left -= (data.len() as u64).min(left);
                    files.push((path.clone(), data));
                }
                Err(HostError::NotFound(_) | HostError::Invalid(_)) => {}
                Err(HostError::Limit(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }
}
