//! Fake operations on text, with counters, delays and failures. For tests here and in the crates above.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use kiln_image::Digest;

use crate::flight::lock;
use crate::graph::Edge;
use crate::graph::Graph;
use crate::graph::Vertex;
use crate::graph::VertexId;
use crate::observer::Event;
use crate::observer::Observer;
use crate::op::CacheMap;
use crate::op::ContentKey;
use crate::op::Dep;
use crate::op::Op;
use crate::op::OpContext;
use crate::op::OpError;
use crate::op::OpKey;
use crate::op::Scope;
use crate::op::Slot;
use crate::op::VertexInfo;

/// How often and how a fake operation was called.
#[derive(Debug, Default)]
pub struct Calls {
    maps: AtomicUsize,
    contents: AtomicUsize,
    runs: AtomicUsize,
    finished: AtomicUsize,
    running: AtomicUsize,
}

impl Calls {
    /// Returns how often [`Op::cache_map`] was called.
    pub fn maps(&self) -> usize {
        self.maps.load(Ordering::SeqCst)
    }

    /// Returns how often [`Op::content_digest`] was called.
    pub fn contents(&self) -> usize {
        self.contents.load(Ordering::SeqCst)
    }

    /// Returns how often [`Op::run`] was called.
    pub fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Returns how many runs have come to their end, with a result or an error.
    pub fn finished(&self) -> usize {
        self.finished.load(Ordering::SeqCst)
    }

    /// Returns how many runs are under way.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

/// How many runs of several operations are under way together, and how many there were at most.
#[derive(Debug, Default)]
pub struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    /// Returns how many there were at most.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// Returns how many there are.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }
}

/// What a run of a fake operation gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives {
    /// A text made of the operation's key and its inputs.
    Term,
    /// Always the same text.
    Text(String),
    /// An error with this text.
    Error(String),
    /// A panic with this text.
    Panic(String),
}

/// A fake operation. Every field may be set; the rest comes from [`FakeOp::new`].
#[derive(Debug, Clone)]
pub struct FakeOp {
    /// Preimages of the alternative keys.
    pub keys: Vec<String>,
    /// How each input counts.
    pub deps: Vec<Dep>,
    /// How long the keys mean something.
    pub scope: Scope,
    /// How many outputs a run gives.
    pub outputs: u32,
    /// What a run gives.
    pub gives: Gives,
    /// How long computing the cache map, a content digest and a run take.
    pub delays: [Duration; 3],
    /// Whether it takes a slot.
    pub slot: Slot,
    /// How long a cancelled call may tidy up; when not zero, it watches for being cancelled and then takes half.
    pub grace: Duration,
    /// Counts its calls.
    pub calls: Arc<Calls>,
    /// Counts runs together with others.
    pub gauge: Arc<Gauge>,
}

impl FakeOp {
    /// Returns an operation with one key and one output that gives a term at once; each of `inputs` says whether
    /// that input counts by content too.
    pub fn new(key: &str, inputs: &[ContentKey]) -> Self {
        Self {
            keys: vec![key.to_owned()],
            deps: inputs
                .iter()
                .map(|content| Dep {
                    selector: None,
                    content: *content,
                })
                .collect(),
            scope: Scope::Stored,
            outputs: 1,
            gives: Gives::Term,
            delays: [Duration::ZERO; 3],
            slot: Slot::Counted,
            grace: Duration::ZERO,
            calls: Arc::default(),
            gauge: Arc::default(),
        }
    }

    /// Sets what a run gives.
    #[must_use]
    pub fn gives(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }

    /// Sets how long a run takes.
    #[must_use]
    pub fn takes(self, run: Duration) -> Self {
        Self {
            delays: [self.delays[0], self.delays[1], run],
            ..self
        }
    }

    async fn work(&self, ctx: &OpContext, delay: Duration) -> Result<(), OpError> {
        if self.grace.is_zero() {
            wait(delay).await;
            return Ok(());
        }
        tokio::select! {
            biased;
            () = wait(delay) => Ok(()),
            () = ctx.cancelled() => {
                wait(self.grace / 2).await;
                Err(OpError::Cancelled)
            }
        }
    }

    /// Returns what a run on `inputs` gives.
    ///
    /// # Errors
    /// When it is to fail.
    pub fn result(&self, inputs: &[String]) -> Result<Vec<String>, String> {
        let text = match &self.gives {
            Gives::Term => format!("{}({})", self.keys.join("|"), inputs.join(",")),
            Gives::Text(text) => text.clone(),
            Gives::Error(error) | Gives::Panic(error) => return Err(error.clone()),
        };
        let output = |output: u32| {
            if output == 0 {
                text.clone()
            } else {
                format!("{text}.{output}")
            }
        };
        Ok((0..self.outputs).map(output).collect())
    }
}

struct UnderWay<'a>(&'a FakeOp);

impl<'a> UnderWay<'a> {
    fn new(op: &'a FakeOp) -> Self {
        op.calls.running.fetch_add(1, Ordering::SeqCst);
        if op.slot == Slot::Counted {
            let now = op.gauge.now.fetch_add(1, Ordering::SeqCst) + 1;
            op.gauge.most.fetch_max(now, Ordering::SeqCst);
        }
        Self(op)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.calls.running.fetch_sub(1, Ordering::SeqCst);
        if self.0.slot == Slot::Counted {
            self.0.gauge.now.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

#[async_trait]
impl Op<String> for FakeOp {
    async fn cache_map(&self, ctx: &OpContext) -> Result<CacheMap, OpError> {
        self.calls.maps.fetch_add(1, Ordering::SeqCst);
        self.work(ctx, self.delays[0]).await?;
        let keys = self.keys.iter().map(|key| OpKey::of(key.as_bytes())).collect();
        Ok(CacheMap {
            keys,
            deps: self.deps.clone(),
            scope: self.scope,
        })
    }

    async fn content_digest(
        &self,
        ctx: &OpContext,
        _index: usize,
        input: &String,
    ) -> Result<Digest, OpError> {
        self.calls.contents.fetch_add(1, Ordering::SeqCst);
        self.work(ctx, self.delays[1]).await?;
        Ok(Digest::of(input))
    }

    async fn run(&self, ctx: &OpContext, inputs: &[String]) -> Result<Vec<String>, OpError> {
        self.calls.runs.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay::new(self);
        self.work(ctx, self.delays[2]).await?;
        self.calls.finished.fetch_add(1, Ordering::SeqCst);
        if let Gives::Panic(text) = &self.gives {
            std::panic::panic_any(text.clone());
        }
        self.result(inputs).map_err(OpError::new)
    }

    fn slot(&self) -> Slot {
        self.slot
    }

    fn grace(&self) -> Duration {
        self.grace
    }
}

/// Puts fake vertices into a graph.
#[derive(Debug, Default)]
pub struct FakeGraph(Vec<Vertex<String>>);

impl FakeGraph {
    /// Returns a graph without vertices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a vertex and returns its first output. Its digest follows from the definition: the operation's keys and
    /// the digests of its inputs.
    pub fn add(&mut self, op: FakeOp, inputs: &[Edge]) -> Edge {
        let mut definition = op.keys.join("|");
        for input in inputs {
            definition.push_str(&format!(
                " {}/{}",
                self.0[input.vertex.index()].digest,
                input.output
            ));
        }
        let vertex = VertexId(self.0.len() as u32);
        self.0.push(Vertex {
            digest: Digest::of(&definition),
            name: op.keys.join("|"),
            inputs: inputs.to_vec(),
            outputs: op.outputs,
            op: Arc::new(op),
            ignore_cache: false,
        });
        Edge { vertex, output: 0 }
    }

    /// Makes a vertex skip its lookup.
    pub fn ignore_cache(&mut self, edge: Edge) {
        self.0[edge.vertex.index()].ignore_cache = true;
    }

    /// Returns the graph.
    ///
    /// # Panics
    /// When an edge is not one that [`FakeGraph::add`] returned, or names an output that does not exist.
    pub fn build(self) -> Graph<String> {
        Graph::new(self.0).expect("edges come from `add`")
    }
}

/// Keeps every event, as text.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// Returns what was heard so far: the vertex's name and the event.
    pub fn events(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

impl Observer for Recorder {
    fn observe(&self, vertex: &VertexInfo, event: &Event) {
        let event = match event {
            Event::Decided(decision) => format!("{decision:?}"),
            Event::Cached => "cached".to_owned(),
            Event::Started => "started".to_owned(),
            Event::Finished(Ok(())) => "finished".to_owned(),
            Event::Finished(Err(error)) => format!("failed: {error}"),
            Event::IndexFailed(error) => format!("index failed: {error}"),
        };
        lock(&self.0).push(format!("{}: {event}", vertex.name));
    }
}
