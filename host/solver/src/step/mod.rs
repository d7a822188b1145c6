//! One vertex at work, shared by every session that wants it, and how far the solver has come with its outputs.
//!
//! Each output goes from new to keyed (keys from the definition), to probed (keys from content as well), to done.
//! Each of these is a flight, so whoever needs less waits for less. All waiting goes down the graph.

mod audience;
mod finish;
mod lookup;
mod merge;
mod trace;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use kiln_image::Digest;
use tokio::sync::Semaphore;

pub(crate) use self::audience::Audience;
pub(crate) use self::finish::Done;
use self::finish::Ran;
pub(crate) use self::lookup::Lookup;
pub(crate) use self::merge::Merger;
use crate::error::Failure;
use crate::error::Outcome;
use crate::flight::Flight;
use crate::flight::Ground;
use crate::flight::Tasks;
use crate::graph::Vertex;
use crate::index::CacheIndex;
use crate::index::IndexError;
use crate::key::KeyId;
use crate::observer::Event;
use crate::op::CacheMap;
use crate::op::Op;
use crate::op::OpContext;
use crate::op::OpError;
use crate::op::VertexInfo;

/// What all steps of a solver share.
pub(crate) struct Shared<R> {
    pub(crate) index: Arc<dyn CacheIndex<R>>,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) tasks: Tasks,
    pub(crate) merger: Merger<R>,
}

/// What makes two vertices the same step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StepId {
    pub(crate) digest: Digest,
    pub(crate) freshness: Freshness,
}

/// Whether anything that a step is made of was asked to run anew. Keys of such a step are saved, but nothing is
/// found through them: what is stored there was made of something older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Freshness {
    Any,
    Fresh,
}

pub(crate) struct Input<R> {
    pub(crate) step: Arc<Step<R>>,
    pub(crate) output: u32,
}

pub(crate) struct Step<R> {
    shared: Arc<Shared<R>>,
    info: Arc<VertexInfo>,
    op: Arc<dyn Op<R>>,
    ignore_cache: bool,
    freshness: Freshness,
    inputs: Vec<Input<R>>,
    map: Flight<Arc<CacheMap>>,
    /// Content keys, one for each input.
    contents: Vec<Flight<Digest>>,
    ran: Flight<Ran<R>>,
    outputs: Vec<Output<R>>,
    pub(crate) audience: Audience,
}

struct Output<R> {
    keyed: Flight<Arc<Lookup>>,
    probed: Flight<Arc<Lookup>>,
    done: Flight<Done<R>>,
}

impl<R: Clone + Send + Sync + 'static> Step<R> {
    pub(crate) fn new(
        shared: &Arc<Shared<R>>,
        vertex: &Vertex<R>,
        freshness: Freshness,
        inputs: Vec<Input<R>>,
    ) -> Self {
        let info = Arc::new(VertexInfo {
            digest: vertex.digest,
            name: vertex.name.clone(),
        });
        // What only waits for others is dropped at once; the operation's calls may tidy up.
        let waiting = Ground {
            tasks: shared.tasks.clone(),
            vertex: Arc::clone(&info),
            grace: std::time::Duration::ZERO,
        };
        let calling = Ground {
            grace: vertex.op.grace(),
            ..waiting.clone()
        };
        let output = |_| Output {
            keyed: Flight::new(waiting.clone()),
            probed: Flight::new(waiting.clone()),
            done: Flight::new(waiting.clone()),
        };
        Self {
            shared: Arc::clone(shared),
            op: Arc::clone(&vertex.op),
            ignore_cache: vertex.ignore_cache,
            freshness,
            map: Flight::new(calling.clone()),
            contents: inputs.iter().map(|_| Flight::new(calling.clone())).collect(),
            ran: Flight::new(waiting.clone()),
            outputs: (0..vertex.outputs).map(output).collect(),
            audience: Audience::new(Arc::clone(&info)),
            inputs,
            info,
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        let failed = |o: &Output<R>| o.keyed.has_failed() || o.probed.has_failed() || o.done.has_failed();
        self.map.has_failed() || self.ran.has_failed() || self.outputs.iter().any(failed)
    }

    /// Returns whether the step was built on just these inputs.
    pub(crate) fn is_built_on(&self, inputs: &[Input<R>]) -> bool {
        self.inputs.len() == inputs.len()
            && self
                .inputs
                .iter()
                .zip(inputs)
                .all(|(a, b)| Arc::ptr_eq(&a.step, &b.step) && a.output == b.output)
    }

    /// Returns what the definition alone tells of an output.
    pub(crate) fn keyed(self: &Arc<Self>, output: u32) -> BoxFuture<'static, Outcome<Arc<Lookup>>> {
        let step = Arc::clone(self);
        let flight = async move {
            let start = |_| Arc::clone(&step).compute_keyed(output).boxed();
            step.output(output).keyed.join(start).await
        };
        flight.boxed()
    }

    /// Returns what content tells of an output as well.
    pub(crate) fn probed(self: &Arc<Self>, output: u32) -> BoxFuture<'static, Outcome<Arc<Lookup>>> {
        let step = Arc::clone(self);
        let flight = async move {
            let start = |_| Arc::clone(&step).compute_probed(output).boxed();
            step.output(output).probed.join(start).await
        };
        flight.boxed()
    }

    /// Returns an output's result, from the index or by running the operation.
    pub(crate) fn done(self: &Arc<Self>, output: u32) -> BoxFuture<'static, Outcome<Done<R>>> {
        let step = Arc::clone(self);
        let flight = async move {
            let start = |_| Arc::clone(&step).compute_done(output).boxed();
            step.output(output).done.join(start).await
        };
        flight.boxed()
    }

    async fn map(self: &Arc<Self>) -> Outcome<Arc<CacheMap>> {
        let start = |cancel| {
            let step = Arc::clone(self);
            let call = async move {
                let ctx = OpContext::new(Arc::clone(&step.info), cancel);
                let map = step.op.cache_map(&ctx).await.and_then(|map| step.check_map(map));
                map.map(Arc::new).map_err(|error| step.failure(error))
            };
            call.boxed()
        };
        self.map
            .join(start)
            .await
            .map_err(|failure| self.fail(failure.error))
    }

    fn check_map(&self, map: CacheMap) -> Result<CacheMap, OpError> {
        if map.keys.is_empty() {
            return Err(OpError::Contract {
                what: "cache keys",
                found: 0,
                expected: 1,
            });
        }
        let (found, expected) = (map.deps.len(), self.inputs.len());
        if found != expected {
            return Err(OpError::Contract {
                what: "cache dependencies",
                found,
                expected,
            });
        }
        Ok(map)
    }

    /// Returns the content digest of an input; the input is completed for it.
    async fn content(self: &Arc<Self>, index: usize) -> Outcome<Digest> {
        let input = self.inputs[index].step.done(self.inputs[index].output).await?;
        let start = |cancel| {
            let (step, result) = (Arc::clone(self), input.result.clone());
            let call = async move {
                let ctx = OpContext::new(Arc::clone(&step.info), cancel);
                let digest = step.op.content_digest(&ctx, index, &result).await;
                digest.map_err(|error| step.failure(error))
            };
            call.boxed()
        };
        self.contents[index]
            .join(start)
            .await
            .map_err(|failure| self.fail(failure.error))
    }

    async fn content_key(self: &Arc<Self>, index: usize) -> Outcome<KeyId> {
        self.content(index).await.map(|digest| KeyId::content(&digest))
    }

    fn output(&self, output: u32) -> &Output<R> {
        // `Graph::new` and `Session::solve` have checked that every edge's output exists.
        &self.outputs[output as usize]
    }

    /// Reports the error and makes it the step's.
    fn fail(&self, error: OpError) -> Failure {
        self.audience.finish(Err(error.clone()));
        self.failure(error)
    }

    fn failure(&self, error: OpError) -> Failure {
        Failure {
            vertex: Arc::clone(&self.info),
            error,
        }
    }

    /// Takes what the index said; an index that cannot be read knows nothing.
    fn known<T: Default>(&self, answer: Result<T, IndexError>) -> T {
        answer.unwrap_or_else(|error| {
            self.audience.tell(Event::IndexFailed(error));
            T::default()
        })
    }
}
