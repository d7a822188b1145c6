//! Directories as change sets.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;

use crate::SnapshotError;

/// Attribute names that overlayfs uses, by how they end, behind `user.overlay.` or `trusted.overlay.`.
const OPAQUE: &[u8] = b"opaque";
/// What an overlay that is mounted as kiln mounts it never leaves behind, and a layer cannot express.
const REFUSED: [&[u8]; 2] = [b"redirect", b"metacopy"];

/// Reads `dir`, an upper directory of an overlay: whiteouts, opaque directories, hard links. Contents lie in `dir`.
/// Of extended attributes `security.capability` and `user.*` are kept, as far as they are not the overlay's. Sockets
/// are left out, as BuildKit does.
///
/// # Errors
/// When something cannot be read, or the overlay was mounted with redirects.
pub fn scan_upper(dir: &Path) -> Result<ChangeSet, SnapshotError> {
    scan(dir, Kind::Upper)
}

/// Reads `dir`, a directory that is no overlay's: a character device 0:0 is a device, and no directory is opaque.
///
/// # Errors
/// When something cannot be read.
pub fn scan_tree(dir: &Path) -> Result<ChangeSet, SnapshotError> {
    scan(dir, Kind::Tree)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upper,
    Tree,
}

fn scan(dir: &Path, kind: Kind) -> Result<ChangeSet, SnapshotError> {
    let mut scan = Scan {
        root: dir.into(),
        kind,
        entries: Vec::new(),
        inodes: HashMap::new(),
        buffer: Vec::new(),
    };
    let root =
        rustix::fs::open(dir, DIRECTORY, Mode::empty()).map_err(|e| scan.failed(&TreePath::root(), e))?;
    scan.root_entry(&root)?;
    scan.walk(&root, &TreePath::root())?;
    Ok(ChangeSet::new(scan.entries))
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

struct Scan {
    root: Arc<Path>,
    kind: Kind,
    entries: Vec<Entry>,
    /// First name of every file that has several.
    inodes: HashMap<(u64, u64), TreePath>,
    buffer: Vec<u8>,
}

/// Names and values, sorted.
type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// What the attributes of a file say.
#[derive(Debug, Default)]
struct Attributes {
    kept: Xattrs,
    opaque: bool,
    whiteout: bool,
}

impl Scan {
    fn full(&self, path: &TreePath) -> PathBuf {
        self.root.join(path.as_path())
    }

    fn failed(&self, path: &TreePath, source: impl Into<io::Error>) -> SnapshotError {
        SnapshotError::Io {
            action: "read",
            path: self.full(path),
            source: source.into(),
        }
    }

    /// A step may make the root directory opaque only by an overlay that is none of ours, but then it counts.
    fn root_entry(&mut self, root: &OwnedFd) -> Result<(), SnapshotError> {
        let path = TreePath::root();
        if self.attributes(root, &path)?.opaque {
            let meta = Metadata {
                mode: 0o755,
                ..Metadata::default()
            };
            self.entries.push(Entry {
                path,
                meta,
                node: Node::Directory { opaque: true },
            });
        }
        Ok(())
    }

    fn walk(&mut self, directory: &OwnedFd, at: &TreePath) -> Result<(), SnapshotError> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for item in rustix::fs::Dir::read_from(directory).map_err(|e| self.failed(at, e))? {
            let item = item.map_err(|e| self.failed(at, e))?;
            match item.file_name().to_bytes() {
                b"." | b".." => {}
                name => names.push(name.to_vec()),
            }
        }
        names.sort(); // the first name of a file in walk order is the one that carries its content
        for name in names {
            let path = at.join_name(&name);
            let path = path.map_err(|source| SnapshotError::Path {
                dir: self.root.to_path_buf(),
                source,
            })?;
            self.visit(directory, &name, path)?;
        }
        Ok(())
    }

    fn visit(&mut self, parent: &OwnedFd, name: &[u8], path: TreePath) -> Result<(), SnapshotError> {
        let name = OsStr::from_bytes(name);
        let stat =
            rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.failed(&path, e))?;
        let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let mut meta = metadata(&stat);
        let node = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.directory(parent, &path, meta),
            FileType::RegularFile => match self.first_name(&stat, &path) {
                Some(target) => Node::Hardlink { target },
                None => {
                    let content = Content::Disk {
                        root: self.root.clone(),
                        path: path.clone(),
                    };
                    Node::File {
                        size: u64::try_from(stat.st_size).unwrap_or(0),
                        content,
                    }
                }
            },
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(parent, name, Vec::new()).map_err(|e| self.failed(&path, e))?;
                Node::Symlink {
                    target: target.into_bytes().into(),
                }
            }
            // All whiteouts of an overlay may share one inode: they are no links of each other.
            FileType::CharacterDevice if device == (0, 0) && self.kind == Kind::Upper => {
                meta = Metadata::default();
                Node::Whiteout
            }
            FileType::CharacterDevice => Node::CharDevice {
                major: device.0,
                minor: device.1,
            },
            FileType::BlockDevice => Node::BlockDevice {
                major: device.0,
                minor: device.1,
            },
            FileType::Fifo => Node::Fifo,
            _ => return Ok(()),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file =
                rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|e| self.failed(&path, e))?;
            let attributes = self.attributes(&file, &path)?;
            if attributes.whiteout && stat.st_size == 0 {
                // How a layer directory says it where no device can be a whiteout.
                let (meta, node) = (Metadata::default(), Node::Whiteout);
                self.entries.push(Entry { path, meta, node });
                return Ok(());
            }
            meta.xattrs = attributes.kept;
        }
        self.entries.push(Entry { path, meta, node });
        Ok(())
    }

    fn directory(
        &mut self,
        parent: &OwnedFd,
        path: &TreePath,
        mut meta: Metadata,
    ) -> Result<(), SnapshotError> {
        let name = OsStr::from_bytes(path.file_name());
        let directory =
            rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()).map_err(|e| self.failed(path, e))?;
        let attributes = self.attributes(&directory, path)?;
        meta.xattrs = attributes.kept;
        let node = Node::Directory {
            opaque: attributes.opaque,
        };
        self.entries.push(Entry {
            path: path.clone(),
            meta,
            node,
        });
        self.walk(&directory, path)
    }

    /// Returns the name under which a file with several was met first; `None` for that one.
    fn first_name(&mut self, stat: &Stat, path: &TreePath) -> Option<TreePath> {
        if stat.st_nlink < 2 {
            return None;
        }
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.inodes.get(&key) {
            return Some(first.clone());
        }
        self.inodes.insert(key, path.clone());
        None
    }

    fn attributes(&mut self, file: &OwnedFd, path: &TreePath) -> Result<Attributes, SnapshotError> {
        let mut found = Attributes::default();
        // Nearly no file has any: one call tells.
        match rustix::fs::flistxattr_query(file) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(found),
            Ok(_) => {}
            Err(error) => return Err(self.failed(path, error)),
        }
        self.buffer.resize(64 << 10, 0); // Linux's limit of a list, and of a value
        let length = rustix::fs::flistxattr(file, &mut *self.buffer).map_err(|e| self.failed(path, e))?;
        let names = self.buffer[..length].to_vec();
        for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            let own = name
                .strip_prefix(b"user.overlay.")
                .or_else(|| name.strip_prefix(b"trusted.overlay."));
            if let Some(own) = own.filter(|_| self.kind == Kind::Upper)
                && REFUSED.contains(&own)
            {
                let attribute = String::from_utf8_lossy(name).into_owned();
                return Err(SnapshotError::Attribute {
                    path: self.full(path),
                    attribute,
                });
            }
            if own == Some(b"whiteout") && self.kind == Kind::Upper {
                found.whiteout = true;
            } else if own == Some(OPAQUE) && self.kind == Kind::Upper {
                found.opaque |= self.value(file, name, path)? == b"y";
            } else if own.is_none() && (name == b"security.capability" || name.starts_with(b"user.")) {
                found
                    .kept
                    .push((name.into(), self.value(file, name, path)?.into()));
            }
        }
        found.kept.sort();
        Ok(found)
    }

    fn value(&mut self, file: &OwnedFd, name: &[u8], path: &TreePath) -> Result<Vec<u8>, SnapshotError> {
        let length = rustix::fs::fgetxattr(file, OsStr::from_bytes(name), &mut *self.buffer);
        Ok(self.buffer[..length.map_err(|e| self.failed(path, e))?].to_vec())
    }
}

fn metadata(stat: &Stat) -> Metadata {
    let mtime = Timestamp {
        seconds: stat.st_mtime,
        nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    };
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime,
        xattrs: Vec::new(),
    }
}
