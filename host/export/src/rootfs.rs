//! Writes a root file system as a tar or into a directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

use kiln_layer::ContentSource;
use kiln_layer::LayerError;
use kiln_tree::ChangeSet;
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
use rustix::fs::ResolveFlags;

use crate::LocalMode;

/// A root file system cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// An entry cannot be written.
    #[error("cannot {action} `{}`", path.display())]
    Write {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Tar(#[source] LayerError),
}

/// Writes `files`, a flattened tree, as a tar archive; with an epoch every time is set to it.
///
/// # Errors
/// When a file cannot be read or the archive not be written.
pub fn write_tar(
    files: &ChangeSet,
    source: &dyn ContentSource,
    out: &mut (dyn Write + Send),
    epoch: Option<i64>,
) -> Result<(), RootfsError> {
    let stamped: Vec<Entry>;
    let entries = match epoch {
        None => files.entries(),
        Some(epoch) => {
            stamped = files
                .entries()
                .iter()
                .cloned()
                .map(|entry| stamp(entry, epoch))
                .collect();
            &stamped
        }
    };
    kiln_layer::write_tar(entries, source, out, None).map_err(RootfsError::Tar)
}

fn stamp(mut entry: Entry, epoch: i64) -> Entry {
    entry.meta.mtime = Timestamp {
        seconds: epoch,
        nanos: 0,
    };
    entry
}

/// Writes `files`, a flattened tree, into the directory `dest`, which is made if it is missing. Owners are those of
/// who runs kiln; modes, times, links and attributes are kept. What is there already stays unless `mode` says
/// otherwise, or is replaced when the tree has something at the same path. No symbolic link below `dest` is followed.
///
/// # Errors
/// When something cannot be written.
pub fn write_local(
    files: &ChangeSet,
    source: &dyn ContentSource,
    dest: &Path,
    mode: LocalMode,
    epoch: Option<i64>,
) -> Result<(), RootfsError> {
    let failed = |action, source| RootfsError::Write {
        action,
        path: dest.to_owned(),
        source,
    };
    std::fs::create_dir_all(dest).map_err(|source| failed("create", source))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(dest, flags, Mode::empty()).map_err(|error| failed("open", error.into()))?;
    let writer = Writer {
        root,
        dest,
        source,
        epoch,
    };
    if mode == LocalMode::Delete {
        writer.remove_others(files)?;
    }
    for entry in files.entries() {
        writer
            .write(entry)
            .map_err(|source| writer.error("write", &entry.path, source))?;
    }
    // Directories last: writing into them changes their time, and they may forbid writing.
    for entry in files
        .entries()
        .iter()
        .rev()
        .filter(|entry| matches!(entry.node, Node::Directory { .. }))
    {
        writer
            .finish_directory(entry)
            .map_err(|source| writer.error("write", &entry.path, source))?;
    }
    Ok(())
}

struct Writer<'a> {
    root: OwnedFd,
    dest: &'a Path,
    source: &'a dyn ContentSource,
    epoch: Option<i64>,
}

impl Writer<'_> {
    fn error(&self, action: &'static str, path: &TreePath, source: io::Error) -> RootfsError {
        RootfsError::Write {
            action,
            path: self.dest.join(path.as_path()),
            source,
        }
    }

    /// Opens a directory below the destination without following symbolic links.
    fn directory(&self, path: &TreePath) -> rustix::io::Result<OwnedFd> {
        let name = if path.is_root() {
            Path::new(".")
        } else {
            path.as_path()
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve)
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        let Some(parent) = entry.path.parent() else {
            return Ok(());
        };
        let parent = self.directory(&parent)?;
        let name = OsStr::from_bytes(entry.path.file_name());
        let directory = matches!(entry.node, Node::Directory { .. });
        let present = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        match present.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Some(FileType::Directory) if directory => {
                return Ok(rustix::fs::chmodat(
                    &parent,
                    name,
                    Mode::from_raw_mode(0o700),
                    AtFlags::empty(),
                )?);
            }
            Some(FileType::Directory) => remove_tree(&parent, name)?,
            Some(_) => rustix::fs::unlinkat(&parent, name, AtFlags::empty())?,
            None => {}
        }
        let mode = Mode::from_raw_mode(entry.meta.mode & 0o7777);
        match &entry.node {
            Node::Directory { .. } => {
                return Ok(rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700))?);
            }
            Node::File { .. } => return self.write_file(&parent, name, entry),
            Node::Symlink { target } => rustix::fs::symlinkat(OsStr::from_bytes(target), &parent, name)?,
            Node::Hardlink { target } => return self.link(target, &parent, name),
            Node::Fifo => rustix::fs::mknodat(&parent, name, FileType::Fifo, mode, 0)?,
            Node::CharDevice { major, minor } => {
                let device = rustix::fs::makedev(*major, *minor);
                rustix::fs::mknodat(&parent, name, FileType::CharacterDevice, mode, device)?;
            }
            Node::BlockDevice { major, minor } => {
                let device = rustix::fs::makedev(*major, *minor);
                rustix::fs::mknodat(&parent, name, FileType::BlockDevice, mode, device)?;
            }
            Node::Whiteout => return Ok(()),
        }
        if !matches!(entry.node, Node::Symlink { .. }) {
            rustix::fs::chmodat(&parent, name, mode, AtFlags::empty())?;
        }
        let times = self.times(&entry.meta);
        Ok(rustix::fs::utimensat(
            &parent,
            name,
            &times,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    fn link(&self, target: &TreePath, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let from = self.directory(&target.parent().unwrap_or_default())?;
        let target = OsStr::from_bytes(target.file_name());
        Ok(rustix::fs::linkat(&from, target, parent, name, AtFlags::empty())?)
    }

    fn write_file(&self, parent: &OwnedFd, name: &OsStr, entry: &Entry) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(file);
        let mut content = self.source.open(entry)?;
        io::copy(&mut content, &mut file)?;
        self.finish(&file, &entry.meta)
    }

    fn finish_directory(&self, entry: &Entry) -> io::Result<()> {
        let directory = self.directory(&entry.path)?;
        self.finish(&File::from(directory), &entry.meta)
    }

    fn finish(&self, file: &File, meta: &Metadata) -> io::Result<()> {
        for (key, value) in &meta.xattrs {
            let set = rustix::fs::fsetxattr(
                file,
                OsStr::from_bytes(key),
                value,
                rustix::fs::XattrFlags::empty(),
            );
            match set {
                // An attribute that this file system or user cannot have is no reason to fail.
                Ok(()) | Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(meta.mode & 0o7777))?;
        Ok(rustix::fs::futimens(file, &self.times(meta))?)
    }

    fn times(&self, meta: &Metadata) -> rustix::fs::Timestamps {
        let (tv_sec, tv_nsec) = match self.epoch {
            Some(epoch) => (epoch, 0),
            None => (meta.mtime.seconds, i64::from(meta.mtime.nanos)),
        };
        let time = rustix::fs::Timespec { tv_sec, tv_nsec };
        rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        }
    }

    /// Removes what the tree does not have.
    fn remove_others(&self, files: &ChangeSet) -> Result<(), RootfsError> {
        let mut open = vec![TreePath::root()];
        while let Some(path) = open.pop() {
            let failed = |error: rustix::io::Errno| self.error("clean up", &path, error.into());
            let directory = self.directory(&path).map_err(failed)?;
            for item in rustix::fs::Dir::read_from(&directory).map_err(failed)? {
                let item = item.map_err(failed)?;
                let name = item.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                let Ok(below) = path.join_name(name) else { continue };
                let stat = rustix::fs::statat(&directory, item.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                let is_directory =
                    stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
                match (files.get(&below), is_directory) {
                    (Some(_), true) => open.push(below),
                    (Some(_), false) => {}
                    (None, true) => {
                        remove_tree(&directory, OsStr::from_bytes(name))
                            .map_err(|source| self.error("remove", &below, source))?;
                    }
                    (None, false) => rustix::fs::unlinkat(&directory, item.file_name(), AtFlags::empty())
                        .map_err(|error| self.error("remove", &below, error.into()))?,
                }
            }
        }
        Ok(())
    }
}

/// Removes a directory with all that is in it, following nothing.
fn remove_tree(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for item in rustix::fs::Dir::read_from(&directory)? {
        let item = item?;
        let below = item.file_name();
        if matches!(below.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(&directory, below, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            remove_tree(&directory, OsStr::from_bytes(below.to_bytes()))?;
        } else {
            rustix::fs::unlinkat(&directory, below, AtFlags::empty())?;
        }
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
