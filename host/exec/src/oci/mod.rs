//! Runs steps through an OCI runtime, for who wants a hardened or a virtual machine one.
//!
//! The helper mounts root, overlays and secrets at the bundle, in a mount namespace of its own, and becomes the
//! runtime there; so these mounts are as private as with the native executor.

mod bundle;
mod config;

use crate::Cancel;
use crate::ExecError;
use crate::Executor;
use crate::Exit;
use crate::Finding;
use crate::Output;
use crate::Step;
use crate::Stream;
use crate::Verdict;
use crate::cgroup::Hierarchy;
use crate::native::helper::Environment;
use crate::native::helper::Launcher;
use crate::network::Networks;
use bundle::Bundle;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// Runs steps with `runc`, `crun` or another program with the same command line.
#[derive(Debug)]
pub struct OciExecutor {
    runtime: PathBuf,
    scratch: PathBuf,
    launcher: Launcher,
    networks: Networks,
    hierarchy: Hierarchy,
}

impl OciExecutor {
    /// An executor that calls `runtime` (an absolute path) and keeps bundles below `scratch`.
    ///
    /// # Errors
    /// When the helper cannot be put into memory or `scratch` cannot be made.
    pub fn new(runtime: impl Into<PathBuf>, scratch: impl Into<PathBuf>) -> Result<Self, ExecError> {
        let scratch = scratch.into();
        std::fs::create_dir_all(&scratch)
            .map_err(ExecError::io(format!("create `{}`", scratch.display())))?;
        Ok(Self {
            runtime: runtime.into(),
            scratch,
            launcher: Launcher::new()?,
            networks: Networks::default(),
            hierarchy: Hierarchy::detect(),
        })
    }

    fn failed(&self, reason: impl Into<String>) -> ExecError {
        ExecError::Runtime {
            runtime: self.runtime.display().to_string(),
            reason: reason.into(),
        }
    }

    fn conclude(&self, bundle: &Bundle, exit: Exit, output: &dyn Output) -> Result<Exit, ExecError> {
        let Some(message) = bundle.runtime_error().filter(|_| exit.code != 0) else {
            return Ok(exit);
        };
        let Some(code) = start_code(&message) else {
            return Err(self.failed(message));
        };
        let reason = message
            .find("exec")
            .and_then(|at| message.get(at..))
            .unwrap_or(&message)
            .to_owned();
        output.write(Stream::Stderr, format!("{reason}\n").as_bytes());
        Ok(Exit {
            code,
            oom_killed: false,
            start_error: Some(reason),
        })
    }
}

/// Whether it is the step's own program that a runtime complains of: 127 when it is not there, 126 when it will not
/// start.
fn start_code(message: &str) -> Option<i32> {
    const MISSING: [&str; 2] = ["executable file not found", "no such file or directory"];
    const REFUSED: [&str; 3] = ["permission denied", "is a directory", "exec format error"];
    let lower = message.to_lowercase();
    if !lower.contains("exec: ")
        && !lower.contains("exec ")
        && !lower.contains("open executable")
        && !lower.contains("executable")
    {
        return None;
    }
    if MISSING.iter().any(|text| lower.contains(text)) {
        return Some(127);
    }
    REFUSED.iter().any(|text| lower.contains(text)).then_some(126)
}

#[async_trait::async_trait]
impl Executor for OciExecutor {
    async fn run(&self, mut step: Step, output: &dyn Output, cancel: Cancel) -> Result<Exit, ExecError> {
        crate::native::translate::check(&step)?;
        let lease = self.networks.lease(&step).await?;
        lease.resolve_hosts(&mut step)?;
        let bundle = Bundle::create(&self.scratch, &step, &lease.network(), &self.hierarchy)?;
        let spec = bundle.spec(&self.runtime, &step);
        let exit = self
            .launcher
            .run(&step.id, (&spec, Environment::Inherited), output, cancel)
            .await?;
        self.conclude(&bundle, exit, output)
    }

    fn check(&self) -> Vec<Finding> {
        let subject = "OCI runtime".to_owned();
        let asked = Command::new(&self.runtime)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        let detail = match asked {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout)
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                return vec![Finding {
                    subject,
                    verdict: Verdict::Works,
                    detail: text,
                    advice: None,
                }];
            }
            Ok(output) => output.status.to_string(),
            Err(error) => error.to_string(),
        };
        let detail = format!("`{}`: {detail}", self.runtime.display());
        let advice = Some("install the package `runc` or `crun`, or leave `--oci-runtime` out".to_owned());
        vec![Finding {
            subject,
            verdict: Verdict::Missing,
            detail,
            advice,
        }]
    }
}
