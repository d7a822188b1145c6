//! Completing an output: load what was found, else run the operation and save its result under every key.

use std::sync::Arc;

use futures::future::try_join_all;

use super::Freshness;
use super::Lookup;
use super::Step;
use super::lookup::Via;
use super::lookup::roots;
use super::merge::InputKeys;
use super::merge::OpRun;
use crate::error::Outcome;
use crate::flight::Flight;
use crate::flight::Ground;
use crate::index::Origin;
use crate::index::Record;
use crate::key::Alternative;
use crate::key::Entry;
use crate::key::KeyId;
use crate::key::Kind;
use crate::key::Link;
use crate::key::defining;
use crate::observer::CacheDecision;
use crate::observer::Event;
use crate::observer::MissReason;
use crate::op::CacheMap;
use crate::op::ContentKey;
use crate::op::OpError;
use crate::op::OpKey;
use crate::op::Scope;

/// A result and the keys under which steps that read it are saved; none when it cannot be found again.
#[derive(Clone)]
pub(crate) struct Done<R> {
    pub(crate) result: R,
    pub(crate) keys: Arc<Vec<KeyId>>,
}

/// What a run gave, for all outputs.
#[derive(Clone)]
pub(super) struct Ran<R> {
    outputs: Arc<Vec<R>>,
    /// For each input the keys of what was read.
    input_keys: Arc<Vec<Arc<Vec<KeyId>>>>,
}

impl<R: Clone + Send + Sync + 'static> Step<R> {
    pub(super) async fn compute_done(self: Arc<Self>, output: u32) -> Outcome<Done<R>> {
        // A sibling's run has made this output as well; a stored one could be of another run.
        if self.ran.value().is_none() {
            let lookup = self.probed(output).await?;
            if let Some(done) = self.load(output, &lookup).await {
                return Ok(done);
            }
        }
        let ran = self.ran().await?;
        let keys = self.save(output, &ran).await?;
        Ok(Done {
            result: ran.outputs[output as usize].clone(),
            keys: Arc::new(keys),
        })
    }

    /// Returns the newest stored result that can be loaded.
    async fn load(self: &Arc<Self>, output: u32, lookup: &Lookup) -> Option<Done<R>> {
        let Lookup::Hit { records, via, .. } = lookup else {
            self.audience.decide(lookup.decision());
            return None;
        };
        for record in records {
            if let Some(result) = self.known(self.shared.index.load(record).await) {
                if *via == Via::Content || record.origin != Origin::Own {
                    self.adopt(output, record, &result).await;
                }
                let keys = match self.map.value() {
                    Some(map) if self.inputs.is_empty() => roots(&map, output),
                    _ => vec![record.key],
                };
                return Some(Done {
                    result,
                    keys: Arc::new(keys),
                });
            }
        }
        self.audience.decide(CacheDecision::Miss(MissReason::ResultGone));
        None
    }

    /// Notes the keys by which a stored result was found now but not before, so that the next lookup ends earlier.
    /// A failure costs only that.
    async fn adopt(self: &Arc<Self>, output: u32, record: &Record, result: &R) {
        let Some(map) = self.map.value() else { return };
        let inputs: Vec<_> = (0..self.inputs.len())
            .map(|index| self.known_keys(&map, index))
            .collect();
        for op in &map.keys {
            let leads_here = match inputs.first() {
                None => KeyId::root(&op.digest, output) == record.key,
                Some(first) => self.reaches(op, output, first).await.contains(&record.key),
            };
            if !leads_here {
                continue;
            }
            let entry = Entry {
                key: record.key,
                op: op.clone(),
                output,
                inputs: inputs.clone(),
            };
            let written = match record.origin {
                Origin::Own => self.shared.index.link(&entry).await,
                Origin::Imported(_) => self.shared.index.save(&entry, result).await,
            };
            if let Err(error) = written {
                self.audience.tell(Event::IndexFailed(error));
            }
        }
    }

    /// Returns the keys of an input as far as they are known without doing anything.
    fn known_keys(&self, map: &CacheMap, index: usize) -> Vec<Alternative> {
        let input = &self.inputs[index];
        let at = input.step.output(input.output);
        let lookup = || at.probed.value().or_else(|| at.keyed.value());
        let keys = match at.done.value() {
            Some(done) => done.keys.to_vec(),
            None => lookup().map_or_else(Vec::new, |lookup| lookup.keys().to_vec()),
        };
        self.alternatives(map, index, &keys)
    }

    /// Returns the alternatives for an input: the keys given and its content, if that has been computed.
    fn alternatives(&self, map: &CacheMap, index: usize, keys: &[KeyId]) -> Vec<Alternative> {
        let selector = map.deps[index].selector;
        let definitions = keys.iter().map(|key| Alternative {
            kind: Kind::Definition,
            key: *key,
            selector,
        });
        let content = self.contents[index].value().map(|digest| Alternative {
            kind: Kind::Content(digest),
            key: KeyId::content(&digest),
            selector: None,
        });
        definitions.chain(content).collect()
    }

    async fn ran(self: &Arc<Self>) -> Outcome<Ran<R>> {
        let start = |_| {
            let run: futures::future::BoxFuture<'static, _> = Box::pin(Arc::clone(self).compute_ran());
            run
        };
        self.ran.join(start).await
    }

    async fn compute_ran(self: Arc<Self>) -> Outcome<Ran<R>> {
        let map = self.map().await?;
        let inputs = try_join_all(self.inputs.iter().map(|input| input.step.done(input.output))).await?;
        let input_keys: Vec<_> = inputs.iter().map(|done| Arc::clone(&done.keys)).collect();
        let results = inputs.into_iter().map(|done| done.result).collect();
        let run = self.enter(&map, results, &input_keys);
        // Declared before the wait, so that it is dropped after it: the end is told last.
        let _farewell = Farewell(&self);
        if !Arc::ptr_eq(run.owner(), &self) {
            self.audience.start();
        }
        match run.join().await {
            Ok(outputs) => {
                self.audience.finish(Ok(()));
                Ok(Ran {
                    outputs,
                    input_keys: Arc::new(input_keys),
                })
            }
            Err(failure) => Err(self.fail(failure.error)),
        }
    }

    /// Returns the run that serves this step: its own, or that of an equal step under way.
    fn enter(self: &Arc<Self>, map: &CacheMap, inputs: Vec<R>, keys: &[Arc<Vec<KeyId>>]) -> Arc<OpRun<R>> {
        let ground = Ground {
            tasks: self.shared.tasks.clone(),
            vertex: Arc::clone(&self.info),
            grace: self.op.grace(),
        };
        let own = OpRun::new(self, inputs, Flight::new(ground));
        // Fresh inputs can differ though their keys are equal, and session-local ones have none.
        if self.freshness == Freshness::Fresh || map.scope == Scope::SessionLocal {
            return own;
        }
        let input_keys = |(index, keys): (usize, &Arc<Vec<KeyId>>)| -> InputKeys {
            defining(&self.alternatives(map, index, keys))
                .iter()
                .map(|a| (a.key, a.selector))
                .collect()
        };
        let inputs: Vec<_> = keys.iter().enumerate().map(input_keys).collect();
        self.shared.merger.merge(&map.keys, &inputs, own)
    }

    /// Saves an output under its definition and content keys and returns its keys; none when some input has no key.
    async fn save(self: &Arc<Self>, output: u32, ran: &Ran<R>) -> Outcome<Vec<KeyId>> {
        let map = self.map().await?;
        if map.scope == Scope::SessionLocal {
            return Ok(Vec::new());
        }
        let with_content = (0..map.deps.len()).filter(|i| map.deps[*i].content == ContentKey::Available);
        try_join_all(with_content.map(|index| self.content(index))).await?;
        let places = ran.input_keys.iter().enumerate();
        let inputs: Vec<_> = places
            .map(|(index, keys)| self.alternatives(&map, index, keys))
            .collect();
        if inputs.iter().any(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let mut saved = Vec::new();
        for op in &map.keys {
            let key = self.identity(op, output, &inputs).await;
            let entry = Entry {
                key,
                op: op.clone(),
                output,
                inputs: inputs.clone(),
            };
            let written = self
                .shared
                .index
                .save(&entry, &ran.outputs[output as usize])
                .await;
            written.map_err(|error| self.fail(OpError::Save(error)))?;
            saved.push(key);
        }
        Ok(saved)
    }

    /// Returns the key that is defined by these inputs: a stored one if there is.
    async fn identity(&self, op: &OpKey, output: u32, inputs: &[Vec<Alternative>]) -> KeyId {
        if inputs.is_empty() {
            return KeyId::root(&op.digest, output);
        }
        let mut common: Option<Vec<KeyId>> = None;
        for (input, alternatives) in (0..).zip(inputs) {
            let reached = self
                .reached_from(op, (input, output), &defining(alternatives))
                .await;
            common = Some(match common {
                None => reached,
                Some(common) => common.into_iter().filter(|key| reached.contains(key)).collect(),
            });
        }
        let stored = common.and_then(|common| common.into_iter().min());
        stored.unwrap_or_else(|| KeyId::derive(&op.digest, output, inputs))
    }

    async fn reaches(&self, op: &OpKey, output: u32, first: &[Alternative]) -> Vec<KeyId> {
        self.reached_from(op, (0, output), first).await
    }

    async fn reached_from(
        &self,
        op: &OpKey,
        (input, output): (u32, u32),
        alternatives: &[Alternative],
    ) -> Vec<KeyId> {
        let mut reached = Vec::new();
        for alternative in alternatives {
            let link = Link {
                input,
                op: op.digest,
                output,
                selector: alternative.selector,
            };
            reached.extend(self.known(self.shared.index.query(&[alternative.key], &link).await));
        }
        reached
    }
}

/// Tells the end of a run that is dropped half way.
struct Farewell<'a, R: Clone + Send + Sync + 'static>(&'a Step<R>);

impl<R: Clone + Send + Sync + 'static> Drop for Farewell<'_, R> {
    fn drop(&mut self) {
        self.0.audience.finish(Err(OpError::Cancelled));
    }
}
