//! Leases: what a living process uses is not collected.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::path::PathBuf;

use kiln_image::Digest;
use rusqlite::Transaction;
use rusqlite::params;

use crate::Result;
use crate::StoreError;
use crate::blob;
use crate::database::Failure;
use crate::object::Object;
use crate::object::Owner;
use crate::store::Store;

/// Keeps garbage collection, of this and all other processes, from what is used. As long as a lease of this process
/// lives, all that the process commits or opens is held; more can be held by name. Ends when it is dropped or when
/// the process dies.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    id: i64,
}

/// The leases of this process and what they hold.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    next: i64,
    active: BTreeMap<i64, HashSet<Object>>,
}

impl Store {
    /// Begins a lease.
    ///
    /// # Errors
    /// None at present; a lease costs nothing until something is held.
    pub fn lease(&self) -> Result<Lease> {
        Ok(Lease {
            store: self.clone(),
            id: self.leases().begin(),
        })
    }
}

impl Lease {
    /// Holds a blob.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not there.
    pub fn hold_blob(&self, digest: &Digest) -> Result<()> {
        if self.store.contains(digest)? {
            return self.hold_all(&[Object::Blob(*digest)]);
        }
        Err(StoreError::NotFound {
            object: digest.to_string(),
        })
    }

    /// Holds a tree; returns where it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not there.
    pub fn hold_tree(&self, key: &str) -> Result<PathBuf> {
        let path = self.store.tree(key)?;
        path.ok_or_else(|| StoreError::NotFound {
            object: key.to_owned(),
        })
    }

    /// Holds an owner: it and all it refers to stay.
    ///
    /// # Errors
    /// When the database fails.
    pub fn hold(&self, record: &Owner) -> Result<()> {
        self.hold_all(&[Object::Entry(record.bucket.clone(), record.key.clone())])
    }

    /// Holds several objects in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when a blob or tree is not there; nothing is held then.
    pub fn hold_all(&self, objects: &[Object]) -> Result<()> {
        let lacking: Vec<&Object> = {
            let leases = self.store.leases();
            objects.iter().filter(|o| !leases.has(self.id, o)).collect()
        };
        if lacking.is_empty() {
            return Ok(());
        }
        self.store.write("hold objects", |transaction| {
            for object in &lacking {
                if !matches!(object, Object::Entry(..)) {
                    if !self.store.ensure_row(transaction, object)? {
                        return Err(StoreError::no_object(object).into());
                    }
                    blob::count_use(transaction, object)?;
                }
                hold(transaction, self.store.session().name(), &[self.id], object)?;
            }
            Ok(())
        })?;
        let mut leases = self.store.leases();
        for object in lacking {
            leases.note(&[self.id], object);
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = self.store.leases().end(self.id);
        if !held {
            return;
        }
        let session = self.store.session().name();
        // A hold that stays counts until the session ends, and does no harm beyond that.
        drop(self.store.write("end a lease", |transaction| {
            transaction
                .prepare_cached("DELETE FROM hold WHERE session = ? AND lease = ?")?
                .execute(params![session, self.id])?;
            Ok(())
        }));
        drop(self.store.flush_touches());
    }
}

impl Leases {
    fn begin(&mut self) -> i64 {
        self.next += 1;
        self.active.insert(self.next, HashSet::new());
        self.next
    }

    /// Ends a lease; whether it held anything.
    fn end(&mut self, id: i64) -> bool {
        self.active.remove(&id).is_some_and(|held| !held.is_empty())
    }

    pub(crate) fn active(&self) -> Vec<i64> {
        self.active.keys().copied().collect()
    }

    /// The leases that do not hold the object yet.
    pub(crate) fn lacking(&self, object: &Object) -> Vec<i64> {
        self.active
            .iter()
            .filter(|(_, held)| !held.contains(object))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn note(&mut self, leases: &[i64], object: &Object) {
        for id in leases {
            if let Some(held) = self.active.get_mut(id) {
                held.insert(object.clone());
            }
        }
    }

    /// Takes back a note: the object has been removed by force.
    pub(crate) fn forget(&mut self, object: &Object) {
        for held in self.active.values_mut() {
            held.remove(object);
        }
    }

    /// Whether there was ever a lease.
    pub(crate) fn ever(&self) -> bool {
        self.next > 0
    }

    fn has(&self, id: i64, object: &Object) -> bool {
        self.active.get(&id).is_some_and(|held| held.contains(object))
    }
}

/// Writes down that leases hold an object.
pub(crate) fn hold(
    transaction: &Transaction<'_>,
    session: &str,
    leases: &[i64],
    object: &Object,
) -> Result<(), Failure> {
    let (kind, bucket, key) = object.columns();
    for lease in leases {
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO hold (session, lease, kind, bucket, key) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![session, lease, kind as i64, bucket, key])?;
    }
    Ok(())
}

/// Ends all leases of a session.
pub(crate) fn release_session(transaction: &Transaction<'_>, session: &str) -> Result<(), Failure> {
    transaction
        .prepare_cached("DELETE FROM hold WHERE session = ?")?
        .execute([session])?;
    Ok(())
}
