//! Instructions that change the image's config, and WORKDIR.

use super::Lowerer;
use super::dispatch::Seen;
use super::dispatch::expand_word;
use super::dispatch::stays_out;
use super::names::StepText;
use super::names::shown;
use super::session::owner;
use super::stage::Step;
use crate::api::Op;
use crate::api::graph::FileAct;
use crate::api::graph::FileAction;
use crate::api::graph::FileInput;
use crate::api::graph::Mkdir;
use crate::env::set_in_list;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::go;
use crate::image::Health;
use crate::image::Layer;
use crate::image::Present;
use crate::lint::Rule;
use crate::lint::checks;
use crate::outline;
use crate::paths;
use kiln_dockerfile_syntax::duration;
use kiln_dockerfile_syntax::instructions::ArgCommand;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::CommandLine;
use kiln_dockerfile_syntax::instructions::HealthConfig;
use kiln_dockerfile_syntax::instructions::KeyValue;
use kiln_dockerfile_syntax::ports;
use kiln_dockerfile_syntax::signal;
use kiln_dockerfile_syntax::span::Span;

/// Permissions of directories that WORKDIR makes.
const DIRECTORY_MODE: u32 = 0o755;

impl Lowerer<'_> {
    /// Adds a line of history.
    pub(super) fn commit(&mut self, at: usize, text: String, layer: Layer) {
        let created = self.created.clone();
        self.stages[at].image.commit(text, layer, created.as_deref());
    }

    pub(super) fn maintainer(&mut self, at: usize, text: &str) {
        text.clone_into(&mut self.stages[at].image.author);
        self.commit(at, format!("MAINTAINER {text}"), Layer::Empty);
    }

    pub(super) fn env(&mut self, at: usize, pairs: &[KeyValue], command: &Command) {
        let mut history = "ENV".to_owned();
        for KeyValue { key, value, legacy } in pairs {
            self.legacy(*legacy, "ENV", command);
            checks::secret(&mut self.lint, "ENV", key, command);
            history.push_str(&format!(" {key}={value}"));
            let stage = &mut self.stages[at];
            stage.state.env.set(key, value.as_str());
            set_in_list(&mut stage.image.config.env, key, value);
        }
        self.commit(at, history, Layer::Empty);
    }

    pub(super) fn label(&mut self, at: usize, pairs: &[KeyValue], command: &Command) {
        let mut history = "LABEL".to_owned();
        for KeyValue { key, value, legacy } in pairs {
            self.legacy(*legacy, "LABEL", command);
            history.push_str(&format!(" {key}={value}"));
            self.stages[at]
                .image
                .config
                .labels
                .insert(key.clone(), value.clone());
        }
        self.commit(at, history, Layer::Empty);
    }

    fn legacy(&mut self, legacy: bool, name: &str, command: &Command) {
        if legacy {
            let message =
                format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
            self.lint.report(
                Rule::LegacyKeyValueFormat,
                command.span(),
                command.comments(),
                message,
            );
        }
    }

    pub(super) fn arg(&mut self, at: usize, arg: &ArgCommand, command: &Command) -> Outcome<()> {
        let mut history = "ARG".to_owned();
        for pair in &arg.args {
            checks::secret(&mut self.lint, "ARG", &pair.key, command);
            let mut told = true;
            let mut used = Vec::new();
            let value = match (self.args.get(&pair.key), &pair.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let mut seen = Seen::default();
                    let env = &self.stages[at].state.env;
                    let value = expand_word(&self.lex, env, default, &mut seen);
                    used = outline::variables(&self.lex, default, env);
                    self.report_unmatched(at, command, &seen.unmatched);
                    Some(value.map_err(|e| seen.place(e.into(), &command.node))?)
                }
                (None, None) => {
                    let inherited = self.global_args.get(&pair.key).map(str::to_owned);
                    told = inherited.is_none();
                    inherited
                }
            };
            let stage = &mut self.stages[at];
            if let (Some(value), false) = (&value, stays_out(&pair.key)) {
                stage.state.env.set(&pair.key, value.as_str());
            }
            stage.args.push((pair.key.clone(), value.clone()));
            history.push_str(&format!(" {}", pair.key));
            if let Some(value) = &value {
                history.push_str(&format!("={value}"));
            }
            let definition = outline::Arg {
                value,
                comment: pair.comment.clone(),
                span: command.span(),
                used,
            };
            self.outline.stage_arg(at, &pair.key, told.then_some(definition));
        }
        self.commit(at, history, Layer::Empty);
        Ok(())
    }

    pub(super) fn cmd(&mut self, at: usize, line: &CommandLine, command: &Command) {
        let last = self.stages[at].cmd.replace(command.span());
        self.used_once(last, command);
        let args = self.words(at, line, "CMD", command);
        let history = format!("CMD {}", go::quote_list(&args));
        let config = &mut self.stages[at].image.config;
        config.cmd = args;
        config.args_escaped = true;
        self.commit(at, history, Layer::Empty);
    }

    pub(super) fn entrypoint(&mut self, at: usize, line: &CommandLine, command: &Command) {
        let last = self.stages[at].entrypoint.replace(command.span());
        self.used_once(last, command);
        let args = self.words(at, line, "ENTRYPOINT", command);
        let history = format!("ENTRYPOINT {}", go::quote_list(&args));
        let stage = &mut self.stages[at];
        stage.image.config.entrypoint = args;
        if stage.cmd.is_none() {
            stage.image.config.cmd.clear();
        }
        self.commit(at, history, Layer::Empty);
    }

    /// Returns the words of a command, the shell in front where it is not a JSON array.
    fn words(&mut self, at: usize, line: &CommandLine, name: &str, command: &Command) -> Vec<String> {
        let image = &self.stages[at].image;
        if !line.shell_form {
            return line.args.clone();
        }
        let words = image.with_shell(&line.args);
        if image.config.shell.is_empty() {
            let message = format!(
                "JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
            );
            self.lint.report(
                Rule::JsonArgsRecommended,
                command.span(),
                command.comments(),
                message,
            );
        }
        words
    }

    /// Notes that an earlier instruction of the kind counts for nothing.
    fn used_once(&mut self, last: Option<Span>, command: &Command) {
        if let Some(last) = last {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                command.name()
            );
            self.lint.report(
                Rule::MultipleInstructionsDisallowed,
                last,
                command.comments(),
                message,
            );
        }
    }

    pub(super) fn healthcheck(&mut self, at: usize, health: &HealthConfig, command: &Command) {
        let last = self.stages[at].healthcheck.replace(command.span());
        self.used_once(last, command);
        let history = format!(
            "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
            go::list(&health.test),
            duration::format(health.interval),
            duration::format(health.timeout),
            duration::format(health.start_period),
            duration::format(health.start_interval),
            health.retries
        );
        self.stages[at].image.config.healthcheck = Some(Health {
            test: health.test.clone(),
            interval: health.interval,
            timeout: health.timeout,
            start_period: health.start_period,
            start_interval: health.start_interval,
            retries: i64::from(health.retries),
        });
        self.commit(at, history, Layer::Empty);
    }

    pub(super) fn expose(&mut self, at: usize, words: &[String], command: &Command) -> Outcome<()> {
        let mut specs = Vec::new();
        for word in words {
            let env = &self.stages[at].state.env;
            let expanded = self.lex.process(word, env);
            let expanded = expanded.map_err(|e| Fault::from(e.error).at(command.node.place(word, e.at)))?;
            self.report_unmatched(at, command, &expanded.unmatched);
            specs.extend(expanded.words.into_iter().map(|spec| (spec, word)));
        }
        for (spec, _) in &specs {
            self.check_port(spec, command);
        }
        let mut ports = Vec::new();
        for (spec, word) in &specs {
            let parsed = ports::parse(std::slice::from_ref(spec));
            ports.extend(parsed.map_err(|e| Fault::from(e).at(command.node.place(word, 0)))?);
        }
        let config = &mut self.stages[at].image.config;
        config
            .exposed_ports
            .extend(ports.iter().map(|port| (port.clone(), Present {})));
        self.commit(at, format!("EXPOSE {}", go::list(&ports)), Layer::Empty);
        Ok(())
    }

    fn check_port(&mut self, spec: &str, command: &Command) {
        let container = spec.rsplit_once(':').map_or(spec, |(_, container)| container);
        if container.len() != spec.len() {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{spec}'"
            );
            self.lint.report(
                Rule::ExposeInvalidFormat,
                command.span(),
                command.comments(),
                message,
            );
        }
        let protocol = container.split_once('/').map_or("", |(_, protocol)| protocol);
        if protocol != protocol.to_lowercase() {
            let message = format!("Defined protocol '{spec}' in EXPOSE instruction should be lowercase");
            self.lint.report(
                Rule::ExposeProtoCasing,
                command.span(),
                command.comments(),
                message,
            );
        }
    }

    pub(super) fn user(&mut self, at: usize, user: &str) {
        let stage = &mut self.stages[at];
        user.clone_into(&mut stage.state.user);
        user.clone_into(&mut stage.image.config.user);
        self.commit(at, format!("USER {user}"), Layer::Empty);
    }

    pub(super) fn volume(&mut self, at: usize, volumes: &[String]) -> Outcome<()> {
        if volumes.iter().any(String::is_empty) {
            return Err(Fault::new("VOLUME specified can not be an empty string"));
        }
        let config = &mut self.stages[at].image.config;
        config
            .volumes
            .extend(volumes.iter().map(|volume| (volume.clone(), Present {})));
        self.commit(at, format!("VOLUME {}", go::list(volumes)), Layer::Empty);
        Ok(())
    }

    pub(super) fn stopsignal(&mut self, at: usize, text: &str) -> Outcome<()> {
        signal::parse(text)?;
        text.clone_into(&mut self.stages[at].image.config.stop_signal);
        self.commit(at, format!("STOPSIGNAL {text}"), Layer::Empty);
        Ok(())
    }

    pub(super) fn shell(&mut self, at: usize, words: &[String]) {
        self.stages[at].image.config.shell = words.to_vec();
        self.commit(at, format!("SHELL {}", go::list(words)), Layer::Empty);
    }

    pub(super) fn workdir(&mut self, at: usize, path: &str, step: &Step, command: &Command) -> Outcome<()> {
        let stage = &mut self.stages[at];
        let first = !std::mem::replace(&mut stage.workdir_set, true);
        let relative = !paths::is_abs(path, stage.os());
        stage.enter(path)?;
        let dir = stage.state.dir.clone();
        if first && relative {
            let path = go::quote(path);
            let message =
                format!("Relative workdir {path} can have unexpected results if the base image changes");
            self.lint.report(
                Rule::WorkdirRelativePath,
                command.span(),
                command.comments(),
                message,
            );
        }
        let history = format!("WORKDIR {dir}");
        if dir == "/" {
            self.commit(at, history, Layer::Empty);
            return Ok(());
        }
        let user = self.stages[at].image.config.user.clone();
        let env = self.stages[at].state.env.clone();
        let text = shown(command.code(), &self.lex, &|key| env.get(key).map(str::to_owned));
        let name = self.step_name(at, &StepText::new(text, step.on_build), &env);
        let mut meta = self.step_meta(at, name, command.span());
        meta.ignore_cache = false;
        let mkdir = Mkdir {
            path: paths::join("/", &dir),
            mode: DIRECTORY_MODE,
            make_parents: true,
            owner: (!user.is_empty()).then(|| owner(&user)),
            timestamp: self.epoch,
        };
        let on = self.stages[at]
            .state
            .out
            .map_or(FileInput::Scratch, FileInput::Vertex);
        let action = FileAction {
            on,
            act: FileAct::Mkdir(mkdir),
            output: Some(0),
        };
        self.stages[at].state.out = Some(self.graph.add(Op::File(vec![action]), meta));
        self.commit(at, history, Layer::Made);
        Ok(())
    }
}
