//! Puts the step's mounts together and makes them its whole world.

use crate::cgroup;
use crate::failure::Failure;
use crate::failure::describe;
use crate::place;
use crate::place::Missing;
use crate::source;
use crate::source::Scratch;
use crate::stub::StubLog;
use crate::syscalls;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Mount;
use kiln_exec_init::spec::Net;
use kiln_exec_init::spec::Runtime;
use kiln_exec_init::spec::Setting;
use kiln_exec_init::spec::Source;
use kiln_exec_init::spec::Spec;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::mount::UnmountFlags;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

/// Two are expected: the helper's own files and the machine's root.
const DETACH_LIMIT: usize = 8;

/// Enters the step's groups, namespaces and root.
pub(crate) fn enter(spec: &Spec, log: &StubLog) -> Result<(), Failure> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(Failure::new("make mounts private"))?;
    if let Some(runtime) = &spec.runtime {
        return prepare_for_runtime(spec, runtime, log);
    }
    cgroup::join(&spec.cgroups)?;
    // Now, so that the step sees the group that it is in as the root of all groups.
    syscalls::unshare_cgroup().map_err(Failure::new("create a cgroup namespace"))?;
    enter_network(&spec.network)?;
    rustix::system::sethostname(spec.hostname.as_bytes()).map_err(Failure::new("set the host name"))?;
    let machine = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(Failure::new("open the root directory"))?;
    let scratch = Scratch::new(&machine)?;
    let root = attach_root(spec, &scratch)?;
    for mount in &spec.mounts {
        add(&root, mount, spec, (&scratch, log))?;
    }
    hide(&root, spec, &scratch)?;
    make_working_directory(&root, spec)?;
    if spec.root_readonly {
        protect(&root, log)?;
    }
    pivot(&root)
}

fn enter_network(network: &Net) -> Result<(), Failure> {
    match network {
        Net::Host {} => Ok(()),
        Net::Loopback {} => {
            let socket = rustix::net::socket_with(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::DGRAM,
                rustix::net::SocketFlags::CLOEXEC,
                None,
            )
            .map_err(Failure::new("open a socket"))?;
            syscalls::loopback_up(socket.as_fd()).map_err(Failure::new("bring the loopback interface up"))
        }
        Net::Join { path } => {
            let path = OsStr::from_bytes(&path.0);
            let namespace = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(Failure::new("open the network namespace"))?;
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
                .map_err(Failure::new("join the network namespace"))
        }
    }
}

fn attach_root(spec: &Spec, scratch: &Scratch) -> Result<OwnedFd, Failure> {
    let attributes = if spec.devices { 0 } else { syscalls::ATTR_NODEV };
    let root = source::open(&spec.root, attributes, scratch)?;
    scratch.attach(&root)?;
    Ok(root)
}

fn add(
    root: &OwnedFd,
    mount: &Mount,
    spec: &Spec,
    (scratch, log): (&Scratch, &StubLog),
) -> Result<(), Failure> {
    if matches!(mount.source, Source::Cgroups {}) {
        return add_cgroups(root, mount, &spec.cgroup_view);
    }
    let named = |failure: Failure| {
        Failure::text(format!(
            "error mounting to rootfs at {:?}: {failure}",
            mount.target
        ))
    };
    let opened = match source::open(&mount.source, mount.attributes, scratch) {
        Err(_) if mount.optional => return Ok(()),
        outcome => outcome.map_err(named)?,
    };
    let directory = place::file_type(&opened).is_ok_and(|kind| kind == FileType::Directory);
    let target = match place::open(root, &mount.target, Missing::Stub { log, directory }) {
        Err(_) if mount.optional => return Ok(()),
        outcome => outcome.map_err(named)?,
    };
    if mount.target == "/dev" && matches!(mount.source, Source::FileSystem { .. }) {
        link_devices(&opened).map_err(Failure::new("link devices"))?;
    }
    if directory != place::file_type(&target).is_ok_and(|kind| kind == FileType::Directory) {
        let text = "not a directory: Are you trying to mount a directory onto a file (or vice-versa)?";
        return Err(named(Failure::text(text)));
    }
    source::attach(&opened, &target).map_err(|errno| named(Failure::text(describe(errno))))
}

/// The links that every `/dev` has.
fn link_devices(dev: &OwnedFd) -> Result<(), Errno> {
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("/proc/kcore", "core"),
        ("pts/ptmx", "ptmx"),
    ];
    for (target, name) in links {
        match rustix::fs::symlinkat(target, dev, name) {
            Ok(()) | Err(Errno::EXIST | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Shows the step its own control groups, read-only unless the mount says otherwise.
fn add_cgroups(root: &OwnedFd, mount: &Mount, view: &[String]) -> Result<(), Failure> {
    let Some(target) = place::find(root, &mount.target)? else {
        return Ok(());
    };
    let put = |opened: &OwnedFd, place: &OwnedFd| {
        source::attach(opened, place).map_err(Failure::new(format!("mount on `{}`", mount.target)))
    };
    if let [only] = view
        && only == "cgroup2"
    {
        return match source::new_file_system("cgroup2", &[], mount.attributes) {
            Ok(opened) => put(&opened, &target),
            Err(_) => Ok(()),
        };
    }
    if view.is_empty() {
        return Ok(());
    }
    let option = |name: &str, value: &str| Setting {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let top = source::new_file_system("tmpfs", &[option("mode", "0755")], 0)?;
    put(&top, &target)?;
    for controller in view {
        let (name, value) = controller.split_once('=').unwrap_or((controller, ""));
        let Ok(opened) = source::new_file_system("cgroup", &[option(name, value)], mount.attributes) else {
            continue;
        };
        let dir = controller.rsplit('=').next().unwrap_or(controller);
        let fail = || Failure::new(format!("make `{}/{dir}`", mount.target));
        rustix::fs::mkdirat(&top, dir, Mode::from_raw_mode(0o755)).map_err(fail())?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        put(
            &opened,
            &rustix::fs::openat(&top, dir, flags, Mode::empty()).map_err(fail())?,
        )?;
    }
    if mount.attributes & syscalls::ATTR_RDONLY != 0 {
        syscalls::set_mount_attributes(top.as_fd(), syscalls::ATTR_RDONLY)
            .map_err(Failure::new(format!("protect `{}`", mount.target)))?;
    }
    Ok(())
}

/// Masks and protects what a container must not see or change of the kernel.
fn hide(root: &OwnedFd, spec: &Spec, scratch: &Scratch) -> Result<(), Failure> {
    for path in &spec.readonly {
        let Some(target) = place::find(root, path)? else {
            continue;
        };
        let fail = || Failure::new(format!("protect `{path}`"));
        let mount = source::clone_at(&target, "").map_err(fail())?;
        syscalls::set_mount_attributes(mount.as_fd(), syscalls::ATTR_RDONLY).map_err(fail())?;
        source::attach(&mount, &target).map_err(fail())?;
    }
    for path in &spec.masked {
        let Some(target) = place::find(root, path)? else {
            continue;
        };
        let fail = || Failure::new(format!("mask `{path}`"));
        let mount = if place::file_type(&target).map_err(fail())? == FileType::Directory {
            scratch.empty().map_err(fail())?
        } else {
            source::clone_at(rustix::fs::CWD, "/dev/null").map_err(fail())?
        };
        source::attach(&mount, &target).map_err(fail())?;
    }
    Ok(())
}

/// Makes the root read-only. Mount points in it are removed later through a mount that is not.
fn protect(root: &OwnedFd, log: &StubLog) -> Result<(), Failure> {
    let fail = || Failure::new("make the root file system read-only");
    let twin = source::clone_at(root, "").map_err(fail())?;
    let root_mount = mount_id(root).map_err(fail())?;
    let top = path_of(root.as_raw_fd()).map_err(fail())?;
    for entry in log.entries() {
        let parent = syscalls::borrow_shared(entry.parent);
        if mount_id(parent).map_err(fail())? != root_mount {
            continue;
        }
        let path = path_of(entry.parent).map_err(fail())?;
        let path = path
            .strip_prefix(top.as_slice())
            .and_then(|rest| rest.strip_prefix(b"/"))
            .unwrap_or(b".");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let writable = rustix::fs::openat2(&twin, path, flags, Mode::empty(), resolve).map_err(fail())?;
        log.replace_parent(entry.parent, &writable).map_err(fail())?;
    }
    set_readonly_alone(root).map_err(fail())
}

fn path_of(descriptor: i32) -> Result<Vec<u8>, Errno> {
    Ok(rustix::fs::readlink(format!("/proc/self/fd/{descriptor}"), Vec::new())?.into_bytes())
}

fn set_readonly_alone(root: &OwnedFd) -> Result<(), Errno> {
    syscalls::set_one_mount_attributes(root.as_fd(), syscalls::ATTR_RDONLY)
}

fn mount_id(fd: impl rustix::fd::AsFd) -> Result<u64, Errno> {
    let mask = rustix::fs::StatxFlags::MNT_ID;
    Ok(rustix::fs::statx(fd, "", rustix::fs::AtFlags::EMPTY_PATH, mask)?.stx_mnt_id)
}

fn pivot(root: &OwnedFd) -> Result<(), Failure> {
    rustix::process::fchdir(root).map_err(Failure::new("enter the root file system"))?;
    rustix::process::pivot_root(".", ".").map_err(Failure::new("pivot to the root file system"))?;
    detach_machine(root).map_err(Failure::new("detach the machine's file systems"))?;
    rustix::process::chdir("/").map_err(Failure::new("enter the root file system"))
}

/// After the pivot the machine's file systems lie on top of the step's root, one above the other: `..` of any directory
/// in the root would lead to them. They are taken away until `..` leads to the root itself.
fn detach_machine(root: &OwnedFd) -> Result<(), Errno> {
    let own = mount_id(root)?;
    for _ in 0..DETACH_LIMIT {
        let above = rustix::fs::openat(root, "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if mount_id(&above)? == own {
            return Ok(());
        }
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    }
    Err(Errno::BUSY)
}

/// Mounts the root at its place in the bundle, and everything else inside it, as the runtime would. Nothing lies on the
/// machine's root here: a runtime takes one layer away when it pivots, not two.
fn prepare_for_runtime(spec: &Spec, runtime: &Runtime, log: &StubLog) -> Result<(), Failure> {
    for path in &runtime.hide {
        let _ = rustix::mount::unmount(path.as_str(), UnmountFlags::DETACH);
    }
    let place = |path: &Bytes| {
        let path = OsStr::from_bytes(&path.0);
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(Failure::new(format!("open mount point `{}`", path.display())))
    };
    let scratch = Scratch::new(&place(&runtime.scratch)?)?;
    let rootfs = place(&runtime.rootfs)?;
    let attributes = if spec.devices { 0 } else { syscalls::ATTR_NODEV };
    let root = source::open(&spec.root, attributes, &scratch)?;
    source::attach(&root, &rootfs).map_err(Failure::new("mount the root file system"))?;
    for stub in &runtime.stubs {
        place::open(
            &root,
            &stub.target,
            Missing::Stub {
                log,
                directory: stub.directory,
            },
        )?;
    }
    for mount in &spec.mounts {
        add(&root, mount, spec, (&scratch, log))?;
    }
    make_working_directory(&root, spec)
}

/// As BuildKit does, and as the step's user.
fn make_working_directory(root: &OwnedFd, spec: &Spec) -> Result<(), Failure> {
    let process = &spec.process;
    place::open(
        root,
        &process.cwd,
        Missing::Keep {
            uid: process.uid,
            gid: process.gid,
        },
    )
    .map(drop)
    .map_err(|failure| Failure::text(format!("mkdir {}: {failure}", process.cwd)))
}
