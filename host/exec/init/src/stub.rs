//! Mount points that did not exist: made for the step, removed after it, so that they never reach a layer.

use crate::failure::Failure;
use crate::failure::describe;
use crate::syscalls;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::codec::Codec as _;
use kiln_exec_init::codec::encode;
use kiln_exec_init::record;
use rustix::fd::AsFd;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::io::Errno;
use std::fs::File;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::IntoRawFd as _;
use std::os::fd::OwnedFd;

record! {
    /// One entry that was made.
    pub struct Entry {
        /// Descriptor of the directory that it is in, in the table that both processes share.
        pub parent: i32,
        /// Its name.
        pub name: Bytes,
        /// Whether it is a directory.
        pub directory: bool,
        /// Its inode, so that nothing else under that name is removed.
        pub inode: u64,
    }
}

/// What the inner process made, written where the outer one finds it.
pub(crate) struct StubLog(File);

impl StubLog {
    pub(crate) fn new() -> Result<Self, Failure> {
        let file = rustix::fs::memfd_create("stubs", rustix::fs::MemfdFlags::CLOEXEC)
            .map_err(Failure::new("make the list of mount points"))?;
        Ok(Self(File::from(file)))
    }

    pub(crate) fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Makes a file or directory and writes it down. The parent keeps its times.
    pub(crate) fn create(&self, parent: &OwnedFd, name: &[u8], directory: bool) -> Result<(), Errno> {
        let before = rustix::fs::fstat(parent)?;
        if directory {
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            drop(rustix::fs::openat(
                parent,
                name,
                flags,
                Mode::from_raw_mode(0o644),
            )?);
        }
        restore_times(parent, &before);
        let inode = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino;
        let kept = rustix::io::fcntl_dupfd_cloexec(parent, 3)?.into_raw_fd();
        let entry = Entry {
            parent: kept,
            name: Bytes(name.to_vec()),
            directory,
            inode,
        };
        (&self.0).write_all(&encode(&entry)).map_err(|_| Errno::NOSPC)
    }

    /// Lets the outer process reach an entry's parent through another mount.
    pub(crate) fn replace_parent(&self, parent: i32, fd: &OwnedFd) -> Result<(), Errno> {
        syscalls::replace_shared(parent, fd.as_fd())
    }

    /// The entries in the order in which they were made.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut bytes = Vec::new();
        let mut file = &self.0;
        if file.rewind().is_err() || file.read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        let mut rest = bytes.as_slice();
        std::iter::from_fn(|| Entry::get(&mut rest)).collect()
    }
}

fn restore_times(dir: impl AsFd, stat: &Stat) {
    let time = |seconds: i64, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or_default(),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    // A directory whose times cannot be set keeps the new ones: the layer then says so, nothing else breaks.
    let _ = rustix::fs::utimensat(dir, ".", &times, AtFlags::empty());
}

/// Removes what is still as it was made, last first, and names what could not be removed.
pub(crate) fn remove_all(log: &StubLog) -> Vec<String> {
    let mut entries = log.entries();
    entries.reverse();
    entries
        .iter()
        .filter_map(|entry| remove(entry).err().map(|errno| leftover(entry, errno)))
        .collect()
}

fn leftover(entry: &Entry, errno: Errno) -> String {
    format!(
        "mount point `{}`: {}",
        String::from_utf8_lossy(&entry.name.0),
        describe(errno)
    )
}

fn remove(entry: &Entry) -> Result<(), Errno> {
    let parent = syscalls::borrow_shared(entry.parent);
    let name = entry.name.0.as_slice();
    let before = rustix::fs::fstat(parent)?;
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if stat.st_ino != entry.inode || (!entry.directory && stat.st_size != 0) => return Ok(()),
        Ok(_) => {}
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let flags = if entry.directory {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    match rustix::fs::unlinkat(parent, name, flags) {
        Ok(()) => restore_times(parent, &before),
        // The step put something into a directory that was made for a mount point below it: it stays.
        Err(Errno::NOTEMPTY | Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    Ok(())
}
