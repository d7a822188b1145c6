//! Contents that lie in other layers' archives.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use kiln_image::Digest;
use kiln_tree::Entry;

use crate::ContentSource;
use crate::DiskSource;

/// Opens every kind of content: those of [`Content::Layer`](kiln_tree::Content::Layer) were copied out of their
/// archives into one unnamed file first, so that they can be opened in any order, any number of times.
#[derive(Debug)]
pub struct LayerFiles {
    disk: DiskSource,
}

impl LayerFiles {
    /// Copies the contents that `entries` have in archives to a file in the directory `scratch`. Each archive is read
    /// once; `open` returns the uncompressed archive of a diff ID. Nothing is opened when no content lies in one.
    ///
    /// # Errors
    /// When an archive cannot be read or is too short, or the copy cannot be written.
    pub fn extract<'a>(
        entries: impl IntoIterator<Item = &'a Entry>,
        scratch: &Path,
        open: impl FnMut(&Digest) -> io::Result<Box<dyn Read + Send>>,
    ) -> io::Result<Self> {
        todo!()
    }
}

impl ContentSource for LayerFiles {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send + '_>> {
        todo!()
    }

    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        todo!()
    }
}
