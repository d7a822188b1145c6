//! Build arguments before the first FROM: those of the platforms, those of the file, those of the user.

use super::Lowerer;
use crate::env::Env;
use crate::fault::Outcome;
use crate::lint::checks;
use crate::outline::Arg;
use crate::platform;
use kiln_dockerfile_syntax::instructions::Instruction;

impl Lowerer<'_> {
    /// Computes the arguments that FROM lines see, and the time of the build.
    pub(super) fn prepare_args(&mut self) -> Outcome<()> {
        let file = self.file;
        let env = self.platform_args();
        let lex = self.lex.clone();
        let defaults = self.global_args(env.clone(), false);
        if let Ok(defaults) = defaults {
            checks::default_args(&mut self.lint, &file.parsed.stages, &lex, &defaults);
        }
        self.outline.clear();
        self.global_args = self.global_args(env, true)?;
        self.prepare_epoch()
    }

    /// Arguments that are there without being declared.
    fn platform_args(&self) -> Env {
        let (build, target) = (&self.build, &self.target);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let last = self
            .file
            .parsed
            .stages
            .last()
            .and_then(|stage| stage.name.clone());
        let stage = self
            .options()
            .target
            .clone()
            .or(last)
            .unwrap_or_else(|| "default".to_owned());
        let pairs = [
            ("BUILDPLATFORM", platform::format(build)),
            ("BUILDOS", build.os.clone()),
            ("BUILDOSVERSION", text(&build.os_version)),
            ("BUILDARCH", build.architecture.clone()),
            ("BUILDVARIANT", text(&build.variant)),
            ("TARGETPLATFORM", platform::format(target)),
            ("TARGETOS", target.os.clone()),
            ("TARGETOSVERSION", text(&target.os_version)),
            ("TARGETARCH", target.architecture.clone()),
            ("TARGETVARIANT", text(&target.variant)),
            ("TARGETSTAGE", stage),
        ];
        let mut env = Env::default();
        for (key, value) in pairs {
            env.set(key, self.args.get(key).cloned().unwrap_or(value));
        }
        env
    }

    /// Adds the ARG lines before the first FROM, with what the user gave for them or without.
    fn global_args(&mut self, mut env: Env, with_user: bool) -> Outcome<Env> {
        let file = self.file;
        for command in &file.parsed.meta_args {
            let Instruction::Arg(arg) = &command.instruction else {
                continue;
            };
            for pair in &arg.args {
                let given = with_user.then(|| self.args.get(&pair.key)).flatten();
                let mut used = Vec::new();
                let value = match (given, &pair.value) {
                    (Some(given), _) => Some(given.clone()),
                    (None, None) => None,
                    (None, Some(default)) => {
                        let expanded = self.lex.process(default, &env).map_err(|e| {
                            let place = command.node.place(default, e.at);
                            crate::fault::Fault::from(e.error)
                                .at(place)
                                .within(command.span())
                        })?;
                        used.extend(expanded.matched);
                        Some(expanded.text)
                    }
                };
                if let Some(value) = &value {
                    env.set(&pair.key, value.clone());
                }
                let told = Arg {
                    value,
                    comment: pair.comment.clone(),
                    span: command.span(),
                    used,
                };
                self.outline.declare(&pair.key, told);
            }
        }
        Ok(env)
    }
}
