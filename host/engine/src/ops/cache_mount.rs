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
        if seed.fresh && path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        }
        if !path.exists() {
            build.layers.seed(&path, seed.tree, seed.selector).await?;
        }
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
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
