//! What lower layers' directories have, as far as an upper layer builds on it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use kiln_tree::Metadata;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;
use rustix::fd::OwnedFd;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;

use crate::LayerError;
use crate::dest::OPAQUE_XATTR;
use crate::dest::open_below;

/// Extended attributes, sorted by name.
pub(crate) type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Layer directories, top first.
pub(crate) struct Lowers(Vec<OwnedFd>);

/// A regular file of a lower layer.
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) size: u64,
    pub(crate) meta: Metadata,
}

impl Lowers {
    pub(crate) fn open(dirs: &[PathBuf]) -> Result<Self, LayerError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |dir: &PathBuf| {
            rustix::fs::open(dir, flags, Mode::empty()).map_err(|error| LayerError::Unpack {
                action: "open",
                path: TreePath::root(),
                dir: dir.clone(),
                source: error.into(),
            })
        };
        dirs.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the regular file at `path`.
    pub(crate) fn find(&self, path: &TreePath) -> io::Result<Option<Found>> {
        let Some((fd, stat)) = self.topmost(path, OFlags::RDONLY | OFlags::NONBLOCK)? else {
            return Ok(None);
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(Some(Found {
            meta: metadata(&fd, &stat)?,
            file: File::from(fd),
            size,
        }))
    }

    /// Returns the attributes of the directory at `path`; those of a new one where there is none.
    pub(crate) fn directory(&self, path: &TreePath) -> io::Result<Metadata> {
        match self.topmost(path, OFlags::RDONLY | OFlags::NONBLOCK)? {
            Some((fd, stat)) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                metadata(&fd, &stat)
            }
            _ => Ok(Metadata {
                mode: 0o755,
                ..Metadata::default()
            }),
        }
    }

    /// Returns what the topmost layer has that has something at `path` or hides it.
    fn topmost(&self, path: &TreePath, flags: OFlags) -> io::Result<Option<(OwnedFd, Stat)>> {
        for root in &self.0 {
            // Without opening it: a whiteout is a device.
            let kind =
                open_below(root, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW).and_then(rustix::fs::fstat);
            match kind.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::RegularFile | FileType::Directory) => {
                    let fd = open_below(root, path.as_path(), flags | OFlags::NOFOLLOW)?;
                    let stat = rustix::fs::fstat(&fd)?;
                    return Ok(Some((fd, stat)));
                }
                // Something else, or a part of the path is no directory here: what is below is hidden.
                Ok(_) | Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(Errno::NOENT) if hides(root, path)? => return Ok(None),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// Returns true when a directory above `path` is opaque in this layer.
fn hides(root: &OwnedFd, path: &TreePath) -> io::Result<bool> {
    for above in std::iter::successors(path.parent(), TreePath::parent).filter(|above| !above.is_root()) {
        let fd = match open_below(root, above.as_path(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => continue,
            fd => fd?,
        };
        if rustix::fs::fgetxattr(&fd, OPAQUE_XATTR, &mut [0u8; 1]).is_ok_and(|length| length == 1) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn metadata(fd: &OwnedFd, stat: &Stat) -> io::Result<Metadata> {
    let mtime = Timestamp {
        seconds: stat.st_mtime,
        nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    };
    let mode = stat.st_mode & 0o7777;
    Ok(Metadata {
        mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime,
        xattrs: xattrs(fd)?,
    })
}

/// Returns the attributes that layers carry, sorted.
fn xattrs(fd: &OwnedFd) -> io::Result<Xattrs> {
    let mut names = vec![0; 64 << 10]; // Linux's XATTR_LIST_MAX
    let length = match rustix::fs::flistxattr(fd, &mut *names) {
        Err(Errno::NOTSUP) => 0,
        length => length?,
    };
    let mut found = Vec::new();
    let carried = |name: &&[u8]| {
        *name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
    };
    for name in names[..length].split(|&b| b == 0).filter(carried) {
        let mut value = vec![0; 64 << 10]; // Linux's XATTR_SIZE_MAX
        let length = rustix::fs::fgetxattr(fd, OsStr::from_bytes(name), &mut *value)?;
        found.push((name.into(), value[..length].into()));
    }
    found.sort();
    Ok(found)
}
