//! Removes directories that were made by anybody: directories without permissions, work directories of overlay
//! mounts, deep nesting.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Removes what is at `path`, a file or a directory with all it holds; nothing there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    // The library's walk is race free, but gives up on a directory that its owner may not read.
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

/// Gives the owner every permission on a directory and those inside. Never follows a symbolic link, and keeps the
/// nesting on the heap.
fn open_up(path: &Path) -> io::Result<()> {
    rustix::fs::chmodat(CWD, path, Mode::RWXU, AtFlags::empty())?;
    let mut levels = vec![Level::open(CWD, path)?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.dirs.pop() else {
            levels.pop();
            continue;
        };
        // The name was a directory a moment ago; nobody else writes here.
        rustix::fs::chmodat(&level.fd, &name, Mode::RWXU, AtFlags::empty())?;
        let next = Level::open(&level.fd, &name)?;
        levels.push(next);
    }
    Ok(())
}

struct Level {
    fd: OwnedFd,
    dirs: Vec<CString>,
}

impl Level {
    fn open(at: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> rustix::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(at, name, flags, Mode::empty())?;
        let mut dirs = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let is_dir = match entry.file_type() {
                FileType::Directory => true,
                FileType::Unknown => is_dir(&fd, name)?,
                _ => false,
            };
            if is_dir {
                dirs.push(name.to_owned());
            }
        }
        Ok(Self { fd, dirs })
    }
}

fn is_dir(at: &OwnedFd, name: &std::ffi::CStr) -> Result<bool, Errno> {
    let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
