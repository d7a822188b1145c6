//! Steps that several wait for: joining, merging, cancelling, failing, limits.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kiln_image::Digest;

use super::CONTENT;
use super::DEFINITION;
use super::build;
use super::chain;
use super::describe;
use super::quiet;
use super::solver;
use crate::Edge;
use crate::Graph;
use crate::GraphError;
use crate::Limits;
use crate::MemoryIndex;
use crate::Observer;
use crate::Slot;
use crate::Solver;
use crate::Vertex;
use crate::VertexId;
use crate::testing::FakeGraph;
use crate::testing::FakeOp;
use crate::testing::Gauge;
use crate::testing::Gives;
use crate::testing::Recorder;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_diamond_runs_its_base_once() {
    let base = FakeOp::new("base", &[]).takes(SECOND);
    let mut graph = FakeGraph::new();
    let bottom = graph.add(base.clone(), &[]);
    let left = graph.add(FakeOp::new("left", &[DEFINITION]).takes(SECOND), &[bottom]);
    let right = graph.add(FakeOp::new("right", &[CONTENT]).takes(SECOND), &[bottom]);
    let top = graph.add(FakeOp::new("top", &[DEFINITION, DEFINITION]), &[left, right]);
    let begin = tokio::time::Instant::now();
    let (text, _) = build(&solver(&Arc::default()), &graph.build(), top).await;
    assert_eq!(text, "top(left(base()),right(base()))");
    assert_eq!(base.calls.runs(), 1);
    assert_eq!(begin.elapsed(), 2 * SECOND, "left and right run at the same time");
}

#[tokio::test(start_paused = true)]
async fn equal_vertices_of_two_sessions_run_once() {
    let base = FakeOp::new("base", &[]).takes(SECOND);
    let (graph, target) = chain(vec![base.clone()]);
    let solver = solver(&Arc::default());
    let (first, second) = futures::join!(build(&solver, &graph, target), build(&solver, &graph, target));
    assert_eq!(first, second);
    assert_eq!(base.calls.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_what_it_has_solved() {
    let (make, last) = (FakeOp::new("make", &[]), FakeOp::new("last", &[DEFINITION]));
    let (part, part_target) = chain(vec![make.clone()]);
    let (whole, target) = chain(vec![make.clone(), last]);
    let recorder = Arc::new(Recorder::default());
    let session = solver(&Arc::default()).session(Arc::clone(&recorder) as Arc<dyn Observer>);
    session.solve(&part, &[part_target]).await.unwrap();
    session.solve(&whole, &[target, target]).await.unwrap();
    assert_eq!((make.calls.runs(), make.calls.maps()), (1, 1));
    assert_eq!(
        recorder
            .events()
            .iter()
            .filter(|event| *event == "make: started")
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn different_definitions_that_reach_the_same_key_run_once() {
    let copy = |name: &str| FakeOp::new(name, &[]).gives(Gives::Text("same".to_owned()));
    let run = FakeOp::new("run", &[CONTENT]).takes(SECOND);
    let index = Arc::new(MemoryIndex::new());
    let mut graph = FakeGraph::new();
    let first = graph.add(
        FakeOp {
            keys: vec!["tag 1".to_owned(), "image".to_owned()],
            ..copy("")
        },
        &[],
    );
    let second = graph.add(
        FakeOp {
            keys: vec!["tag 2".to_owned(), "image".to_owned()],
            ..copy("")
        },
        &[],
    );
    let targets = [
        graph.add(run.clone(), &[first]),
        graph.add(run.clone(), &[second]),
    ];
    let graph = graph.build();
    let recorder = Arc::new(Recorder::default());
    let session = solver(&index).session(Arc::clone(&recorder) as Arc<dyn Observer>);
    assert_eq!(
        session.solve(&graph, &targets).await.unwrap(),
        ["run(same)", "run(same)"]
    );
    assert_eq!(run.calls.runs(), 1);
    assert_eq!(
        recorder
            .events()
            .iter()
            .filter(|event| *event == "run: finished")
            .count(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_is_cancelled_when_the_last_waiter_leaves() {
    let slow = FakeOp {
        grace: 4 * SECOND,
        ..FakeOp::new("slow", &[]).takes(100 * SECOND)
    };
    let (graph, target) = chain(vec![slow.clone(), FakeOp::new("last", &[DEFINITION])]);
    let index = Arc::new(MemoryIndex::new());
    let solver = solver(&index);
    let recorder = Arc::new(Recorder::default());
    let sessions = [
        solver.session(Arc::clone(&recorder) as Arc<dyn Observer>),
        solver.session(quiet()),
    ];
    let targets = [target];
    let mut first = sessions[0].solve(&graph, &targets).boxed();
    let mut second = sessions[1].solve(&graph, &targets).boxed();
    tokio::select! {
        _ = &mut first => panic!("takes longer"),
        _ = &mut second => panic!("takes longer"),
        () = tokio::time::sleep(SECOND) => {}
    }
    drop(first);
    tokio::time::sleep(SECOND).await;
    assert_eq!(slow.calls.running(), 1, "another solve still waits");
    drop(second);
    let left = tokio::time::Instant::now();
    solver.idle().await;
    assert_eq!(left.elapsed(), 2 * SECOND, "it tidies up for half of its grace");
    assert_eq!((slow.calls.running(), slow.calls.finished()), (0, 0));
    assert!(index.is_empty());
    assert_eq!(
        recorder.events().last().unwrap(),
        "slow: failed: context canceled"
    );
    let again = sessions[0].solve(&graph, &[target]).await.unwrap();
    assert_eq!((again, slow.calls.runs()), (vec!["last(slow())".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_while_a_step_is_being_cancelled_gets_a_result() {
    let slow = FakeOp {
        grace: 4 * SECOND,
        ..FakeOp::new("slow", &[]).takes(10 * SECOND)
    };
    let (graph, target) = chain(vec![slow.clone()]);
    let solver = solver(&Arc::default());
    let session = solver.session(quiet());
    let left = tokio::time::timeout(SECOND, session.solve(&graph, &[target])).await;
    assert!(left.is_err());
    let again = session.solve(&graph, &[target]).await.unwrap();
    assert_eq!(
        (again, slow.calls.runs(), slow.calls.finished()),
        (vec!["slow()".to_owned()], 2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_reads_an_ignored_step_does_not_share_what_reads_the_old() {
    let solver = solver(&Arc::default());
    let graph = |text: &str, ignored: bool| {
        let mut graph = FakeGraph::new();
        let first = graph.add(FakeOp::new("make", &[]).gives(Gives::Text(text.to_owned())), &[]);
        let target = graph.add(FakeOp::new("run", &[DEFINITION]).takes(SECOND), &[first]);
        if ignored {
            graph.ignore_cache(first);
        }
        (graph.build(), target)
    };
    let (old, new) = (graph("v1", false), graph("v2", true));
    let (old, new) = futures::join!(build(&solver, &old.0, old.1), build(&solver, &new.0, new.1));
    assert_eq!((&*old.0, &*new.0), ("run(v1)", "run(v2)"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_cache_map_is_computed_again() {
    let slow = FakeOp {
        grace: 4 * SECOND,
        delays: [3 * SECOND; 3],
        ..FakeOp::new("slow", &[])
    };
    let (graph, target) = chain(vec![slow.clone()]);
    let session = solver(&Arc::default()).session(quiet());
    assert!(
        tokio::time::timeout(SECOND, session.solve(&graph, &[target]))
            .await
            .is_err()
    );
    assert_eq!(session.solve(&graph, &[target]).await.unwrap(), ["slow()"]);
    assert_eq!(slow.calls.maps(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_only_tidies_up_for_a_session_that_is_gone_is_not_shared() {
    let slow = || FakeOp {
        grace: 4 * SECOND,
        ..FakeOp::new("slow", &[]).takes(9 * SECOND)
    };
    let (first, second) = (slow(), slow());
    let solver = solver(&Arc::default());
    let (graph, target) = chain(vec![first.clone()]);
    assert!(
        tokio::time::timeout(SECOND, build(&solver, &graph, target))
            .await
            .is_err()
    );
    let (graph, target) = chain(vec![second.clone()]);
    assert_eq!(build(&solver, &graph, target).await.0, "slow()");
    assert_eq!(
        [first.calls.runs(), second.calls.runs()],
        [1, 1],
        "the second session's own operation"
    );
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_does_not_listen_is_dropped() {
    let deaf = FakeOp::new("deaf", &[]).takes(1000 * SECOND);
    let (graph, target) = chain(vec![deaf.clone()]);
    let solver = solver(&Arc::default());
    let session = solver.session(quiet());
    assert!(
        tokio::time::timeout(SECOND, session.solve(&graph, &[target]))
            .await
            .is_err()
    );
    let left = tokio::time::Instant::now();
    solver.idle().await;
    assert_eq!((left.elapsed(), deaf.calls.running()), (Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn the_first_error_cancels_the_rest() {
    let bad = FakeOp::new("bad", &[])
        .takes(SECOND)
        .gives(Gives::Error("exit code: 1".to_owned()));
    let (slow, last) = (
        FakeOp::new("slow", &[]).takes(50 * SECOND),
        FakeOp::new("last", &[DEFINITION, CONTENT]),
    );
    let mut graph = FakeGraph::new();
    let inputs = [graph.add(slow.clone(), &[]), graph.add(bad.clone(), &[])];
    let target = graph.add(last.clone(), &inputs);
    let graph = graph.build();
    let solver = solver(&Arc::default());
    let session = solver.session(quiet());
    let begin = tokio::time::Instant::now();
    let error = session.solve(&graph, &[inputs[0], target]).await.unwrap_err();
    solver.idle().await;
    assert_eq!(begin.elapsed(), SECOND);
    assert_eq!(describe(&error), "error: bad: exit code: 1");
    let crate::SolveError::Step { vertex, digest, .. } = error else {
        panic!("a step failed")
    };
    assert_eq!((vertex, digest), (inputs[1].vertex, graph.vertices()[1].digest));
    assert_eq!([slow.calls.finished(), last.calls.runs()], [0, 0]);
    session.solve(&graph, &[target]).await.unwrap_err();
    assert_eq!(bad.calls.runs(), 1, "the session remembers");
    solver
        .session(quiet())
        .solve(&graph, &[target])
        .await
        .unwrap_err();
    assert_eq!(bad.calls.runs(), 2, "a new one tries again");
}

#[tokio::test(start_paused = true)]
async fn no_more_run_than_the_limit_allows() {
    for (limit, slot, most, time) in [
        (2, Slot::Counted, 2, 3),
        (6, Slot::Counted, 6, 1),
        (1, Slot::Free, 0, 1),
    ] {
        let gauge = Arc::new(Gauge::default());
        let mut graph = FakeGraph::new();
        let targets: Vec<_> = (0..6)
            .map(|i| {
                let op = FakeOp::new(&i.to_string(), &[]).takes(SECOND);
                graph.add(
                    FakeOp {
                        slot,
                        gauge: Arc::clone(&gauge),
                        ..op
                    },
                    &[],
                )
            })
            .collect();
        let solver = Solver::new(Arc::new(MemoryIndex::new()), Limits { parallel: limit });
        let begin = tokio::time::Instant::now();
        solver
            .session(quiet())
            .solve(&graph.build(), &targets)
            .await
            .unwrap();
        assert_eq!((gauge.most(), begin.elapsed()), (most, time * SECOND), "{limit}");
    }
}

#[tokio::test]
async fn a_deep_chain_neither_overflows_nor_hangs() {
    let ops = || (0..5000).map(|i| FakeOp::new(&i.to_string(), if i == 0 { &[] } else { &[DEFINITION] }));
    let index = Arc::new(MemoryIndex::new());
    let keys_only = |op: FakeOp| op.gives(Gives::Text("x".to_owned()));
    for _ in 0..2 {
        let (graph, target) = chain(ops().map(keys_only).collect());
        assert_eq!(build(&solver(&index), &graph, target).await.0, "x");
    }
}

#[test]
fn a_graph_is_checked() {
    let vertex = |inputs: Vec<Edge>, outputs| Vertex {
        digest: Digest::of("v"),
        name: "v".to_owned(),
        inputs,
        outputs,
        op: Arc::new(FakeOp::new("v", &[])) as Arc<dyn crate::Op<String>>,
        ignore_cache: false,
    };
    let edge = |vertex, output| Edge {
        vertex: VertexId(vertex),
        output,
    };
    let bad = GraphError::BadInput {
        name: "v".to_owned(),
        input: 0,
    };
    let table = [
        (vec![vertex(vec![], 1), vertex(vec![edge(0, 0)], 1)], None),
        (
            vec![vertex(vec![], 0)],
            Some(GraphError::NoOutput { name: "v".to_owned() }),
        ),
        (vec![vertex(vec![edge(0, 0)], 1)], Some(bad.clone())),
        (
            vec![vertex(vec![], 1), vertex(vec![edge(0, 1)], 1)],
            Some(bad.clone()),
        ),
        (vec![vertex(vec![edge(1, 0)], 1), vertex(vec![], 1)], Some(bad)),
    ];
    for (vertices, expect) in table {
        assert_eq!(Graph::new(vertices).err(), expect);
    }
}

#[tokio::test]
async fn a_target_must_exist() {
    let (graph, _) = chain(vec![FakeOp::new("op", &[])]);
    let missing = Edge {
        vertex: VertexId(0),
        output: 1,
    };
    let (text, _) = build(&solver(&Arc::default()), &graph, missing).await;
    assert_eq!(text, "error: target 1 of vertex 0 is not in the graph");
}
