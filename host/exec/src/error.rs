use std::io;

/// Why a step could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The step was cancelled; nothing of it is left.
    #[error("step `{id}` was cancelled")]
    Cancelled {
        /// The step.
        id: String,
    },
    /// The step is not one that can be run.
    #[error("step `{id}` is invalid: {reason}")]
    Invalid {
        /// The step.
        id: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// The step's surroundings could not be made; `reason` comes from inside, as runc words it where it has words.
    #[error("cannot set up step `{id}`: {reason}")]
    Setup {
        /// The step.
        id: String,
        /// What failed and why.
        reason: String,
    },
    /// The helper program ended without saying how the step ended.
    #[error("the helper of step `{id}` ended unexpectedly: {reason}")]
    Lost {
        /// The step.
        id: String,
        /// How it ended.
        reason: String,
    },
    /// A private network cannot be had on this machine. The caller decides whether another one will do.
    #[error("cannot make a private network for steps: {reason}\nhint: {hint}")]
    NoNetwork {
        /// What is missing.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The program of an [`OciExecutor`](crate::OciExecutor) does not work.
    #[error("OCI runtime `{runtime}` failed: {reason}")]
    Runtime {
        /// The program.
        runtime: String,
        /// Its own words.
        reason: String,
    },
    /// A system call or file operation failed.
    #[error("cannot {action}")]
    Io {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ExecError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
