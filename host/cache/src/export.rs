//! What a build did as a document for others: steps become records, stacks of layers a tree of layers.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use kiln_image::Digest;
use kiln_solver::KeyId;

use crate::backend::CacheImage;
use crate::backend::LayerInfo;
use crate::config::CacheConfig;
use crate::config::CacheInput;
use crate::config::CacheLayer;
use crate::config::CacheRecord;
use crate::config::CacheResult;

/// One output of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportStep {
    /// Digests of the operation's keys; none when they mean nothing to another build.
    pub keys: Vec<Digest>,
    /// Which output.
    pub output: u32,
    /// How it is reached.
    pub inputs: Vec<ExportInput>,
    /// The layers of the result, base first; none when the result is not exported.
    pub result: Option<Vec<LayerInfo>>,
}

/// One input of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportInput {
    /// Place of the step that it is an output of; that step comes before this one.
    pub step: usize,
    /// Which part of it is read.
    pub selector: Option<Digest>,
    /// Digest of what is read.
    pub content: Option<Digest>,
}

/// Makes a document of steps.
#[derive(Debug, Default)]
pub struct Export {
    /// Records by what defines them.
    known: HashMap<(Digest, Inputs), usize>,
    records: Vec<(Digest, Inputs)>,
    results: BTreeMap<usize, usize>,
    /// Layers by blob and the layer below.
    places: BTreeMap<(Digest, Option<usize>), usize>,
    layers: Vec<(LayerInfo, Option<usize>)>,
}

/// For each input its alternatives.
type Inputs = Vec<BTreeSet<(usize, Option<Digest>)>>;

impl Export {
    /// Returns the cache that `steps` are.
    pub fn of(steps: &[ExportStep]) -> CacheImage {
        let mut export = Self::default();
        let mut records: Vec<Vec<usize>> = Vec::with_capacity(steps.len());
        for step in steps {
            let made = export.step(step, &records);
            records.push(made);
        }
        export.finish()
    }

    /// Returns the records of a step, one for each of its keys.
    fn step(&mut self, step: &ExportStep, before: &[Vec<usize>]) -> Vec<usize> {
        let mut inputs = Inputs::new();
        for input in &step.inputs {
            let records = before.get(input.step).into_iter().flatten();
            let mut alternatives: BTreeSet<_> = records.map(|record| (*record, input.selector)).collect();
            if let Some(content) = &input.content {
                let record = self.record(KeyId::content(content).0, Inputs::new());
                alternatives.insert((record, None));
            }
            if alternatives.is_empty() {
                return Vec::new(); // it cannot be found by anybody
            }
            inputs.push(alternatives);
        }
        let mut made = Vec::new();
        for key in &step.keys {
            let record = self.record(KeyId::root(key, step.output).0, inputs.clone());
            // What has no inputs is a source: whoever knows the key has it.
            if let Some(layers) = step.result.as_ref().filter(|_| !inputs.is_empty())
                && let Some(top) = self.stack(layers)
            {
                self.results.insert(record, top);
            }
            made.push(record);
        }
        made
    }

    fn record(&mut self, digest: Digest, inputs: Inputs) -> usize {
        let next = self.records.len();
        let place = *self.known.entry((digest, inputs.clone())).or_insert(next);
        if place == next {
            self.records.push((digest, inputs));
        }
        place
    }

    /// Returns the place of the top layer.
    fn stack(&mut self, layers: &[LayerInfo]) -> Option<usize> {
        let mut below = None;
        for layer in layers {
            let next = self.layers.len();
            let place = *self
                .places
                .entry((layer.descriptor.digest, below))
                .or_insert(next);
            if place == next {
                self.layers.push((layer.clone(), below));
            }
            below = Some(place);
        }
        below
    }

    /// Puts everything in BuildKit's order: layers by blob, records by digest.
    fn finish(self) -> CacheImage {
        let places: Vec<usize> = self.places.values().copied().collect();
        let layer_at = inverse(&places);
        let layers = places.iter().map(|place| {
            let (info, below) = &self.layers[*place];
            CacheLayer {
                blob: info.descriptor.digest,
                parent: below.map_or(-1, |below| i64::try_from(layer_at[below]).unwrap_or(-1)),
                annotations: None,
            }
        });
        let mut order: Vec<usize> = (0..self.records.len()).collect();
        order.sort_by_key(|place| (self.records[*place].0, self.records[*place].1.len(), *place));
        let record_at = inverse(&order);
        let records = order.iter().map(|place| {
            let (digest, inputs) = &self.records[*place];
            let result = self.results.get(place).map(|top| CacheResult {
                layer: layer_at[*top],
                created_at: self.layers[*top].0.created,
            });
            let inputs = inputs.iter().map(|alternatives| {
                let mut links: Vec<CacheInput> = alternatives
                    .iter()
                    .map(|(record, selector)| CacheInput {
                        selector: *selector,
                        link: record_at[*record],
                    })
                    .collect();
                links.sort();
                links
            });
            CacheRecord {
                layers: result.into_iter().collect(),
                chains: Vec::new(),
                digest: *digest,
                inputs: inputs.collect(),
            }
        });
        let (layers, records) = (layers.collect(), records.collect());
        let infos = self
            .layers
            .iter()
            .map(|(info, _)| (info.descriptor.digest, info.clone()));
        CacheImage {
            config: CacheConfig {
                layers,
                records,
                ..CacheConfig::default()
            },
            layers: infos.collect(),
        }
    }
}

/// Returns where each number of a permutation is.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut at = vec![0; order.len()];
    for (place, number) in order.iter().enumerate() {
        at[*number] = place;
    }
    at
}
