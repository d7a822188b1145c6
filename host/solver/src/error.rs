//! Why a solve failed.

use std::sync::Arc;

use kiln_image::Digest;

use crate::graph::Edge;
use crate::graph::VertexId;
use crate::op::OpError;
use crate::op::VertexInfo;

/// Why [`crate::Session::solve`] failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SolveError {
    /// A step failed; the others of the solve were cancelled.
    #[error("failed to solve")]
    Step {
        /// Its place in the graph.
        vertex: VertexId,
        /// Its digest.
        digest: Digest,
        /// Its name.
        name: String,
        /// What went wrong.
        #[source]
        source: OpError,
    },
    /// A target is not in the graph.
    #[error("target {} of vertex {} is not in the graph", .0.output, .0.vertex.0)]
    NoSuchTarget(Edge),
}

/// A step's error on its way to those who wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) vertex: Arc<VertexInfo>,
    pub(crate) error: OpError,
}

pub(crate) type Outcome<T> = Result<T, Failure>;
