//! What a session is told while it solves.

use crate::index::IndexError;
use crate::op::OpError;
use crate::op::VertexInfo;

/// Where events go. Called in order for each vertex, from any thread, with a lock held: must not block and must
/// not call the solver.
pub trait Observer: Send + Sync {
    /// Takes note of an event of a vertex. A vertex that was already at work for another session reports what
    /// had happened to it first.
    fn observe(&self, vertex: &VertexInfo, event: &Event);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _vertex: &VertexInfo, _event: &Event) {}
}

/// What happened to a vertex. Closed on purpose: a renderer that misses a case does not compile.
#[derive(Debug, Clone)]
pub enum Event {
    /// The lookup is over. May come again when a result that was found turns out to be gone.
    Decided(CacheDecision),
    /// A stored result was found. It may never be loaded, when a later vertex is found as well.
    Cached,
    /// The operation starts to run.
    Started,
    /// The operation has run, or any of its calls has failed; cancelled steps end with [`OpError::Cancelled`].
    Finished(Result<(), OpError>),
    /// The index could not be read: taken as a miss.
    IndexFailed(IndexError),
}

/// How the lookup of a vertex ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheDecision {
    /// Found by keys that follow from the definition alone; no input was read.
    HitByDefinition,
    /// Found by the content of an input, its own or one further up.
    HitByContent,
    /// Not found.
    Miss(MissReason),
    /// Not looked for: the vertex says so.
    Ignored,
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissReason {
    /// No operation like this was ever saved.
    NewOperation,
    /// The operation was saved, but not with these inputs: those listed lead to no key together with the rest.
    Inputs(Vec<u32>),
    /// The key is known, but its result is gone or cannot be loaded.
    ResultGone,
    /// The operation is a source that only this session can read.
    SessionLocal,
}
