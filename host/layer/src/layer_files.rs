//! Contents that lie in other layers' archives.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use kiln_image::Digest;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Node;

use crate::ContentSource;
use crate::DiskSource;

/// Opens every kind of content: those of [`Content::Layer`] were copied out of their archives into one unnamed file
/// first, so that they can be opened in any order, any number of times, while each archive is read once.
#[derive(Debug)]
pub struct LayerFiles {
    disk: DiskSource,
    copies: Option<Arc<File>>,
    /// Where a content of an archive starts in `copies`.
    starts: HashMap<(Digest, u64), u64>,
}

impl LayerFiles {
    /// Copies the contents that `entries` have in archives to a file in the directory `scratch`. Each archive is read
    /// once; `open` returns the uncompressed archive of a diff ID. Nothing is opened when no content lies in one.
    ///
    /// # Errors
    /// When an archive cannot be read or is too short, or the copy cannot be written.
    pub fn extract(
        entries: &[Entry],
        scratch: &Path,
        mut open: impl FnMut(&Digest) -> io::Result<Box<dyn Read + Send>>,
    ) -> io::Result<Self> {
        let mut wanted: BTreeMap<Digest, BTreeMap<u64, u64>> = BTreeMap::new();
        for entry in entries {
            if let Node::File {
                size,
                content: Content::Layer { diff_id, offset },
            } = &entry.node
            {
                let known = wanted.entry(*diff_id).or_default().entry(*offset).or_default();
                *known = (*known).max(*size);
            }
        }
        let (mut starts, mut end) = (HashMap::new(), 0);
        if wanted.is_empty() {
            return Ok(Self {
                disk: DiskSource::new(),
                copies: None,
                starts,
            });
        }
        let copies = unnamed_file(scratch)?;
        for (diff_id, ranges) in wanted {
            let (mut archive, mut at) = (open(&diff_id)?, 0);
            for (offset, size) in ranges {
                let before = offset
                    .checked_sub(at)
                    .ok_or_else(|| invalid("contents overlap in the archive"))?;
                exactly(&mut archive, before, &mut io::sink())?;
                exactly(&mut archive, size, &mut &copies)?;
                at = offset + size;
                starts.insert((diff_id, offset), end);
                end += size;
            }
        }
        Ok(Self {
            disk: DiskSource::new(),
            copies: Some(Arc::new(copies)),
            starts,
        })
    }
}

impl ContentSource for LayerFiles {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send + '_>> {
        let Node::File {
            size,
            content: Content::Layer { diff_id, offset },
        } = &entry.node
        else {
            return self.disk.open(entry);
        };
        match (&self.copies, self.starts.get(&(*diff_id, *offset))) {
            (Some(file), Some(&at)) => Ok(Box::new(Section {
                file: file.clone(),
                at,
                left: *size,
            })),
            _ => Err(invalid("the content was not copied out of its archive")),
        }
    }

    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        self.disk.open_file(entry)
    }
}

/// A part of a file, read without moving the file's own position.
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let count = self.file.read_at(&mut into[..room], self.at)?;
        (self.at, self.left) = (self.at + count as u64, self.left - count as u64);
        Ok(count)
    }
}

fn exactly(from: &mut impl Read, count: u64, to: &mut impl io::Write) -> io::Result<()> {
    match io::copy(&mut from.take(count), to)? {
        copied if copied == count => Ok(()),
        _ => Err(invalid("the archive is shorter than its index says")),
    }
}

/// Makes a file that is gone with its last user.
fn unnamed_file(dir: &Path) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = dir.join(format!(
        ".contents-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
