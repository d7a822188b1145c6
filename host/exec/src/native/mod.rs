//! The default executor: a small helper program of our own sets the step up.

mod doctor;
pub(crate) mod helper;
pub(crate) mod translate;

use crate::Cancel;
use crate::ExecError;
use crate::Executor;
use crate::Exit;
use crate::Finding;
use crate::Output;
use crate::Step;
use crate::cgroup::Hierarchy;
use crate::network::Networks;
use helper::Environment;
use helper::Launcher;

/// Runs steps with the embedded helper program. One per engine; it keeps a pool of network namespaces.
#[derive(Debug)]
pub struct NativeExecutor {
    launcher: Launcher,
    networks: Networks,
    hierarchy: Hierarchy,
}

impl NativeExecutor {
    /// An executor; nothing of the machine is changed before the first step runs.
    ///
    /// # Errors
    /// When the helper cannot be put into memory.
    pub fn new() -> Result<Self, ExecError> {
        Ok(Self {
            launcher: Launcher::new()?,
            networks: Networks::default(),
            hierarchy: Hierarchy::detect(),
        })
    }
}

#[async_trait::async_trait]
impl Executor for NativeExecutor {
    async fn run(&self, mut step: Step, output: &dyn Output, cancel: Cancel) -> Result<Exit, ExecError> {
        let lease = self.networks.lease(&step).await?;
        lease.resolve_hosts(&mut step)?;
        let spec = translate::spec(&step, lease.network(), &self.hierarchy)?;
        self.launcher
            .run(&step.id, (&spec, Environment::Empty), output, cancel)
            .await
    }

    fn check(&self) -> Vec<Finding> {
        doctor::check(&self.hierarchy)
    }
}
