//! Root file systems by overlayfs.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use kiln_tree::ChangeSet;
use kiln_tree::Node;
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::mount::FsMountFlags;
use rustix::mount::FsOpenFlags;
use rustix::mount::MountAttrFlags;
use rustix::mount::fsconfig_create;
use rustix::mount::fsconfig_set_flag;
use rustix::mount::fsconfig_set_string;

use crate::Committed;
use crate::Lookup;
use crate::Prepared;
use crate::RootMount;
use crate::SnapshotError;
use crate::Snapshotter;
use crate::normalise;
use crate::scan_upper;

/// Overlayfs. Nothing is copied and nothing mounted here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overlay;

impl Snapshotter for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn prepare(&self, lowers: &[PathBuf], scratch: &Path) -> Result<Box<dyn Prepared>, SnapshotError> {
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        for path in [&upper, &work] {
            let made = fs::create_dir(path);
            // The root directory of the step: what overlayfs shows of it is the upper one.
            let made = made.and_then(|()| {
                fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            });
            made.map_err(|source| SnapshotError::Io {
                action: "create",
                path: path.clone(),
                source,
            })?;
        }
        Ok(Box::new(Mounted {
            lowers: lowers.to_vec(),
            upper,
            work,
        }))
    }
}

#[derive(Debug)]
struct Mounted {
    lowers: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
}

impl Prepared for Mounted {
    fn root(&self) -> RootMount {
        RootMount::Overlay {
            lowers: self.lowers.clone(),
            upper: self.upper.clone(),
            work: self.work.clone(),
        }
    }

    fn commit(self: Box<Self>, lower: &dyn Lookup) -> Result<Committed, SnapshotError> {
        let found = scan_upper(&self.upper)?;
        let changes = normalise(found.clone(), lower);
        prune(&self.upper, &found, &changes)?;
        Ok(Committed {
            changes,
            dir: self.upper,
        })
    }
}

/// Removes from `upper` what `changes` no longer has, so that both say the same wherever the layer is used.
fn prune(upper: &Path, found: &ChangeSet, changes: &ChangeSet) -> Result<(), SnapshotError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let failed = |path: &Path| {
        let path = upper.join(path);
        move |error: rustix::io::Errno| SnapshotError::Io {
            action: "tidy up",
            path,
            source: error.into(),
        }
    };
    let root = rustix::fs::open(upper, flags, Mode::empty()).map_err(failed(Path::new("")))?;
    let below = |path: &Path| {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)
    };
    // Backwards: a directory is empty before it is removed.
    for entry in found.entries().iter().rev() {
        let path = entry.path.as_path();
        match (changes.get(&entry.path), &entry.node) {
            (Some(kept), Node::Directory { opaque: true }) if kept.node != entry.node => {
                let directory = below(path).map_err(failed(path))?;
                rustix::fs::fremovexattr(&directory, "user.overlay.opaque").map_err(failed(path))?;
            }
            (Some(_), _) => {}
            (None, node) => {
                let parent = path.parent().unwrap_or(Path::new(""));
                let directory = below(parent).map_err(failed(parent))?;
                let kind = if node_is_directory(node) {
                    AtFlags::REMOVEDIR
                } else {
                    AtFlags::empty()
                };
                let times = rustix::fs::fstat(&directory).map_err(failed(parent))?;
                let name = OsStr::from_bytes(entry.path.file_name());
                rustix::fs::unlinkat(&directory, name, kind).map_err(failed(path))?;
                restore(&directory, &times).map_err(failed(parent))?;
            }
        }
    }
    Ok(())
}

fn node_is_directory(node: &Node) -> bool {
    matches!(node, Node::Directory { .. })
}

/// Gives a directory back the time that it had.
fn restore(directory: &OwnedFd, stat: &rustix::fs::Stat) -> rustix::io::Result<()> {
    let time = |tv_sec: i64, nanos: u64| rustix::fs::Timespec {
        tv_sec,
        tv_nsec: nanos.cast_signed(),
    };
    let times = rustix::fs::Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::futimens(directory, &times)
}

/// Why overlayfs cannot be used in a directory.
#[derive(Debug, thiserror::Error)]
#[error("overlayfs does not work in `{}`: cannot {action}", dir.display())]
pub struct Unsupported {
    /// Where it was tried.
    pub dir: PathBuf,
    /// What failed.
    pub action: &'static str,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Finds out whether this process can use overlays in the directory `dir`, by making one that is attached nowhere and
/// deleting a file in it.
///
/// # Errors
/// When it cannot: use [`crate::Copy`].
pub fn supported(dir: &Path) -> Result<(), Unsupported> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let probe = dir.join(format!(".overlay-probe-{}-{count}", std::process::id()));
    let result = probe_in(&probe);
    // What cannot be removed was not made either.
    drop(fs::remove_dir_all(&probe));
    result.map_err(|(action, source)| Unsupported {
        dir: dir.to_owned(),
        action,
        source,
    })
}

fn probe_in(probe: &Path) -> Result<(), (&'static str, io::Error)> {
    let failed = |action| move |error: io::Error| (action, error);
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| probe.join(name));
    for path in [probe, &lower, &lower.join("dir"), &upper, &work] {
        fs::create_dir(path).map_err(failed("create a directory"))?;
    }
    fs::write(lower.join("file"), b"").map_err(failed("create a file"))?;
    let mount = detached_overlay(&[lower], &upper, &work).map_err(failed("mount an overlay"))?;
    let delete = |name, flags| rustix::fs::unlinkat(&mount, name, flags).map_err(io::Error::from);
    delete("file", AtFlags::empty()).map_err(failed("delete a file in an overlay"))?;
    delete("dir", AtFlags::REMOVEDIR).map_err(failed("delete a directory in an overlay"))?;
    let made = rustix::fs::mkdirat(&mount, "dir", Mode::RWXU).map_err(io::Error::from);
    made.map_err(failed("create a directory in an overlay"))?;
    let rdev = fs::symlink_metadata(upper.join("file")).map(|stat| stat.rdev());
    match rdev.map_err(failed("find a whiteout"))? {
        0 => Ok(()),
        _ => Err(("find a whiteout", io::ErrorKind::Unsupported.into())),
    }
}

/// Mounts an overlay that only the returned descriptor leads to, and that is gone with it. `lowers` are bottom first.
pub(crate) fn detached_overlay(lowers: &[PathBuf], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for lower in lowers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", lower)?;
    }
    fsconfig_set_string(&context, "upperdir", upper)?;
    fsconfig_set_string(&context, "workdir", work)?;
    // With `userxattr`, `redirect_dir=off` is refused where the kernel follows redirects by default.
    for (key, value) in [
        ("index", "off"),
        ("redirect_dir", "nofollow"),
        ("metacopy", "off"),
    ] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_set_flag(&context, "userxattr")?;
    fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?)
}
