//! What a solve can tell afterwards.

use std::sync::Arc;

use super::CONTENT;
use super::DEFINITION;
use super::chain;
use super::quiet;
use super::solver;
use crate::Edge;
use crate::MemoryIndex;
use crate::Scope;
use crate::Trace;
use crate::VertexId;
use crate::testing::FakeOp;
use crate::testing::Gives;

fn ops() -> Vec<FakeOp> {
    let local = FakeOp {
        scope: Scope::SessionLocal,
        ..FakeOp::new("local", &[]).gives(Gives::Text("files".to_owned()))
    };
    vec![
        local,
        FakeOp::new("copy", &[CONTENT]),
        FakeOp::new("run", &[DEFINITION]),
    ]
}

async fn traced(index: &Arc<MemoryIndex<String>>, ops: Vec<FakeOp>) -> Trace<String> {
    let (graph, target) = chain(ops);
    let session = solver(index).session(quiet());
    session.solve(&graph, &[target]).await.expect("the steps succeed");
    session.trace(&graph, &[target]).await
}

#[tokio::test]
async fn a_trace_has_keys_content_and_results() {
    let index = Arc::new(MemoryIndex::new());
    let ran = traced(&index, ops()).await;
    assert_eq!(ran.targets, [2]);
    let [local, copy, run] = &ran.steps[..] else {
        panic!("three steps")
    };
    assert!(local.keys.is_empty(), "nobody else has the session's files");
    assert_eq!(copy.keys.len(), 1);
    assert!(copy.inputs[0].content.is_some());
    assert_eq!((copy.inputs[0].step, run.inputs[0].step), (0, 1));
    assert_eq!(run.result.as_deref(), Some("run(copy(files))"));
}

#[tokio::test]
async fn what_was_found_is_told_as_what_ran() {
    let index = Arc::new(MemoryIndex::new());
    let ran = traced(&index, ops()).await;
    let second = ops();
    let found = traced(&index, second.clone()).await;
    assert_eq!(second[2].calls.runs(), 0);
    for (ran, found) in ran.steps.iter().zip(&found.steps) {
        assert_eq!((&ran.keys, &ran.inputs), (&found.keys, &found.inputs));
        assert_eq!(ran.result, found.result);
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_has_no_trace() {
    let (graph, _) = chain(ops());
    let session = solver(&Arc::default()).session(quiet());
    let missing = Edge {
        vertex: VertexId(9),
        output: 0,
    };
    assert!(session.trace(&graph, &[missing]).await.steps.is_empty());
}
