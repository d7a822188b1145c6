//! The default executor: a small helper program of our own sets the step up.

use crate::Cancel;
use crate::ExecError;
use crate::Executor;
use crate::Exit;
use crate::Finding;
use crate::Output;
use crate::Step;
use std::path::PathBuf;

/// Runs steps with the embedded helper program. One per engine; it keeps a pool of network namespaces.
#[derive(Debug)]
pub struct NativeExecutor {
    scratch: PathBuf,
}

impl NativeExecutor {
    /// An executor that keeps what is not in memory below `scratch`.
    ///
    /// # Errors
    /// When the helper cannot be put into memory.
    pub fn new(scratch: impl Into<PathBuf>) -> Result<Self, ExecError> {
        Ok(Self {
            scratch: scratch.into(),
        })
    }
}

#[async_trait::async_trait]
impl Executor for NativeExecutor {
    async fn run(&self, step: Step, _output: &dyn Output, _cancel: Cancel) -> Result<Exit, ExecError> {
        Err(ExecError::Setup {
            id: step.id,
            reason: format!("not there yet: {}", self.scratch.display()),
        })
    }

    fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}
