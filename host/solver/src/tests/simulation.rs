//! Random graphs, schedules, failures and cancellations from a seed, checked against a sequential evaluation.
//!
//! One thread and paused time: the same seed gives the same run. A failure prints the seed; `KILN_SIM_SEED` replays
//! it alone. Some seeds are run on threads as well, where the scheduler adds what no seed can.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;

use kiln_image::Digest;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

use super::CONTENT;
use super::DEFINITION;
use super::quiet;
use crate::CacheIndex;
use crate::Edge;
use crate::Entry;
use crate::Graph;
use crate::IndexError;
use crate::KeyId;
use crate::Limits;
use crate::Link;
use crate::MemoryIndex;
use crate::Record;
use crate::Scope;
use crate::Slot;
use crate::SolveError;
use crate::Solver;
use crate::VertexId;
use crate::testing::Calls;
use crate::testing::FakeGraph;
use crate::testing::FakeOp;
use crate::testing::Gauge;
use crate::testing::Gives;

const SEEDS: u64 = 3000;
const SEEDS_ON_THREADS: u64 = 150;

/// How long one step of a delay is, simulated and on threads.
const TICK: Duration = Duration::from_millis(1);
const REAL_TICK: Duration = Duration::from_micros(100);

/// Splitmix64: small, and the same everywhere.
struct Dice {
    state: u64,
    tick: Duration,
}

impl Dice {
    fn new(state: u64, tick: Duration) -> Self {
        Self { state, tick }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    fn delay(&mut self) -> Duration {
        // Often none at all, so that many things happen at the same moment.
        let at_once = self.chance(40);
        if at_once { Duration::ZERO } else { self.time(20) }
    }

    fn time(&mut self, below: u64) -> Duration {
        self.tick * self.roll(below) as u32
    }
}

/// The operations that a graph is made of. Few, so that different vertices often reach the same key.
fn operations(dice: &mut Dice, failing: u64) -> Vec<FakeOp> {
    let one = |i: u64, dice: &mut Dice| {
        let inputs: Vec<_> = (0..dice.roll(4))
            .map(|_| if dice.chance(50) { CONTENT } else { DEFINITION })
            .collect();
        let gives = match dice.roll(100) {
            roll if roll < failing => Gives::Error(format!("op {i} fails")),
            roll if roll < 50 => Gives::Text(format!("text {}", dice.roll(3))),
            _ => Gives::Term,
        };
        let scope = if inputs.is_empty() && dice.chance(40) {
            Scope::SessionLocal
        } else {
            Scope::Stored
        };
        let slot = if dice.chance(80) {
            Slot::Counted
        } else {
            Slot::Free
        };
        let outputs = 1 + u32::from(dice.chance(25));
        FakeOp {
            scope,
            slot,
            outputs,
            ..FakeOp::new(&format!("op {i}"), &inputs).gives(gives)
        }
    };
    let mut operations: Vec<_> = (0..6).map(|i| one(i, dice)).collect();
    operations.push(FakeOp::new("base", &[]));
    operations
}

struct World {
    graph: Graph<String>,
    ops: Vec<FakeOp>,
    /// What each vertex gives; an error names the vertices that fail by themselves below it, itself included.
    expect: Vec<Result<Vec<String>, BTreeSet<u32>>>,
    gauge: Arc<Gauge>,
    /// Whether any vertex skips its lookup.
    ignores: bool,
}

/// An index that has lost some of its results.
struct Lossy {
    index: MemoryIndex<String>,
    /// One result in so many is lost; none when 0.
    lost: usize,
}

#[async_trait]
impl CacheIndex<String> for Lossy {
    async fn has_any(&self, op: &Digest) -> Result<bool, IndexError> {
        CacheIndex::has_any(&self.index, op).await
    }
    async fn query(&self, from: &[KeyId], link: &Link) -> Result<Vec<KeyId>, IndexError> {
        self.index.query(from, link).await
    }
    async fn records(&self, keys: &[KeyId]) -> Result<Vec<Record>, IndexError> {
        self.index.records(keys).await
    }
    async fn load(&self, record: &Record) -> Result<Option<String>, IndexError> {
        let id: usize = record.id.parse().expect("MemoryIndex numbers its records");
        let is_lost = id.checked_rem(self.lost) == Some(0);
        if is_lost {
            Ok(None)
        } else {
            self.index.load(record).await
        }
    }
    async fn link(&self, entry: &Entry) -> Result<(), IndexError> {
        self.index.link(entry).await
    }
    async fn save(&self, entry: &Entry, result: &String) -> Result<(), IndexError> {
        self.index.save(entry, result).await
    }
}

impl World {
    /// Makes a graph; `session` makes the keys of its session-local sources.
    fn new((seed, tick): (u64, Duration), failing: u64, session: &str) -> Self {
        let mut dice = Dice::new(seed, tick);
        let ignoring = dice.chance(20);
        let operations = operations(&mut dice, failing);
        let mut world = Self {
            graph: Graph::new(Vec::new()).unwrap(),
            ops: Vec::new(),
            expect: Vec::new(),
            gauge: Arc::default(),
            ignores: false,
        };
        let mut graph = FakeGraph::new();
        for place in 0..3 + dice.roll(12) {
            let mut op = operations[dice.roll(operations.len() as u64) as usize].clone();
            if place == 0 && !op.deps.is_empty() {
                op = operations[operations.len() - 1].clone();
            }
            let inputs: Option<Vec<_>> = op
                .deps
                .iter()
                .map(|d| world.input(&mut dice, d.content))
                .collect();
            let inputs = inputs.unwrap_or_else(|| {
                op = operations[operations.len() - 1].clone();
                Vec::new()
            });
            let ignored = ignoring && op.keys[0] == "op 1";
            if op.scope == Scope::SessionLocal {
                op.keys = vec![format!("{} {place} {session}", op.keys[0])];
                if op.gives == Gives::Term {
                    // What a directory contains does not tell the session.
                    op.gives = Gives::Text(format!("directory {place}"));
                }
            }
            op.delays = [dice.delay(), dice.delay(), dice.delay()];
            op.grace = if dice.chance(30) {
                dice.time(30)
            } else {
                Duration::ZERO
            };
            op.gauge = Arc::clone(&world.gauge);
            op.calls = Arc::new(Calls::default());
            world.expect.push(world.evaluate(place as u32, &op, &inputs));
            let edge = graph.add(op.clone(), &inputs);
            if ignored {
                graph.ignore_cache(edge);
                world.ignores = true;
            }
            world.ops.push(op);
        }
        world.graph = graph.build();
        world
    }

    /// Picks an input. Session-local sources are read by content only, as the engine reads them.
    fn input(&self, dice: &mut Dice, content: crate::ContentKey) -> Option<Edge> {
        let usable = |place: &usize| content == CONTENT || self.ops[*place].scope == Scope::Stored;
        let places: Vec<_> = (0..self.ops.len()).filter(usable).collect();
        if places.is_empty() {
            return None;
        }
        let place = places[dice.roll(places.len() as u64) as usize];
        let output = dice.roll(u64::from(self.ops[place].outputs)) as u32;
        Some(Edge {
            vertex: VertexId(place as u32),
            output,
        })
    }

    fn evaluate(&self, place: u32, op: &FakeOp, inputs: &[Edge]) -> Result<Vec<String>, BTreeSet<u32>> {
        let mut failed = BTreeSet::new();
        let mut values = Vec::new();
        for input in inputs {
            match &self.expect[input.vertex.index()] {
                Ok(outputs) => values.push(outputs[input.output as usize].clone()),
                Err(below) => failed.extend(below),
            }
        }
        if !failed.is_empty() {
            return Err(failed);
        }
        op.result(&values).map_err(|_| BTreeSet::from([place]))
    }

    fn targets(&self, dice: &mut Dice) -> Vec<Edge> {
        let one = |dice: &mut Dice| {
            let place = dice.roll(self.ops.len() as u64) as usize;
            let output = dice.roll(u64::from(self.ops[place].outputs)) as u32;
            Edge {
                vertex: VertexId(place as u32),
                output,
            }
        };
        (0..1 + dice.roll(3)).map(|_| one(dice)).collect()
    }

    fn needed(&self, targets: &[Edge]) -> BTreeSet<u32> {
        let mut needed: BTreeSet<u32> = targets.iter().map(|target| target.vertex.0).collect();
        for (place, vertex) in self.graph.vertices().iter().enumerate().rev() {
            if needed.contains(&(place as u32)) {
                needed.extend(vertex.inputs.iter().map(|input| input.vertex.0));
            }
        }
        needed
    }

    /// Checks what a solve gave against the sequential evaluation.
    fn check(&self, targets: &[Edge], got: &Result<Vec<String>, SolveError>) {
        let expected = targets.iter().map(|target| {
            let outputs = self.expect[target.vertex.index()].clone();
            outputs.map(|outputs| outputs[target.output as usize].clone())
        });
        let (ok, failed): (Vec<_>, Vec<_>) = expected.partition(Result::is_ok);
        match got {
            Ok(values) => {
                assert!(failed.is_empty(), "{failed:?} should have failed");
                assert_eq!(*values, ok.into_iter().flatten().collect::<Vec<_>>());
            }
            Err(SolveError::Step {
                vertex, name, source, ..
            }) => {
                let causes = failed.into_iter().filter_map(Result::err).flatten();
                // Any of several equal vertices may be named.
                let causes: BTreeSet<_> = causes.map(|place| self.digest(place)).collect();
                assert!(
                    causes.contains(&self.digest(vertex.0)),
                    "`{name}` was blamed: {source}"
                );
                assert!(source.to_string().ends_with("fails"), "`{name}`: {source}");
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn digest(&self, place: u32) -> Digest {
        self.graph.vertices()[place as usize].digest
    }

    fn check_quiet(&self, parallel: usize) {
        for op in &self.ops {
            assert_eq!(op.calls.running(), 0, "`{}` is left running", op.keys[0]);
        }
        assert_eq!(self.gauge.now(), 0);
        assert!(self.gauge.most() <= parallel, "{} ran at once", self.gauge.most());
    }

    fn runs(&self) -> BTreeMap<u32, usize> {
        // Vertices with equal definitions are one step.
        let mut first = BTreeMap::new();
        let mut runs = BTreeMap::new();
        for (place, (vertex, op)) in (0..).zip(self.graph.vertices().iter().zip(&self.ops)) {
            *runs
                .entry(*first.entry(vertex.digest).or_insert(place))
                .or_default() += op.calls.runs();
        }
        runs
    }
}

/// Sessions that come and go on one solver, some giving up half way; then one that stays, and a second build.
async fn simulate(seed: u64, tick: Duration) {
    let mut dice = Dice::new(seed ^ 0x5eed, tick);
    let failing = if dice.chance(50) { 0 } else { 15 };
    let parallel = 1 + dice.roll(4) as usize;
    let lost = if dice.chance(25) {
        1 + dice.roll(3) as usize
    } else {
        0
    };
    let index = Arc::new(Lossy {
        index: MemoryIndex::new(),
        lost,
    });
    let world = World::new((seed, tick), failing, "session 1");
    let solver = Solver::new(index.clone(), Limits { parallel });
    let giving_up = if dice.chance(50) { 0 } else { 50 };
    let mut solves = Vec::new();
    let mut asked = Vec::new();
    for _ in 0..1 + dice.roll(3) {
        let targets = world.targets(&mut dice);
        let (begin, patience) = (dice.delay(), dice.time(60));
        let patient = !dice.chance(giving_up);
        asked.extend(targets.clone());
        let (solver, world) = (&solver, &world);
        solves.push(async move {
            tokio::time::sleep(begin).await;
            let session = solver.session(quiet());
            let solve = session.solve(&world.graph, &targets);
            if patient {
                world.check(&targets, &solve.await);
            } else if let Ok(got) = tokio::time::timeout(patience, solve).await {
                world.check(&targets, &got);
            }
            session
        });
    }
    // All sessions are kept to the end, so that what one has solved is there for the others.
    let sessions = join_all(solves).await;
    solver.idle().await;
    world.check_quiet(parallel);
    let needed = world.needed(&asked);
    for (place, runs) in world.runs() {
        let same = world.graph.vertices()[place as usize].digest;
        let wanted = needed
            .iter()
            .any(|p| world.graph.vertices()[*p as usize].digest == same);
        assert!(wanted || runs == 0, "vertex {place} ran though nobody wanted it");
        if failing == 0 && giving_up == 0 {
            assert!(runs <= 1, "vertex {place} ran {runs} times");
        }
    }
    drop(sessions);
    rebuild((seed, tick), failing, &index, &asked).await;
}

/// A build to the end and then another on the same index: the second one runs nothing but session-local sources.
async fn rebuild(seed: (u64, Duration), failing: u64, index: &Arc<Lossy>, targets: &[Edge]) {
    for session in ["session 2", "session 3"] {
        let world = World::new(seed, failing, session);
        let solver = Solver::new(index.clone(), Limits { parallel: 2 });
        let got = solver.session(quiet()).solve(&world.graph, targets).await;
        world.check(targets, &got);
        solver.idle().await;
        world.check_quiet(2);
        let stored = world.ops.iter().filter(|op| op.scope == Scope::Stored);
        if session == "session 3" && got.is_ok() && !world.ignores && index.lost == 0 {
            for op in stored {
                assert_eq!(op.calls.runs(), 0, "`{}` ran in the second build", op.keys[0]);
            }
        }
    }
}

fn run(seed: u64, tick: Duration, runtime: &Runtime) {
    let simulation = async {
        // Paused time moves only when nothing else can: a lost wakeup ends here.
        tokio::time::timeout(tick * 3_600_000, simulate(seed, tick))
            .await
            .expect("the solver hangs");
    };
    let result = runtime.block_on(AssertUnwindSafe(simulation).catch_unwind());
    assert!(
        result.is_ok(),
        "simulation failed: replay it with KILN_SIM_SEED={seed}"
    );
}

#[test]
fn random_builds_agree_with_a_sequential_evaluation() {
    let paused = || {
        Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    if let Ok(seed) = std::env::var("KILN_SIM_SEED") {
        return run(seed.parse().expect("KILN_SIM_SEED is a number"), TICK, &paused());
    }
    for seed in 0..SEEDS {
        run(seed, TICK, &paused());
    }
}

#[test]
fn random_builds_on_threads_do_so_too() {
    let threads = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    for seed in 0..SEEDS_ON_THREADS {
        run(seed, REAL_TICK, &threads);
    }
}
