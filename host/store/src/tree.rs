//! Directories that become visible when they are whole, such as unpacked layers.

use std::path::Path;
use std::path::PathBuf;

use crate::Result;
use crate::StoreError;
use crate::layout;
use crate::object::Object;
use crate::removal;
use crate::store::Store;

/// A directory that is being filled. Nothing is visible in the store before [`TreeIngest::commit`]; dropping it
/// removes the directory.
#[derive(Debug)]
pub struct TreeIngest {
    store: Store,
    path: PathBuf,
}

impl Store {
    /// Returns the directory that was committed under `key`. Under a lease of this process it stays there.
    ///
    /// # Errors
    /// [`StoreError::TreeKey`] when `key` is no plain file name.
    pub fn tree(&self, key: &str) -> Result<Option<PathBuf>> {
        let path = self.layout().tree(key)?;
        if !path.exists() {
            return Ok(None);
        }
        let object = Object::Tree(key.to_owned());
        self.drop_doubtful_tree(&object)?;
        Ok(self.keep(&object, &path)?.then_some(path))
    }

    /// Makes a directory to fill, of mode 0700.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_tree(&self) -> Result<TreeIngest> {
        let path = self.session().making("tree")?;
        layout::create_dirs(&path)?;
        Ok(TreeIngest {
            store: self.clone(),
            path,
        })
    }

    /// Removes a tree whoever refers to it or holds it; whether it was there. For trees found to be wrong; what is
    /// no longer wanted is left to garbage collection.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn delete_tree(&self, key: &str) -> Result<bool> {
        self.discard(&Object::Tree(key.to_owned()), None)
    }

    /// Removes a tree that may have lost files in a power failure.
    fn drop_doubtful_tree(&self, object: &Object) -> Result<()> {
        if self.doubtful().contains(object) {
            self.discard(object, Some(self.boot()))?;
            self.doubtful().remove(object);
        }
        Ok(())
    }
}

impl TreeIngest {
    /// Returns the directory to fill.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory visible under `key`; returns where it is now. When there is one under that key already,
    /// that one stays and this one is removed. `size` is what the tree counts in bytes.
    ///
    /// # Errors
    /// [`StoreError::TreeKey`] when `key` is no plain file name; else when the store cannot be written.
    pub fn commit(self, key: &str, size: u64) -> Result<PathBuf> {
        let place = self.store.layout().tree(key)?;
        let object = Object::Tree(key.to_owned());
        self.store.drop_doubtful_tree(&object)?;
        self.store.show(&object, &self.path, size)?;
        Ok(place)
    }
}

impl Drop for TreeIngest {
    fn drop(&mut self) {
        // What stays goes with the session or with the next open.
        drop(removal::remove(&self.path));
    }
}

impl StoreError {
    /// The error of a tree that is not there.
    pub(crate) fn no_object(object: &Object) -> Self {
        Self::NotFound {
            object: object.to_string(),
        }
    }
}
