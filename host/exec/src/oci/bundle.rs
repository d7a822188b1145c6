//! A bundle on disk: a place for the root and `config.json`. Gone when it is dropped.

use super::config;
use crate::ExecError;
use crate::MountSource;
use crate::Security;
use crate::Step;
use crate::cgroup::Hierarchy;
use crate::defaults;
use crate::files;
use crate::native::translate;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Net;
use kiln_exec_init::spec::Process;
use kiln_exec_init::spec::Runtime;
use kiln_exec_init::spec::Spec;
use kiln_exec_init::spec::Stub;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// A bundle.
pub(super) struct Bundle {
    dir: PathBuf,
    hybrid: bool,
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // Best effort: what was mounted here was mounted in the helper's namespace, so only plain files are left.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Bundle {
    pub(super) fn create(
        scratch: &Path,
        step: &Step,
        network: &Net,
        hierarchy: &Hierarchy,
    ) -> Result<Self, ExecError> {
        let dir = scratch.join(format!("{}-{}", std::process::id(), step.id));
        let io = |error| ExecError::io(format!("create the bundle `{}`", dir.display()))(error);
        let bundle = Self {
            dir: dir.clone(),
            hybrid: hierarchy.is_hybrid(),
        };
        fs::create_dir_all(dir.join("rootfs")).map_err(io)?;
        fs::create_dir(dir.join("scratch")).map_err(io)?;
        let config = config::build(step, (&dir.join("rootfs"), network), hierarchy)?;
        config
            .save(dir.join("config.json"))
            .map_err(|error| ExecError::Setup {
                id: step.id.clone(),
                reason: format!("cannot write the bundle's `config.json`: {error}"),
            })?;
        Ok(bundle)
    }

    /// What the helper does for this bundle.
    pub(super) fn spec(&self, runtime: &Path, step: &Step) -> Spec {
        let text = |text: &str| Bytes(text.as_bytes().to_vec());
        let state = self.dir.join("state");
        let mut global = vec![
            translate::bytes(runtime),
            text("--root"),
            translate::bytes(&state),
            text("--log"),
        ];
        global.extend([
            translate::bytes(&self.dir.join("log")),
            text("--log-format"),
            text("json"),
        ]);
        let call = |rest: &[Bytes]| [global.as_slice(), rest].concat();
        let sandboxed = step.security == Security::Sandbox;
        let mut mounts = vec![
            defaults::content("/etc/resolv.conf", files::resolv_conf(step)),
            defaults::content("/etc/hosts", files::hosts(step)),
        ];
        mounts.extend(
            step.mounts
                .iter()
                // The runtime makes device files itself, in the `/dev` that it mounts.
                .filter(|mount| !matches!(mount.source, MountSource::Device(_)))
                .map(|mount| translate::translate(mount, sandboxed)),
        );
        let stub = |target: &str| Stub {
            target: target.to_owned(),
            directory: true,
        };
        Spec {
            parent: std::process::id(),
            root: translate::root(&step.root),
            mounts,
            devices: !sandboxed,
            process: Process {
                cwd: step.cwd.clone(),
                uid: step.user.uid,
                gid: step.user.gid,
                ..Process::default()
            },
            runtime: Some(Runtime {
                rootfs: translate::bytes(&self.dir.join("rootfs")),
                scratch: translate::bytes(&self.dir.join("scratch")),
                args: call(&[
                    text("run"),
                    text("--bundle"),
                    translate::bytes(&self.dir),
                    text(&step.id),
                ]),
                delete: call(&[text("delete"), text("--force"), text(&step.id)]),
                hide: if self.hybrid {
                    vec!["/sys/fs/cgroup/unified".to_owned()]
                } else {
                    Vec::new()
                },
                stubs: vec![stub("/proc"), stub("/dev"), stub("/sys")],
            }),
            ..Spec::default()
        }
    }

    /// The last error that the runtime wrote down.
    pub(super) fn runtime_error(&self) -> Option<String> {
        let log = fs::read_to_string(self.dir.join("log")).ok()?;
        log.lines().rev().find_map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).ok()?;
            let level = entry
                .get("level")
                .and_then(|level| level.as_str())
                .unwrap_or("error");
            (level == "error").then(|| entry.get("msg")?.as_str().map(str::to_owned))?
        })
    }
}
