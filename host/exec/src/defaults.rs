//! What every step's file system has besides its root: the same as BuildKit's, for every executor.

use crate::Network;
use crate::Security;
use crate::Step;
use crate::files;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Mount;
use kiln_exec_init::spec::Setting;
use kiln_exec_init::spec::Source;

pub(crate) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
pub(crate) const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;
pub(crate) const NO_SUID: u64 = libc::MOUNT_ATTR_NOSUID;
pub(crate) const NO_EXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
const STRICT_TIMES: u64 = libc::MOUNT_ATTR_STRICTATIME;

/// Size of `/dev/shm` when a step does not say.
pub(crate) const SHM_SIZE: u64 = 64 << 20;

/// Capabilities of a sandboxed step: docker's default set, `CapBnd 00000000a80425fb`.
pub(crate) const SANDBOX_CAPABILITIES: u64 = 0xa804_25fb;

/// What a sandboxed step does not see of the kernel.
pub(crate) const MASKED: [&str; 13] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
];

/// What a sandboxed step cannot change of the kernel.
pub(crate) const PROTECTED: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The devices that every step has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// The mounts that come before the step's own.
pub(crate) fn mounts(step: &Step) -> Vec<Mount> {
    let strict = NO_SUID | NO_EXEC | NO_DEVICES;
    let shm = step.shm_size.unwrap_or(SHM_SIZE).to_string();
    let mut all = vec![
        file_system("/proc", "proc", &[], strict),
        file_system(
            "/dev",
            "tmpfs",
            &[("mode", "755"), ("size", "65536k")],
            NO_SUID | STRICT_TIMES | dev_attributes(step),
        ),
        file_system("/dev/pts", "devpts", terminals(), NO_SUID | NO_EXEC),
        file_system("/dev/shm", "tmpfs", &[("mode", "1777"), ("size", &shm)], strict),
        file_system("/dev/mqueue", "mqueue", &[], strict),
        sys(step),
        Mount {
            target: "/sys/fs/cgroup".to_owned(),
            source: Source::Cgroups {},
            attributes: cgroups(step),
            optional: true,
        },
        content("/etc/resolv.conf", files::resolv_conf(step)),
        content("/etc/hosts", files::hosts(step)),
    ];
    all.extend(DEVICES.map(|name| Mount {
        target: format!("/dev/{name}"),
        source: Source::Bind {
            path: Bytes(format!("/dev/{name}").into_bytes()),
        },
        attributes: NO_SUID | NO_EXEC,
        optional: name == "tty",
    }));
    all
}

/// Terminals belong to the group `tty`, where there is one to be had.
fn terminals() -> &'static [(&'static str, &'static str)] {
    const OPTIONS: [(&str, &str); 3] = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    if crate::rootless::mapped_groups() > 5 {
        &OPTIONS
    } else {
        &OPTIONS[..2]
    }
}

fn dev_attributes(step: &Step) -> u64 {
    if step.security == Security::Insecure {
        0
    } else {
        NO_DEVICES
    }
}

/// A private network has its own part of sysfs; with the machine's, only a bind mount is possible for everybody.
fn sys(step: &Step) -> Mount {
    let writable = if step.security == Security::Insecure {
        0
    } else {
        READ_ONLY
    };
    let attributes = NO_SUID | NO_EXEC | NO_DEVICES | writable;
    if step.network == Network::Host {
        let source = Source::Bind {
            path: Bytes(b"/sys".to_vec()),
        };
        return Mount {
            target: "/sys".to_owned(),
            source,
            attributes,
            optional: true,
        };
    }
    file_system("/sys", "sysfs", &[], attributes)
}

fn cgroups(step: &Step) -> u64 {
    let writable = if step.security == Security::Insecure {
        0
    } else {
        READ_ONLY
    };
    NO_SUID | NO_EXEC | NO_DEVICES | writable
}

pub(crate) fn content(target: &str, content: Vec<u8>) -> Mount {
    let source = Source::File {
        content: Bytes(content),
        mode: 0o644,
        uid: 0,
        gid: 0,
    };
    Mount {
        target: target.to_owned(),
        source,
        attributes: READ_ONLY,
        optional: false,
    }
}

fn file_system(target: &str, kind: &str, options: &[(&str, &str)], attributes: u64) -> Mount {
    let options = options.iter().map(|(name, value)| Setting {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    let source = Source::FileSystem {
        kind: kind.to_owned(),
        options: options.collect(),
    };
    Mount {
        target: target.to_owned(),
        source,
        attributes,
        optional: false,
    }
}
