//! The own index with imported caches behind it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_image::Digest;

use super::CacheIndex;
use super::IndexError;
use super::Origin;
use super::Record;
use crate::key::Entry;
use crate::key::KeyId;
use crate::key::Link;

/// Asks the own index first, then each import in order; writes to the own index only. Key identities must mean
/// the same in all of them or be unknown to the others.
pub struct LayeredIndex<R> {
    own: Arc<dyn CacheIndex<R>>,
    imports: Vec<Arc<dyn CacheIndex<R>>>,
}

impl<R> fmt::Debug for LayeredIndex<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredIndex")
            .field("imports", &self.imports.len())
            .finish_non_exhaustive()
    }
}

impl<R> LayeredIndex<R> {
    /// Puts `imports` behind `own`.
    pub fn new(own: Arc<dyn CacheIndex<R>>, imports: Vec<Arc<dyn CacheIndex<R>>>) -> Self {
        Self { own, imports }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn CacheIndex<R>>> {
        std::iter::once(&self.own).chain(&self.imports)
    }
}

#[async_trait]
impl<R: Send + Sync> CacheIndex<R> for LayeredIndex<R> {
    async fn has_any(&self, op: &Digest) -> Result<bool, IndexError> {
        for index in self.all() {
            if index.has_any(op).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn query(&self, from: &[KeyId], link: &Link) -> Result<Vec<KeyId>, IndexError> {
        let mut reached = BTreeSet::new();
        for index in self.all() {
            reached.extend(index.query(from, link).await?);
        }
        Ok(reached.into_iter().collect())
    }

    async fn records(&self, keys: &[KeyId]) -> Result<Vec<Record>, IndexError> {
        let mut records = self.own.records(keys).await?;
        for (place, import) in (0..).zip(&self.imports) {
            let found = import.records(keys).await?;
            records.extend(found.into_iter().map(|r| Record {
                origin: Origin::Imported(place),
                ..r
            }));
        }
        Ok(records)
    }

    async fn load(&self, record: &Record) -> Result<Option<R>, IndexError> {
        let Origin::Imported(place) = record.origin else {
            return self.own.load(record).await;
        };
        let Some(import) = self.imports.get(place as usize) else {
            return Ok(None);
        };
        import
            .load(&Record {
                origin: Origin::Own,
                ..record.clone()
            })
            .await
    }

    async fn link(&self, entry: &Entry) -> Result<(), IndexError> {
        self.own.link(entry).await
    }

    async fn save(&self, entry: &Entry, result: &R) -> Result<(), IndexError> {
        self.own.save(entry, result).await
    }
}
