//! The graph that is solved: vertices in topological order and the edges between them.
//!
//! The solver's own view; what a vertex does is behind its [`Op`].

use std::fmt;
use std::sync::Arc;

use kiln_image::Digest;

use crate::op::Op;

/// Index of a vertex in a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VertexId(pub u32);

impl VertexId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One output of one vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The vertex.
    pub vertex: VertexId,
    /// Which of its outputs, from 0.
    pub output: u32,
}

/// What the solver knows of one vertex.
pub struct Vertex<R> {
    /// Digest of the definition including its inputs' digests. It identifies the vertex while it is in flight
    /// (equal vertices are solved once, also across builds) and is never a stored cache key. What differs
    /// between two builds though it is written the same, such as a local directory, must be in it.
    pub digest: Digest,
    /// What people see, such as `[build 2/5] RUN make`.
    pub name: String,
    /// Where the inputs come from: lower vertices only.
    pub inputs: Vec<Edge>,
    /// How many outputs there are; at least one.
    pub outputs: u32,
    /// What computes keys and results.
    pub op: Arc<dyn Op<R>>,
    /// Skips the lookup, for this vertex and for whatever would be found through its stored key; the result is
    /// still saved.
    pub ignore_cache: bool,
}

impl<R> fmt::Debug for Vertex<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vertex")
            .field("digest", &self.digest)
            .field("name", &self.name)
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("ignore_cache", &self.ignore_cache)
            .finish_non_exhaustive()
    }
}

/// A checked graph: inputs name outputs that exist, of lower vertices only, so there is no cycle.
#[derive(Debug)]
pub struct Graph<R> {
    vertices: Vec<Vertex<R>>,
}

impl<R> Graph<R> {
    /// Checks `vertices`.
    ///
    /// # Errors
    /// When a vertex has no output, or an input is not an output of a lower vertex.
    pub fn new(vertices: Vec<Vertex<R>>) -> Result<Self, GraphError> {
        for (index, vertex) in vertices.iter().enumerate() {
            if vertex.outputs == 0 {
                return Err(GraphError::NoOutput {
                    name: vertex.name.clone(),
                });
            }
            let lower = &vertices[..index];
            let bad = vertex.inputs.iter().position(|edge| !has_output(lower, *edge));
            if let Some(input) = bad {
                return Err(GraphError::BadInput {
                    name: vertex.name.clone(),
                    input,
                });
            }
        }
        Ok(Self { vertices })
    }

    /// Returns the vertices in topological order, inputs first.
    pub fn vertices(&self) -> &[Vertex<R>] {
        &self.vertices
    }

    /// Returns the vertex at `id`.
    pub fn get(&self, id: VertexId) -> Option<&Vertex<R>> {
        self.vertices.get(id.index())
    }

    pub(crate) fn has(&self, edge: Edge) -> bool {
        has_output(&self.vertices, edge)
    }
}

fn has_output<R>(vertices: &[Vertex<R>], edge: Edge) -> bool {
    vertices
        .get(edge.vertex.index())
        .is_some_and(|vertex| edge.output < vertex.outputs)
}

/// The vertices do not form a graph that can be solved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A vertex without outputs cannot be asked for anything.
    #[error("vertex `{name}` has no output (expected at least one)")]
    NoOutput {
        /// The vertex's name.
        name: String,
    },
    /// An input points at itself, upward, or at an output that does not exist.
    #[error("input {input} of vertex `{name}` is not an output of a lower vertex")]
    BadInput {
        /// The vertex's name.
        name: String,
        /// Which input, from 0.
        input: usize,
    },
}
