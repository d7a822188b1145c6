//! RUN.

use super::Lowerer;
use super::names::StepText;
use super::names::shown;
use super::stage::Step;
use crate::api::Attr;
use crate::api::Input;
use crate::api::Op;
use crate::api::graph;
use crate::api::graph::FileAct;
use crate::api::graph::FileAction;
use crate::api::graph::FileInput;
use crate::api::graph::Mkfile;
use crate::api::graph::Mount;
use crate::api::graph::MountKind;
use crate::env::Env;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::image::Layer;
use kiln_dockerfile_syntax::heredoc;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::Network;
use kiln_dockerfile_syntax::instructions::RunCommand;
use kiln_dockerfile_syntax::instructions::Security;
use kiln_dockerfile_syntax::shell::Quotes;

/// Where scripts of heredocs are mounted.
const PIPES: &str = "/dev/pipes";
/// Permissions of such a script.
const SCRIPT_MODE: u32 = 0o755;

/// The words of a RUN, and the script they run if it is a heredoc of its own.
struct Words {
    args: Vec<String>,
    script: Option<Mount>,
    summary: String,
}

impl Lowerer<'_> {
    pub(super) fn run_step(
        &mut self,
        at: usize,
        run: &RunCommand,
        step: &Step,
        command: &Command,
    ) -> Outcome<()> {
        if !run.devices.is_empty() && !self.file.labs {
            return Err(Fault::new(
                "device feature is only supported in Dockerfile frontend 1.14.0-labs or later",
            )
            .at(command.node.flag("device", 0))
            .help("put `# syntax=docker/dockerfile:1-labs` in the first line"));
        }
        let paths = self.stages[at].paths;
        self.paths[paths].insert("/".to_owned());
        let words = self.words_of_run(at, run)?;
        let args = if run.command.shell_form {
            self.stages[at].image.with_shell(&words.args)
        } else {
            words.args
        };
        let mut mounts = self.run_mounts(at, run, step)?;
        mounts.plain.extend(words.script);
        if self.options().shm_size > 0 {
            mounts
                .plain
                .push(mount("/dev/shm", None, MountKind::Tmpfs(self.options().shm_size)));
        }
        mounts.plain.sort_by(|a, b| a.dest.cmp(&b.dest));
        let env = self.stages[at].state.env.clone();
        let history = format!("RUN {} # buildkit", self.history_of_run(at, &args, &env));
        let text = self.text_of_run(command, &words.summary, &mounts.secret_env, &env);
        let name = self.step_name(at, &StepText::new(text, step.on_build), &env);
        let exec = self.exec(at, run, args, mounts);
        let meta = self.step_meta(at, name, command.span());
        self.stages[at].state.out = Some(self.graph.add(Op::Exec(exec), meta));
        self.commit(at, history, Layer::Made);
        Ok(())
    }

    fn exec(
        &self,
        at: usize,
        run: &RunCommand,
        args: Vec<String>,
        mounts: super::mounts::Mounts,
    ) -> graph::Exec {
        let (stage, options) = (&self.stages[at], self.options());
        let mut env = stage.state.env.clone();
        if let (Some(socket), None) = (mounts.agents.first(), env.get("SSH_AUTH_SOCK")) {
            env.set("SSH_AUTH_SOCK", socket.dest.as_str());
        }
        let root = Mount {
            output: Some(0),
            ..mount("/", stage.state.out, MountKind::Bind)
        };
        let mut all = vec![root];
        all.extend(mounts.plain);
        all.extend(mounts.secrets);
        all.extend(mounts.agents);
        let mut devices = options.devices.clone();
        devices.extend(run.devices.iter().map(|device| Attr {
            key: device.name.clone(),
            value: if device.required {
                String::new()
            } else {
                "optional".to_owned()
            },
        }));
        graph::Exec {
            args,
            env: env.to_list(),
            cwd: if stage.state.dir.is_empty() {
                "/".to_owned()
            } else {
                stage.state.dir.clone()
            },
            user: stage.state.user.clone(),
            proxy_env: options.proxy_env(),
            extra_hosts: options.extra_hosts.clone(),
            hostname: options.hostname.clone(),
            ulimits: options.ulimits.clone(),
            cgroup_parent: options.cgroup_parent.clone(),
            mounts: all,
            network: match run.network {
                Network::Default => options.network.unwrap_or(graph::Network::Sandbox),
                Network::None => graph::Network::None,
                Network::Host => graph::Network::Host,
            },
            security: match run.security {
                Security::Sandbox => graph::Security::Sandbox,
                Security::Insecure => graph::Security::Insecure,
            },
            secret_env: mounts.secret_env,
            devices,
            attrs: options.resources.clone(),
        }
    }

    /// Finds out what is run where there are heredocs.
    fn words_of_run(&mut self, at: usize, run: &RunCommand) -> Outcome<Words> {
        let line = &run.command;
        let mut words = Words {
            args: line.args.clone(),
            script: None,
            summary: String::new(),
        };
        let Some(first) = line.files.first() else {
            return Ok(words);
        };
        let [text] = line.args.as_slice() else {
            return Err(Fault::new(format!(
                "parsing produced an invalid run command: {}",
                crate::go::list(&line.args)
            )));
        };
        if heredoc::parse(text)?.is_none() {
            // Something reads the heredocs: the shell puts it together again.
            let mut whole = text.clone();
            for file in &line.files {
                whole.push('\n');
                whole.push_str(&file.data);
                whole.push_str(&file.name);
            }
            words.args = vec![whole];
            return Ok(words);
        }
        let data = first.text();
        words.summary = summary(&first.data);
        if data.starts_with("#!") && self.stages[at].image.os != "windows" {
            words.script = Some(self.script(at, &first.name, data.into_bytes()));
            words.args = vec![format!("{PIPES}/{}", first.name)];
        } else {
            words.args = vec![data];
        }
        Ok(words)
    }

    /// Writes a script into a tree of its own and mounts it.
    fn script(&mut self, at: usize, name: &str, data: Vec<u8>) -> Mount {
        let input = self.inline_file(at, name, data, SCRIPT_MODE);
        Mount {
            readonly: true,
            ..mount(&format!("{PIPES}/"), Some(input), MountKind::Bind)
        }
    }

    /// Makes a tree of one file.
    pub(super) fn inline_file(&mut self, at: usize, name: &str, data: Vec<u8>, mode: u32) -> Input {
        let path = crate::paths::join("/", name);
        let mkfile = Mkfile {
            path,
            mode,
            data,
            owner: None,
            timestamp: None,
        };
        let action = FileAction {
            on: FileInput::Scratch,
            act: FileAct::Mkfile(mkfile),
            output: Some(0),
        };
        let meta = self.internal_meta(at, "preparing inline document");
        self.graph.add(Op::File(vec![action]), meta)
    }

    /// Returns what the history says was run: `|2 a=b c=d /bin/sh -c …`.
    fn history_of_run(&self, at: usize, args: &[String], env: &Env) -> String {
        let mut known: Vec<(&str, &str)> = Vec::new();
        for (key, value) in &self.stages[at].args {
            let value = env.get(key).or(value.as_deref()).unwrap_or_default();
            match known.iter_mut().find(|(k, _)| k == key) {
                Some(old) => old.1 = value,
                None => known.push((key, value)),
            }
        }
        let mut words = Vec::new();
        if !known.is_empty() {
            words.push(format!("|{}", known.len()));
            words.extend(known.iter().map(|(key, value)| format!("{key}={value}")));
        }
        words.extend(args.iter().cloned());
        words.join(" ")
    }

    /// Returns the text of a step's name; values of secrets are masked, unset variables stay.
    fn text_of_run(
        &self,
        command: &Command,
        summary: &str,
        secrets: &[graph::SecretEnv],
        env: &Env,
    ) -> String {
        let mut lex = self.lex.clone();
        lex.quotes = Quotes::Keep;
        lex.skip_unset = true;
        let mut code = command.code().to_owned();
        if !summary.is_empty() {
            code.push_str(&format!(" ({summary})"));
        }
        shown(&code, &lex, &|key| {
            if secrets.iter().any(|secret| secret.name == key) {
                return Some("****".to_owned());
            }
            env.get(key).map(str::to_owned)
        })
    }
}

/// Makes a mount that is thrown away.
pub(super) fn mount(dest: &str, input: Option<Input>, kind: MountKind) -> Mount {
    Mount {
        input,
        selector: String::new(),
        dest: dest.to_owned(),
        output: None,
        readonly: false,
        kind,
    }
}

/// Returns the first line of a heredoc, with dots when there are more.
fn summary(data: &str) -> String {
    let text = data.trim().replace("\r\n", "\n");
    match text.split_once('\n') {
        Some((first, _)) => format!("{first}..."),
        None => text,
    }
}
