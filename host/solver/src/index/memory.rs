//! An index in memory, for tests and for builds that keep nothing.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use async_trait::async_trait;
use kiln_image::Digest;

use super::CacheIndex;
use super::IndexError;
use super::Origin;
use super::Record;
use crate::key::Entry;
use crate::key::KeyId;
use crate::key::Link;

/// A [`CacheIndex`] in memory.
#[derive(Debug)]
pub struct MemoryIndex<R>(Mutex<Tables<R>>);

#[derive(Debug)]
struct Tables<R> {
    links: BTreeMap<(KeyId, Link), BTreeSet<KeyId>>,
    entries: BTreeMap<KeyId, Entry>,
    ops: BTreeSet<Digest>,
    /// In the order in which they were saved.
    results: Vec<(KeyId, R)>,
}

impl<R> Default for MemoryIndex<R> {
    fn default() -> Self {
        let tables = Tables {
            links: BTreeMap::new(),
            entries: BTreeMap::new(),
            ops: BTreeSet::new(),
            results: Vec::new(),
        };
        Self(Mutex::new(tables))
    }
}

impl<R> MemoryIndex<R> {
    /// Returns an empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what was last written for `key`.
    pub fn entry(&self, key: &KeyId) -> Option<Entry> {
        self.tables().entries.get(key).cloned()
    }

    /// Returns how many results are stored.
    pub fn len(&self) -> usize {
        self.tables().results.len()
    }

    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn tables(&self) -> MutexGuard<'_, Tables<R>> {
        // Every write is whole before the lock is let go, so a panic elsewhere cannot have spoilt the tables.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Tables<R> {
    fn link(&mut self, entry: &Entry) {
        for from in entry.links() {
            self.links.entry(from).or_default().insert(entry.key);
        }
        self.ops.insert(entry.op.digest);
        self.entries.insert(entry.key, entry.clone());
    }
}

#[async_trait]
impl<R: Clone + Send + Sync> CacheIndex<R> for MemoryIndex<R> {
    async fn has_any(&self, op: &Digest) -> Result<bool, IndexError> {
        Ok(self.tables().ops.contains(op))
    }

    async fn query(&self, from: &[KeyId], link: &Link) -> Result<Vec<KeyId>, IndexError> {
        let tables = self.tables();
        let reached: BTreeSet<_> = from
            .iter()
            .filter_map(|key| tables.links.get(&(*key, *link)))
            .flatten()
            .copied()
            .collect();
        Ok(reached.into_iter().collect())
    }

    async fn records(&self, keys: &[KeyId]) -> Result<Vec<Record>, IndexError> {
        let tables = self.tables();
        let newest = tables.results.iter().enumerate().rev();
        let found = newest.filter(|(_, (key, _))| keys.contains(key));
        Ok(found
            .map(|(id, (key, _))| Record {
                key: *key,
                id: id.to_string(),
                origin: Origin::Own,
            })
            .collect())
    }

    async fn load(&self, record: &Record) -> Result<Option<R>, IndexError> {
        let tables = self.tables();
        let place: Option<usize> = record.id.parse().ok();
        let stored = place.and_then(|place| tables.results.get(place));
        Ok(stored
            .filter(|(key, _)| *key == record.key)
            .map(|(_, result)| result.clone()))
    }

    async fn link(&self, entry: &Entry) -> Result<(), IndexError> {
        self.tables().link(entry);
        Ok(())
    }

    async fn save(&self, entry: &Entry, result: &R) -> Result<(), IndexError> {
        let mut tables = self.tables();
        tables.link(entry);
        tables.results.push((entry.key, result.clone()));
        Ok(())
    }
}
