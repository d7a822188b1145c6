//! Writes layer directories.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use kiln_image::Digest;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::TreePath;

use crate::ContentSource;
use crate::Devices;
use crate::LayerError;
use crate::UnpackOptions;
use crate::archive::Archive;
use crate::archive::Kind;
use crate::archive::Member;
use crate::dest::Dest;
use crate::lowers::Found;
use crate::lowers::Lowers;
use crate::placing::Placed;
use crate::placing::Placing;
use crate::stream;

/// What came out of unpacking an archive.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// What the layer changes. Contents lie in the archive, except those of hard links to files of lower layers, which
    /// are in the directory.
    pub changes: ChangeSet,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Size of the uncompressed archive, in bytes.
    pub uncompressed_size: u64,
    /// Directories that the layer does not name but has something in.
    pub implied_parents: Vec<TreePath>,
}

/// Unpacks an uncompressed archive into `dest`, an empty directory. Nothing outside `dest` is written, whatever the
/// archive says. Nothing is synced to the disk. Attributes of symbolic links, devices and pipes are left out.
///
/// # Errors
/// When the archive is bad, exceeds a limit, has a device that is refused, or a file cannot be written. What is in
/// `dest` then is to be thrown away.
pub fn unpack(
    archive: impl Read + Send,
    dest: &Path,
    options: &UnpackOptions,
) -> Result<Unpacked, LayerError> {
    let mut unpacking = Unpacking::new(dest, options)?;
    let (placing, sums) = stream::pump(archive, &options.read, |stream| {
        let (mut archive, mut placing) = (Archive::new(stream, &options.read), Placing::default());
        while let Some(member) = archive.next()? {
            match placing.place(&member).map_err(|problem| archive.bad(problem))? {
                Placed::Nothing => {}
                Placed::At(path) => unpacking.member(path, &member, &mut archive)?,
                Placed::Link { path, target } => unpacking.dest.link(&path, &target)?,
                Placed::LowerLink { path, target } => {
                    let entry = unpacking.copy_lower(&path, &target, &archive)?;
                    placing.settle(&path, entry.meta, entry.node);
                }
            }
        }
        Ok(placing)
    })?;
    let (changes, implied_parents) = placing.finish(sums.diff_id);
    unpacking.finish(&changes, &implied_parents)?;
    Ok(Unpacked {
        changes,
        diff_id: sums.diff_id,
        uncompressed_size: sums.size,
        implied_parents,
    })
}

/// Writes `changes` into `dest`, an empty directory, as [`unpack`] would. Contents are copied, by the kernel where it
/// can (and shared where the file system can), never linked. Returns the same changes with contents in `dest`.
///
/// # Errors
/// When a content cannot be read or changed meanwhile, or a file cannot be written.
pub fn materialise(
    changes: &ChangeSet,
    source: &dyn ContentSource,
    dest: &Path,
    options: &UnpackOptions,
) -> Result<ChangeSet, LayerError> {
    let mut unpacking = Unpacking::new(dest, options)?;
    let mut implied = Vec::new();
    for entry in changes.entries() {
        implied_above(changes, &entry.path, &mut implied);
        match &entry.node {
            Node::Directory { .. } if entry.path.is_root() => {}
            Node::Directory { .. } => unpacking.dest.make_directory(&entry.path)?,
            Node::File { size, .. } => unpacking.copy(entry, *size, source)?,
            Node::Hardlink { .. } | Node::Whiteout => {}
            _ => unpacking.special(entry)?,
        }
    }
    let mut result = changes.clone().into_entries();
    for entry in &mut result {
        if let Node::Hardlink { target } = &entry.node {
            if changes.get(target).is_some() {
                unpacking.dest.link(&entry.path, target)?;
            } else {
                let missing = || unpacking.missing(&entry.path);
                let found = unpacking
                    .lowers
                    .find(target)
                    .map_err(|error| unpacking.lower(target, error))?;
                *entry = unpacking.copy_found(&entry.path.clone(), found.ok_or_else(missing)?)?;
            }
        }
    }
    implied.sort();
    implied.dedup();
    unpacking.finish(changes, &implied)?;
    let root: Arc<Path> = dest.into();
    for entry in &mut result {
        if let Node::File { content, .. } = &mut entry.node {
            *content = Content::Disk {
                root: root.clone(),
                path: entry.path.clone(),
            };
        }
    }
    Ok(ChangeSet::new(result))
}

/// Collects the directories above `path` that `changes` does not name.
fn implied_above(changes: &ChangeSet, path: &TreePath, implied: &mut Vec<TreePath>) {
    let mut above = path.parent();
    while let Some(path) = above.filter(|path| !path.is_root() && implied.last() != Some(path)) {
        if changes.get(&path).is_some() {
            return;
        }
        above = path.parent();
        implied.push(path);
    }
}

struct Unpacking<'a> {
    dest: Dest,
    dir: Arc<Path>,
    lowers: Lowers,
    options: &'a UnpackOptions,
}

impl<'a> Unpacking<'a> {
    fn new(dir: &Path, options: &'a UnpackOptions) -> Result<Self, LayerError> {
        let dest = Dest::open(dir, options.owner)?;
        let lowers = Lowers::open(&options.lowers)?;
        Ok(Self {
            dest,
            dir: dir.into(),
            lowers,
            options,
        })
    }

    fn member(
        &mut self,
        path: TreePath,
        member: &Member,
        archive: &mut Archive<'_>,
    ) -> Result<(), LayerError> {
        let (major, minor) = member.device;
        let node = match member.kind {
            Kind::Directory => return self.dest.make_directory(&path),
            Kind::File | Kind::Hardlink => {
                let mut file = self.dest.make_file(&path)?;
                loop {
                    let bytes = archive.content()?;
                    if bytes.is_empty() {
                        return self.dest.finish_file(&file, &path, &member.meta);
                    }
                    file.write_all(bytes)
                        .map_err(|source| self.dest.failed("write", &path, source))?;
                }
            }
            Kind::Symlink => Node::Symlink {
                target: member.link.as_slice().into(),
            },
            Kind::Char => Node::CharDevice { major, minor },
            Kind::Block => Node::BlockDevice { major, minor },
            Kind::Fifo => Node::Fifo,
        };
        self.special(&Entry {
            path,
            meta: member.meta.clone(),
            node,
        })
    }

    fn special(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let device = matches!(entry.node, Node::CharDevice { .. } | Node::BlockDevice { .. });
        match self.options.devices {
            Devices::Skip if device => Ok(()),
            Devices::Refuse if device => Err(LayerError::Device {
                layer: self.options.read.name.clone(),
                path: entry.path.clone(),
            }),
            _ => self.dest.make_special(entry),
        }
    }

    /// Copies a content of exactly `size` bytes.
    fn copy(&mut self, entry: &Entry, size: u64, source: &dyn ContentSource) -> Result<(), LayerError> {
        let path = &entry.path;
        let failed = |source| LayerError::Read {
            path: path.clone(),
            source,
        };
        let mut file = self.dest.make_file(path)?;
        // One byte more than expected tells that a file has grown.
        let copied = match source.open_file(entry).map_err(failed)? {
            Some(content) => copy_file(&content, &file, size),
            None => {
                let content = source.open(entry).map_err(failed)?;
                io::copy(&mut content.take(size + 1), &mut file)
            }
        };
        if copied.map_err(|source| self.dest.failed("write", path, source))? != size {
            return Err(LayerError::Changed {
                path: path.clone(),
                expected: size,
            });
        }
        source.unchanged(entry).map_err(failed)?;
        self.dest.finish_file(&file, path, &entry.meta)
    }

    fn missing(&self, path: &TreePath) -> LayerError {
        let problem = "it is a hard link to a file that neither this layer nor a lower one has";
        LayerError::Entry {
            path: path.clone(),
            problem,
        }
    }

    fn lower(&self, path: &TreePath, source: io::Error) -> LayerError {
        LayerError::Read {
            path: path.clone(),
            source,
        }
    }

    fn copy_lower(
        &mut self,
        path: &TreePath,
        target: &TreePath,
        archive: &Archive<'_>,
    ) -> Result<Entry, LayerError> {
        let found = self
            .lowers
            .find(target)
            .map_err(|error| self.lower(target, error))?;
        let missing = || {
            archive.bad(format!(
                "it is a hard link to `{target}`, which neither this layer nor a lower one has"
            ))
        };
        self.copy_found(path, found.ok_or_else(missing)?)
    }

    fn copy_found(&mut self, path: &TreePath, found: Found) -> Result<Entry, LayerError> {
        let Found { file, size, meta } = found;
        let copy = self.dest.make_file(path)?;
        let copied = copy_file(&file, &copy, size);
        if copied.map_err(|source| self.dest.failed("write", path, source))? != size {
            return Err(LayerError::Changed {
                path: path.clone(),
                expected: size,
            });
        }
        self.dest.finish_file(&copy, path, &meta)?;
        let content = Content::Disk {
            root: self.dir.clone(),
            path: path.clone(),
        };
        Ok(Entry {
            path: path.clone(),
            meta,
            node: Node::File { size, content },
        })
    }

    /// Writes what other entries would disturb: whiteouts, and attributes of directories, innermost first.
    fn finish(&mut self, changes: &ChangeSet, implied: &[TreePath]) -> Result<(), LayerError> {
        for entry in changes
            .entries()
            .iter()
            .filter(|entry| entry.node == Node::Whiteout)
        {
            self.dest.make_special(entry)?;
        }
        let mut directories: Vec<(TreePath, Metadata, bool)> = Vec::new();
        for path in implied {
            let meta = self
                .lowers
                .directory(path)
                .map_err(|error| self.lower(path, error))?;
            directories.push((path.clone(), meta, false));
        }
        for entry in changes.entries() {
            if let Node::Directory { opaque } = entry.node {
                directories.push((entry.path.clone(), entry.meta.clone(), opaque));
            }
        }
        directories.sort_by(|(a, ..), (b, ..)| b.cmp(a));
        for (path, meta, opaque) in directories {
            self.dest.finish_directory(&path, &meta, opaque)?;
        }
        Ok(())
    }
}

/// Copies `size` bytes, and one more if there is one.
fn copy_file(from: &File, to: &File, size: u64) -> io::Result<u64> {
    io::copy(&mut { from }.take(size.saturating_add(1)), &mut { to })
}
