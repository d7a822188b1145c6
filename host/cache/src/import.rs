//! Imported caches as an index of the solver: read-only, and hostile until its results are checked.
//!
//! Records without inputs have BuildKit's own identities, so operations without inputs and content are found by them.
//! Others get one that follows from all that leads to them: equal records of two caches are one key.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::fmt::Write as _;

use async_trait::async_trait;
use jiff::Timestamp;
use kiln_image::Digest;
use kiln_solver::CacheIndex;
use kiln_solver::Entry;
use kiln_solver::IndexError;
use kiln_solver::KeyId;
use kiln_solver::Link;
use kiln_solver::Origin;
use kiln_solver::Record;

use crate::backend::CacheImage;
use crate::backend::LayerInfo;
use crate::config::CacheConfig;
use crate::config::CacheInput;
use crate::config::CacheRecord;

/// Outputs of an operation that [`ImportedIndex::has_any`] looks at; more than any operation has.
const OUTPUTS: u32 = 64;
/// Most layers of a result; more than any file system mounts.
const CHAIN: usize = 1000;

/// Makes results of layers.
pub trait Materialise<R>: Send + Sync {
    /// Returns the result that these layers are, base first; none when they cannot be used. Nothing is fetched yet.
    fn result(&self, layers: &[LayerInfo]) -> Option<R>;
}

/// Caches that were imported from one place.
pub struct ImportedIndex<M> {
    make: M,
    images: Vec<CacheImage>,
    /// Digests of all records.
    digests: HashSet<Digest>,
    links: HashMap<Step, BTreeSet<KeyId>>,
    /// Newest first.
    results: HashMap<KeyId, Vec<Stored>>,
}

/// A link: from which key, as which input, by which operation's output, reading which part.
type Step = (KeyId, u32, Digest, Option<Digest>);

/// A result: which layers of which of the caches.
#[derive(Debug)]
struct Stored {
    created: Option<Timestamp>,
    image: usize,
    layers: Places,
}

#[derive(Debug)]
enum Places {
    /// This one and those below it.
    Top(usize),
    /// Just these.
    Listed(Vec<usize>),
}

impl<M> fmt::Debug for ImportedIndex<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedIndex")
            .field("records", &self.digests.len())
            .field("results", &self.results.len())
            .finish_non_exhaustive()
    }
}

impl<M> ImportedIndex<M> {
    /// Returns an index without anything in it.
    pub fn new(make: M) -> Self {
        Self {
            make,
            images: Vec::new(),
            digests: HashSet::new(),
            links: HashMap::new(),
            results: HashMap::new(),
        }
    }

    /// Adds a cache. Nothing of it is added when its records make no sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, image: CacheImage) -> Result<(), String> {
        let records = &image.config.records;
        let keys = identities(records)?;
        let known = known_layers(&image);
        let is_known = |place: usize| known.get(place).copied().unwrap_or_default();
        for (record, key) in records.iter().zip(&keys) {
            self.digests.insert(record.digest);
            for (input, alternatives) in (0..).zip(&record.inputs) {
                for alternative in alternatives {
                    let from = (keys[alternative.link], input, record.digest, alternative.selector);
                    self.links.entry(from).or_default().insert(*key);
                }
            }
            let tops = record
                .layers
                .iter()
                .filter(|result| is_known(result.layer))
                .map(|result| (result.created_at, Places::Top(result.layer)));
            let lists = record
                .chains
                .iter()
                .filter(|chain| !chain.layers.is_empty() && chain.layers.len() <= CHAIN)
                .filter(|chain| chain.layers.iter().all(|place| has_facts(&image, *place)))
                .map(|chain| (chain.created_at, Places::Listed(chain.layers.clone())));
            for (created, layers) in tops.chain(lists) {
                let image = self.images.len();
                self.results.entry(*key).or_default().push(Stored {
                    created,
                    image,
                    layers,
                });
            }
        }
        for stored in self.results.values_mut() {
            stored.sort_by_key(|stored| std::cmp::Reverse(stored.created));
        }
        self.images.push(image);
        Ok(())
    }

    /// Returns whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Returns the layers of a result, base first.
    fn layers(&self, stored: &Stored) -> Option<Vec<LayerInfo>> {
        let image = &self.images[stored.image];
        let layer = |place: usize| {
            let layer = image.config.layers.get(place)?;
            image.layers.get(&layer.blob).cloned()
        };
        match &stored.layers {
            Places::Listed(places) => places.iter().map(|place| layer(*place)).collect(),
            Places::Top(top) => {
                let mut layers = vec![layer(*top)?];
                let mut at = *top;
                while let Some(parent) = parent(&image.config, at) {
                    layers.push(layer(parent)?);
                    at = parent;
                }
                layers.reverse();
                Some(layers)
            }
        }
    }
}

fn has_facts(image: &CacheImage, place: usize) -> bool {
    let layer = image.config.layers.get(place);
    layer.is_some_and(|layer| image.layers.contains_key(&layer.blob))
}

fn parent(config: &CacheConfig, place: usize) -> Option<usize> {
    usize::try_from(config.layers.get(place)?.parent).ok()
}

/// Returns for each layer whether facts are known of it and of all below it. Loops and what is too high count as
/// unknown.
fn known_layers(image: &CacheImage) -> Vec<bool> {
    let layers = &image.config.layers;
    // Height of each layer's stack; 0 is unknown.
    let mut heights: Vec<Option<usize>> = vec![None; layers.len()];
    for start in 0..layers.len() {
        let mut path = Vec::new();
        let mut at = Some(start);
        let below = loop {
            let Some(place) = at else { break 0 };
            let usable = has_facts(image, place) && path.len() <= CHAIN;
            match heights.get(place) {
                Some(Some(height)) => break *height,
                Some(None) if usable => path.push(place),
                _ => {
                    path.push(place);
                    break usize::MAX;
                }
            }
            at = parent(&image.config, place);
        };
        // `usize::MAX` stands for a stack that cannot be had.
        let mut height = below;
        for place in path.into_iter().rev() {
            height = match height {
                height if height >= CHAIN => usize::MAX,
                height => height + 1,
            };
            if let Some(known) = heights.get_mut(place) {
                *known = Some(height);
            }
        }
    }
    heights
        .into_iter()
        .map(|height| height.is_some_and(|height| height <= CHAIN))
        .collect()
}

/// Returns the identity of every record.
fn identities(records: &[CacheRecord]) -> Result<Vec<KeyId>, String> {
    let links: Vec<Vec<usize>> = (0..)
        .zip(records)
        .map(|(at, record)| checked_links(at, record, records.len()))
        .collect::<Result<_, _>>()?;
    let mut keys: Vec<Option<KeyId>> = vec![None; records.len()];
    let mut under_way = vec![false; records.len()];
    for start in 0..records.len() {
        // A record, and how many of its links were looked at.
        let mut open = vec![(start, 0)];
        while let Some((at, looked)) = open.last_mut() {
            let at = *at;
            match links[at].get(*looked) {
                Some(link) if keys[*link].is_some() => *looked += 1,
                Some(link) if under_way[*link] || *link == at => {
                    return Err(format!("record {link} leads to itself"));
                }
                Some(link) => {
                    under_way[at] = true;
                    open.push((*link, 0));
                }
                None => {
                    keys[at] = Some(identity(&records[at], &keys));
                    under_way[at] = false;
                    open.pop();
                }
            }
        }
    }
    Ok(keys.into_iter().flatten().collect())
}

fn checked_links(at: usize, record: &CacheRecord, records: usize) -> Result<Vec<usize>, String> {
    let mut links = Vec::new();
    for (input, alternatives) in record.inputs.iter().enumerate() {
        if alternatives.is_empty() {
            return Err(format!("input {input} of record {at} has no keys"));
        }
        for CacheInput { link, .. } in alternatives {
            if *link >= records {
                return Err(format!("record {at} links to record {link}, which is not there"));
            }
            links.push(*link);
        }
    }
    Ok(links)
}

fn identity(record: &CacheRecord, keys: &[Option<KeyId>]) -> KeyId {
    if record.inputs.is_empty() {
        return KeyId(record.digest);
    }
    let mut text = format!("kiln.imported.v0:{}\n", record.digest);
    for (input, alternatives) in record.inputs.iter().enumerate() {
        let from: BTreeSet<_> = alternatives
            .iter()
            .map(|alternative| (keys[alternative.link], alternative.selector))
            .collect();
        for (key, selector) in from {
            let key = key.map(|key| key.0.to_string()).unwrap_or_default();
            let selector = selector.map(|selector| selector.to_string()).unwrap_or_default();
            let _ = writeln!(text, "{input} {key} {selector}");
        }
    }
    KeyId(Digest::of(text))
}

#[async_trait]
impl<R, M> CacheIndex<R> for ImportedIndex<M>
where
    R: Send + Sync,
    M: Materialise<R>,
{
    async fn has_any(&self, op: &Digest) -> Result<bool, IndexError> {
        Ok((0..OUTPUTS).any(|output| self.digests.contains(&KeyId::root(op, output).0)))
    }

    async fn query(&self, from: &[KeyId], link: &Link) -> Result<Vec<KeyId>, IndexError> {
        let operation = KeyId::root(&link.op, link.output).0;
        let reached: BTreeSet<KeyId> = from
            .iter()
            .filter_map(|from| self.links.get(&(*from, link.input, operation, link.selector)))
            .flatten()
            .copied()
            .collect();
        Ok(reached.into_iter().collect())
    }

    async fn records(&self, keys: &[KeyId]) -> Result<Vec<Record>, IndexError> {
        let mut found: Vec<(Option<Timestamp>, Record)> = Vec::new();
        for key in keys {
            for (place, stored) in self.results.get(key).into_iter().flatten().enumerate() {
                let record = Record {
                    key: *key,
                    id: place.to_string(),
                    origin: Origin::Own,
                };
                found.push((stored.created, record));
            }
        }
        found.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    async fn load(&self, record: &Record) -> Result<Option<R>, IndexError> {
        let place: Option<usize> = record.id.parse().ok();
        let stored = self.results.get(&record.key);
        let found = place.and_then(|place| stored?.get(place));
        let layers = found.and_then(|stored| self.layers(stored));
        Ok(layers.and_then(|layers| self.make.result(&layers)))
    }

    async fn link(&self, _: &Entry) -> Result<(), IndexError> {
        Err(IndexError::new("an imported cache cannot be written"))
    }

    async fn save(&self, _: &Entry, _: &R) -> Result<(), IndexError> {
        Err(IndexError::new("an imported cache cannot be written"))
    }
}
