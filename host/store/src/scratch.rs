//! Temporary directories on the file system of the store.

use std::path::Path;
use std::path::PathBuf;

use crate::Result;
use crate::layout;
use crate::removal;
use crate::store::Store;

/// A directory of mode 0700 that is removed when this is dropped, or by the next open when the process died.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Keeps the session, without which the directory counts as a leftover.
    _store: Store,
}

impl Scratch {
    pub(crate) fn new(store: Store) -> Result<Self> {
        let path = store.session().scratch()?;
        layout::create_dirs(&path)?;
        Ok(Self { path, _store: store })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays (still mounted, foreign owner) goes with the session or with the next open.
        drop(removal::remove(&self.path));
    }
}
