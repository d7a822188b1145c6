//! Repositories that are kept: one without working tree for each remote, used by one process at a time.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use kiln_image::Digest;
use rustix::fs::FlockOperation;

use super::Job;
use super::command::Call;
use super::remote::Remote;
use super::remote::is_repository;
use crate::FetchError;

/// How often a repository that somebody else uses is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The file in a repository that says what it is.
const DESCRIPTION: &str = "description";

/// A repository that is kept for the next build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name: the digest of the remote's URL.
    pub name: String,
    /// The remote, without credentials.
    pub remote: String,
    /// Bytes on disk.
    pub size: u64,
    /// When it was made.
    pub created: SystemTime,
    /// When it was last used.
    pub last_used: SystemTime,
    /// Somebody uses it now.
    pub in_use: bool,
}

/// A repository, locked.
pub(super) struct Repository {
    pub(super) path: PathBuf,
    pub(super) remote: Remote,
    /// It was there before.
    pub(super) old: bool,
    _lock: File,
}

impl Job<'_> {
    /// Opens the repository of a remote, making it where there is none. Waits while somebody else uses it.
    pub(super) async fn repository(&self, remote: &Remote) -> Result<Repository, FetchError> {
        let root = &self.config.repositories;
        create_dir(root)?;
        let name = Digest::of(remote.url()).hex();
        let path = root.join(format!("{name}.git"));
        let lock = lock(&root.join(format!("{name}.lock"))).await?;
        let old = is_repository(&path);
        if old {
            remove_locks(&path);
        } else {
            self.create(remote, &path).await?;
        }
        Ok(Repository {
            path,
            remote: remote.clone(),
            old,
            _lock: lock,
        })
    }

    async fn create(&self, remote: &Remote, path: &Path) -> Result<(), FetchError> {
        let new = path.with_extension("new");
        for old in [path, &new] {
            remove(old)?;
        }
        std::fs::create_dir(&new).map_err(FetchError::file("create", &new))?;
        let init = Call::new("init repo for", &["init", "--quiet", "--bare", "--template="]).at(&new);
        self.git(&init).await?;
        // Own fetches ask for commits that no branch names.
        let key = "uploadpack.allowAnySHA1InWant";
        self.git(&Call::new("init repo for", &["config", key, "true"]).at(&new))
            .await?;
        // Git's own place for what a repository is, in one line.
        let description = new.join(DESCRIPTION);
        std::fs::write(&description, remote.shown()).map_err(FetchError::file("write", &description))?;
        std::fs::rename(&new, path).map_err(FetchError::file("create", path))
    }
}

impl Repository {
    /// Removes the repository: it is damaged.
    pub(super) fn remove(self) -> Result<(), FetchError> {
        remove(&self.path)
    }
}

/// Makes a directory that only this user may enter.
pub(super) fn create_dir(path: &Path) -> Result<(), FetchError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(FetchError::file("create", path))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(FetchError::file("set the mode of", path))
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
}

async fn lock(path: &Path) -> Result<File, FetchError> {
    let failed = || FetchError::file("lock", path);
    loop {
        let file = open_lock(path).map_err(failed())?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(POLL).await,
                Err(error) => return Err(failed()(error.into())),
            }
        }
        // Tidying removes locks; one that has no name any more locks nothing.
        if is_still(path, &file) {
            // Its time tells when the repository was used last.
            file.set_modified(SystemTime::now()).map_err(failed())?;
            return Ok(file);
        }
    }
}

fn is_still(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(named), Ok(held)) = (std::fs::metadata(path), file.metadata()) else {
        return false;
    };
    (named.dev(), named.ino()) == (held.dev(), held.ino())
}

/// Removes locks inside of a repository: who held them is dead, for the repository itself is locked.
fn remove_locks(path: &Path) {
    for name in ["shallow.lock", "config.lock", "HEAD.lock", "packed-refs.lock"] {
        let _missing = std::fs::remove_file(path.join(name));
    }
    for entry in std::fs::read_dir(path.join("refs/kiln"))
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().as_encoded_bytes().ends_with(b".lock") {
            let _missing = std::fs::remove_file(entry.path());
        }
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FetchError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes repositories that were last used before a time and that nobody uses now.
pub(super) fn remove_unused(root: &Path, before: SystemTime) -> Result<(), FetchError> {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        if !is_lock || used.is_ok_and(|used| used > before) {
            continue;
        }
        let file = open_lock(&path).map_err(FetchError::file("lock", &path))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        remove(&path.with_extension("git"))?;
        remove(&path.with_extension("new"))?;
        std::fs::remove_file(&path).map_err(FetchError::file("remove", &path))?;
    }
    Ok(())
}

/// Returns the repositories below `root`, by name. What cannot be read is left out.
pub(super) fn kept(root: &Path) -> Vec<Kept> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut all: Vec<Kept> = entries.filter_map(|entry| kept_at(&entry.path())).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn kept_at(path: &Path) -> Option<Kept> {
    let name = path.file_name()?.to_str()?.strip_suffix(".git")?.to_owned();
    let created = std::fs::metadata(path.join("config")).ok()?.modified().ok()?;
    let lock = File::open(path.with_extension("lock")).ok();
    let last_used = lock
        .as_ref()
        .and_then(|lock| lock.metadata().ok()?.modified().ok());
    let shared = lock
        .as_ref()
        .map(|lock| rustix::fs::flock(lock, FlockOperation::NonBlockingLockShared));
    Some(Kept {
        name,
        remote: std::fs::read_to_string(path.join(DESCRIPTION)).unwrap_or_default(),
        size: size_of(path),
        created,
        last_used: last_used.unwrap_or(created),
        in_use: matches!(shared, Some(Err(_))),
    })
}

fn size_of(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(match metadata.is_dir() {
            true => size_of(&entry.path()),
            false => metadata.len(),
        })
    });
    sizes.sum()
}
