//! Gives a step what comes with a device.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::DeviceError;
use super::spec::Edits;
use super::spec::Mount;
use super::spec::Node;
use crate::Access;
use crate::BindLimits;
use crate::DeviceKind;
use crate::DeviceNode;
use crate::MountSource;
use crate::Step;
use crate::StepMount;

/// Permissions of a device file that the specification does not say, as runc has them.
const NODE_MODE: u32 = 0o666;

/// Changes `step` as `edits` say. `device` is named in errors.
pub(super) fn apply(step: &mut Step, device: &str, edits: &Edits) -> Result<(), DeviceError> {
    let unsupported = |reason: String| DeviceError::Unsupported {
        device: device.to_owned(),
        reason,
    };
    refuse(edits).map_err(unsupported)?;
    for pair in &edits.env {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| unsupported(format!("`{pair}` is no variable (expected `NAME=value`)")))?;
        step.env.retain(|(known, _)| known != name);
        step.env.push((name.to_owned(), value.to_owned()));
    }
    for written in &edits.device_nodes {
        let mount = node(step, written).map_err(unsupported)?;
        step.mounts.push(mount);
    }
    for written in &edits.mounts {
        step.mounts.push(mount(written).map_err(unsupported)?);
    }
    for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
        if !step.user.groups.contains(gid) {
            step.user.groups.push(*gid);
        }
    }
    Ok(())
}

/// A step runs no program of the machine, and nothing of the machine is configured for it.
fn refuse(edits: &Edits) -> Result<(), String> {
    if let Some(hook) = edits.hooks.first() {
        return Err(format!(
            "it has the hook `{}` ({}), and hooks are programs that would run on this machine, outside the sandbox \
             (make a specification without hooks: `nvidia-ctk cdi generate` has `--disable-hook`)",
            hook.path, hook.hook_name
        ));
    }
    if edits.intel_rdt.is_some() {
        return Err("`intelRdt` is not supported".to_owned());
    }
    if !edits.net_devices.is_empty() {
        return Err("`netDevices` are not supported".to_owned());
    }
    Ok(())
}

fn node(step: &Step, node: &Node) -> Result<StepMount, String> {
    if !node.path.starts_with('/') {
        return Err(format!(
            "the path `{}` of its device file is not absolute",
            node.path
        ));
    }
    let may = |what: char| node.permissions.is_empty() || node.permissions.contains(what);
    if !may('r') || !may('w') {
        return Err(format!(
            "the permissions `{}` of `{}` cannot be held (expected `rw` or `rwm`)",
            node.permissions, node.path
        ));
    }
    let host = if node.host_path.is_empty() {
        &node.path
    } else {
        &node.host_path
    };
    let (kind, major, minor) = numbers(node, Path::new(host))?;
    let own = |id: u32| if id > 0 { Some(id) } else { None };
    Ok(StepMount {
        target: node.path.clone(),
        source: MountSource::Device(DeviceNode {
            host_path: PathBuf::from(host),
            kind,
            major,
            minor,
            mode: node.file_mode.unwrap_or(NODE_MODE) & 0o7777,
            uid: node.uid.or(own(step.user.uid)).unwrap_or_default(),
            gid: node.gid.or(own(step.user.gid)).unwrap_or_default(),
        }),
    })
}

/// What the device file is: as written, else as it is on the machine.
fn numbers(node: &Node, host: &Path) -> Result<(DeviceKind, u32, u32), String> {
    let written = match node.kind.as_str() {
        "" => None,
        "c" | "u" => Some(DeviceKind::Character),
        "b" => Some(DeviceKind::Block),
        "p" => Some(DeviceKind::Pipe),
        other => {
            return Err(format!(
                "the type `{other}` of `{}` is none (expected c, u, b or p)",
                node.path
            ));
        }
    };
    if let (Some(kind), Some(major), Some(minor)) = (written, node.major, node.minor) {
        return Ok((kind, major, minor));
    }
    if let Some(DeviceKind::Pipe) = written {
        return Ok((DeviceKind::Pipe, 0, 0));
    }
    let failed = |reason: &str| format!("cannot stat the device file `{}`: {reason}", host.display());
    let found = fs::metadata(host).map_err(|error| failed(&error.to_string()))?;
    let kind = found.file_type();
    let kind = if kind.is_char_device() {
        DeviceKind::Character
    } else if kind.is_block_device() {
        DeviceKind::Block
    } else {
        return Err(failed("it is not a device"));
    };
    if written.is_some_and(|written| written != kind) {
        return Err(failed(&format!("it is not of the type `{}`", node.kind)));
    }
    let device = found.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok((kind, node.major.unwrap_or(major), node.minor.unwrap_or(minor)))
}

fn mount(mount: &Mount) -> Result<StepMount, String> {
    if !mount.container_path.starts_with('/') {
        return Err(format!(
            "the mount point `{}` is not absolute",
            mount.container_path
        ));
    }
    if !matches!(mount.kind.as_str(), "" | "bind" | "none") {
        return Err(format!(
            "the mount type `{}` of `{}` is not supported (expected `bind`)",
            mount.kind, mount.container_path
        ));
    }
    let mut access = Access::ReadWrite;
    let mut limits = BindLimits::default();
    for option in &mount.options {
        match option.as_str() {
            "ro" => access = Access::ReadOnly,
            "rw" => access = Access::ReadWrite,
            "nosuid" => limits.no_suid = true,
            "noexec" => limits.no_exec = true,
            // What every mount of a step has, or what makes no difference in its own mount namespace.
            "bind" | "rbind" | "nodev" | "private" | "rprivate" | "slave" | "rslave" | "relatime" => {}
            other => {
                return Err(format!(
                    "the mount option `{other}` of `{}` is not supported",
                    mount.container_path
                ));
            }
        }
    }
    if !Path::new(&mount.host_path).exists() {
        return Err(format!("`{}` of this machine does not exist", mount.host_path));
    }
    Ok(StepMount {
        target: mount.container_path.clone(),
        source: MountSource::Bind {
            source: PathBuf::from(&mount.host_path),
            access,
            limits,
        },
    })
}
