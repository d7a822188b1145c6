//! Decides what has to run: takes a checked [`Graph`], asks the [`CacheIndex`] what is known, runs the rest through
//! [`Op`], shares equal steps between all who want them and cancels what nobody waits for.
//!
//! BuildKit's model of keys; how they are made is in `docs/solver.md`.
//!
//! Invariant: this crate does no I/O and knows no operation. It sees keys, results and time, so every test of it
//! runs on fake ops.

mod error;
mod flight;
mod graph;
mod index;
mod key;
mod observer;
mod op;
mod solver;
mod step;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod trace;

pub use crate::error::SolveError;
pub use crate::graph::Edge;
pub use crate::graph::Graph;
pub use crate::graph::GraphError;
pub use crate::graph::Vertex;
pub use crate::graph::VertexId;
pub use crate::index::CacheIndex;
pub use crate::index::IndexError;
pub use crate::index::LayeredIndex;
pub use crate::index::MemoryIndex;
pub use crate::index::Origin;
pub use crate::index::Record;
#[cfg(any(test, feature = "testing"))]
pub use crate::index::conformance;
pub use crate::key::Alternative;
pub use crate::key::Entry;
pub use crate::key::KeyId;
pub use crate::key::Kind;
pub use crate::key::Link;
pub use crate::observer::CacheDecision;
pub use crate::observer::Event;
pub use crate::observer::MissReason;
pub use crate::observer::NoObserver;
pub use crate::observer::Observer;
pub use crate::op::CacheMap;
pub use crate::op::Cancel;
pub use crate::op::ContentKey;
pub use crate::op::Dep;
pub use crate::op::Op;
pub use crate::op::OpContext;
pub use crate::op::OpError;
pub use crate::op::OpKey;
pub use crate::op::Scope;
pub use crate::op::Slot;
pub use crate::op::VertexInfo;
pub use crate::solver::Limits;
pub use crate::solver::Session;
pub use crate::solver::Solver;
pub use crate::trace::Trace;
pub use crate::trace::Traced;
pub use crate::trace::TracedInput;
