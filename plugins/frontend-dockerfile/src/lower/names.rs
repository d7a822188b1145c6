//! What steps are called: `[linux/arm64 build 2/3] RUN make`.

use super::Lowerer;
use super::stage::Stage;
use crate::api::Platform;
use crate::env::Env;
use crate::platform;
use kiln_dockerfile_syntax::shell::Lex;

/// The text of a step and how it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepText {
    text: String,
    counted: bool,
    on_build: bool,
}

impl StepText {
    /// A step with a number of its own.
    pub(super) fn new(text: String, on_build: bool) -> Self {
        Self {
            text,
            counted: true,
            on_build,
        }
    }

    /// A step that belongs to the one before.
    pub(super) fn same(text: String, on_build: bool) -> Self {
        Self {
            text,
            counted: false,
            on_build,
        }
    }
}

impl Lowerer<'_> {
    /// Puts stage and number in front of a step's text.
    pub(super) fn step_name(&mut self, at: usize, step: &StepText, env: &Env) -> String {
        let multi = self.options().multi_platform;
        let stage = &mut self.stages[at];
        if stage.steps_total == 0 {
            return step.text.clone();
        }
        if step.counted {
            stage.step += 1;
        }
        let mut out = "[".to_owned();
        if let (true, Some(on)) = (multi, &stage.platform) {
            out.push_str(&platform::format(on));
            out.push_str(&cross(on, env));
            out.push(' ');
        }
        if !stage.shown.is_empty() {
            out.push_str(&stage.shown);
            out.push(' ');
        }
        let total = stage.steps_total.to_string();
        out.push_str(&format!("{:>width$}/{total}] ", stage.step, width = total.len()));
        if step.on_build {
            out.push_str("ONBUILD ");
        }
        out.push_str(&step.text);
        out
    }
}

/// Returns the instruction as step names show it: its name in upper case, variables expanded where that works.
pub(super) fn shown(code: &str, lex: &Lex, env: &dyn Fn(&str) -> Option<String>) -> String {
    let text = lex.process_word(code, &env).unwrap_or_else(|_| code.to_owned());
    match text.split_once(' ') {
        Some((name, rest)) => format!("{} {rest}", name.to_uppercase()),
        None => text.to_uppercase(),
    }
}

/// Returns `->arm64` where the stage's variables say that it builds for another platform.
fn cross(on: &Platform, env: &Env) -> String {
    let Some(target) = target_of(on, env) else {
        return String::new();
    };
    if target.os != on.os {
        return format!("->{}", platform::format(&target));
    }
    if target.architecture == on.architecture {
        return String::new();
    }
    match target.variant.filter(|v| !v.is_empty()) {
        Some(variant) => format!("->{}/{variant}", target.architecture),
        None => format!("->{}", target.architecture),
    }
}

/// Returns the platform that `TARGETPLATFORM` and its parts name.
fn target_of(on: &Platform, env: &Env) -> Option<Platform> {
    if let Some(Ok(platform)) = env.get("TARGETPLATFORM").map(|text| platform::parse(text, on)) {
        return Some(platform);
    }
    let part = |key: &str| env.get(key).map(str::to_owned);
    let parts = (part("TARGETOS"), part("TARGETARCH"), part("TARGETVARIANT"));
    if let (None, None, None) = parts {
        return None;
    }
    let known =
        |part: Option<String>, own: &str| part.filter(|p| !p.is_empty()).unwrap_or_else(|| own.to_owned());
    Some(platform::normalize(Platform {
        os: known(parts.0, &on.os),
        architecture: known(parts.1, &on.architecture),
        variant: parts.2,
        os_version: None,
    }))
}

impl Stage {
    /// Changes the working directory.
    ///
    /// # Errors
    /// A drive of Windows that is not the system's.
    pub(super) fn enter(&mut self, path: &str) -> Result<(), String> {
        let os = self.os().to_owned();
        let dir = crate::paths::workdir(&self.image.config.working_dir, path, &os)
            .map_err(|e| format!("normalizing workdir: {e}"))?;
        self.state.dir = crate::paths::to_slash(&dir, &os);
        self.image.config.working_dir = dir;
        Ok(())
    }
}
