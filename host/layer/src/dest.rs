//! A layer directory that is being written. Every path is resolved below the directory by the kernel, through real
//! directories only, so that nothing outside can be reached.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::TreePath;
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::Uid;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::LayerError;
use crate::Owner;

/// The attribute that makes a directory opaque to an overlay mounted with `userxattr`.
pub(crate) const OPAQUE_XATTR: &str = "user.overlay.opaque";
/// Marks an empty file that stands for something deleted, where no device can.
const WHITEOUT_XATTR: &str = "user.overlay.whiteout";

pub(crate) struct Dest {
    root: OwnedFd,
    dir: PathBuf,
    owner: Owner,
    /// The directory that was used last: archives are in walk order.
    parent: Option<(TreePath, OwnedFd)>,
}

impl Dest {
    pub(crate) fn open(dir: &Path, owner: Owner) -> Result<Self, LayerError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty());
        let failed = |source: Errno| LayerError::Unpack {
            action: "open",
            path: TreePath::root(),
            dir: dir.to_owned(),
            source: source.into(),
        };
        Ok(Self {
            root: root.map_err(failed)?,
            dir: dir.to_owned(),
            owner,
            parent: None,
        })
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
        path: &TreePath,
        source: impl Into<io::Error>,
    ) -> LayerError {
        LayerError::Unpack {
            action,
            path: path.clone(),
            dir: self.dir.clone(),
            source: source.into(),
        }
    }

    fn directory(&self, path: &TreePath) -> rustix::io::Result<OwnedFd> {
        let name = if path.is_root() {
            Path::new(".")
        } else {
            path.as_path()
        };
        open_below(&self.root, name, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Returns the directory that holds `path`, with its last part. Directories that nobody named are made.
    fn parent<'a>(&mut self, path: &'a TreePath) -> rustix::io::Result<(&OwnedFd, &'a OsStr)> {
        let above = path.parent().unwrap_or_default();
        if self.parent.as_ref().is_none_or(|(known, _)| *known != above) {
            let fd = match self.directory(&above) {
                Err(Errno::NOENT) => {
                    self.make_directories(&above)?;
                    self.directory(&above)?
                }
                result => result?,
            };
            self.parent = Some((above, fd));
        }
        let (_, fd) = self.parent.as_ref().expect("set above");
        Ok((fd, OsStr::from_bytes(path.file_name())))
    }

    fn make_directories(&self, path: &TreePath) -> rustix::io::Result<()> {
        let mut at = TreePath::root();
        for part in path.components() {
            let fd = self.directory(&at)?;
            match rustix::fs::mkdirat(&fd, OsStr::from_bytes(part), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            at = at.join_name(part).map_err(|_| Errno::NAMETOOLONG)?;
        }
        Ok(())
    }

    /// Makes `path` with `make`, after removing what is there.
    fn make<T>(
        &mut self,
        path: &TreePath,
        make: impl Fn(&OwnedFd, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<T, LayerError> {
        let result = self.parent(path).and_then(|(parent, name)| make(parent, name));
        match result {
            Err(Errno::EXIST) => {
                self.remove(path)?;
                let result = self.parent(path).and_then(|(parent, name)| make(parent, name));
                result.map_err(|error| self.failed("create", path, error))
            }
            result => result.map_err(|error| self.failed("create", path, error)),
        }
    }

    /// Removes what is at `path`, with all that is in it.
    fn remove(&mut self, path: &TreePath) -> Result<(), LayerError> {
        let removed = self
            .parent(path)
            .map_err(io::Error::from)
            .and_then(|(parent, name)| {
                let flags = match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
                    Err(Errno::ISDIR) => AtFlags::REMOVEDIR,
                    result => return Ok(result?),
                };
                match rustix::fs::unlinkat(parent, name, flags) {
                    // Follows no link inside, and `name` itself was a directory just now, which only this process writes.
                    Err(Errno::NOTEMPTY) => {
                        let through = format!("/proc/self/fd/{}", parent.as_raw_fd());
                        std::fs::remove_dir_all(Path::new(&through).join(name))
                    }
                    result => Ok(result?),
                }
            });
        self.parent = None; // may have been inside
        removed.map_err(|source| self.failed("replace", path, source))
    }

    /// Makes a directory, open for the owner until [`Self::finish_directory`]; one that is there stays.
    pub(crate) fn make_directory(&mut self, path: &TreePath) -> Result<(), LayerError> {
        let present = |parent: &OwnedFd, name: &OsStr| {
            let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        };
        self.make(path, |parent, name| {
            match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                Err(Errno::EXIST) if present(parent, name)? => Ok(()),
                result => result,
            }
        })
    }

    /// Makes an empty file to be filled and given to [`Self::finish_file`].
    pub(crate) fn make_file(&mut self, path: &TreePath) -> Result<File, LayerError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        self.make(path, |parent, name| rustix::fs::openat(parent, name, flags, mode))
            .map(File::from)
    }

    pub(crate) fn finish_file(
        &self,
        file: &File,
        path: &TreePath,
        meta: &Metadata,
    ) -> Result<(), LayerError> {
        self.apply(file, meta)
            .map_err(|source| self.failed("set the attributes of", path, source))
    }

    /// Makes `path` another name of `target`; a link is not followed.
    pub(crate) fn link(&mut self, path: &TreePath, target: &TreePath) -> Result<(), LayerError> {
        let above = self.directory(&target.parent().unwrap_or_default());
        let above = above.map_err(|error| self.failed("link to", target, error))?;
        let old = OsStr::from_bytes(target.file_name());
        self.make(path, |parent, name| {
            rustix::fs::linkat(&above, old, parent, name, AtFlags::empty())
        })
    }

    /// Makes a symbolic link, device or pipe.
    pub(crate) fn make_special(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let Entry { path, meta, node } = entry;
        let node_of = |kind: FileType, major: u32, minor: u32| (kind, rustix::fs::makedev(major, minor));
        let (kind, device) = match node {
            Node::Symlink { target } => {
                let target = OsStr::from_bytes(target);
                self.make(path, |parent, name| rustix::fs::symlinkat(target, parent, name))?;
                return self.finish_special(path, meta, AtFlags::SYMLINK_NOFOLLOW);
            }
            Node::CharDevice { major, minor } => node_of(FileType::CharacterDevice, *major, *minor),
            Node::BlockDevice { major, minor } => node_of(FileType::BlockDevice, *major, *minor),
            Node::Fifo => node_of(FileType::Fifo, 0, 0),
            Node::Whiteout => node_of(FileType::CharacterDevice, 0, 0),
            Node::Directory { .. } | Node::File { .. } | Node::Hardlink { .. } => return Ok(()),
        };
        let made = self.make(path, |parent, name| {
            match rustix::fs::mknodat(parent, name, kind, Mode::empty(), device) {
                Err(Errno::PERM) if *node == Node::Whiteout => whiteout_file(parent, name),
                made => made,
            }
        });
        made?;
        match node {
            Node::Whiteout => Ok(()),
            _ => self.finish_special(path, meta, AtFlags::empty()),
        }
    }

    /// Sets owner, mode and time by name. Attributes are left out: `user.*` is not possible, and nothing else of use.
    fn finish_special(
        &mut self,
        path: &TreePath,
        meta: &Metadata,
        follow: AtFlags,
    ) -> Result<(), LayerError> {
        let (owner, times) = (self.owner, times(meta));
        let done = self.parent(path).and_then(|(parent, name)| {
            if owner == Owner::Keep {
                let (uid, gid) = owner_of(meta);
                rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            if follow.is_empty() {
                rustix::fs::chmodat(
                    parent,
                    name,
                    Mode::from_raw_mode(meta.mode & 0o7777),
                    AtFlags::empty(),
                )?;
            }
            rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        });
        done.map_err(|error| self.failed("set the attributes of", path, error))
    }

    /// Gives a directory its attributes; called for what is in it first, as that changes its time. One that an archive
    /// only marks as opaque is made.
    pub(crate) fn finish_directory(
        &self,
        path: &TreePath,
        meta: &Metadata,
        opaque: bool,
    ) -> Result<(), LayerError> {
        let directory = match self.directory(path) {
            Err(Errno::NOENT) => self.make_directories(path).and_then(|()| self.directory(path)),
            directory => directory,
        };
        let done = directory.map_err(io::Error::from).and_then(|fd| {
            if opaque {
                rustix::fs::fsetxattr(&fd, OPAQUE_XATTR, b"y", XattrFlags::empty())?;
            }
            // The root directory of a layer belongs to nobody.
            if path.is_root() {
                Ok(())
            } else {
                self.apply(&fd, meta)
            }
        });
        done.map_err(|source| self.failed("set the attributes of", path, source))
    }

    fn apply(&self, file: &impl rustix::fd::AsFd, meta: &Metadata) -> io::Result<()> {
        if self.owner == Owner::Keep {
            let (uid, gid) = owner_of(meta);
            rustix::fs::fchown(file, Some(uid), Some(gid))?;
        }
        // After the owner: a change of owner clears set-user-ID and capabilities.
        rustix::fs::fchmod(file, Mode::from_raw_mode(meta.mode & 0o7777))?;
        for (key, value) in &meta.xattrs {
            match rustix::fs::fsetxattr(file, OsStr::from_bytes(key), value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::NOTSUP) => {} // what a file system cannot keep is no reason to fail
                Err(Errno::PERM) if self.owner == Owner::Own => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rustix::fs::futimens(file, &times(meta))?)
    }
}

/// A whiteout where no device can be one, as on an overlay: an empty file with overlayfs' attribute for that.
fn whiteout_file(parent: impl rustix::fd::AsFd, name: &OsStr) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::fsetxattr(&file, WHITEOUT_XATTR, b"y", XattrFlags::empty())
}

/// Opens `path` below `root`, through real directories only.
pub(crate) fn open_below(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {} // somebody renamed something meanwhile
            result => return result,
        }
    }
}

fn owner_of(meta: &Metadata) -> (Uid, Gid) {
    (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid))
}

fn times(meta: &Metadata) -> Timestamps {
    let time = Timespec {
        tv_sec: meta.mtime.seconds,
        tv_nsec: meta.mtime.nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
