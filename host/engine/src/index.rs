//! The solver's cache index in the store's database.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `cache.op` | digest of an operation's key | its preimage |
//! | `cache.link` | from-key, link, to-key | nothing |
//! | `cache.record` | key, record | ids of the result's layers |

use async_trait::async_trait;
use kiln_image::Digest;
use kiln_solver::CacheIndex;
use kiln_solver::Entry;
use kiln_solver::IndexError;
use kiln_solver::KeyId;
use kiln_solver::Link;
use kiln_solver::Origin;
use kiln_solver::Record;
use kiln_store::Object;
use kiln_store::Owner;
use kiln_store::Store;

use crate::layers::LayerId;
use crate::layers::Layers;
use crate::layers::Ref;

const OPS: &str = "cache.op";
const LINKS: &str = "cache.link";
/// Bucket of the records; what `kiln prune` removes.
pub(crate) const RECORDS: &str = "cache.record";

/// Results and how they are found, kept in the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreIndex {
    store: Store,
    layers: Layers,
}

impl StoreIndex {
    pub(crate) fn new(store: Store, layers: Layers) -> Self {
        Self { store, layers }
    }

    fn rows(&self, entry: &Entry) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
        let mut rows = vec![(
            OPS,
            entry.op.digest.as_bytes().to_vec(),
            entry.op.preimage.clone(),
        )];
        for (from, link) in entry.links() {
            let mut key = link_prefix(from, &link);
            key.extend_from_slice(entry.key.0.as_bytes());
            rows.push((LINKS, key, Vec::new()));
        }
        rows
    }
}

fn link_prefix(from: KeyId, link: &Link) -> Vec<u8> {
    let mut key = Vec::with_capacity(32 + 4 + 32 + 4 + 33 + 32);
    key.extend_from_slice(from.0.as_bytes());
    key.extend_from_slice(&link.input.to_be_bytes());
    key.extend_from_slice(link.op.as_bytes());
    key.extend_from_slice(&link.output.to_be_bytes());
    match &link.selector {
        Some(selector) => {
            key.push(1);
            key.extend_from_slice(selector.as_bytes());
        }
        None => key.push(0),
    }
    key
}

#[async_trait]
impl CacheIndex<Ref> for StoreIndex {
    async fn has_any(&self, op: &Digest) -> Result<bool, IndexError> {
        let found = self.store.get(OPS, op.as_bytes()).map_err(IndexError::new)?;
        Ok(found.is_some())
    }

    async fn query(&self, from: &[KeyId], link: &Link) -> Result<Vec<KeyId>, IndexError> {
        let mut keys = Vec::new();
        for from in from {
            let prefix = link_prefix(*from, link);
            for (key, _) in self.store.scan(LINKS, &prefix).map_err(IndexError::new)? {
                if let Ok(digest) = <[u8; 32]>::try_from(&key[prefix.len()..]) {
                    keys.push(KeyId(Digest::from_bytes(digest)));
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    async fn records(&self, keys: &[KeyId]) -> Result<Vec<Record>, IndexError> {
        let mut found = Vec::new();
        for key in keys {
            for (row, value) in self
                .store
                .scan(RECORDS, key.0.as_bytes())
                .map_err(IndexError::new)?
            {
                let made = value.get(..8).map(<[u8]>::to_vec).unwrap_or_default();
                let id = row[32..].iter().map(|byte| char::from(*byte)).collect();
                found.push((
                    made,
                    Record {
                        key: *key,
                        id,
                        origin: Origin::Own,
                    },
                ));
            }
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    async fn load(&self, record: &Record) -> Result<Option<Ref>, IndexError> {
        let key = record_key(record.key, &record.id);
        let Some(value) = self.store.get(RECORDS, &key).map_err(IndexError::new)? else {
            return Ok(None);
        };
        let mut layers = Vec::new();
        for id in value.get(8..).unwrap_or_default().chunks_exact(32) {
            let id = LayerId(Digest::from_bytes(id.try_into().unwrap_or_default()));
            match self.layers.load(id).map_err(IndexError::new)? {
                Some(layer) => layers.push(layer),
                None => return Ok(None),
            }
        }
        self.store.touch(&Owner::new(RECORDS, key));
        Ok(Some(Ref::new(layers)))
    }

    async fn link(&self, entry: &Entry) -> Result<(), IndexError> {
        let rows = self.rows(entry);
        let write =
            |entries: &kiln_store::Entries<'_>| rows.iter().try_for_each(|(b, k, v)| entries.put(b, k, v));
        self.store.transaction(write).map_err(IndexError::new)
    }

    async fn save(&self, entry: &Entry, result: &Ref) -> Result<(), IndexError> {
        let mut rows = self.rows(entry);
        let ids: Vec<LayerId> = result.layers().iter().map(|layer| layer.id()).collect();
        // One row for each result of a key: a result that is saved again is the newest of its one row.
        let text: String = ids.iter().map(|id| id.0.hex()).collect();
        let id = Digest::of(text).hex();
        let key = record_key(entry.key, &id);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut value = (now.as_nanos() as u64).to_be_bytes().to_vec();
        ids.iter().for_each(|id| value.extend_from_slice(id.0.as_bytes()));
        rows.push((RECORDS, key.clone(), value));
        let owner = Owner::new(RECORDS, key);
        let layers: Vec<Object> = ids.iter().map(|id| id.object()).collect();
        let write = |entries: &kiln_store::Entries<'_>| {
            rows.iter().try_for_each(|(b, k, v)| entries.put(b, k, v))?;
            entries.refer(&owner, &layers)
        };
        self.store.transaction(write).map_err(IndexError::new)
    }
}

fn record_key(key: KeyId, id: &str) -> Vec<u8> {
    [key.0.as_bytes(), id.as_bytes()].concat()
}
