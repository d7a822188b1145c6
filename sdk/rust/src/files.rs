//! File trees and files that the host lends to a call.

pub use crate::bindings::api::kiln::plugin::content::Entry;
pub use crate::bindings::api::kiln::plugin::content::Kind;
use crate::types::Error;

/// One file's bytes, in the host until they are read.
pub trait Blob {
    /// Returns `sha256:…` of the content.
    ///
    /// # Errors
    /// The host cannot read the file.
    fn digest(&self) -> Result<String, Error>;

    /// Returns the size in bytes.
    fn size(&self) -> u64;

    /// Returns at most `len` bytes from `offset`; fewer at the end, and never more than the host's chunk (1 MiB).
    ///
    /// # Errors
    /// The host cannot read the file.
    fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Error>;
}

/// A file tree: a context, a checkout, an image's root file system, or the result of a part of the build.
///
/// Paths are relative to the tree's root, separated by `/`, without `.` and `..`.
pub trait Tree {
    /// Returns what is at `path`, not following a symbolic link at its end; none when nothing is there.
    ///
    /// # Errors
    /// The path is malformed, or the host cannot read the tree.
    fn stat(&self, path: &str) -> Result<Option<Entry>, Error>;

    /// Returns one page of the entries that match `patterns`, themselves or through a parent (the pattern language of
    /// `.dockerignore`), sorted by path as bytes. `after` is the last path of the page before; at most `limit` come back (0 is the host's page size).
    ///
    /// # Errors
    /// A pattern is malformed, or the host cannot read the tree.
    fn glob(&self, patterns: &[String], after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Error>;

    /// Opens a regular file, following symbolic links inside the tree.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such file, [`Error::Invalid`] when it is not a regular one.
    fn open(&self, path: &str) -> Result<Box<dyn Blob>, Error>;

    /// Returns a whole file.
    ///
    /// # Errors
    /// As [`Tree::open`], and [`Error::Limit`] when it has more than `limit` bytes.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error>;

    /// Returns many small files in one crossing, stopping before `limit` bytes in all; missing ones are left out.
    ///
    /// # Errors
    /// A path is malformed, or the host cannot read the tree.
    fn read_many(&self, paths: &[String], limit: u64) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// Returns a whole file, or none when it is not there.
    ///
    /// # Errors
    /// As [`Tree::read`], apart from [`Error::NotFound`].
    fn read_optional(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.read(path, limit) {
            Ok(data) => Ok(Some(data)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns all pages of [`Tree::glob`].
    ///
    /// # Errors
    /// As [`Tree::glob`].
    fn glob_all(&self, patterns: &[String]) -> Result<Vec<Entry>, Error> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.path.clone());
            let page = self.glob(patterns, after.as_deref(), 0)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}
