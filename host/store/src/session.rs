//! One open store of one process. What it is making and holding is found by its session's name; a lock on the
//! session's file, which the kernel drops with the process, says whether it lives.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rustix::fs::FlockOperation;

use crate::Result;
use crate::StoreError;
use crate::layout;
use crate::layout::Layout;
use crate::removal;

/// A live session. Dropping it removes everything that it still has.
#[derive(Debug)]
pub(crate) struct Session {
    name: String,
    lock: PathBuf,
    making: PathBuf,
    scratch: PathBuf,
    counter: AtomicU64,
    made: OnceLock<()>,
    scratched: OnceLock<()>,
    _locked: File,
}

impl Session {
    /// Begins a session. Needs one new file, so this is also where a store that cannot be written is noticed.
    pub(crate) fn begin(layout: &Layout) -> Result<Self> {
        loop {
            let name = random_name();
            let lock = layout.ingest().join(format!("{name}.lock"));
            let open = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&lock);
            let file = match open {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(|e| StoreError::io("create", &lock, e))?,
            };
            layout::flock(&file, FlockOperation::LockExclusive)
                .map_err(|e| StoreError::io("lock", &lock, e))?;
            // Between the two calls another process may have taken the file for a dead session's and removed it.
            let links = file
                .metadata()
                .map_err(|e| StoreError::io("read", &lock, e))?
                .nlink();
            if links == 0 {
                continue;
            }
            return Ok(Self {
                making: layout.ingest().join(&name),
                scratch: layout.tmp().join(&name),
                name,
                lock,
                counter: AtomicU64::new(0),
                made: OnceLock::new(),
                scratched: OnceLock::new(),
                _locked: file,
            });
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A path that nobody has used, on the file system of the store, for something that is being made.
    pub(crate) fn making(&self, kind: &str) -> Result<PathBuf> {
        if self.made.get().is_none() {
            layout::create_dirs(&self.making)?;
            // Trees are made here and renamed into place; ext4 decides where they lie when they are made.
            layout::spread(&self.making);
            self.made.get_or_init(|| ());
        }
        Ok(self.making.join(format!("{kind}-{}", self.next())))
    }

    /// A path that nobody has used, for a scratch directory.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        if self.scratched.get().is_none() {
            layout::create_dirs(&self.scratch)?;
            self.scratched.get_or_init(|| ());
        }
        Ok(self.scratch.join(self.next().to_string()))
    }

    pub(crate) fn next(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What cannot be removed now stays a dead session's, which the next open tries again.
        let made = self.made.get().is_none() || removal::remove(&self.making).is_ok();
        let scratched = self.scratched.get().is_none() || removal::remove(&self.scratch).is_ok();
        if made && scratched {
            drop(fs::remove_file(&self.lock));
        }
    }
}

/// Removes what dead sessions left. Returns how many there were.
///
/// What cannot be removed (foreign owner, still mounted) is left for the next time.
pub(crate) fn reap(layout: &Layout) -> Result<usize> {
    let mut reaped = 0;
    for name in names(layout)? {
        let lock = layout.ingest().join(format!("{name}.lock"));
        let Some(_held) = claim(&lock) else { continue };
        reaped += 1;
        let made = removal::remove(&layout.ingest().join(&name));
        let scratched = removal::remove(&layout.tmp().join(&name));
        if made.is_ok() && scratched.is_ok() {
            drop(fs::remove_file(&lock));
        }
    }
    Ok(reaped)
}

/// Names of all sessions that have a file, the living and the dead.
pub(crate) fn names(layout: &Layout) -> Result<Vec<String>> {
    let dir = layout.ingest();
    let entries = fs::read_dir(&dir).map_err(|e| StoreError::io("list", &dir, e))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("list", &dir, e))?;
        if let Some(name) = entry.file_name().to_str().and_then(|n| n.strip_suffix(".lock")) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Whether a living process has the session.
pub(crate) fn is_alive(layout: &Layout, name: &str) -> bool {
    let lock = layout.ingest().join(format!("{name}.lock"));
    lock.exists() && claim(&lock).is_none()
}

/// Takes the lock of a dead session; nothing when it lives or is gone.
fn claim(lock: &Path) -> Option<File> {
    let file = OpenOptions::new().write(true).open(lock).ok()?;
    layout::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    let links = file.metadata().ok()?.nlink();
    (links > 0).then_some(file)
}

fn random_name() -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{}-{random:016x}", std::process::id())
}
