//! RUN --mount.

use super::Lowerer;
use super::run::mount;
use super::stage::Progress;
use super::stage::Step;
use crate::api::Input;
use crate::api::Op;
use crate::api::graph;
use crate::api::graph::CacheMount;
use crate::api::graph::CacheSharing;
use crate::api::graph::FileAct;
use crate::api::graph::FileAction;
use crate::api::graph::FileInput;
use crate::api::graph::Mkdir;
use crate::api::graph::MountKind;
use crate::api::graph::SecretEnv;
use crate::api::graph::SecretMount;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::go;
use crate::graph::Meta;
use crate::paths;
use kiln_dockerfile_syntax::instructions::Mount;
use kiln_dockerfile_syntax::instructions::MountType;
use kiln_dockerfile_syntax::instructions::RunCommand;
use kiln_dockerfile_syntax::instructions::Sharing;

/// The mounts of a step, by kind.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Trees, caches and memory.
    pub(super) plain: Vec<graph::Mount>,
    /// Secrets as files.
    pub(super) secrets: Vec<graph::Mount>,
    /// Sockets of SSH agents.
    pub(super) agents: Vec<graph::Mount>,
    /// Secrets as variables.
    pub(super) secret_env: Vec<SecretEnv>,
}

impl Lowerer<'_> {
    /// Lowers the mounts of a RUN.
    pub(super) fn run_mounts(&mut self, at: usize, run: &RunCommand, step: &Step) -> Outcome<Mounts> {
        let mut out = Mounts::default();
        for (number, flag) in run.mounts.iter().enumerate() {
            self.run_mount(at, flag, (step, number), &mut out)
                .map_err(|fault| fault.at(step.command.node.flag("mount", number)))?;
        }
        Ok(out)
    }

    /// Lowers the mount of a step with that number.
    fn run_mount(
        &mut self,
        at: usize,
        flag: &Mount,
        (step, number): (&Step, usize),
        out: &mut Mounts,
    ) -> Outcome<()> {
        let source = step.sources.get(number).copied().flatten();
        match flag.kind {
            MountType::Secret => {
                self.outline.secret(at, flag, step.command.span());
                secret(flag, out)
            }
            MountType::Ssh => {
                self.outline.agent(at, flag, step.command.span());
                agent(flag, out)
            }
            MountType::Bind | MountType::Cache | MountType::Tmpfs => {
                let plain = self.plain_mount(at, flag, source)?;
                out.plain.push(plain);
                Ok(())
            }
        }
    }

    fn plain_mount(&mut self, at: usize, flag: &Mount, source: Option<usize>) -> Outcome<graph::Mount> {
        let written = flag.target.as_deref().unwrap_or_default();
        let target = paths::join(&paths::join("/", &self.stages[at].state.dir), written);
        let target = if written.starts_with('/') {
            paths::clean(written)
        } else {
            target
        };
        if target == "/" {
            return Err(Fault::new(format!("invalid mount target {}", go::quote(&target))));
        }
        let selector = paths::join("/", flag.source.as_deref().unwrap_or_default());
        let mut input = self.mount_input(flag, source, &selector)?;
        let kind = match flag.kind {
            MountType::Tmpfs => MountKind::Tmpfs(u64::try_from(flag.size_limit).unwrap_or_default()),
            MountType::Cache => {
                let id = flag
                    .id
                    .clone()
                    .filter(|id| !id.is_empty())
                    .unwrap_or_else(|| paths::clean(written));
                let id = format!("{}/{id}", self.options().cache_namespace);
                MountKind::Cache(CacheMount {
                    id,
                    sharing: sharing(flag.sharing),
                })
            }
            _ => MountKind::Bind,
        };
        let owned = flag.uid.is_some() || flag.gid.is_some() || flag.mode.is_some();
        let mut shown = if selector == "/" { String::new() } else { selector };
        if shown.is_empty() && owned && flag.kind == MountType::Cache {
            input = Some(self.cache_root(flag, input));
            "/cache".clone_into(&mut shown);
        }
        Ok(graph::Mount {
            selector: shown,
            readonly: flag.readonly,
            ..mount(&target, input, kind)
        })
    }

    /// Finds the tree that a mount shows.
    fn mount_input(&mut self, flag: &Mount, source: Option<usize>, path: &str) -> Outcome<Option<Input>> {
        if flag.kind == MountType::Tmpfs {
            return Ok(None);
        }
        let Some(source) = source else {
            // A cache without `from` starts empty, everything else is taken from the context.
            return match flag.kind {
                MountType::Cache => Ok(None),
                _ => self.main_context(&[path]).map(Some),
            };
        };
        let stage = &self.stages[source];
        if stage.progress != Progress::Done {
            let from = go::quote(flag.from.as_deref().unwrap_or_default());
            let target = go::quote(flag.target.as_deref().unwrap_or_default());
            return Err(Fault::new(format!(
                "cannot mount from stage {from} to {target}, stage needs to be defined before current command"
            )));
        }
        self.paths[stage.paths].insert(path.to_owned());
        Ok(stage.state.out)
    }

    /// Makes the first directory of a cache, so that it has the wanted owner and permissions.
    fn cache_root(&mut self, flag: &Mount, base: Option<Input>) -> Input {
        let id = |id: Option<u32>| Some(graph::UserRef::Id(id.unwrap_or_default()));
        let mkdir = Mkdir {
            path: "/cache".to_owned(),
            mode: flag.mode.unwrap_or(0o755) & 0o777,
            make_parents: false,
            owner: Some(graph::Owner {
                user: id(flag.uid),
                group: id(flag.gid),
            }),
            timestamp: None,
        };
        let on = base.map_or(FileInput::Scratch, FileInput::Vertex);
        let action = FileAction {
            on,
            act: FileAct::Mkdir(mkdir),
            output: Some(0),
        };
        let meta = Meta {
            platform: Some(self.target.clone()),
            name: "[internal] settings cache mount permissions".to_owned(),
            ..Meta::default()
        };
        self.graph.add(Op::File(vec![action]), meta)
    }
}

fn sharing(sharing: Option<Sharing>) -> CacheSharing {
    match sharing {
        None | Some(Sharing::Shared) => CacheSharing::Shared,
        Some(Sharing::Private) => CacheSharing::Private,
        Some(Sharing::Locked) => CacheSharing::Locked,
    }
}

/// Returns a text that is there and not empty.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// Returns the name of the secret that a mount shows.
pub(crate) fn secret_id(flag: &Mount) -> Option<&str> {
    given(flag.source.as_ref())
        .or_else(|| given(flag.id.as_ref()))
        .or_else(|| given(flag.target.as_ref()).map(paths::base))
}

fn secret(flag: &Mount, out: &mut Mounts) -> Outcome<()> {
    let id = secret_id(flag).ok_or_else(|| Fault::new("one of source, target required"))?;
    let target = given(flag.target.as_ref());
    if let Some(name) = &flag.env {
        out.secret_env.push(SecretEnv {
            id: id.to_owned(),
            name: name.clone(),
            optional: !flag.required,
        });
        if target.is_none() {
            return Ok(());
        }
    }
    let default = format!("/run/secrets/{}", paths::base(id));
    let mount = file_mount(flag, id, target.unwrap_or(&default), 0o400);
    out.secrets.push(graph::Mount {
        kind: MountKind::Secret(mount.1),
        ..mount.0
    });
    Ok(())
}

fn agent(flag: &Mount, out: &mut Mounts) -> Outcome<()> {
    if given(flag.source.as_ref()).is_some() {
        return Err(Fault::new("ssh does not support source"));
    }
    let id = given(flag.id.as_ref()).unwrap_or("default");
    let default = format!("/run/buildkit/ssh_agent.{}", out.agents.len());
    let mount = file_mount(flag, id, given(flag.target.as_ref()).unwrap_or(&default), 0o600);
    out.agents.push(graph::Mount {
        kind: MountKind::Ssh(mount.1),
        ..mount.0
    });
    Ok(())
}

fn file_mount(flag: &Mount, id: &str, target: &str, mode: u32) -> (graph::Mount, SecretMount) {
    let file = SecretMount {
        id: id.to_owned(),
        uid: flag.uid.unwrap_or_default(),
        gid: flag.gid.unwrap_or_default(),
        mode: flag.mode.unwrap_or(mode),
        optional: !flag.required,
    };
    (mount(target, None, MountKind::Bind), file)
}
