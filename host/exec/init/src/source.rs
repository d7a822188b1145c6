//! Turns the source of a mount into a mount that is attached nowhere yet.

use crate::failure::Failure;
use crate::failure::describe;
use crate::place;
use crate::place::Missing;
use crate::syscalls;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Changes;
use kiln_exec_init::spec::Setting;
use kiln_exec_init::spec::Source;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Uid;
use rustix::io::Errno;
use rustix::mount::FsMountFlags;
use rustix::mount::FsOpenFlags;
use rustix::mount::MountAttrFlags;
use rustix::mount::MoveMountFlags;
use rustix::mount::OpenTreeFlags;
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A small file system in memory for what the helper makes itself: secrets, hosts files, empty directories.
pub(crate) struct Scratch {
    root: OwnedFd,
    count: Cell<u32>,
}

impl Scratch {
    /// Makes one and attaches it to a directory, as parts of it can be mounted only then.
    pub(crate) fn new(place: &OwnedFd) -> Result<Self, Failure> {
        let options = [("mode", "0700"), ("size", "64m")];
        let root = new_file_system("tmpfs", &options.map(|(name, value)| setting(name, value)), 0)?;
        attach(&root, place).map_err(Failure::new("attach the helper's own files"))?;
        Ok(Self {
            root,
            count: Cell::new(0),
        })
    }

    fn name(&self) -> String {
        self.count.set(self.count.get() + 1);
        self.count.get().to_string()
    }

    fn file(&self, content: &[u8], mode: u32, owner: (u32, u32)) -> Result<OwnedFd, Errno> {
        let name = self.name();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(
            &self.root,
            &name,
            flags,
            Mode::from_raw_mode(0o600),
        )?);
        file.write_all(content).map_err(|_| Errno::NOSPC)?;
        rustix::fs::fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        clone_at(&self.root, &name)
    }

    fn node(&self, source: &Source) -> Result<OwnedFd, Errno> {
        let Source::Device {
            mode,
            major,
            minor,
            uid,
            gid,
            ..
        } = source
        else {
            return Err(Errno::INVAL);
        };
        let name = self.name();
        let bits = Mode::from_raw_mode(mode & 0o7777);
        let device = rustix::fs::makedev(*major, *minor);
        rustix::fs::mknodat(&self.root, &name, FileType::from_raw_mode(*mode), bits, device)?;
        let owner = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
        rustix::fs::chownat(&self.root, &name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::chmodat(&self.root, &name, bits, AtFlags::empty())?;
        clone_at(&self.root, &name)
    }

    fn directory(&self) -> Result<OwnedFd, Errno> {
        let name = self.name();
        rustix::fs::mkdirat(&self.root, &name, Mode::from_raw_mode(0o755))?;
        rustix::fs::openat(
            &self.root,
            &name,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }

    /// Attaches a mount out of sight: parts of it can be mounted, and it can become a root, only then.
    pub(crate) fn attach(&self, mount: &OwnedFd) -> Result<(), Failure> {
        let fail = || Failure::new("attach a mount");
        attach(mount, &self.directory().map_err(fail())?).map_err(fail())
    }

    /// An empty, read-only mount to hide a directory with.
    pub(crate) fn empty(&self) -> Result<OwnedFd, Errno> {
        let mount = clone_at(&self.directory()?, "")?;
        syscalls::set_mount_attributes(mount.as_fd(), syscalls::ATTR_RDONLY)?;
        Ok(mount)
    }
}

fn setting(name: &str, value: &str) -> Setting {
    Setting {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn os(bytes: &Bytes) -> &Path {
    Path::new(OsStr::from_bytes(&bytes.0))
}

/// Makes the mount.
pub(crate) fn open(source: &Source, attributes: u64, scratch: &Scratch) -> Result<OwnedFd, Failure> {
    match source {
        Source::FileSystem { kind, options } => new_file_system(kind, options, attributes),
        Source::Bind { path } => {
            let fail = |errno| Failure::new(format!("mount `{}`", os(path).display()))(errno);
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let mount = rustix::mount::open_tree(CWD, os(path), flags).map_err(fail)?;
            with_attributes(mount, attributes)
        }
        Source::Overlay {
            lowers,
            changes,
            selector,
        } => {
            let root = overlay(lowers, changes.as_ref(), scratch)?;
            if selector.is_empty() {
                return with_attributes(root, attributes);
            }
            scratch.attach(&root)?;
            let part = place::open(&root, selector, Missing::Refuse)?;
            with_attributes(
                clone_at(&part, "").map_err(Failure::new(format!("mount `{selector}`")))?,
                attributes,
            )
        }
        Source::File {
            content,
            mode,
            uid,
            gid,
        } => {
            let mount = scratch
                .file(&content.0, *mode, (*uid, *gid))
                .map_err(Failure::new("write a file for the step"))?;
            with_attributes(mount, attributes)
        }
        Source::Socket { path, mode, uid, gid } => socket(os(path), *mode, (*uid, *gid)),
        Source::Device { path, .. } => {
            let node = match scratch.node(source) {
                // In a user namespace nobody can make devices: the machine's own has to do.
                Err(Errno::PERM) => clone_at(CWD, os(path)),
                made => made,
            };
            let node = node.map_err(Failure::new(format!("make the device `{}`", os(path).display())))?;
            with_attributes(node, attributes)
        }
        Source::Cgroups {} => Err(Failure::text("control groups are not a source by themselves")),
    }
}

fn with_attributes(mount: OwnedFd, attributes: u64) -> Result<OwnedFd, Failure> {
    if attributes != 0 {
        syscalls::set_mount_attributes(mount.as_fd(), attributes)
            .map_err(Failure::new("set mount attributes"))?;
    }
    Ok(mount)
}

fn socket(path: &Path, mode: u32, owner: (u32, u32)) -> Result<OwnedFd, Failure> {
    let fail = |errno| Failure::new(format!("mount socket `{}`", path.display()))(errno);
    rustix::fs::chownat(
        CWD,
        path,
        Some(Uid::from_raw(owner.0)),
        Some(Gid::from_raw(owner.1)),
        AtFlags::empty(),
    )
    .map_err(fail)?;
    rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty()).map_err(fail)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, path, flags).map_err(fail)
}

/// A new instance of a file system.
pub(crate) fn new_file_system(kind: &str, options: &[Setting], attributes: u64) -> Result<OwnedFd, Failure> {
    let fail = |errno| Failure::new(format!("mount a `{kind}`"))(errno);
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
    for option in options {
        configure(&context, &option.name, &option.value).map_err(|errno| {
            Failure::text(format!(
                "cannot mount a `{kind}` with `{}={}`: {}",
                option.name,
                option.value,
                describe(errno)
            ))
        })?;
    }
    rustix::mount::fsconfig_create(&context).map_err(fail)?;
    let flags = MountAttrFlags::from_bits_retain(u32::try_from(attributes).unwrap_or_default());
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(fail)
}

fn configure(context: &OwnedFd, name: &str, value: &str) -> Result<(), Errno> {
    if value.is_empty() {
        rustix::mount::fsconfig_set_flag(context, name)
    } else {
        rustix::mount::fsconfig_set_string(context, name, value)
    }
}

/// An overlay, bottom layer first. `userxattr` always, so that a layer's directory is the same for root and rootless;
/// with it the kernel makes and follows no redirects, and takes no `redirect_dir=off` beside it.
fn overlay(lowers: &[Bytes], changes: Option<&Changes>, scratch: &Scratch) -> Result<OwnedFd, Failure> {
    match (lowers, changes) {
        // An overlay needs something below: where there is nothing, the changes are all there is.
        ([], Some(changes)) => bind(os(&changes.upper)),
        ([], None) => scratch.empty().map_err(Failure::new("make an empty directory")),
        _ => match new_overlay(lowers, changes, scratch) {
            Err((Errno::INVAL, _)) => old_overlay(lowers, changes, scratch),
            outcome => outcome.map_err(|(_, failure)| failure),
        },
    }
}

fn bind(path: &Path) -> Result<OwnedFd, Failure> {
    clone_at(CWD, path).map_err(Failure::new(format!("mount `{}`", path.display())))
}

fn new_overlay(
    lowers: &[Bytes],
    changes: Option<&Changes>,
    scratch: &Scratch,
) -> Result<OwnedFd, (Errno, Failure)> {
    let at =
        |what: String| move |errno: Errno| (errno, Failure::new(format!("mount the overlay: {what}"))(errno));
    let context =
        rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("open".to_owned()))?;
    for lower in lowers.iter().rev() {
        let path = os(lower);
        rustix::mount::fsconfig_set_string(&context, "lowerdir+", path)
            .map_err(at(format!("layer `{}`", path.display())))?;
    }
    if let Some(changes) = changes {
        for (key, dir) in [("upperdir", &changes.upper), ("workdir", &changes.work)] {
            rustix::mount::fsconfig_set_string(&context, key, os(dir))
                .map_err(at(format!("{key} `{}`", os(dir).display())))?;
        }
        let _ = rustix::mount::fsconfig_set_flag(&context, "volatile");
    } else if lowers.len() == 1 {
        // Without changes the kernel wants two layers.
        let empty = scratch.directory().map_err(at("empty layer".to_owned()))?;
        rustix::mount::fsconfig_set_string(
            &context,
            "lowerdir+",
            format!("/proc/self/fd/{}", empty.as_raw_fd()),
        )
        .map_err(at("empty layer".to_owned()))?;
    }
    rustix::mount::fsconfig_set_flag(&context, "userxattr").map_err(at("userxattr".to_owned()))?;
    for (key, value) in [("index", "off"), ("metacopy", "off")] {
        rustix::mount::fsconfig_set_string(&context, key, value).map_err(at(key.to_owned()))?;
    }
    let _ = rustix::mount::fsconfig_set_string(&context, "uuid", "off");
    rustix::mount::fsconfig_create(&context).map_err(at("create".to_owned()))?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(at("mount".to_owned()))
}

/// For kernels before 6.7, which do not know `lowerdir+`: one string of options, kept short by descriptors.
fn old_overlay(lowers: &[Bytes], changes: Option<&Changes>, scratch: &Scratch) -> Result<OwnedFd, Failure> {
    let open = |path: &Path| {
        rustix::fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(Failure::new(format!("open layer `{}`", path.display())))
    };
    let link = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut kept = lowers
        .iter()
        .rev()
        .map(|lower| open(os(lower)))
        .collect::<Result<Vec<_>, _>>()?;
    if changes.is_none() && kept.len() == 1 {
        kept.push(scratch.directory().map_err(Failure::new("make an empty layer"))?);
    }
    let mut data = format!("lowerdir={}", kept.iter().map(link).collect::<Vec<_>>().join(":"));
    if let Some(changes) = changes {
        let (upper, work) = (open(os(&changes.upper))?, open(os(&changes.work))?);
        data += &format!(",upperdir={},workdir={},volatile", link(&upper), link(&work));
        kept.extend([upper, work]);
    }
    data += ",userxattr,index=off,metacopy=off";
    let point = scratch.directory().map_err(Failure::new("make a mount point"))?;
    let data = std::ffi::CString::new(data).map_err(|_| Failure::text("an option has a zero byte"))?;
    let fail = |errno| Failure::new(format!("mount an overlay of {} layers", lowers.len()))(errno);
    rustix::mount::mount(
        "overlay",
        link(&point),
        "overlay",
        rustix::mount::MountFlags::empty(),
        data.as_c_str(),
    )
    .map_err(fail)?;
    rustix::mount::open_tree(
        CWD,
        link(&point),
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .map_err(fail)
}

/// A mount of one place of a tree that is attached in this namespace.
pub(crate) fn clone_at(dir: impl rustix::fd::AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(dir, path, flags)
}

/// Attaches a mount to a place.
pub(crate) fn attach(mount: &OwnedFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", place, "", flags)
}
