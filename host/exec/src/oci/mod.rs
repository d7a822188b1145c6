//! Runs steps through an OCI runtime, for who wants a hardened or a virtual machine one.

use crate::Cancel;
use crate::ExecError;
use crate::Executor;
use crate::Exit;
use crate::Finding;
use crate::Output;
use crate::Step;
use std::path::PathBuf;

/// Runs steps with `runc`, `crun` or another program with the same command line.
#[derive(Debug)]
pub struct OciExecutor {
    runtime: PathBuf,
    scratch: PathBuf,
}

impl OciExecutor {
    /// An executor that calls `runtime` (a name on `PATH` or a path) and keeps bundles below `scratch`.
    ///
    /// # Errors
    /// When `scratch` cannot be made.
    pub fn new(runtime: impl Into<PathBuf>, scratch: impl Into<PathBuf>) -> Result<Self, ExecError> {
        Ok(Self {
            runtime: runtime.into(),
            scratch: scratch.into(),
        })
    }
}

#[async_trait::async_trait]
impl Executor for OciExecutor {
    async fn run(&self, step: Step, _output: &dyn Output, _cancel: Cancel) -> Result<Exit, ExecError> {
        Err(ExecError::Setup {
            id: step.id,
            reason: format!("not there yet: {:?} {:?}", self.runtime, self.scratch),
        })
    }

    fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}
