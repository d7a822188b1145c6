//! The port: what runs a [`Step`], and what it is told and tells.

use crate::ExecError;
use crate::Step;
use tokio::sync::watch;

/// Something that runs steps.
#[async_trait::async_trait]
pub trait Executor: Send + Sync {
    /// Runs a step to its end and hands its output over as it comes.
    ///
    /// When this returns, no process and no mount of the step is left. Dropping the future ends the step too, but
    /// does not wait for it.
    ///
    /// # Errors
    /// When the step could not be set up, or [`ExecError::Cancelled`]. A program that cannot be started is not an
    /// error but exit code 126 or 127, with the reason on the step's standard error.
    async fn run(&self, step: Step, output: &dyn Output, cancel: Cancel) -> Result<Exit, ExecError>;

    /// Looks at the machine and says what works and what is missing, for `kiln doctor`.
    fn check(&self) -> Vec<Finding>;
}

/// Where a step's output goes. Called from the task that runs the step: it should not block for long.
pub trait Output: Send + Sync {
    /// Takes bytes as they came from the pipe; lines may be cut anywhere.
    fn write(&self, stream: Stream, bytes: &[u8]);
}

/// One of the two streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// How a step ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + number when a signal ended it; 127 and 126 when the program was not found or would not
    /// start.
    pub code: i32,
    /// Whether the kernel killed a process of the step because memory ran out.
    pub oom_killed: bool,
    /// Why the program did not start, in runc's words.
    pub start_error: Option<String>,
}

/// A finding of [`Executor::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in few words.
    pub subject: String,
    /// Whether it works.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to install or do, when something is to be done.
    pub advice: Option<String>,
}

/// How a finding turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Works.
    Works,
    /// Something that few steps need is missing.
    Limited,
    /// Steps cannot run.
    Missing,
}

/// Tells a running step to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cancel(Option<watch::Receiver<bool>>);

/// The other end of a [`Cancel`].
#[derive(Clone, Debug)]
pub struct Canceller(watch::Sender<bool>);

impl Cancel {
    /// A pair of ends.
    pub fn pair() -> (Canceller, Self) {
        let (sender, receiver) = watch::channel(false);
        (Canceller(sender), Self(Some(receiver)))
    }

    /// One that never comes.
    pub fn never() -> Self {
        Self(None)
    }

    /// Whether it has come.
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|receiver| *receiver.borrow())
    }

    /// Waits until it comes; for ever when the [`Canceller`] is gone.
    pub async fn cancelled(&mut self) {
        if let Some(receiver) = &mut self.0
            && receiver.wait_for(|cancelled| *cancelled).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Canceller {
    /// Stops everything that holds the other end.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}
