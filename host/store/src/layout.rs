//! Where things are under the root of a store, and how a root comes to be.
//!
//! ```text
//! version               the number of this layout
//! lock                  locked while the root is made or the database replaced
//! gc.lock               locked while garbage is collected
//! kiln.db               metadata
//! ballast               space set aside, given up so that a full disk can be pruned
//! blobs/sha256/<hex>    whole blobs
//! trees/<key>           whole directories
//! ingest/<session>.lock locked as long as the process lives that owns the session
//! ingest/<session>/     what that process is making
//! ingest/partial-<hex>  a download to go on with; locked while a process does
//! tmp/<session>/        scratch directories of that process
//! ```

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Digest;
use rustix::fs::FlockOperation;
use rustix::fs::IFlags;

use crate::Result;
use crate::StoreError;

/// The layout that this code reads and writes.
pub(crate) const VERSION: u32 = 1;

/// Enough for the database to write what a garbage collection needs on a disk that is full.
const BALLAST: u64 = 1 << 20;

/// The paths of one store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Opens or makes the directories under `root`.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let layout = Self {
            root: root.to_owned(),
        };
        if !layout.check_version()? {
            layout.create()?;
        }
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("kiln.db")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join(format!("blobs/sha256/{}", digest.hex()))
    }

    pub(crate) fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// The path of a tree; refuses keys that are not plain file names.
    pub(crate) fn tree(&self, key: &str) -> Result<PathBuf> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if key.is_empty() || key.len() > 200 || key.starts_with('.') || !key.bytes().all(plain) {
            return Err(StoreError::TreeKey { key: key.to_owned() });
        }
        Ok(self.root.join("trees").join(key))
    }

    pub(crate) fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join(format!("ingest/partial-{}", digest.hex()))
    }

    /// Waits for the lock that guards making the root and replacing the database.
    pub(crate) fn lock(&self) -> Result<File> {
        lock(&self.root.join("lock"))
    }

    /// Waits for the lock that lets one process at a time collect garbage.
    pub(crate) fn gc_lock(&self) -> Result<File> {
        lock(&self.root.join("gc.lock"))
    }

    /// Gives up the space set aside; says whether there was any.
    pub(crate) fn drop_ballast(&self) -> bool {
        fs::remove_file(self.root.join("ballast")).is_ok()
    }

    /// Sets space aside again, when there is enough.
    pub(crate) fn restore_ballast(&self) {
        let path = self.root.join("ballast");
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let Ok(file) = made else { return };
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST).is_err() {
            // Best effort: a file system that cannot set space aside, or has none.
            drop(fs::remove_file(&path));
        }
    }

    /// Whether the root was made before; an error when a newer kiln made it.
    fn check_version(&self) -> Result<bool> {
        let path = self.root.join("version");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(StoreError::io("read", &path, source)),
        };
        match text.trim().parse::<u32>() {
            Ok(VERSION) => Ok(true),
            // Cut short by a power failure while the root was made.
            _ if text.trim().is_empty() => Ok(false),
            _ => Err(StoreError::Version {
                path: self.root.clone(),
                found: text.trim().chars().take(40).collect(),
                supported: VERSION,
            }),
        }
    }

    fn create(&self) -> Result<()> {
        create_dirs(&self.root)?;
        let _lock = self.lock()?;
        if self.check_version()? {
            return Ok(());
        }
        for dir in [self.blobs(), self.trees(), self.ingest(), self.tmp()] {
            create_dirs(&dir)?;
        }
        spread(&self.trees());
        self.restore_ballast();
        let path = self.root.join("version");
        let new = self.root.join("version.new");
        fs::write(&new, format!("{VERSION}\n")).map_err(|e| StoreError::io("write", &new, e))?;
        fs::rename(&new, &path).map_err(|e| StoreError::io("create", &path, e))
    }
}

/// Makes a directory that only this user may enter.
pub(crate) fn create_dirs(path: &Path) -> Result<()> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(|e| StoreError::io("create the directory", path, e))
}

/// Tells ext4 that the directories inside have nothing to do with each other (`chattr +T`), so that it does not
/// crowd them into one block group. Other file systems do not know the flag, and that does no harm.
pub(crate) fn spread(path: &Path) {
    let Ok(dir) = File::open(path) else { return };
    if let Ok(flags) = rustix::fs::ioctl_getflags(&dir) {
        let _ = rustix::fs::ioctl_setflags(&dir, flags | IFlags::TOPDIR);
    }
}

fn lock(path: &Path) -> Result<File> {
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let file = open.map_err(|e| StoreError::io("open", path, e))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| StoreError::io("lock", path, e))?;
    Ok(file)
}

/// Locks a file, through signals.
pub(crate) fn flock(file: &File, operation: FlockOperation) -> io::Result<()> {
    loop {
        match rustix::fs::flock(file, operation) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
