//! Who wants what, as it was at one moment: objects, owners, references and holds.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use rusqlite::Connection;

use crate::Result;
use crate::database::Failure;
use crate::object::Object;
use crate::object::Owner;
use crate::object::OwnerInfo;
use crate::object::Pin;
use crate::store::Store;

/// Everything in the store and the references between.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    objects: BTreeMap<Object, ObjectRow>,
    owners: BTreeMap<Owner, OwnerRow>,
    /// From what is referred to, to who refers to it.
    wanted: HashMap<Object, Vec<Owner>>,
    held: HashSet<Object>,
    pinned: HashSet<Object>,
}

/// A blob or a tree. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ObjectRow {
    pub(crate) size: u64,
    pub(crate) created: i64,
    pub(crate) last_used: i64,
    pub(crate) uses: i64,
}

/// An owner. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnerRow {
    pub(crate) info: OwnerInfo,
    pub(crate) created: i64,
    pub(crate) last_used: i64,
    pub(crate) uses: i64,
    pub(crate) to: Vec<Object>,
}

impl Store {
    pub(crate) fn graph(&self) -> Result<Graph> {
        self.read("list what is in the store", |connection| {
            // One snapshot: a reference must not be seen without what it refers to.
            let snapshot = connection.unchecked_transaction()?;
            Graph::load(&snapshot)
        })
    }
}

impl Graph {
    fn load(connection: &Connection) -> Result<Self, Failure> {
        let mut graph = Self {
            objects: objects(connection)?,
            owners: owners(connection)?,
            ..Self::default()
        };
        graph.held = held(connection)?;
        for (owner, object) in edges(connection)? {
            graph
                .wanted
                .entry(object.clone())
                .or_default()
                .push(owner.clone());
            if let Some(row) = graph.owners.get_mut(&owner) {
                row.to.push(object);
            }
        }
        graph.pinned = graph.reachable(graph.owners.iter().filter(|(_, row)| row.info.pin == Pin::Pinned));
        // A record that is held keeps what it refers to.
        let held: Vec<_> = graph
            .owners
            .iter()
            .filter(|(owner, _)| graph.held.contains(&entry(owner)))
            .collect();
        let held = graph.reachable(held.into_iter());
        graph.held.extend(held);
        Ok(graph)
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.keys()
    }

    pub(crate) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owners.keys()
    }

    /// The row of an object; an empty one for an entry, or what is not in the store any more.
    pub(crate) fn object(&self, object: &Object) -> ObjectRow {
        self.objects.get(object).copied().unwrap_or_default()
    }

    pub(crate) fn owner(&self, owner: &Owner) -> Option<&OwnerRow> {
        self.owners.get(owner)
    }

    pub(crate) fn owners_of(&self, object: &Object) -> Vec<Owner> {
        self.wanted.get(object).cloned().unwrap_or_default()
    }

    pub(crate) fn is_in_use(&self, object: &Object) -> bool {
        self.held.contains(object)
    }

    pub(crate) fn is_pinned(&self, object: &Object) -> bool {
        self.pinned.contains(object)
    }

    /// Whether an owner that is not pinned refers to nothing that would go with it.
    pub(crate) fn is_shared(&self, owner: &Owner) -> bool {
        self.owners.get(owner).is_some_and(|row| {
            row.info.pin == Pin::Collectable
                && !row.to.is_empty()
                && row.to.iter().all(|to| self.is_pinned(to))
        })
    }

    /// Bytes that no pinned owner keeps.
    pub(crate) fn collectable_bytes(&self) -> u64 {
        self.objects
            .iter()
            .filter(|(object, _)| !self.is_pinned(object))
            .map(|(_, row)| row.size)
            .sum()
    }

    /// Everything that these owners refer to, also through owners they refer to.
    fn reachable<'a>(&'a self, owners: impl Iterator<Item = (&'a Owner, &'a OwnerRow)>) -> HashSet<Object> {
        let mut seen = HashSet::new();
        let mut rows: Vec<&OwnerRow> = owners.map(|(_, row)| row).collect();
        while let Some(row) = rows.pop() {
            for object in &row.to {
                if !seen.insert(object.clone()) {
                    continue;
                }
                if let Object::Entry(bucket, key) = object {
                    rows.extend(self.owners.get(&Owner {
                        bucket: bucket.clone(),
                        key: key.clone(),
                    }));
                }
            }
        }
        seen
    }
}

/// An owner as something that can be referred to and held.
pub(crate) fn entry(owner: &Owner) -> Object {
    Object::Entry(owner.bucket.clone(), owner.key.clone())
}

fn objects(connection: &Connection) -> Result<BTreeMap<Object, ObjectRow>, Failure> {
    let mut query =
        connection.prepare_cached("SELECT kind, key, size, created, last_used, uses FROM object")?;
    let mut rows = query.query([])?;
    let mut objects = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let Some(object) = Object::from_columns(row.get(0)?, String::new(), row.get(1)?) else {
            continue;
        };
        let size = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        objects.insert(
            object,
            ObjectRow {
                size,
                created: row.get(3)?,
                last_used: row.get(4)?,
                uses: row.get(5)?,
            },
        );
    }
    Ok(objects)
}

fn owners(connection: &Connection) -> Result<BTreeMap<Owner, OwnerRow>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT bucket, key, pinned, record_type, description, created, last_used, uses FROM owner",
    )?;
    let mut rows = query.query([])?;
    let mut owners = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let owner = Owner {
            bucket: row.get(0)?,
            key: row.get(1)?,
        };
        let pin = if row.get(2)? {
            Pin::Pinned
        } else {
            Pin::Collectable
        };
        let info = OwnerInfo {
            pin,
            record_type: row.get(3)?,
            description: row.get(4)?,
        };
        let (created, last_used, uses) = (row.get(5)?, row.get(6)?, row.get(7)?);
        owners.insert(
            owner,
            OwnerRow {
                info,
                created,
                last_used,
                uses,
                to: Vec::new(),
            },
        );
    }
    Ok(owners)
}

fn edges(connection: &Connection) -> Result<Vec<(Owner, Object)>, Failure> {
    let mut query = connection.prepare_cached("SELECT bucket, key, kind, to_bucket, to_key FROM edge")?;
    let mut rows = query.query([])?;
    let mut edges = Vec::new();
    while let Some(row) = rows.next()? {
        let owner = Owner {
            bucket: row.get(0)?,
            key: row.get(1)?,
        };
        edges.extend(Object::from_columns(row.get(2)?, row.get(3)?, row.get(4)?).map(|to| (owner, to)));
    }
    Ok(edges)
}

fn held(connection: &Connection) -> Result<HashSet<Object>, Failure> {
    let mut query = connection.prepare_cached("SELECT DISTINCT kind, bucket, key FROM hold")?;
    let mut rows = query.query([])?;
    let mut held = HashSet::new();
    while let Some(row) = rows.next()? {
        held.extend(Object::from_columns(row.get(0)?, row.get(1)?, row.get(2)?));
    }
    Ok(held)
}
