//! Steps that turn out to be equal while they run: different definitions, the same operation on inputs with the
//! same keys. They are joined when all inputs are there, so neither can depend on the other.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;

use futures::FutureExt;
use kiln_image::Digest;

use super::Step;
use crate::error::Outcome;
use crate::flight::Flight;
use crate::flight::lock;
use crate::key::KeyId;
use crate::op::Cancel;
use crate::op::OpContext;
use crate::op::OpError;
use crate::op::OpKey;
use crate::op::Slot;

/// The keys under which one input counts.
pub(super) type InputKeys = BTreeSet<(KeyId, Option<Digest>)>;

/// One run of an operation on inputs that are there.
pub(super) struct OpRun<R> {
    owner: Arc<Step<R>>,
    inputs: Vec<R>,
    flight: Flight<Arc<Vec<R>>>,
}

impl<R: Clone + Send + Sync + 'static> OpRun<R> {
    pub(super) fn new(owner: &Arc<Step<R>>, inputs: Vec<R>, flight: Flight<Arc<Vec<R>>>) -> Arc<Self> {
        Arc::new(Self {
            owner: Arc::clone(owner),
            inputs,
            flight,
        })
    }

    pub(super) fn owner(&self) -> &Arc<Step<R>> {
        &self.owner
    }

    pub(super) async fn join(self: &Arc<Self>) -> Outcome<Arc<Vec<R>>> {
        self.flight
            .join(|cancel| Arc::clone(self).call(cancel).boxed())
            .await
    }

    async fn call(self: Arc<Self>, cancel: Cancel) -> Outcome<Arc<Vec<R>>> {
        let outputs = self.run(cancel).await;
        outputs.map(Arc::new).map_err(|error| self.owner.failure(error))
    }

    async fn run(&self, cancel: Cancel) -> Result<Vec<R>, OpError> {
        let step = &self.owner;
        let _permit = match step.op.slot() {
            Slot::Free => None,
            Slot::Counted => tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(OpError::Cancelled),
                permit = step.shared.slots.acquire() => permit.ok(),
            },
        };
        step.audience.start();
        if cancel.is_cancelled() {
            // Whoever waited has left before the start was told, and will not tell the end.
            step.audience.finish(Err(OpError::Cancelled));
            return Err(OpError::Cancelled);
        }
        let ctx = OpContext::new(Arc::clone(&step.info), cancel);
        let outputs = step.op.run(&ctx, &self.inputs).await?;
        let (found, expected) = (outputs.len(), step.outputs.len());
        if found != expected {
            return Err(OpError::Contract {
                what: "outputs",
                found,
                expected,
            });
        }
        Ok(outputs)
    }
}

/// The runs that are under way, by the operation's keys.
pub(crate) struct Merger<R>(Mutex<HashMap<Digest, Vec<Candidate<R>>>>);

struct Candidate<R> {
    inputs: Vec<InputKeys>,
    run: Weak<OpRun<R>>,
}

impl<R> Clone for Candidate<R> {
    fn clone(&self) -> Self {
        Self {
            inputs: self.inputs.clone(),
            run: Weak::clone(&self.run),
        }
    }
}

impl<R> Default for Merger<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: Clone + Send + Sync + 'static> Merger<R> {
    /// Returns an equal run that is under way, or enters `own`.
    pub(super) fn merge(&self, ops: &[OpKey], inputs: &[InputKeys], own: Arc<OpRun<R>>) -> Arc<OpRun<R>> {
        let mut runs = lock(&self.0);
        runs.retain(|_, candidates| {
            candidates.retain(|candidate| candidate.run.strong_count() > 0);
            !candidates.is_empty()
        });
        let outputs = own.owner.outputs.len();
        for op in ops {
            let candidates = runs.get(&op.digest).into_iter().flatten();
            let equal = candidates.filter(|candidate| are_equal(&candidate.inputs, inputs));
            let mut alive = equal.filter_map(|candidate| candidate.run.upgrade());
            if let Some(run) = alive.find(|run| run.can_serve(outputs)) {
                return run;
            }
        }
        let candidate = Candidate {
            inputs: inputs.to_vec(),
            run: Arc::downgrade(&own),
        };
        for op in ops {
            runs.entry(op.digest).or_default().push(candidate.clone());
        }
        own
    }
}

impl<R: Clone + Send + Sync + 'static> OpRun<R> {
    fn can_serve(&self, outputs: usize) -> bool {
        self.owner.outputs.len() == outputs && !self.flight.is_cancelled() && !self.flight.has_failed()
    }
}

fn are_equal(a: &[InputKeys], b: &[InputKeys]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| !a.is_disjoint(b))
}
