//! A bundle on disk: directories to mount at, and `config.json`. Gone when it is dropped.

use super::config;
use crate::Access;
use crate::ExecError;
use crate::MountSource;
use crate::Step;
use crate::cgroup::Hierarchy;
use crate::defaults;
use crate::files;
use crate::native::translate;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Mount;
use kiln_exec_init::spec::Net;
use kiln_exec_init::spec::Process;
use kiln_exec_init::spec::Runtime;
use kiln_exec_init::spec::Source;
use kiln_exec_init::spec::Spec;
use kiln_exec_init::spec::Stub;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

/// A bundle.
pub(super) struct Bundle {
    dir: PathBuf,
    /// What the helper mounts inside the bundle, as the runtime cannot.
    prepared: Vec<Mount>,
    stubs: Vec<Stub>,
    hybrid: bool,
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // Best effort: what was mounted here was mounted in the helper's namespace, so only plain files are left.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Bundle {
    pub(super) fn create(scratch: &Path, step: &Step, network: &Net, hierarchy: &Hierarchy) -> Result<Self, ExecError> {
        let dir = scratch.join(format!("{}-{}", std::process::id(), step.id));
        let io = |error| ExecError::io(format!("create the bundle `{}`", dir.display()))(error);
        fs::create_dir_all(dir.join("rootfs")).map_err(io)?;
        let hybrid = hierarchy.is_hybrid();
        let mut bundle = Self { dir: dir.clone(), prepared: Vec::new(), stubs: Vec::new(), hybrid };
        let mut binds = Vec::new();
        for (target, content) in
            [("/etc/resolv.conf", files::resolv_conf(step)), ("/etc/hosts", files::hosts(step))]
        {
            let path = dir.join(target.trim_start_matches('/').replace('/', "-"));
            fs::write(&path, content).map_err(io)?;
            binds.push(config::Bind { source: path, target: target.to_owned(), access: Access::ReadOnly });
            bundle.stub(target, false);
        }
        for (number, mount) in step.mounts.iter().enumerate() {
            let place = dir.join(format!("mount-{number}"));
            if let Some(bind) = bundle.add(mount.target.clone(), &mount.source, place).map_err(io)? {
                binds.push(bind);
            }
        }
        for target in ["/proc", "/dev", "/sys"] {
            bundle.stub(target, true);
        }
        let config = config::build(step, (&dir.join("rootfs"), network), &binds, hierarchy)?;
        config.save(dir.join("config.json")).map_err(|error| ExecError::Setup {
            id: step.id.clone(),
            reason: format!("cannot write the bundle's `config.json`: {error}"),
        })?;
        Ok(bundle)
    }

    fn stub(&mut self, target: &str, directory: bool) {
        self.stubs.push(Stub { target: target.to_owned(), directory });
    }

    /// Makes a place for what the helper mounts, and says what the runtime is to bind.
    fn add(&mut self, target: String, source: &MountSource, place: PathBuf) -> std::io::Result<Option<config::Bind>> {
        let (helper, access, file) = match source {
            MountSource::Tmpfs { .. } => {
                self.stub(&target, true);
                return Ok(None);
            }
            MountSource::Bind { source, access } => {
                self.stub(&target, source.is_dir());
                return Ok(Some(config::Bind { source: source.clone(), target, access: *access }));
            }
            MountSource::Overlay { lowers, changes, selector, access } => {
                let all = changes.iter().map(|changes| &changes.upper).chain(lowers.iter().rev());
                let file = !selector.is_empty() && all.map(|dir| dir.join(selector.trim_matches('/'))).any(|p| p.is_file());
                (translate::overlay(source), *access, file)
            }
            MountSource::File { content, mode, uid, gid } => {
                let content = Bytes(content.to_vec());
                (Source::File { content, mode: *mode, uid: *uid, gid: *gid }, Access::ReadOnly, true)
            }
            MountSource::Socket { host_path, mode, uid, gid } => {
                let path = translate::bytes(host_path);
                (Source::Socket { path, mode: *mode, uid: *uid, gid: *gid }, Access::ReadWrite, true)
            }
        };
        if file {
            fs::write(&place, "")?;
        } else {
            fs::create_dir(&place)?;
        }
        self.stub(&target, !file);
        let path = place.to_string_lossy().into_owned();
        self.prepared.push(Mount { target: path, source: helper, attributes: 0, optional: false });
        Ok(Some(config::Bind { source: place, target, access }))
    }

    /// What the helper does for this bundle.
    pub(super) fn spec(&self, runtime: &Path, step: &Step) -> Spec {
        let bytes = |text: &str| Bytes(text.as_bytes().to_vec());
        let path = |path: &Path| Bytes(path.as_os_str().as_bytes().to_vec());
        let state = self.dir.join("state");
        let mut global = vec![path(runtime), bytes("--root"), path(&state)];
        global.extend([bytes("--log"), path(&self.dir.join("log")), bytes("--log-format"), bytes("json")]);
        let call = |rest: &[Bytes]| [global.as_slice(), rest].concat();
        let hide = if self.hybrid { vec!["/sys/fs/cgroup/unified".to_owned()] } else { Vec::new() };
        Spec {
            parent: std::process::id(),
            root: translate::root(&step.root),
            mounts: self.prepared.clone(),
            process: Process::default(),
            runtime: Some(Runtime {
                rootfs: path(&self.dir.join("rootfs")),
                args: call(&[bytes("run"), bytes("--bundle"), path(&self.dir), bytes(&step.id)]),
                delete: call(&[bytes("delete"), bytes("--force"), bytes(&step.id)]),
                hide,
                stubs: self.stubs.clone(),
            }),
            devices: step.security == crate::Security::Insecure,
            cgroup_view: Vec::new(),
            masked: defaults::MASKED.iter().map(|path| (*path).to_owned()).collect(),
            ..Spec::default()
        }
    }

    /// The last error that the runtime wrote down.
    pub(super) fn runtime_error(&self) -> Option<String> {
        let log = fs::read_to_string(self.dir.join("log")).ok()?;
        log.lines().rev().find_map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).ok()?;
            let level = entry.get("level").and_then(|level| level.as_str()).unwrap_or("error");
            (level == "error").then(|| entry.get("msg")?.as_str().map(str::to_owned))?
        })
    }
}
