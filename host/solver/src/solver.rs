//! The solver and its sessions: which steps there are, and who wants them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;

use futures::future::try_join_all;
use tokio::sync::Semaphore;

use crate::error::Failure;
use crate::error::SolveError;
use crate::flight::Tasks;
use crate::flight::lock;
use crate::graph::Edge;
use crate::graph::Graph;
use crate::graph::Vertex;
use crate::index::CacheIndex;
use crate::observer::Observer;
use crate::step::Freshness;
use crate::step::Input;
use crate::step::Merger;
use crate::step::Shared;
use crate::step::Step;
use crate::step::StepId;

/// How much may happen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many operations with [`crate::Slot::Counted`] run at the same time; at least one.
    pub parallel: usize,
}

/// Solves graphs for any number of sessions; equal vertices are solved once while any session wants them. Cheap to
/// clone.
pub struct Solver<R>(Arc<Registry<R>>);

struct Registry<R> {
    shared: Arc<Shared<R>>,
    steps: Mutex<HashMap<StepId, Weak<Step<R>>>>,
}

impl<R> Clone for Solver<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> fmt::Debug for Solver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Solver").finish_non_exhaustive()
    }
}

impl<R: Clone + Send + Sync + 'static> Solver<R> {
    /// Returns a solver on `index`.
    pub fn new(index: Arc<dyn CacheIndex<R>>, limits: Limits) -> Self {
        let slots = Arc::new(Semaphore::new(limits.parallel.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared {
            index,
            slots,
            tasks: Tasks::default(),
            merger: Merger::default(),
        });
        Self(Arc::new(Registry {
            shared,
            steps: Mutex::default(),
        }))
    }

    /// Starts a session, usually one build. `observer` hears of every vertex that the session solves.
    pub fn session(&self, observer: Arc<dyn Observer>) -> Session<R> {
        Session {
            registry: Arc::clone(&self.0),
            observer,
            held: Mutex::default(),
        }
    }

    /// Waits until nothing is at work: also what was cancelled has then tidied up.
    pub async fn idle(&self) {
        self.0.shared.tasks.idle().await;
    }
}

/// One build: keeps what it has solved in memory, for later solves of the same session, until it is dropped. A
/// step that failed stays failed for the session; a new one tries again.
pub struct Session<R> {
    registry: Arc<Registry<R>>,
    observer: Arc<dyn Observer>,
    held: Mutex<Held<R>>,
}

struct Held<R> {
    steps: HashMap<StepId, Arc<Step<R>>>,
    /// Inputs first.
    order: Vec<Arc<Step<R>>>,
}

impl<R> Default for Held<R> {
    fn default() -> Self {
        Self {
            steps: HashMap::new(),
            order: Vec::new(),
        }
    }
}

impl<R> fmt::Debug for Session<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl<R: Clone + Send + Sync + 'static> Session<R> {
    /// Solves the targets and what they need, in parallel, and returns their results in order. Must be called
    /// inside a tokio runtime. Dropping the future cancels whatever no other solve waits for;
    /// [`Solver::idle`] tells when that has ended.
    ///
    /// # Errors
    /// The first error of a step, after which the others are cancelled; or a target that is not in the graph.
    pub async fn solve(&self, graph: &Graph<R>, targets: &[Edge]) -> Result<Vec<R>, SolveError> {
        if let Some(missing) = targets.iter().find(|target| !graph.has(**target)) {
            return Err(SolveError::NoSuchTarget(*missing));
        }
        let steps = self.attach(graph, targets);
        let wanted = targets.iter().filter_map(|target| {
            steps[target.vertex.index()]
                .as_ref()
                .map(|step| (*target, step.done(target.output)))
        });
        let solving = wanted.map(|(target, done)| async move {
            done.await.map_err(|failure| locate(graph, target, failure))
        });
        let done = try_join_all(solving).await?;
        Ok(done.into_iter().map(|done| done.result).collect())
    }

    /// Returns the steps of every vertex that the targets need, by place in the graph.
    pub(crate) fn attach(&self, graph: &Graph<R>, targets: &[Edge]) -> Vec<Option<Arc<Step<R>>>> {
        let needed = needed(graph, targets);
        let mut steps: Vec<Option<Arc<Step<R>>>> = Vec::with_capacity(needed.len());
        let mut freshness: Vec<Freshness> = Vec::with_capacity(needed.len());
        for (vertex, needed) in graph.vertices().iter().zip(needed) {
            let stale = |edge: &Edge| freshness[edge.vertex.index()] == Freshness::Fresh;
            let fresh = vertex.ignore_cache || vertex.inputs.iter().any(stale);
            freshness.push(if fresh { Freshness::Fresh } else { Freshness::Any });
            let step = needed.then(|| {
                let id = StepId {
                    digest: vertex.digest,
                    freshness: freshness[freshness.len() - 1],
                };
                let inputs = vertex.inputs.iter().filter_map(|edge| {
                    let step = steps[edge.vertex.index()].clone();
                    step.map(|step| Input {
                        step,
                        output: edge.output,
                    })
                });
                self.step(id, vertex, inputs.collect())
            });
            steps.push(step);
        }
        steps
    }

    fn step(&self, id: StepId, vertex: &Vertex<R>, inputs: Vec<Input<R>>) -> Arc<Step<R>> {
        let mut held = lock(&self.held);
        if let Some(step) = held.steps.get(&id).filter(|step| step.is_built_on(&inputs)) {
            return Arc::clone(step);
        }
        let step = self.registry.step(id, vertex, inputs, &self.observer);
        held.steps.insert(id, Arc::clone(&step));
        held.order.push(Arc::clone(&step));
        step
    }
}

impl<R: Clone + Send + Sync + 'static> Registry<R> {
    /// Returns the step that other sessions are at, if it is of use, or a new one; `observer` hears of it.
    fn step(
        &self,
        id: StepId,
        vertex: &Vertex<R>,
        inputs: Vec<Input<R>>,
        observer: &Arc<dyn Observer>,
    ) -> Arc<Step<R>> {
        let mut steps = lock(&self.steps);
        let shared = steps.get(&id).and_then(Weak::upgrade);
        // One that failed is tried again; one that nobody wants any more is only tidying up.
        let of_use =
            |step: &Arc<Step<R>>| step.audience.is_there() && !step.has_failed() && step.is_built_on(&inputs);
        let step = shared.filter(of_use).unwrap_or_else(|| {
            let step = Arc::new(Step::new(&self.shared, vertex, id.freshness, inputs));
            steps.insert(id, Arc::downgrade(&step));
            step
        });
        step.audience.admit(observer);
        step
    }
}

impl<R> Drop for Session<R> {
    fn drop(&mut self) {
        let held = std::mem::take(&mut *lock(&self.held));
        drop(held.steps);
        // From the targets down, so that no drop runs along a whole chain of inputs.
        for step in held.order.into_iter().rev() {
            drop(step);
        }
        lock(&self.registry.steps).retain(|_, step| step.strong_count() > 0);
    }
}

/// Returns for each vertex whether the targets need it.
fn needed<R>(graph: &Graph<R>, targets: &[Edge]) -> Vec<bool> {
    let mut needed = vec![false; graph.vertices().len()];
    for target in targets {
        needed[target.vertex.index()] = true;
    }
    for (index, vertex) in graph.vertices().iter().enumerate().rev() {
        if needed[index] {
            for input in &vertex.inputs {
                needed[input.vertex.index()] = true;
            }
        }
    }
    needed
}

/// Finds the failed step in this solve's graph: it may have been started for another.
fn locate<R>(graph: &Graph<R>, target: Edge, failure: Failure) -> SolveError {
    let digest = failure.vertex.digest;
    let place = (0..)
        .zip(graph.vertices())
        .find(|(_, vertex)| vertex.digest == digest);
    let vertex = place.map_or(target.vertex, |(place, _)| crate::graph::VertexId(place));
    SolveError::Step {
        vertex,
        digest,
        name: failure.vertex.name.clone(),
        source: failure.error,
    }
}
