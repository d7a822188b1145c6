//! `config.json` of a step, with the same content for every runtime.

use crate::Access;
use crate::DeviceKind;
use crate::DeviceNode;
use crate::ExecError;
use crate::MountSource;
use crate::Network;
use crate::Security;
use crate::Step;
use crate::cgroup::Hierarchy;
use crate::defaults;
use crate::limits;
use crate::seccomp;
use kiln_exec_init::spec::Net;
use oci_spec::runtime::Spec;
use serde_json::Value;
use serde_json::json;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Names of the capabilities by number.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The configuration of a step whose root is mounted at `rootfs`.
pub(super) fn build(
    step: &Step,
    (rootfs, network): (&Path, &Net),
    hierarchy: &Hierarchy,
) -> Result<Spec, ExecError> {
    // Refuses limits that cannot be had here, in the same words as the native executor.
    hierarchy.plan(step)?;
    let sandboxed = step.security == Security::Sandbox;
    let document = json!({
        "ociVersion": "1.0.2",
        "process": process(step)?,
        "root": { "path": rootfs, "readonly": step.root_access == Access::ReadOnly },
        "hostname": step.hostname,
        "mounts": mounts(step),
        "linux": {
            "namespaces": namespaces(network),
            "devices": nodes(step).map(device_file).collect::<Vec<_>>(),
            "resources": resources(step),
            "cgroupsPath": cgroup(step),
            "maskedPaths": if sandboxed { json!(defaults::MASKED) } else { json!([]) },
            "readonlyPaths": if sandboxed { json!(defaults::PROTECTED) } else { json!([]) },
            "seccomp": if sandboxed { seccomp::oci() } else { Value::Null },
        },
    });
    serde_json::from_value(document).map_err(|error| ExecError::Invalid {
        id: step.id.clone(),
        reason: format!("it does not fit into an OCI configuration: {error}"),
    })
}

/// The step's control group, below its parent.
fn cgroup(step: &Step) -> String {
    let parent = step.cgroup_parent.as_deref().unwrap_or("/").trim_end_matches('/');
    format!("{parent}/kiln-{}-{}", std::process::id(), step.id)
}

fn process(step: &Step) -> Result<Value, ExecError> {
    let own = own_capabilities();
    let mask = if step.security == Security::Sandbox {
        defaults::SANDBOX_CAPABILITIES & own
    } else {
        own
    };
    let names: Vec<String> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(number, _)| mask & (1 << number) != 0)
        .map(|(_, name)| format!("CAP_{name}"))
        .collect();
    let limits: Vec<Value> = limits::rlimits(step)?
        .iter()
        .map(|limit| json!({ "type": limits::oci_name(limit.resource), "soft": limit.soft, "hard": limit.hard }))
        .collect();
    Ok(json!({
        "terminal": false,
        "user": { "uid": step.user.uid, "gid": step.user.gid, "additionalGids": step.user.groups, "umask": 0o022 },
        "args": step.args,
        "env": step.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "cwd": step.cwd,
        "capabilities": { "bounding": names, "effective": names, "permitted": names, "inheritable": [], "ambient": [] },
        "rlimits": limits,
        "noNewPrivileges": false,
    }))
}

/// What this process may hand on: a runtime fails when it is asked for more.
fn own_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bound = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    bound
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

/// Those of the kernel; the step's own are in the root already.
fn mounts(step: &Step) -> Vec<Value> {
    let sandboxed = step.security == Security::Sandbox;
    let access = if sandboxed { "ro" } else { "rw" };
    let shm = format!("size={}", step.shm_size.unwrap_or(defaults::SHM_SIZE));
    let mount = |target: &str, kind: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    let sys = if step.network == Network::Host {
        json!({ "destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", access] })
    } else {
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", access])
    };
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm],
        ),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        sys,
    ]
}

fn namespaces(network: &Net) -> Vec<Value> {
    let mut all: Vec<Value> = ["pid", "ipc", "uts", "mount", "cgroup"]
        .iter()
        .map(|kind| json!({ "type": kind }))
        .collect();
    match network {
        Net::Host {} => {}
        Net::Loopback {} => all.push(json!({ "type": "network" })),
        Net::Join { path } => {
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path.0));
            all.push(json!({ "type": "network", "path": path }));
        }
    }
    all
}

/// The step's own device files, by their path.
fn nodes(step: &Step) -> impl Iterator<Item = (&str, &DeviceNode)> {
    step.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Device(node) => Some((mount.target.as_str(), node)),
        _ => None,
    })
}

fn letter(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Character => "c",
        DeviceKind::Block => "b",
        DeviceKind::Pipe => "p",
    }
}

fn device_file((path, node): (&str, &DeviceNode)) -> Value {
    json!({
        "path": path,
        "type": letter(node.kind),
        "major": node.major,
        "minor": node.minor,
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    })
}

/// Limits, and the devices that docker permits: its standard ones, and making any.
fn resources(step: &Step) -> Value {
    let allow = |kind: &str, numbers: Option<(i64, i64)>, access: &str| match numbers {
        Some((major, minor)) => {
            json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access })
        }
        None => json!({ "allow": true, "type": kind, "access": access }),
    };
    let mut devices = Vec::new();
    if step.security == Security::Sandbox {
        devices.push(json!({ "allow": false, "access": "rwm" }));
        devices.extend([allow("c", None, "m"), allow("b", None, "m")]);
        let standard = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)];
        devices.extend(standard.map(|numbers| allow("c", Some(numbers), "rwm")));
        devices.push(json!({ "allow": true, "type": "c", "major": 136, "access": "rwm" }));
        let own = nodes(step).filter(|(_, node)| node.kind != DeviceKind::Pipe);
        devices.extend(own.map(|(_, node)| {
            let numbers = (i64::from(node.major), i64::from(node.minor));
            allow(letter(node.kind), Some(numbers), "rwm")
        }));
    } else {
        devices.push(json!({ "allow": true, "access": "rwm" }));
    }
    let r = &step.resources;
    let mut all = json!({ "devices": devices });
    let mut put = |group: &str, name: &str, value: Value| {
        if !value.is_null() {
            all[group][name] = value;
        }
    };
    put("memory", "limit", json!(r.memory));
    put("memory", "swap", json!(r.memory_swap));
    put("cpu", "shares", json!(r.cpu_shares));
    put("cpu", "period", json!(r.cpu_period));
    put("cpu", "quota", json!(r.cpu_quota));
    put("cpu", "cpus", json!(r.cpuset_cpus));
    put("cpu", "mems", json!(r.cpuset_mems));
    all
}
