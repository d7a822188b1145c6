//! Tests on fake operations.

mod index;
mod scenario;
mod sharing;
mod simulation;
mod trace;

use std::sync::Arc;

use crate::CacheIndex;
use crate::ContentKey;
use crate::Edge;
use crate::Graph;
use crate::Limits;
use crate::MemoryIndex;
use crate::NoObserver;
use crate::Observer;
use crate::SolveError;
use crate::Solver;
use crate::testing::FakeGraph;
use crate::testing::FakeOp;
use crate::testing::Recorder;

const DEFINITION: ContentKey = ContentKey::None;
const CONTENT: ContentKey = ContentKey::Available;

fn solver(index: &Arc<MemoryIndex<String>>) -> Solver<String> {
    solver_on(Arc::clone(index) as Arc<dyn CacheIndex<String>>)
}

fn solver_on(index: Arc<dyn CacheIndex<String>>) -> Solver<String> {
    Solver::new(index, Limits { parallel: 4 })
}

/// Solves one target in a session of its own and returns what it gave and what was heard.
async fn build(solver: &Solver<String>, graph: &Graph<String>, target: Edge) -> (String, Vec<String>) {
    let recorder = Arc::new(Recorder::default());
    let session = solver.session(Arc::clone(&recorder) as Arc<dyn Observer>);
    let result = session.solve(graph, &[target]).await;
    let text = result.map_or_else(|error| describe(&error), |results| results.join(";"));
    (text, recorder.events())
}

fn describe(error: &SolveError) -> String {
    match error {
        SolveError::Step { name, source, .. } => format!("error: {name}: {source}"),
        SolveError::NoSuchTarget(_) => format!("error: {error}"),
    }
}

/// A chain of operations, each reading the one before.
fn chain(ops: Vec<FakeOp>) -> (Graph<String>, Edge) {
    let mut graph = FakeGraph::new();
    let mut last = None;
    for op in ops {
        last = Some(graph.add(op, last.as_slice()));
    }
    (graph.build(), last.expect("a chain has a link"))
}

fn quiet() -> Arc<dyn Observer> {
    Arc::new(NoObserver)
}
