//! What a step that was solved can tell about itself.

use kiln_image::Digest;

use super::Lookup;
use super::Step;
use crate::op::Scope;

/// What is known of one output of a step.
pub(crate) struct Known<R> {
    pub(crate) keys: Vec<Digest>,
    /// For each input the part that is read, and the digest of what is read.
    pub(crate) inputs: Vec<(Option<Digest>, Option<Digest>)>,
    pub(crate) result: Option<R>,
}

impl<R: Clone + Send + Sync + 'static> Step<R> {
    /// Returns what is known of an output without running anything; a stored result is loaded.
    pub(crate) async fn tell(&self, output: u32) -> Known<R> {
        let map = self.map.value();
        let stored = map.as_ref().filter(|map| map.scope == Scope::Stored);
        let keys = stored.map_or_else(Vec::new, |map| map.keys.iter().map(|key| key.digest).collect());
        let inputs = (0..self.inputs.len()).map(|input| {
            let selector = map.as_ref().and_then(|map| map.deps[input].selector);
            (selector, self.contents[input].value())
        });
        Known {
            keys,
            inputs: inputs.collect(),
            result: self.told_result(output).await,
        }
    }

    async fn told_result(&self, output: u32) -> Option<R> {
        let at = self.output(output);
        if let Some(done) = at.done.value() {
            return Some(done.result);
        }
        let lookup = at.probed.value().or_else(|| at.keyed.value())?;
        let Lookup::Hit { records, .. } = &*lookup else {
            return None;
        };
        for record in records {
            if let Some(result) = self.known(self.shared.index.load(record).await) {
                return Some(result);
            }
        }
        None
    }
}
