//! Where a writer gets the bytes of regular files from.

use std::fs::File;
use std::io;
use std::io::Cursor;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::TreePath;
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::fs::OFlags;

use crate::dest::open_below;

/// Opens the contents of entries. Writers ask for entries in walk order.
pub trait ContentSource: Send + Sync {
    /// Opens the content of a [`Node::File`].
    ///
    /// # Errors
    /// When it cannot be opened, or the entry is no regular file.
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send + '_>>;

    /// Opens the content as a file of this machine that starts with it and may be longer, so that the kernel can
    /// copy or share the bytes. `None` when there is no such file; [`Self::open`] is used then.
    ///
    /// # Errors
    /// When there is one and it cannot be opened.
    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        let _ = entry;
        Ok(None)
    }

    /// Tells, after a content was read to its end, that it is still what was listed. Files of the user's directories
    /// can be written to at any time.
    ///
    /// # Errors
    /// When the file is another or was written to; what was read is then worth nothing.
    fn unchanged(&self, entry: &Entry) -> io::Result<()> {
        let _ = entry;
        Ok(())
    }
}

impl<T: ContentSource + ?Sized> ContentSource for Box<T> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send + '_>> {
        (**self).open(entry)
    }

    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        (**self).open_file(entry)
    }

    fn unchanged(&self, entry: &Entry) -> io::Result<()> {
        (**self).unchanged(entry)
    }
}

impl<T: ContentSource + ?Sized> ContentSource for Arc<T> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send + '_>> {
        (**self).open(entry)
    }

    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        (**self).open_file(entry)
    }

    fn unchanged(&self, entry: &Entry) -> io::Result<()> {
        (**self).unchanged(entry)
    }
}

/// Opens [`Content::Inline`] and [`Content::Disk`]. A path below a root is followed through real directories only.
#[derive(Debug, Default)]
pub struct DiskSource {
    /// The root that was used last: entries of one walk share theirs.
    last: Mutex<Option<(Arc<Path>, Arc<OwnedFd>)>>,
}

impl DiskSource {
    /// Returns a source that has no directory open yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn root(&self, root: &Arc<Path>) -> io::Result<Arc<OwnedFd>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((path, fd)) = &*last
            && path == root
        {
            return Ok(fd.clone());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = Arc::new(rustix::fs::open(&**root, flags, Mode::empty())?);
        *last = Some((root.clone(), fd.clone()));
        Ok(fd)
    }

    fn file(&self, root: &Arc<Path>, path: &TreePath) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(File::from(open_below(&*self.root(root)?, path.as_path(), flags)?))
    }
}

impl ContentSource for DiskSource {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send + '_>> {
        match &entry.node {
            Node::File {
                content: Content::Inline(bytes),
                ..
            } => Ok(Box::new(Cursor::new(bytes.clone()))),
            Node::File {
                content: Content::Disk { root, path },
                ..
            } => Ok(Box::new(self.file(root, path)?)),
            _ => Err(unsupported("content is not on this machine")),
        }
    }

    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        match &entry.node {
            Node::File {
                content: Content::Disk { root, path },
                ..
            } => self.file(root, path).map(Some),
            _ => Ok(None),
        }
    }
}

fn unsupported(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}
