//! Finding stored results: first through keys that follow from definitions, then through content where it can
//! still help.
//!
//! A stored key is found when links lead to it from a key of every input.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::try_join_all;

use super::Step;
use crate::error::Outcome;
use crate::index::Record;
use crate::key::KeyId;
use crate::key::Link;
use crate::observer::CacheDecision;
use crate::observer::MissReason;
use crate::op::CacheMap;
use crate::op::ContentKey;
use crate::op::Scope;

/// What is known of an output before its result is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Not looked for, or its keys must not be used.
    Ignored,
    /// There is no stored result; the keys may still lead to results of steps that read this one.
    Miss { keys: Vec<KeyId>, reason: MissReason },
    /// There are stored results under the keys, newest first.
    Hit {
        keys: Vec<KeyId>,
        records: Vec<Record>,
        via: Via,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Definition,
    Content,
}

impl Lookup {
    pub(super) fn keys(&self) -> &[KeyId] {
        match self {
            Self::Ignored => &[],
            Self::Miss { keys, .. } | Self::Hit { keys, .. } => keys,
        }
    }

    pub(super) fn decision(&self) -> CacheDecision {
        match self {
            Self::Ignored => CacheDecision::Ignored,
            Self::Miss { reason, .. } => CacheDecision::Miss(reason.clone()),
            Self::Hit {
                via: Via::Definition, ..
            } => CacheDecision::HitByDefinition,
            Self::Hit {
                via: Via::Content, ..
            } => CacheDecision::HitByContent,
        }
    }

    fn miss(reason: MissReason) -> Arc<Self> {
        Arc::new(Self::Miss {
            keys: Vec::new(),
            reason,
        })
    }
}

impl<R: Clone + Send + Sync + 'static> Step<R> {
    pub(super) async fn compute_keyed(self: Arc<Self>, output: u32) -> Outcome<Arc<Lookup>> {
        if self.ignore_cache {
            return Ok(Arc::new(Lookup::Ignored));
        }
        let map = self.map().await?;
        if map.scope == Scope::SessionLocal {
            return Ok(Lookup::miss(MissReason::SessionLocal));
        }
        if self.inputs.is_empty() {
            let keys = roots(&map, output);
            return Ok(self.found(keys, Via::Definition, Vec::new()).await);
        }
        if !self.was_saved(&map).await {
            return Ok(Lookup::miss(MissReason::NewOperation));
        }
        let inputs = try_join_all(self.inputs.iter().map(|i| i.step.keyed(i.output))).await?;
        let probe = self.probe(&map, output, &inputs).await;
        Ok(self
            .found(probe.common(), Via::Definition, probe.unmatched())
            .await)
    }

    pub(super) async fn compute_probed(self: Arc<Self>, output: u32) -> Outcome<Arc<Lookup>> {
        let keyed = self.keyed(output).await?;
        let content_may_help = matches!(
            &*keyed,
            Lookup::Miss {
                reason: MissReason::Inputs(_) | MissReason::ResultGone,
                ..
            }
        );
        if self.inputs.is_empty() || !content_may_help {
            return Ok(keyed);
        }
        let map = self.map().await?;
        // What the inputs' own inputs contain may tell the inputs' keys without running them.
        let inputs = try_join_all(self.inputs.iter().map(|i| i.step.probed(i.output))).await?;
        let mut probe = self.probe(&map, output, &inputs).await;
        loop {
            let found = self.found(probe.common(), Via::Content, probe.unmatched()).await;
            let next = probe.next();
            if next.is_empty() || matches!(*found, Lookup::Hit { .. }) {
                return Ok(found);
            }
            let keys = try_join_all(next.iter().map(|index| self.content_key(*index))).await?;
            for (index, key) in next.into_iter().zip(keys) {
                let reached = self.reached(&map, (index, output), None, &[key]).await;
                probe.add_content(index, reached);
            }
        }
    }

    async fn was_saved(&self, map: &CacheMap) -> bool {
        for key in &map.keys {
            if self.known(self.shared.index.has_any(&key.digest).await) {
                return true;
            }
        }
        false
    }

    async fn probe(&self, map: &CacheMap, output: u32, inputs: &[Arc<Lookup>]) -> Probe {
        let mut probe = Probe(Vec::new());
        for (index, (lookup, dep)) in inputs.iter().zip(&map.deps).enumerate() {
            let reached = self
                .reached(map, (index, output), dep.selector, lookup.keys())
                .await;
            let content_pending = dep.content == ContentKey::Available;
            probe.0.push(Reach {
                keys: reached,
                content_pending,
            });
        }
        probe
    }

    /// Returns the keys of output `output` that links lead to from `from`, keys of input `input`.
    async fn reached(
        &self,
        map: &CacheMap,
        (input, output): (usize, u32),
        selector: Option<kiln_image::Digest>,
        from: &[KeyId],
    ) -> BTreeSet<KeyId> {
        let mut reached = BTreeSet::new();
        if from.is_empty() {
            return reached;
        }
        for key in &map.keys {
            let link = Link {
                input: input as u32,
                op: key.digest,
                output,
                selector,
            };
            reached.extend(self.known(self.shared.index.query(from, &link).await));
        }
        reached
    }

    async fn found(&self, keys: Vec<KeyId>, via: Via, unmatched: Vec<u32>) -> Arc<Lookup> {
        if keys.is_empty() {
            return Lookup::miss(MissReason::Inputs(unmatched));
        }
        let records = self.known(self.shared.index.records(&keys).await);
        if records.is_empty() {
            let reason = self.reason_without_record().await;
            return Arc::new(Lookup::Miss { keys, reason });
        }
        let hit = Lookup::Hit { keys, records, via };
        self.audience.decide(hit.decision());
        Arc::new(hit)
    }

    /// The key of a root is known without any index; whether it was ever written is another matter.
    async fn reason_without_record(&self) -> MissReason {
        match self.map.value() {
            Some(map) if !self.was_saved(&map).await => MissReason::NewOperation,
            _ => MissReason::ResultGone,
        }
    }
}

pub(super) fn roots(map: &CacheMap, output: u32) -> Vec<KeyId> {
    map.keys
        .iter()
        .map(|key| KeyId::root(&key.digest, output))
        .collect()
}

/// For each input, the stored keys that it leads to.
struct Probe(Vec<Reach>);

struct Reach {
    keys: BTreeSet<KeyId>,
    /// Whether the input's content may lead to more.
    content_pending: bool,
}

impl Probe {
    /// Returns the keys that every input leads to.
    fn common(&self) -> Vec<KeyId> {
        intersection(&mut self.0.iter()).map_or_else(Vec::new, |keys| keys.into_iter().collect())
    }

    /// Returns the inputs that keep the others from leading anywhere.
    fn unmatched(&self) -> Vec<u32> {
        let places = (0..).zip(&self.0);
        let empty: Vec<u32> = places
            .filter(|(_, reach)| reach.keys.is_empty())
            .map(|(place, _)| place)
            .collect();
        if empty.is_empty() {
            (0..).zip(&self.0).map(|(place, _)| place).collect()
        } else {
            empty
        }
    }

    /// Returns the inputs whose content is worth computing next: none when the others lead nowhere together;
    /// first those that lead nowhere without it, then the rest.
    fn next(&self) -> Vec<usize> {
        let settled = intersection(&mut self.0.iter().filter(|reach| !reach.content_pending));
        if settled.as_ref().is_some_and(BTreeSet::is_empty) {
            return Vec::new();
        }
        let leads_nowhere = |reach: &Reach| match &settled {
            Some(settled) => reach.keys.is_disjoint(settled),
            None => reach.keys.is_empty(),
        };
        let pending = |(_, reach): &(usize, &Reach)| reach.content_pending;
        let all = || self.0.iter().enumerate().filter(pending);
        let first: Vec<usize> = all()
            .filter(|(_, r)| leads_nowhere(r))
            .map(|(place, _)| place)
            .collect();
        if first.is_empty() {
            all().map(|(place, _)| place).collect()
        } else {
            first
        }
    }

    fn add_content(&mut self, place: usize, keys: BTreeSet<KeyId>) {
        self.0[place].keys.extend(keys);
        self.0[place].content_pending = false;
    }
}

/// Returns what all have in common; `None` of none, which could be anything.
fn intersection(reaches: &mut dyn Iterator<Item = &Reach>) -> Option<BTreeSet<KeyId>> {
    let first = reaches.next()?.keys.clone();
    Some(reaches.fold(first, |common, reach| &common & &reach.keys))
}
