//! Runs a process on trees and keeps what it changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use kiln_exec::Access;
use kiln_exec::Changes;
use kiln_exec::ExecError;
use kiln_exec::MountSource;
use kiln_exec::RootFs;
use kiln_exec::Step;
use kiln_exec::StepMount;
use kiln_graph::Exec;
use kiln_graph::Input;
use kiln_graph::Mount;
use kiln_graph::MountKind;
use kiln_graph::SecretMount;
use kiln_image::Digest;
use kiln_progress::Event;
use kiln_progress::Sink;
use kiln_solver::OpContext;
use kiln_tree::TreePath;

use super::cache_mount::CacheMount;
use crate::build::BuildContext;
use crate::error::EngineError;
use crate::layers::Ref;
use crate::layers::Writable;
use crate::request::Entitlement;

/// What is held while a step runs, and becomes its results.
#[derive(Default)]
struct Held {
    /// New layers by output.
    outputs: BTreeMap<u32, (Ref, Option<Writable>)>,
    /// Changes that are thrown away.
    scratch: Vec<Writable>,
    /// Cache mounts, locked.
    caches: Vec<CacheMount>,
    /// Sockets and their directories.
    sockets: Vec<tempfile::TempDir>,
    /// The step does not use the cache, nor what it left in cache mounts.
    fresh: bool,
}

/// Runs `exec` and returns its outputs.
pub(super) async fn run(
    build: &Arc<BuildContext>,
    ctx: &OpContext,
    exec: &Exec,
    step_info: &super::VertexOp,
    inputs: &[(Input, Ref)],
) -> Result<Vec<Ref>, EngineError> {
    check_entitlements(build, exec)?;
    super::emulator::check(&step_info.platform)?;
    let mut held = Held {
        fresh: step_info.ignore_cache,
        ..Held::default()
    };
    let id = ctx.vertex().digest.short();
    let root = exec
        .mounts
        .iter()
        .find(|mount| mount.dest == "/")
        .ok_or(EngineError::NoRoot)?;
    let mut step = Step::new(id, RootFs::Directory { path: "/".into() }, exec.args.clone());
    step.root = mount_root(build, root, inputs, &mut held).await?;
    if root.readonly {
        step.root_access = Access::ReadOnly;
    }
    let mut mounts: Vec<&Mount> = exec.mounts.iter().filter(|mount| mount.dest != "/").collect();
    mounts.sort_by_key(|mount| mount.dest.split('/').filter(|part| !part.is_empty()).count());
    for mount in mounts {
        let source = mount_source(build, mount, inputs, &mut held).await;
        let source = source.map_err(|error| match error {
            EngineError::File(problem @ kiln_tree::OpError::NotFound { .. }) => EngineError::Checksum {
                vertex: ctx.vertex().digest,
                problem,
            },
            error => error,
        })?;
        if let Some(source) = source {
            step.mounts.push(StepMount {
                target: mount.dest.clone(),
                source,
            });
        }
    }
    let root_ref = root.input.map_or_else(Ref::default, |input| find(inputs, input));
    configure(build, exec, &root_ref, &mut step).await?;
    devices(build, exec, &mut step)?;
    execute(build, ctx, exec, step).await?;
    commit(build, held, ctx).await
}

fn find(inputs: &[(Input, Ref)], input: Input) -> Ref {
    inputs
        .iter()
        .find(|(at, _)| *at == input)
        .map(|(_, found)| found.clone())
        .unwrap_or_default()
}

fn check_entitlements(build: &BuildContext, exec: &Exec) -> Result<(), EngineError> {
    let needs = [
        (
            exec.network == kiln_graph::Network::Host,
            Entitlement::NetworkHost,
        ),
        (
            exec.security == kiln_graph::Security::Insecure,
            Entitlement::SecurityInsecure,
        ),
    ];
    for (needed, entitlement) in needs {
        if needed && !build.request.entitlements.contains(&entitlement) {
            return Err(EngineError::NotEntitled(entitlement));
        }
    }
    Ok(())
}

/// Gives the step the devices that it asks for, as far as the user allows them.
fn devices(build: &BuildContext, exec: &Exec, step: &mut Step) -> Result<(), EngineError> {
    let request = |(name, optional): &(String, String)| kiln_exec::DeviceRequest {
        name: name.clone(),
        optional: optional == "optional",
    };
    let requests: Vec<_> = exec.devices.iter().map(request).collect();
    let devices = &build.config.devices;
    Ok(devices.inject(step, &requests, &build.request.devices)?)
}

async fn mount_root(
    build: &BuildContext,
    mount: &Mount,
    inputs: &[(Input, Ref)],
    held: &mut Held,
) -> Result<RootFs, EngineError> {
    let base = mount.input.map_or_else(Ref::default, |input| find(inputs, input));
    let writable = build.layers.writable(&base).await?;
    let (upper, work) = writable.changes();
    let root = match writable.copy() {
        Some(path) => RootFs::Directory {
            path: path.to_owned(),
        },
        None => RootFs::Overlay {
            lowers: writable.lowers(),
            upper,
            work,
        },
    };
    hold(held, mount.output, base, writable);
    Ok(root)
}

fn hold(held: &mut Held, output: Option<u32>, base: Ref, writable: Writable) {
    match output {
        Some(output) => drop(held.outputs.insert(output, (base, Some(writable)))),
        None => held.scratch.push(writable),
    }
}

/// A mount that shows a tree, or a part of it.
async fn tree_mount(
    build: &BuildContext,
    mount: &Mount,
    input: Ref,
    held: &mut Held,
) -> Result<MountSource, EngineError> {
    let access = access(mount);
    let part = part(build, &input, &mount.selector).await?;
    let selector = mount.selector.clone();
    if mount.readonly && mount.output.is_none() && !build.layers.copies() {
        return Ok(MountSource::Overlay {
            lowers: build.layers.dirs(&input).await?,
            changes: None,
            selector,
            access,
        });
    }
    let writable = build.layers.writable(&input).await?;
    let (upper, work) = writable.changes();
    let source = match writable.copy() {
        // Nobody but this step sees the copy, so no link in it can have changed.
        Some(path) => MountSource::Bind {
            source: path.join(part.as_path()),
            access,
            limits: kiln_exec::BindLimits::default(),
        },
        None => MountSource::Overlay {
            lowers: writable.lowers(),
            changes: Some(Changes { upper, work }),
            selector,
            access,
        },
    };
    hold(held, mount.output, input, writable);
    Ok(source)
}

fn access(mount: &Mount) -> Access {
    if mount.readonly {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    }
}

async fn mount_source(
    build: &BuildContext,
    mount: &Mount,
    inputs: &[(Input, Ref)],
    held: &mut Held,
) -> Result<Option<MountSource>, EngineError> {
    let access = access(mount);
    let input = mount.input.map_or_else(Ref::default, |input| find(inputs, input));
    match &mount.kind {
        MountKind::Tmpfs { size } => {
            let size = (*size > 0).then_some(*size);
            Ok(Some(MountSource::Tmpfs {
                size,
                mode: 0o1777,
                access,
            }))
        }
        MountKind::Secret(secret) => secret_file(build, secret),
        MountKind::Ssh(agent) => socket(build, agent, held),
        MountKind::Cache { id, sharing } => {
            let seed = super::cache_mount::Seed {
                tree: &input,
                selector: &mount.selector,
                fresh: held.fresh,
            };
            let cache = CacheMount::open(build, id, *sharing, &seed).await?;
            let source = cache.path().to_owned();
            held.caches.push(cache);
            Ok(Some(MountSource::Bind {
                source,
                access,
                limits: kiln_exec::BindLimits::default(),
            }))
        }
        MountKind::Bind => tree_mount(build, mount, input, held).await.map(Some),
    }
}

/// Finds what a mount shows of a tree, through the tree's own links.
async fn part(build: &BuildContext, input: &Ref, selector: &str) -> Result<TreePath, EngineError> {
    let path = TreePath::clean(selector).map_err(EngineError::Path)?;
    if path.is_root() {
        return Ok(path);
    }
    let tree = build.layers.tree(input).await?;
    tree.resolve_existing(&path).map_err(|_| {
        EngineError::File(kiln_tree::OpError::NotFound {
            path: path.to_string(),
        })
    })
}

fn secret_file(build: &BuildContext, secret: &SecretMount) -> Result<Option<MountSource>, EngineError> {
    let Some(value) = build.request.secrets.get(&secret.id) else {
        let missing = || EngineError::SecretMissing(secret.id.clone());
        return if secret.optional { Ok(None) } else { Err(missing()) };
    };
    let SecretMount { mode, uid, gid, .. } = *secret;
    Ok(Some(MountSource::File {
        content: value.0.clone(),
        mode,
        uid,
        gid,
    }))
}

fn socket(
    build: &BuildContext,
    agent: &SecretMount,
    held: &mut Held,
) -> Result<Option<MountSource>, EngineError> {
    let Some(path) = build.request.ssh.get(&agent.id) else {
        return if agent.optional {
            Ok(None)
        } else {
            Err(EngineError::SshMissing(agent.id.clone()))
        };
    };
    let (directory, host_path) = super::ssh::forward(path)?;
    held.sockets.push(directory);
    let SecretMount { mode, uid, gid, .. } = *agent;
    Ok(Some(MountSource::Socket {
        host_path,
        mode,
        uid,
        gid,
    }))
}

async fn configure(
    build: &BuildContext,
    exec: &Exec,
    root: &Ref,
    step: &mut Step,
) -> Result<(), EngineError> {
    let mut env: Vec<(String, String)> = Vec::new();
    let pairs = exec.env.iter().filter_map(|pair| pair.split_once('='));
    env.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for (name, value) in exec.proxy_env.iter().filter(|(_, value)| !value.is_empty()) {
        let upper = name.to_uppercase();
        let lower = name.to_lowercase();
        env.extend([(upper, value.clone()), (lower, value.clone())]);
    }
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".to_owned(), super::DEFAULT_PATH.to_owned()));
    }
    for secret in &exec.secret_env {
        match build.request.secrets.get(&secret.id) {
            Some(value) => env.push((
                secret.name.clone(),
                String::from_utf8_lossy(&value.0).into_owned(),
            )),
            None if secret.optional => {}
            None => return Err(EngineError::SecretMissing(secret.id.clone())),
        }
    }
    step.env = env;
    step.cwd = if exec.cwd.is_empty() {
        "/".to_owned()
    } else {
        exec.cwd.clone()
    };
    step.user = user(build, &exec.user, root, &exec.args).await?;
    if !exec.hostname.is_empty() {
        step.hostname.clone_from(&exec.hostname);
    }
    step.extra_hosts.clone_from(&exec.extra_hosts);
    step.cgroup_parent = Some(exec.cgroup_parent.clone()).filter(|parent| !parent.is_empty());
    step.network = match exec.network {
        kiln_graph::Network::Sandbox => build.config.network,
        kiln_graph::Network::Host => kiln_exec::Network::Host,
        kiln_graph::Network::None => kiln_exec::Network::None,
    };
    step.security = match exec.security {
        kiln_graph::Security::Sandbox => kiln_exec::Security::Sandbox,
        kiln_graph::Security::Insecure => kiln_exec::Security::Insecure,
    };
    let bound = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let limits = exec.ulimits.iter();
    step.ulimits = limits
        .map(|l| kiln_exec::Ulimit {
            name: l.name.clone(),
            soft: bound(l.soft),
            hard: bound(l.hard),
        })
        .collect();
    resources(&exec.attrs, step)
}

fn resources(attrs: &BTreeMap<String, String>, step: &mut Step) -> Result<(), EngineError> {
    fn number<T: std::str::FromStr>(
        attrs: &BTreeMap<String, String>,
        key: &str,
    ) -> Result<Option<T>, EngineError> {
        let Some(text) = attrs.get(key).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let error = |_| EngineError::Attribute {
            key: key.to_owned(),
            value: text.clone(),
        };
        text.parse().map(Some).map_err(error)
    }
    step.shm_size = number(attrs, "shm-size")?;
    step.resources = kiln_exec::Resources {
        memory: number(attrs, "memory")?,
        memory_swap: number(attrs, "memory-swap")?,
        cpu_shares: number(attrs, "cpu-shares")?,
        cpu_period: number(attrs, "cpu-period")?,
        cpu_quota: number(attrs, "cpu-quota")?,
        cpuset_cpus: attrs.get("cpuset-cpus").cloned(),
        cpuset_mems: attrs.get("cpuset-mems").cloned(),
    };
    Ok(())
}

/// Finds out who `user[:group]` is in the step's own `/etc/passwd` and `/etc/group`.
async fn user(
    build: &BuildContext,
    user: &str,
    root: &Ref,
    args: &[String],
) -> Result<kiln_exec::User, EngineError> {
    let tree = build.layers.tree(root).await?;
    let passwd = super::owner::read(build, &tree, "etc/passwd").await?;
    let group = super::owner::read(build, &tree, "etc/group").await?;
    let missing = |source| EngineError::User {
        command: args.join(" "),
        source,
    };
    let found = kiln_tree::users::exec_user(user, &passwd, &group).map_err(missing)?;
    let mut groups = found.groups;
    // The primary group is one of the supplementary ones, as in containerd since CVE-2023-25173.
    if !groups.contains(&found.gid) {
        groups.insert(0, found.gid);
    }
    Ok(kiln_exec::User {
        uid: found.uid,
        gid: found.gid,
        groups,
    })
}

/// Passes a step's output on as log events.
struct Log {
    sink: Arc<dyn Sink>,
    vertex: Digest,
}

impl kiln_exec::Output for Log {
    fn write(&self, stream: kiln_exec::Stream, bytes: &[u8]) {
        let stream = match stream {
            kiln_exec::Stream::Stdout => kiln_progress::Stream::Stdout,
            kiln_exec::Stream::Stderr => kiln_progress::Stream::Stderr,
        };
        self.sink.emit(Event::Log {
            vertex: self.vertex,
            stream,
            data: bytes.to_vec(),
            at: SystemTime::now(),
        });
    }
}

async fn execute(build: &BuildContext, ctx: &OpContext, exec: &Exec, step: Step) -> Result<(), EngineError> {
    let log = Log {
        sink: build.sink.clone(),
        vertex: ctx.vertex().digest,
    };
    let (canceller, cancel) = kiln_exec::Cancel::pair();
    let command = exec.args.join(" ");
    let run = build.config.executor.run(step, &log, cancel);
    tokio::pin!(run);
    let result = tokio::select! {
        result = &mut run => result,
        () = ctx.cancelled() => {
            canceller.cancel();
            run.await
        }
    };
    let exit = match result {
        Ok(exit) => exit,
        Err(ExecError::Cancelled { .. }) => return Err(EngineError::Cancelled),
        Err(source) => return Err(EngineError::Exec { command, source }),
    };
    let valid = exec
        .attrs
        .get("valid-exit-codes")
        .map(String::as_str)
        .unwrap_or_default();
    let allowed = exit.code == 0 && valid.is_empty()
        || valid.split(',').any(|code| code.trim().parse() == Ok(exit.code));
    match (allowed, exit.oom_killed) {
        (true, _) => Ok(()),
        (false, true) => Err(EngineError::OutOfMemory {
            command,
            code: exit.code,
        }),
        (false, false) => Err(EngineError::Exit {
            command,
            code: exit.code,
        }),
    }
}

async fn commit(build: &BuildContext, held: Held, ctx: &OpContext) -> Result<Vec<Ref>, EngineError> {
    let mut results = Vec::new();
    for (base, changed) in held.outputs.into_values() {
        let result = match changed {
            Some(changed) => {
                let name = ctx.vertex().name.clone();
                let layer = build.layers.commit_writable(changed, &base, name).await?;
                base.push(layer)
            }
            None => base,
        };
        results.push(result);
    }
    Ok(results)
}
