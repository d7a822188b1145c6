//! What is in the store, who wants it, and what it costs.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::Result;
use crate::gc::Graph;
use crate::object::Object;
use crate::object::Owner;
use crate::object::Pin;
use crate::partial;
use crate::store::Store;

/// What the store holds.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Every blob, tree, incomplete download and owner; in this order, sorted by id.
    pub records: Vec<UsageRecord>,
    /// Bytes of all blobs, trees and incomplete downloads.
    pub total: u64,
    /// Bytes of those that garbage collection could remove now: neither in use nor pinned.
    pub reclaimable: u64,
}

/// One thing in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// Digest of a blob, key of a tree, `bucket/key` of an owner.
    pub id: String,
    /// What it is.
    pub kind: UsageKind,
    /// Bytes. Of an owner: those of all that it refers to, also where others refer to it as well.
    pub size: u64,
    /// When it came into the store.
    pub created: SystemTime,
    /// When it was last used.
    pub last_used: SystemTime,
    /// How often it was used.
    pub uses: u64,
    /// Whether a living process holds it.
    pub in_use: bool,
    /// Whether a pinned owner keeps it. Of an owner: whether it is pinned.
    pub pinned: bool,
    /// Of an owner that is not pinned: whether a pinned one refers to all that it refers to.
    pub shared: bool,
    /// BuildKit's record type; empty for blobs and trees.
    pub record_type: String,
    /// One line for people; for a blob or a tree that of its first owner.
    pub description: String,
    /// Who refers to it.
    pub owners: Vec<Owner>,
}

/// What a [`UsageRecord`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageKind {
    /// A blob.
    Blob,
    /// A tree.
    Tree,
    /// A download that is not complete.
    Partial,
    /// An owner.
    Owner,
}

impl Store {
    /// Lists what is in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        self.flush_touches()?;
        let graph = self.graph()?;
        let mut usage = Usage::default();
        for record in graph.objects().map(|object| object_record(&graph, object)) {
            usage.total += record.size;
            usage.reclaimable += if record.in_use || record.pinned {
                0
            } else {
                record.size
            };
            usage.records.push(record);
        }
        for (path, metadata) in partial::list(self)? {
            let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
            usage.total += metadata.len();
            usage.records.push(UsageRecord {
                id: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                kind: UsageKind::Partial,
                size: metadata.len(),
                created: modified,
                last_used: modified,
                uses: 0,
                in_use: false,
                pinned: false,
                shared: false,
                record_type: String::new(),
                description: "incomplete download".to_owned(),
                owners: Vec::new(),
            });
        }
        usage
            .records
            .extend(graph.owners().map(|owner| owner_record(&graph, owner)));
        Ok(usage)
    }
}

fn object_record(graph: &Graph, object: &Object) -> UsageRecord {
    let row = graph.object(object);
    let owners = graph.owners_of(object);
    let infos = || owners.iter().filter_map(|owner| graph.owner(owner));
    UsageRecord {
        id: object.to_string(),
        kind: if matches!(object, Object::Blob(_)) {
            UsageKind::Blob
        } else {
            UsageKind::Tree
        },
        size: row.size,
        created: time(row.created),
        last_used: time(infos().map(|o| o.last_used).fold(row.last_used, i64::max)),
        uses: count(infos().map(|o| o.uses).fold(row.uses, i64::max)),
        in_use: graph.is_in_use(object),
        pinned: graph.is_pinned(object),
        shared: false,
        record_type: String::new(),
        description: infos()
            .next()
            .map(|o| o.info.description.clone())
            .unwrap_or_default(),
        owners,
    }
}

pub(crate) fn owner_record(graph: &Graph, owner: &Owner) -> UsageRecord {
    let row = graph.owner(owner).cloned().unwrap_or_default();
    let object = Object::Entry(owner.bucket.clone(), owner.key.clone());
    UsageRecord {
        id: object.to_string(),
        kind: UsageKind::Owner,
        size: row.to.iter().map(|to| graph.object(to).size).sum(),
        created: time(row.created),
        last_used: time(row.last_used),
        uses: count(row.uses),
        in_use: graph.is_in_use(&object),
        pinned: row.info.pin == Pin::Pinned,
        shared: graph.is_shared(owner),
        record_type: row.info.record_type,
        description: row.info.description,
        owners: graph.owners_of(&object),
    }
}

pub(crate) fn unowned_record(graph: &Graph, object: &Object) -> UsageRecord {
    object_record(graph, object)
}

fn time(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(count(milliseconds))
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
