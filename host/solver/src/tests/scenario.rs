//! One build after another on one index: what is found, what runs, what is said.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_image::Digest;

use super::CONTENT;
use super::DEFINITION;
use super::build;
use super::chain;
use super::solver;
use super::solver_on;
use crate::CacheIndex;
use crate::Entry;
use crate::IndexError;
use crate::KeyId;
use crate::LayeredIndex;
use crate::Link;
use crate::MemoryIndex;
use crate::Record;
use crate::Scope;
use crate::testing::FakeGraph;
use crate::testing::FakeOp;
use crate::testing::Gives;

fn local(name: &str, text: &str) -> FakeOp {
    FakeOp {
        scope: Scope::SessionLocal,
        ..FakeOp::new(name, &[]).gives(Gives::Text(text.to_owned()))
    }
}

fn counts(ops: &[&FakeOp]) -> Vec<(usize, usize)> {
    ops.iter()
        .map(|op| (op.calls.runs(), op.calls.contents()))
        .collect()
}

#[tokio::test]
async fn a_hit_by_definition_reads_no_input() {
    let index = Arc::new(MemoryIndex::new());
    let ops = || {
        vec![
            FakeOp::new("base", &[]),
            FakeOp::new("run", &[CONTENT]),
            FakeOp::new("last", &[DEFINITION]),
        ]
    };
    let (graph, target) = chain(ops());
    let (text, events) = build(&solver(&index), &graph, target).await;
    assert_eq!(text, "last(run(base()))");
    assert_eq!(
        events
            .iter()
            .filter(|e| e.ends_with(": Miss(NewOperation)"))
            .count(),
        3,
        "{events:?}"
    );

    let second = ops();
    let (graph, target) = chain(second.clone());
    let (text, events) = build(&solver(&index), &graph, target).await;
    assert_eq!(text, "last(run(base()))");
    assert_eq!(counts(&[&second[0], &second[1], &second[2]]), [(0, 0); 3]);
    let expect = ["base", "run", "last"].map(|n| [format!("{n}: HitByDefinition"), format!("{n}: cached")]);
    assert_eq!(events, expect.concat());
}

#[tokio::test]
async fn a_changed_definition_with_the_same_content_is_a_hit_once_content_is_known() {
    let index = Arc::new(MemoryIndex::new());
    let same = || Gives::Text("same".to_owned());
    let ops = |make: &str| {
        vec![
            FakeOp::new(make, &[]).gives(same()),
            FakeOp::new("copy", &[CONTENT]),
            FakeOp::new("last", &[DEFINITION]),
        ]
    };
    let (graph, target) = chain(ops("make 1"));
    build(&solver(&index), &graph, target).await;

    let second = ops("make 2");
    let (graph, target) = chain(second.clone());
    let (text, events) = build(&solver(&index), &graph, target).await;
    assert_eq!(text, "last(copy(same))");
    assert_eq!(
        counts(&[&second[0], &second[1], &second[2]]),
        [(1, 0), (0, 1), (0, 0)]
    );
    assert!(events.contains(&"copy: HitByContent".to_owned()), "{events:?}");
    assert!(events.contains(&"last: HitByContent".to_owned()), "{events:?}");
}

#[tokio::test]
async fn what_was_found_by_content_is_found_by_definition_the_next_time() {
    let index = Arc::new(MemoryIndex::new());
    let ops = |make: &str| {
        vec![
            FakeOp::new(make, &[]).gives(Gives::Text("same".to_owned())),
            FakeOp::new("copy", &[CONTENT]),
        ]
    };
    for (make, runs) in [
        ("make 1", [1, 1]),
        ("make 2", [1, 0]),
        ("make 2", [0, 0]),
        ("make 1", [0, 0]),
    ] {
        let ops = ops(make);
        let (graph, target) = chain(ops.clone());
        build(&solver(&index), &graph, target).await;
        assert_eq!([ops[0].calls.runs(), ops[1].calls.runs()], runs, "{make}");
    }
}

#[tokio::test]
async fn a_new_operation_computes_no_content_before_it_runs() {
    let index = Arc::new(MemoryIndex::new());
    let base = || FakeOp::new("base", &[]);
    let (graph, target) = chain(vec![base(), FakeOp::new("one", &[CONTENT])]);
    build(&solver(&index), &graph, target).await;

    let copy = FakeOp::new("two", &[CONTENT]);
    let (graph, target) = chain(vec![base(), copy.clone()]);
    let (_, events) = build(&solver(&index), &graph, target).await;
    assert!(
        events.contains(&"two: Miss(NewOperation)".to_owned()),
        "{events:?}"
    );
    assert_eq!(counts(&[&copy]), [(1, 1)], "once, to be saved");
}

#[tokio::test(start_paused = true)]
async fn content_is_not_computed_where_it_cannot_help() {
    let index = Arc::new(MemoryIndex::new());
    let second = Duration::from_secs(1);
    for (base, time) in [("one", second), ("two", second)] {
        let mut graph = FakeGraph::new();
        let copy = FakeOp::new("copy", &[DEFINITION, CONTENT]);
        let source = FakeOp::new(&format!("source for {base}"), &[]).takes(second);
        let inputs = [
            graph.add(FakeOp::new(base, &[]).takes(second), &[]),
            graph.add(source, &[]),
        ];
        let target = graph.add(copy.clone(), &inputs);
        let begin = tokio::time::Instant::now();
        let (_, events) = build(&solver(&index), &graph.build(), target).await;
        assert_eq!(
            begin.elapsed(),
            time,
            "both inputs run at once: nobody waits for the content of one"
        );
        let reason = if base == "one" {
            "NewOperation"
        } else {
            "Inputs([0, 1])"
        };
        assert!(events.contains(&format!("copy: Miss({reason})")), "{events:?}");
        assert_eq!(counts(&[&copy]), [(1, 1)], "once, to be saved");
    }
}

#[tokio::test]
async fn inputs_that_are_read_in_different_parts_are_different() {
    let index = Arc::new(MemoryIndex::new());
    for (path, runs) in [("/a", 1), ("/a", 0), ("/b", 1)] {
        let mut copy = FakeOp::new("copy", &[DEFINITION]);
        copy.deps[0].selector = Some(Digest::of(path));
        let (graph, target) = chain(vec![FakeOp::new("base", &[]), copy.clone()]);
        build(&solver(&index), &graph, target).await;
        assert_eq!(copy.calls.runs(), runs, "{path}");
    }
}

#[tokio::test]
async fn all_outputs_of_a_step_are_of_one_run() {
    let index = Arc::new(MemoryIndex::new());
    let make = |text: &str| FakeOp {
        outputs: 2,
        ..FakeOp::new("make", &[]).gives(Gives::Text(text.to_owned()))
    };
    let (graph, first) = chain(vec![make("v1")]);
    let second = crate::Edge { output: 1, ..first };
    assert_eq!(build(&solver(&index), &graph, second).await.0, "v1.1");
    let (graph, _) = chain(vec![make("v2")]);
    let session = solver(&index).session(super::quiet());
    assert_eq!(session.solve(&graph, &[first]).await.unwrap(), ["v2"]);
    assert_eq!(
        session.solve(&graph, &[second]).await.unwrap(),
        ["v2.1"],
        "not the stored one"
    );
}

#[tokio::test]
async fn a_session_local_source_counts_by_content_only() {
    let index = Arc::new(MemoryIndex::new());
    let table = [
        ("session 1", "v1", 1),
        ("session 2", "v1", 0),
        ("session 3", "v2", 1),
        ("session 3", "v1", 0),
    ];
    for (name, text, runs) in table {
        let ops = vec![
            local(name, text),
            FakeOp::new("copy", &[CONTENT]),
            FakeOp::new("run", &[DEFINITION]),
        ];
        let (graph, target) = chain(ops.clone());
        let (result, _) = build(&solver(&index), &graph, target).await;
        assert_eq!(result, format!("run(copy({text}))"));
        assert_eq!(
            counts(&[&ops[0], &ops[1], &ops[2]]),
            [(1, 0), (runs, 1), (runs, 0)],
            "{name} {text}"
        );
    }
}

#[tokio::test]
async fn what_reads_a_session_local_source_otherwise_is_never_saved() {
    let index = Arc::new(MemoryIndex::new());
    for _ in 0..2 {
        let ops = vec![
            local("context", "v1"),
            FakeOp::new("run", &[DEFINITION]),
            FakeOp::new("last", &[DEFINITION]),
        ];
        let (graph, target) = chain(ops.clone());
        build(&solver(&index), &graph, target).await;
        assert_eq!(
            ops.iter().map(|op| op.calls.runs()).collect::<Vec<_>>(),
            [1, 1, 1]
        );
    }
    assert!(index.is_empty());
}

#[tokio::test]
async fn any_of_several_keys_is_a_hit() {
    let index = Arc::new(MemoryIndex::new());
    let image = |keys: &[&str]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        FakeOp {
            keys,
            ..FakeOp::new("", &[]).gives(Gives::Text("root fs".to_owned()))
        }
    };
    for (manifest, runs) in [("manifest 1", 1), ("manifest 2", 0)] {
        let ops = vec![image(&[manifest, "chain"]), FakeOp::new("run", &[DEFINITION])];
        let (graph, target) = chain(ops.clone());
        build(&solver(&index), &graph, target).await;
        assert_eq!([ops[0].calls.runs(), ops[1].calls.runs()], [runs, runs]);
    }
}

#[tokio::test]
async fn ignore_cache_looks_for_nothing_that_was_made_of_the_old_but_saves() {
    let index = Arc::new(MemoryIndex::new());
    // The same definition gives something else every time.
    for (text, ignored, runs) in [("v1", false, [1, 1]), ("v2", true, [1, 1]), ("v3", false, [0, 0])] {
        let make = FakeOp::new("apt-get update", &[]).gives(Gives::Text(text.to_owned()));
        let run = FakeOp::new("run", &[DEFINITION]);
        let mut graph = FakeGraph::new();
        let first = graph.add(make.clone(), &[]);
        let target = graph.add(run.clone(), &[first]);
        if ignored {
            graph.ignore_cache(first);
        }
        let (result, _) = build(&solver(&index), &graph.build(), target).await;
        assert_eq!([make.calls.runs(), run.calls.runs()], runs, "{text}");
        assert_eq!(result, if text == "v1" { "run(v1)" } else { "run(v2)" });
    }
}

#[tokio::test]
async fn what_follows_an_ignored_step_is_still_found_by_content() {
    let index = Arc::new(MemoryIndex::new());
    for ignored in [false, true] {
        let (make, copy) = (FakeOp::new("make", &[]), FakeOp::new("copy", &[CONTENT]));
        let mut graph = FakeGraph::new();
        let first = graph.add(make.clone(), &[]);
        let target = graph.add(copy.clone(), &[first]);
        if ignored {
            graph.ignore_cache(first);
        }
        build(&solver(&index), &graph.build(), target).await;
        assert_eq!([make.calls.runs(), copy.calls.runs()], [1, usize::from(!ignored)]);
    }
}

#[tokio::test]
async fn results_of_different_content_are_never_mixed_under_one_definition() {
    let index = Arc::new(MemoryIndex::new());
    // `make` is not reproducible and is always run again; `other` happens to give what it gave first.
    let table = [("make", "v1", true), ("make", "v2", true), ("other", "v1", false)];
    for (name, text, ignored) in table {
        let mut graph = FakeGraph::new();
        let first = graph.add(FakeOp::new(name, &[]).gives(Gives::Text(text.to_owned())), &[]);
        let target = graph.add(FakeOp::new("copy", &[CONTENT]), &[first]);
        if ignored {
            graph.ignore_cache(first);
        }
        let (result, _) = build(&solver(&index), &graph.build(), target).await;
        assert_eq!(result, format!("copy({text})"));
    }
}

/// An index whose results are lost or unreadable, or that cannot be read at all.
struct Broken {
    index: Arc<MemoryIndex<String>>,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Gone,
    Unreadable,
    Queries,
    Saves,
}

impl Broken {
    fn check(&self, fault: Fault) -> Result<(), IndexError> {
        if self.fault == fault {
            Err(IndexError::new("disk on fire"))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl CacheIndex<String> for Broken {
    async fn has_any(&self, op: &Digest) -> Result<bool, IndexError> {
        self.check(Fault::Queries)?;
        CacheIndex::has_any(&*self.index, op).await
    }
    async fn query(&self, from: &[KeyId], link: &Link) -> Result<Vec<KeyId>, IndexError> {
        self.check(Fault::Queries)?;
        self.index.query(from, link).await
    }
    async fn records(&self, keys: &[KeyId]) -> Result<Vec<Record>, IndexError> {
        self.check(Fault::Queries)?;
        self.index.records(keys).await
    }
    async fn load(&self, record: &Record) -> Result<Option<String>, IndexError> {
        self.check(Fault::Unreadable)?;
        if self.fault == Fault::Gone {
            Ok(None)
        } else {
            self.index.load(record).await
        }
    }
    async fn link(&self, entry: &Entry) -> Result<(), IndexError> {
        self.index.link(entry).await
    }
    async fn save(&self, entry: &Entry, result: &String) -> Result<(), IndexError> {
        self.check(Fault::Saves)?;
        self.index.save(entry, result).await
    }
}

#[tokio::test]
async fn a_broken_index_costs_time_only_but_a_result_that_cannot_be_saved_is_an_error() {
    let table = [
        (Fault::Gone, "run(base())", "run: Miss(ResultGone)"),
        (
            Fault::Unreadable,
            "run(base())",
            "run: index failed: disk on fire",
        ),
        (Fault::Queries, "run(base())", "run: index failed: disk on fire"),
        (Fault::Saves, "run(base())", "run: cached"),
    ];
    for (fault, expect, event) in table {
        let index = Arc::new(MemoryIndex::new());
        let ops = || vec![FakeOp::new("base", &[]), FakeOp::new("run", &[CONTENT])];
        let (graph, target) = chain(ops());
        build(&solver(&index), &graph, target).await;
        let second = ops();
        let (graph, target) = chain(second.clone());
        let broken = solver_on(Arc::new(Broken { index, fault }));
        let (text, events) = build(&broken, &graph, target).await;
        assert_eq!(text, expect, "{fault:?}");
        assert!(events.contains(&event.to_owned()), "{fault:?}: {events:?}");
        let runs = usize::from(fault != Fault::Saves);
        assert_eq!(
            counts(&[&second[0], &second[1]]),
            [(runs, 0), (runs, runs)],
            "{fault:?}"
        );
    }
    let (graph, target) = chain(vec![FakeOp::new("base", &[])]);
    let broken = Broken {
        index: Arc::new(MemoryIndex::new()),
        fault: Fault::Saves,
    };
    let (text, _) = build(&solver_on(Arc::new(broken)), &graph, target).await;
    assert_eq!(text, "error: base: cannot save the result in the cache index");
}

#[tokio::test]
async fn what_an_import_knows_is_loaded_and_kept() {
    let (own, import) = (Arc::new(MemoryIndex::new()), Arc::new(MemoryIndex::new()));
    let ops = || vec![FakeOp::new("base", &[]), FakeOp::new("run", &[CONTENT])];
    let (graph, target) = chain(ops());
    build(&solver(&import), &graph, target).await;

    let second = ops();
    let (graph, target) = chain(second.clone());
    let layered = LayeredIndex::new(own.clone(), vec![import]);
    let (text, _) = build(&solver_on(Arc::new(layered)), &graph, target).await;
    assert_eq!(text, "run(base())");
    assert_eq!(counts(&[&second[0], &second[1]]), [(0, 0); 2]);

    let third = ops();
    let (graph, target) = chain(third.clone());
    build(&solver(&own), &graph, target).await;
    assert_eq!(third[1].calls.runs(), 0, "the result is in the own index now");
}

#[tokio::test]
async fn every_key_keeps_its_preimage() {
    let index = Arc::new(MemoryIndex::new());
    let (graph, target) = chain(vec![FakeOp::new("base", &[])]);
    build(&solver(&index), &graph, target).await;
    let entry = index.entry(&KeyId::root(&Digest::of("base"), 0)).unwrap();
    assert_eq!(entry.op.preimage, b"base");
}

#[tokio::test]
async fn a_panic_is_the_steps_error() {
    let boom = FakeOp::new("boom", &[])
        .gives(Gives::Panic("bad op".to_owned()))
        .takes(Duration::from_millis(1));
    let (graph, target) = chain(vec![boom]);
    let (text, events) = build(&solver(&Arc::default()), &graph, target).await;
    assert_eq!(text, "error: boom: step panicked: bad op");
    assert_eq!(events.last().unwrap(), "boom: failed: step panicked: bad op");
}

#[tokio::test]
async fn a_broken_contract_is_the_steps_error() {
    let table = [
        (
            FakeOp {
                keys: Vec::new(),
                ..FakeOp::new("", &[])
            },
            "error: : step returned 0 cache keys (expected 1)",
        ),
        (
            FakeOp::new("op", &[CONTENT]),
            "error: op: step returned 1 cache dependencies (expected 0)",
        ),
    ];
    for (op, expect) in table {
        let (graph, target) = chain(vec![op]);
        assert_eq!(build(&solver(&Arc::default()), &graph, target).await.0, expect);
    }
}

#[test]
fn root_and_content_keys_are_those_of_buildkit() {
    let digest = Digest::of("x");
    assert_eq!(KeyId::root(&digest, 2).0, Digest::of(format!("{digest}@2")));
    assert_eq!(KeyId::content(&digest).0, Digest::of(format!("{digest}@-1")));
}
