//! Cache mounts: directories by name that outlive the build.
//!
//! Several writers share one (`shared`), wait for each other (`locked`), or get one each (`private`: the first free of
//! `NAME`, `NAME.1`, …). A lock file beside each directory says who uses it, also to other processes.

use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use kiln_graph::CacheSharing;
use kiln_image::Digest;
use rustix::fs::FlockOperation;

use crate::build::BuildContext;
use crate::error::EngineError;
use crate::layers::Ref;

/// Most directories of one private cache.
const MAX_PRIVATE: usize = 256;

/// How long an export waits for who uses a cache.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What a cache starts with.
#[derive(Debug)]
pub(super) struct Seed<'a> {
    /// Where its first content is.
    pub(super) tree: &'a Ref,
    /// Path in that tree.
    pub(super) selector: &'a str,
    /// Throw away what is there.
    pub(super) fresh: bool,
}

/// A cache directory in use.
#[derive(Debug)]
pub(super) struct CacheMount {
    path: PathBuf,
    _lock: File,
}

impl CacheMount {
    /// Opens the cache `id`, making it from `seed` when it is new.
    pub(super) async fn open(
        build: &BuildContext,
        id: &str,
        sharing: CacheSharing,
        seed: &Seed<'_>,
    ) -> Result<Self, EngineError> {
        let failed = |source| EngineError::CacheMount {
            id: id.to_owned(),
            source,
        };
        let parent = build.layers.cache_mounts();
        std::fs::create_dir_all(&parent).map_err(failed)?;
        let name = Digest::of(id).hex();
        let (path, lock) = match sharing {
            CacheSharing::Shared => lock(&parent, &name, FlockOperation::LockShared).await,
            CacheSharing::Locked => lock(&parent, &name, FlockOperation::LockExclusive).await,
            CacheSharing::Private => first_free(&parent, &name),
        }
        .map_err(failed)?;
        // One at a time makes the directory: to everybody who shares it, it is the same.
        let (_, _making) = self::lock(&parent, &format!("{name}.new"), FlockOperation::LockExclusive)
            .await
            .map_err(failed)?;
        if seed.fresh && build.is_first_use(path.clone()) {
            set_aside(&parent, &path).map_err(failed)?;
        }
        build.mounts.note(id, parent.join(&name));
        let is_there = path.exists() || (!seed.fresh && build.mounts.bring(&build.layers, id, &path).await);
        if !is_there {
            build.layers.seed(&path, seed.tree, seed.selector).await?;
        }
        if sharing != CacheSharing::Shared {
            // Nobody else uses the cache, so nobody uses what was set aside.
            remove_old(&parent, &path).map_err(failed)?;
        }
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// What old directories of a cache are called.
fn old_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".old-{name}-")
}

/// Takes a directory out of use. Steps of other builds that have it mounted keep it.
fn set_aside(parent: &Path, path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let place = tempfile::Builder::new()
        .prefix(&old_prefix(path))
        .tempdir_in(parent)?
        .keep();
    std::fs::rename(path, place.join("files"))
}

fn remove_old(parent: &Path, path: &Path) -> io::Result<()> {
    let prefix = old_prefix(path);
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn lock_file(parent: &Path, name: &str) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(parent.join(format!("{name}.lock")))
}

async fn lock(parent: &Path, name: &str, operation: FlockOperation) -> io::Result<(PathBuf, File)> {
    let file = lock_file(parent, name)?;
    let waiting = match operation {
        FlockOperation::LockShared => FlockOperation::NonBlockingLockShared,
        _ => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        match rustix::fs::flock(&file, waiting) {
            Ok(()) => return Ok((parent.join(name), file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until nobody uses the cache at `path`, and keeps everybody from it; none when somebody has it for long.
pub(crate) async fn lock_cache_mount(path: &Path) -> io::Result<Option<File>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let name = name.to_string_lossy();
    let locking = lock(parent, &name, FlockOperation::LockExclusive);
    match tokio::time::timeout(PATIENCE, locking).await {
        Ok(locked) => locked.map(|(_, file)| Some(file)),
        Err(_) => Ok(None),
    }
}

fn first_free(parent: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    for number in 0..MAX_PRIVATE {
        let name = if number == 0 {
            name.to_owned()
        } else {
            format!("{name}.{number}")
        };
        let file = lock_file(parent, &name)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok((parent.join(name), file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other(format!("{MAX_PRIVATE} writers use it already")))
}
