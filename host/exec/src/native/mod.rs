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
use crate::Security;
use crate::Step;
use crate::cgroup::Hierarchy;
use crate::network::Networks;
use crate::seccomp;
use helper::Environment;
use helper::Launcher;
use kiln_exec_init::codec::Bytes;
use std::sync::OnceLock;

/// Runs steps with the embedded helper program. One per engine; it keeps a pool of network namespaces.
#[derive(Debug)]
pub struct NativeExecutor {
    launcher: Launcher,
    networks: Networks,
    hierarchy: Hierarchy,
    /// Compiled for the first step that needs it.
    seccomp: OnceLock<Vec<Bytes>>,
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
            seccomp: OnceLock::new(),
        })
    }
}

impl NativeExecutor {
    fn filters(&self) -> Result<Vec<Bytes>, ExecError> {
        if let Some(filters) = self.seccomp.get() {
            return Ok(filters.clone());
        }
        let filters: Vec<Bytes> = seccomp::programs()?.into_iter().map(Bytes).collect();
        Ok(self.seccomp.get_or_init(|| filters).clone())
    }
}

#[async_trait::async_trait]
impl Executor for NativeExecutor {
    async fn run(&self, mut step: Step, output: &dyn Output, cancel: Cancel) -> Result<Exit, ExecError> {
        let lease = self.networks.lease(&step).await?;
        lease.resolve_hosts(&mut step)?;
        let mut spec = translate::spec(&step, lease.network(), &self.hierarchy)?;
        if step.security == Security::Sandbox {
            spec.process.seccomp = self.filters()?;
        }
        self.launcher
            .run(&step.id, (&spec, Environment::Empty), output, cancel)
            .await
    }

    fn check(&self) -> Vec<Finding> {
        doctor::check(&self.hierarchy)
    }
}
