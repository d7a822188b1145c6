//! References from owners to objects, and how often owners are used.

use std::collections::HashMap;

use rusqlite::Transaction;
use rusqlite::params;

use crate::Result;
use crate::StoreError;
use crate::database::Failure;
use crate::entry;
use crate::object::Kind;
use crate::object::Object;
use crate::object::Owner;
use crate::object::OwnerInfo;
use crate::object::Pin;
use crate::store;
use crate::store::Store;
use crate::store::Touch;

/// Uses that are collected in memory before they are written.
const TOUCHES: usize = 256;

/// Bucket and key.
type Name = (String, Vec<u8>);

impl Store {
    /// Adds references from an owner, which comes into being when it is not there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when a blob or tree is not in the store.
    pub fn refer(&self, from: &Owner, to: &[Object]) -> Result<()> {
        self.write("add references", |t| refer(self, t, from, to))
    }

    /// Makes `to` the references of an owner in place of those it had, and `info` what is known of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when a blob or tree is not in the store.
    pub fn refer_as(&self, from: &Owner, info: &OwnerInfo, to: &[Object]) -> Result<()> {
        self.write("replace references", |t| refer_as(self, t, from, info, to))
    }

    /// Removes an owner with its references. What is no longer referred to goes with the next garbage collection;
    /// the entry of the owner's name is the caller's to delete.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unrefer(&self, from: &Owner) -> Result<()> {
        self.write("remove references", |t| unrefer(t, from))
    }

    /// Returns what an owner refers to, sorted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn references(&self, from: &Owner) -> Result<Vec<Object>> {
        self.read("read references", |c| {
            let mut query =
                c.prepare_cached("SELECT kind, to_bucket, to_key FROM edge WHERE bucket = ? AND key = ?")?;
            let rows = query.query_map(params![from.bucket, from.key], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let rows: Vec<(i64, String, Vec<u8>)> = rows.collect::<rusqlite::Result<_>>()?;
            Ok(rows
                .into_iter()
                .filter_map(|(k, bucket, key)| Object::from_columns(k, bucket, key))
                .collect())
        })
    }

    /// Counts a use of an owner. Written in batches, at the latest when the lease or the store is dropped.
    pub fn touch(&self, owner: &Owner) {
        let full = {
            let mut touches = self.touches();
            let touch = touches.entry(owner.clone()).or_default();
            touch.uses += 1;
            touch.last = store::now();
            touches.len() >= TOUCHES
        };
        if full {
            // Not worth failing a build for.
            drop(self.flush_touches());
        }
    }

    pub(crate) fn flush_touches(&self) -> Result<()> {
        let touches = std::mem::take(&mut *self.touches());
        if touches.is_empty() {
            return Ok(());
        }
        self.write("count uses", |t| write_touches(t, &touches))
    }
}

pub(crate) fn write_touches(
    transaction: &Transaction<'_>,
    touches: &HashMap<Owner, Touch>,
) -> Result<(), Failure> {
    let mut update = transaction.prepare_cached(
        "UPDATE owner SET uses = uses + ?, last_used = max(last_used, ?) WHERE bucket = ? AND key = ?",
    )?;
    for (owner, touch) in touches {
        update.execute(params![touch.uses, touch.last, owner.bucket, owner.key])?;
    }
    Ok(())
}

pub(crate) fn refer(
    store: &Store,
    transaction: &Transaction<'_>,
    from: &Owner,
    to: &[Object],
) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO owner (bucket, key, pinned, record_type, description, created, last_used, uses) \
             VALUES (?1, ?2, 0, '', '', ?3, ?3, 1)",
        )?
        .execute(params![from.bucket, from.key, store::now()])?;
    add_edges(store, transaction, from, to)
}

pub(crate) fn refer_as(
    store: &Store,
    transaction: &Transaction<'_>,
    from: &Owner,
    info: &OwnerInfo,
    to: &[Object],
) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO owner (bucket, key, pinned, record_type, description, created, last_used, uses) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1) \
             ON CONFLICT (bucket, key) DO UPDATE SET \
             pinned = ?3, record_type = ?4, description = ?5, last_used = ?6, uses = uses + 1",
        )?
        .execute(params![
            from.bucket,
            from.key,
            info.pin == Pin::Pinned,
            info.record_type,
            info.description,
            store::now()
        ])?;
    let entries = remove_edges(transaction, from)?;
    add_edges(store, transaction, from, to)?;
    sweep(transaction, entries)
}

pub(crate) fn unrefer(transaction: &Transaction<'_>, from: &Owner) -> Result<(), Failure> {
    transaction
        .prepare_cached("DELETE FROM owner WHERE bucket = ? AND key = ?")?
        .execute(params![from.bucket, from.key])?;
    let entries = remove_edges(transaction, from)?;
    sweep(transaction, entries)
}

/// Removes the references of an owner; returns the entries among what it referred to.
fn remove_edges(transaction: &Transaction<'_>, from: &Owner) -> Result<Vec<Name>, Failure> {
    let entries = transaction
        .prepare_cached("SELECT to_bucket, to_key FROM edge WHERE bucket = ? AND key = ? AND kind = ?")?
        .query_map(params![from.bucket, from.key, Kind::Entry as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    transaction
        .prepare_cached("DELETE FROM edge WHERE bucket = ? AND key = ?")?
        .execute(params![from.bucket, from.key])?;
    Ok(entries)
}

/// Deletes those of the entries that nothing wants any more: nothing else would find them.
fn sweep(transaction: &Transaction<'_>, entries: Vec<Name>) -> Result<(), Failure> {
    for (bucket, key) in entries {
        let wanted: bool = transaction
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM edge WHERE kind = ?1 AND to_bucket = ?2 AND to_key = ?3) \
                 OR EXISTS (SELECT 1 FROM owner WHERE bucket = ?2 AND key = ?3) \
                 OR EXISTS (SELECT 1 FROM hold WHERE kind = ?1 AND bucket = ?2 AND key = ?3)",
            )?
            .query_row(params![Kind::Entry as i64, bucket, key], |row| row.get(0))?;
        if !wanted {
            entry::delete(transaction, &bucket, &key)?;
        }
    }
    Ok(())
}

fn add_edges(
    store: &Store,
    transaction: &Transaction<'_>,
    from: &Owner,
    to: &[Object],
) -> Result<(), Failure> {
    for object in to {
        let (kind, bucket, key) = object.columns();
        if kind != Kind::Entry && !store.ensure_row(transaction, object)? {
            return Err(StoreError::no_object(object).into());
        }
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO edge (bucket, key, kind, to_bucket, to_key) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![from.bucket, from.key, kind as i64, bucket, key])?;
    }
    Ok(())
}
