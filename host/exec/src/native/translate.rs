//! Turns a step into the words of the helper.

use crate::Access;
use crate::DeviceKind;
use crate::DeviceNode;
use crate::ExecError;
use crate::MountSource;
use crate::RootFs;
use crate::Security;
use crate::Step;
use crate::StepMount;
use crate::cgroup::Hierarchy;
use crate::defaults;
use crate::limits;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Changes;
use kiln_exec_init::spec::Mount;
use kiln_exec_init::spec::Net;
use kiln_exec_init::spec::Process;
use kiln_exec_init::spec::Setting;
use kiln_exec_init::spec::Source;
use kiln_exec_init::spec::Spec;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The spec of a step on a network.
pub(crate) fn spec(step: &Step, network: Net, hierarchy: &Hierarchy) -> Result<Spec, ExecError> {
    check(step)?;
    let sandboxed = step.security == Security::Sandbox;
    let plan = hierarchy.plan(step)?;
    let mut mounts = defaults::mounts(step);
    mounts.extend(step.mounts.iter().map(|mount| translate(mount, sandboxed)));
    let paths = |list: &[&str]| {
        if sandboxed {
            list.iter().map(|p| (*p).to_owned()).collect()
        } else {
            Vec::new()
        }
    };
    Ok(Spec {
        parent: std::process::id(),
        root: root(&step.root),
        root_readonly: step.root_access == Access::ReadOnly,
        mounts,
        masked: paths(&defaults::MASKED),
        readonly: paths(&defaults::PROTECTED),
        devices: !sandboxed,
        cgroups: plan.groups,
        cgroup_view: plan.view,
        network,
        hostname: step.hostname.clone(),
        process: process(step)?,
        runtime: None,
    })
}

/// Refuses what no executor can run.
pub(crate) fn check(step: &Step) -> Result<(), ExecError> {
    let invalid = |reason: &str| {
        Err(ExecError::Invalid {
            id: step.id.clone(),
            reason: reason.to_owned(),
        })
    };
    if step.args.is_empty() {
        return invalid("it has no command");
    }
    if !step.cwd.starts_with('/') {
        return invalid(&format!("its working directory `{}` is not absolute", step.cwd));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if step.id.is_empty() || step.id.len() > 128 || !step.id.chars().all(fine) {
        return invalid("its id is not 1 to 128 letters, digits, `-`, `_` and `.`");
    }
    Ok(())
}

fn process(step: &Step) -> Result<Process, ExecError> {
    let sandboxed = step.security == Security::Sandbox;
    Ok(Process {
        args: step.args.clone(),
        env: step
            .env
            .iter()
            .map(|(name, value)| Bytes(format!("{name}={value}").into_bytes()))
            .collect(),
        cwd: step.cwd.clone(),
        uid: step.user.uid,
        gid: step.user.gid,
        groups: step.user.groups.clone(),
        rlimits: limits::rlimits(step)?,
        capabilities: sandboxed.then_some(defaults::SANDBOX_CAPABILITIES),
        // The executor has them: they are the same for every step.
        seccomp: Vec::new(),
    })
}

pub(crate) fn bytes(path: &Path) -> Bytes {
    Bytes(path.as_os_str().as_bytes().to_vec())
}

/// The root's source.
pub(crate) fn root(root: &RootFs) -> Source {
    match root {
        RootFs::Directory { path } => Source::Bind { path: bytes(path) },
        RootFs::Overlay { lowers, upper, work } => Source::Overlay {
            lowers: lowers.iter().map(|lower| bytes(lower)).collect(),
            changes: Some(Changes {
                upper: bytes(upper),
                work: bytes(work),
            }),
            selector: String::new(),
        },
    }
}

pub(crate) fn translate(mount: &StepMount, sandboxed: bool) -> Mount {
    let devices = if sandboxed { defaults::NO_DEVICES } else { 0 };
    let protected = |access: &Access| {
        if *access == Access::ReadOnly {
            defaults::READ_ONLY
        } else {
            0
        }
    };
    let (source, attributes) = match &mount.source {
        MountSource::Bind {
            source,
            access,
            limits,
        } => {
            let when = |is: bool, attribute: u64| if is { attribute } else { 0 };
            let limits = when(limits.no_suid, defaults::NO_SUID) | when(limits.no_exec, defaults::NO_EXEC);
            let source = Source::Bind { path: bytes(source) };
            (source, devices | protected(access) | limits)
        }
        MountSource::Device(node) => (device(node), defaults::NO_SUID | defaults::NO_EXEC),
        MountSource::Overlay { access, .. } => (overlay(&mount.source), devices | protected(access)),
        MountSource::Tmpfs { size, mode, access } => {
            let attributes = devices | defaults::NO_SUID | protected(access);
            (tmpfs(*size, *mode), attributes)
        }
        MountSource::File {
            content,
            mode,
            uid,
            gid,
        } => {
            let content = Bytes(content.to_vec());
            let source = Source::File {
                content,
                mode: *mode,
                uid: *uid,
                gid: *gid,
            };
            (
                source,
                defaults::READ_ONLY | defaults::NO_DEVICES | defaults::NO_SUID | defaults::NO_EXEC,
            )
        }
        MountSource::Socket {
            host_path,
            mode,
            uid,
            gid,
        } => (
            Source::Socket {
                path: bytes(host_path),
                mode: *mode,
                uid: *uid,
                gid: *gid,
            },
            0,
        ),
    };
    Mount {
        target: mount.target.clone(),
        source,
        attributes,
        optional: false,
    }
}

fn device(node: &DeviceNode) -> Source {
    let kind = match node.kind {
        DeviceKind::Character => libc::S_IFCHR,
        DeviceKind::Block => libc::S_IFBLK,
        DeviceKind::Pipe => libc::S_IFIFO,
    };
    Source::Device {
        path: bytes(&node.host_path),
        mode: kind | node.mode & 0o7777,
        major: node.major,
        minor: node.minor,
        uid: node.uid,
        gid: node.gid,
    }
}

/// An overlay mount's source; anything else's is its own affair.
fn overlay(source: &MountSource) -> Source {
    let MountSource::Overlay {
        lowers,
        changes,
        selector,
        ..
    } = source
    else {
        return Source::default();
    };
    Source::Overlay {
        lowers: lowers.iter().map(|lower| bytes(lower)).collect(),
        changes: changes.as_ref().map(|c| Changes {
            upper: bytes(&c.upper),
            work: bytes(&c.work),
        }),
        selector: selector.trim_matches('/').to_owned(),
    }
}

fn tmpfs(size: Option<u64>, mode: u32) -> Source {
    let setting = |name: &str, value: String| Setting {
        name: name.to_owned(),
        value,
    };
    let mut options = vec![setting("mode", format!("{mode:o}"))];
    options.extend(size.map(|bytes| setting("size", bytes.to_string())));
    Source::FileSystem {
        kind: "tmpfs".to_owned(),
        options,
    }
}
