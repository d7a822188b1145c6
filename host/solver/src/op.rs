//! What the solver asks of an operation: its cache map, content keys of its inputs, and its result.
//!
//! Mirrors BuildKit's `CacheMap`, slow cache and `Exec`. Implemented by the engine; by fake ops in tests.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_image::Digest;
use tokio::sync::watch;

use crate::index::IndexError;

/// An operation. Every method runs in a task of its own and is shared by all who wait for it.
#[async_trait]
pub trait Op<R>: Send + Sync {
    /// Returns what identifies the operation apart from its inputs, and how each input counts.
    ///
    /// # Errors
    /// When the key cannot be found out, for instance because a reference does not resolve.
    async fn cache_map(&self, ctx: &OpContext) -> Result<CacheMap, OpError>;

    /// Returns the digest of what the operation reads of its input `index`, whose result is `input`. Asked only
    /// for inputs whose [`Dep::content`] says so.
    ///
    /// # Errors
    /// When the input cannot be read; the step fails with it.
    async fn content_digest(&self, ctx: &OpContext, index: usize, input: &R) -> Result<Digest, OpError>;

    /// Computes all outputs.
    ///
    /// # Errors
    /// When the step fails.
    async fn run(&self, ctx: &OpContext, inputs: &[R]) -> Result<Vec<R>, OpError>;

    /// Returns whether [`Op::run`] takes one of the solver's slots. Steps that mostly wait need none.
    fn slot(&self) -> Slot {
        Slot::Counted
    }

    /// Returns how long a cancelled call may go on to tidy up, once [`OpContext::cancelled`] has fired, before
    /// its future is dropped. By default it is dropped at once.
    fn grace(&self) -> Duration {
        Duration::ZERO
    }
}

/// Whether a run counts against the limit of parallel steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Waits for one of [`crate::Limits::parallel`] slots and keeps it until it has ended.
    Counted,
    /// Starts as soon as its inputs are there.
    Free,
}

/// What identifies an operation apart from its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMap {
    /// Alternative keys of the operation, at least one; an image source has two. A record under any of them is
    /// a hit.
    pub keys: Vec<OpKey>,
    /// How each input counts; as many as the vertex has inputs.
    pub deps: Vec<Dep>,
    /// Whether the keys may outlive the session.
    pub scope: Scope,
}

/// Key of an operation and what it was computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpKey {
    /// BuildKit's `CacheMap.Digest`.
    pub digest: Digest,
    /// The bytes whose digest it is, kept so that a difference can be explained.
    pub preimage: Vec<u8>,
}

impl OpKey {
    /// Returns the key that is the digest of `preimage`.
    pub fn of(preimage: impl Into<Vec<u8>>) -> Self {
        let preimage = preimage.into();
        Self {
            digest: Digest::of(&preimage),
            preimage,
        }
    }
}

/// How long a cache map's keys mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// They are stored and looked up.
    Stored,
    /// A source that only this session can read, such as a local directory: nothing is looked up or stored under
    /// its keys, and steps that read it are found by content only.
    SessionLocal,
}

/// How one input counts in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dep {
    /// Which part of the input is read; inputs that differ in it are different.
    pub selector: Option<Digest>,
    /// Whether the input also counts by its content.
    pub content: ContentKey,
}

/// Whether [`Op::content_digest`] can be asked for an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentKey {
    /// The input counts by its own key alone.
    None,
    /// Content that is equal makes the input equal, whatever made it.
    Available,
}

/// What an operation is told about the call it serves.
#[derive(Debug, Clone)]
pub struct OpContext {
    vertex: Arc<VertexInfo>,
    cancel: Cancel,
}

impl OpContext {
    pub(crate) fn new(vertex: Arc<VertexInfo>, cancel: Cancel) -> Self {
        Self { vertex, cancel }
    }

    /// Returns a context that is never cancelled, for calling an operation without a solver.
    pub fn detached(digest: Digest, name: &str) -> Self {
        let vertex = Arc::new(VertexInfo {
            digest,
            name: name.to_owned(),
        });
        Self {
            vertex,
            cancel: Cancel(watch::channel(false).1),
        }
    }

    /// Returns the vertex the call is for.
    pub fn vertex(&self) -> &VertexInfo {
        &self.vertex
    }

    /// Returns whether nobody waits for the call any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until nobody waits for the call any more.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Returns the signal itself, to hand to a thread or task that does the work.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }
}

/// What names a vertex in events and errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VertexInfo {
    /// [`crate::Vertex::digest`].
    pub digest: Digest,
    /// [`crate::Vertex::name`].
    pub name: String,
}

/// Tells that the last one who waited has left. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cancel(pub(crate) watch::Receiver<bool>);

impl Cancel {
    /// Returns whether it has fired. May be asked from any thread.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it fires; forever when it never does.
    pub async fn cancelled(&self) {
        let mut fired = self.0.clone();
        if fired.wait_for(|fired| *fired).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Why a step failed. Given to everybody who waits for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpError {
    /// The operation's own error, with its chain of sources.
    #[error(transparent)]
    Failed(Arc<dyn Error + Send + Sync>),
    /// The operation stopped because nobody waited any more.
    #[error("context canceled")]
    Cancelled,
    /// The operation panicked: a bug in it.
    #[error("step panicked: {0}")]
    Panicked(String),
    /// The operation broke its contract: a bug in it.
    #[error("step returned {found} {what} (expected {expected})")]
    Contract {
        /// What there is a wrong number of.
        what: &'static str,
        /// How many were returned.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The result could not be saved.
    #[error("cannot save the result in the cache index")]
    Save(#[source] IndexError),
}

impl OpError {
    /// Wraps the operation's own error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(Arc::from(error.into()))
    }
}
