//! The system calls that rustix has no wrapper for. All `unsafe` of the helper is here.

use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;

pub(crate) const ATTR_RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
pub(crate) const ATTR_NODEV: u64 = libc::MOUNT_ATTR_NODEV;

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 { Err(last_error()) } else { Ok(result) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Forks with namespaces; 0 in the child. The child shares the table of open files until it executes a program.
pub(crate) fn fork(namespaces: libc::c_int) -> Result<i32, Errno> {
    let flags = namespaces | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: this program has one thread, so that the child's copy of the memory is consistent; no stack is given,
    // so that the child goes on with a copy of this one, as after fork.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) })?;
    i32::try_from(pid).map_err(|_| Errno::OVERFLOW)
}

/// Makes the control groups of this process the root of what it sees.
pub(crate) fn unshare_cgroup() -> Result<(), Errno> {
    // SAFETY: takes numbers only, and nothing in this program depends on the namespace.
    check(libc::c_long::from(unsafe {
        libc::unshare(libc::CLONE_NEWCGROUP)
    }))
    .map(drop)
}

/// Sets attributes on a mount and everything below it.
pub(crate) fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> Result<(), Errno> {
    mount_setattr(mount, attributes, libc::AT_EMPTY_PATH | libc::AT_RECURSIVE)
}

/// Sets attributes on a mount, not on what is mounted below it.
pub(crate) fn set_one_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> Result<(), Errno> {
    mount_setattr(mount, attributes, libc::AT_EMPTY_PATH)
}

fn mount_setattr(mount: BorrowedFd<'_>, attributes: u64, flags: libc::c_int) -> Result<(), Errno> {
    let attr = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the descriptor is open, the path is an empty C string, and `attr` lives through the call with its size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Takes a capability out of the bounding set.
pub(crate) fn drop_from_bounding_set(capability: u32) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    check(libc::c_long::from(unsafe {
        libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0)
    }))
    .map(drop)
}

/// Limits permitted and effective capabilities to `mask`; none are inheritable.
pub(crate) fn set_capabilities(mask: u64) -> Result<(), Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    // SAFETY: version 3 takes two records of three numbers each, which `data` is; both live through the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// Permitted capabilities of this process.
pub(crate) fn permitted_capabilities() -> Result<u64, Errno> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut data = [0_u32; 6];
    // SAFETY: version 3 fills two records of three numbers each, which `data` has room for.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) })?;
    Ok(u64::from(data[1]) | (u64::from(data[4]) << 32))
}

/// Installs a seccomp program: an array of `sock_filter`.
pub(crate) fn install_seccomp(program: &[u8]) -> Result<(), Errno> {
    let filters: Vec<libc::sock_filter> = program
        .chunks_exact(8)
        .map(|raw| libc::sock_filter {
            code: u16::from_le_bytes([raw[0], raw[1]]),
            jt: raw[2],
            jf: raw[3],
            k: u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]),
        })
        .collect();
    let len = u16::try_from(filters.len()).map_err(|_| Errno::TOOBIG)?;
    let program = libc::sock_fprog {
        len,
        filter: filters.as_ptr().cast_mut(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` points to `len` instructions that live through the call; the kernel only reads them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) }).map(drop)
}

/// Brings the loopback interface of the current network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: all zeroes is a valid value of this plain struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = libc::c_char::try_from(b'l').unwrap_or_default();
    request.ifr_name[1] = libc::c_char::try_from(b'o').unwrap_or_default();
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or_default();
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which lives through the call.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    }))
    .map(drop)
}

/// Sets a limit by its number.
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: reads one `rlimit64`, which lives through the call; the old value is not asked for.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            &raw const limit,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    })
    .map(drop)
}

/// Makes the descriptor `raw` mean what `fd` means.
pub(crate) fn replace_shared(raw: i32, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: `raw` is a descriptor of the stub log, which no value of this program owns.
    check(libc::c_long::from(unsafe {
        libc::dup3(fd.as_raw_fd(), raw, libc::O_CLOEXEC)
    }))
    .map(drop)
}

/// Replaces the program; returns only when that fails.
pub(crate) fn execute(path: &CString, args: &[CString], env: &[CString]) -> Errno {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|item| item.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer, and the strings they point to live through the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    last_error()
}

/// Blocks the signals that [`next_signal`] waits for.
pub(crate) fn block_signals() {
    let set = waited_signals();
    // SAFETY: `set` lives through the call; the old set is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Ends the forked child at once: what the memory it copied owns is not its own to drop.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends this process; takes a number only.
    unsafe { libc::_exit(code) }
}

/// Waits for `SIGCHLD` or `SIGTERM`.
pub(crate) fn next_signal() -> i32 {
    let set = waited_signals();
    // SAFETY: `set` lives through the call; no details are asked for.
    unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) }
}

/// Puts back what a fresh program expects: no signal blocked, none ignored.
pub(crate) fn reset_signals() {
    // SAFETY: all zeroes is an empty set; both calls take it or numbers only.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

fn waited_signals() -> libc::sigset_t {
    // SAFETY: all zeroes is a valid value, and both calls write into it only.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        set
    }
}

/// Makes every descriptor from `first` on close when a program is executed, in this process only.
pub(crate) fn close_on_exec_from(first: u32) {
    let flags = libc::CLOSE_RANGE_CLOEXEC | libc::CLOSE_RANGE_UNSHARE;
    // SAFETY: takes numbers only; nothing is closed yet.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) {
    // SAFETY: called when nothing in this program owns a descriptor from there on.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// A descriptor that the other process of this program left in the shared table.
pub(crate) fn borrow_shared(raw: i32) -> BorrowedFd<'static> {
    // SAFETY: descriptors named in the stub log are never closed before `close_from`.
    unsafe { BorrowedFd::borrow_raw(raw) }
}
