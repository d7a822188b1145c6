//! Finds a path inside a tree without ever leaving it, and makes what is missing.
//!
//! Every component is opened by itself and no symbolic link is followed by the kernel, so neither a link in an image
//! nor somebody who changes a shared cache directory at the same time can lead outside.

use crate::failure::Failure;
use crate::failure::describe;
use crate::stub::StubLog;
use rustix::fd::AsFd as _;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Most symbolic links on one path, as in the kernel.
const LINK_LIMIT: usize = 40;

const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is made where a path ends in nothing.
#[derive(Clone, Copy)]
pub(crate) enum Missing<'a> {
    /// Nothing: the path has to be there.
    Refuse,
    /// Directories, owned by a user, that stay: a working directory.
    Keep { uid: u32, gid: u32 },
    /// Directories, and a directory or file at the end, that are removed after the step.
    Stub { log: &'a StubLog, directory: bool },
}

/// Opens `path` inside `root`, as a handle.
pub(crate) fn open(root: &OwnedFd, path: &str, missing: Missing<'_>) -> Result<OwnedFd, Failure> {
    walk(root, path, missing).map_err(|errno| match errno {
        Errno::NOTDIR => Failure::text(format!(
            "mount point `{path}` is below something that is not a directory"
        )),
        errno => Failure::text(format!(
            "cannot open `{path}` in the root file system: {}",
            describe(errno)
        )),
    })
}

/// Opens `path` inside `root` when it is there.
pub(crate) fn find(root: &OwnedFd, path: &str) -> Result<Option<OwnedFd>, Failure> {
    match walk(root, path, Missing::Refuse) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(Failure::new(format!("open `{path}` in the root file system"))(
            errno,
        )),
    }
}

fn walk(root: &OwnedFd, path: &str, missing: Missing<'_>) -> Result<OwnedFd, Errno> {
    let mut rest: VecDeque<Vec<u8>> = components(path.as_bytes()).collect();
    let mut trail = vec![duplicate(root)?];
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == b".." {
            if trail.len() > 1 {
                trail.truncate(trail.len() - 1);
            }
            continue;
        }
        let here = trail.last().ok_or(Errno::INVAL)?;
        let next = match rustix::fs::openat(here, name.as_slice(), HANDLE, Mode::empty()) {
            Err(Errno::NOENT) => make(here, &name, missing, rest.is_empty())?,
            outcome => outcome?,
        };
        if file_type(&next)? == FileType::Symlink {
            links += 1;
            if links > LINK_LIMIT {
                return Err(Errno::LOOP);
            }
            let target = rustix::fs::readlinkat(&next, "", Vec::new())?.into_bytes();
            if target.first() == Some(&b'/') {
                trail.truncate(1);
            }
            components(&target).rev().for_each(|part| rest.push_front(part));
        } else {
            trail.push(next);
        }
    }
    trail.pop().ok_or(Errno::INVAL)
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
}

fn make(parent: &OwnedFd, name: &[u8], missing: Missing<'_>, last: bool) -> Result<OwnedFd, Errno> {
    match missing {
        Missing::Refuse => return Err(Errno::NOENT),
        Missing::Keep { uid, gid } => {
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Missing::Stub { log, directory } => log.create(parent, name, directory || !last)?,
    }
    rustix::fs::openat(parent, name, HANDLE, Mode::empty())
}

/// Another descriptor for the same place.
pub(crate) fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
}

/// What kind of file a handle is.
pub(crate) fn file_type(fd: &OwnedFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd.as_fd())?.st_mode))
}
