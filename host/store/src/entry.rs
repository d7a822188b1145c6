//! Metadata: bytes by bucket and key.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::params;

use crate::Result;
use crate::database::Failure;
use crate::object::Object;
use crate::object::Owner;
use crate::object::OwnerInfo;
use crate::reference;
use crate::store::Store;

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// The metadata inside of one transaction.
#[derive(Debug)]
pub struct Entries<'a> {
    store: &'a Store,
    transaction: &'a Transaction<'a>,
}

impl Store {
    /// Returns the value of `key` in `bucket`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, bucket: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.read("read metadata", |c| get(c, bucket, key))
    }

    /// Sets the value of `key` in `bucket`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put(&self, bucket: &str, key: &[u8], value: &[u8]) -> Result<()> {
        self.write("write metadata", |t| put(t, bucket, key, value))
    }

    /// Sets many values in one transaction, which is many times faster than one by one.
    ///
    /// # Errors
    /// When the database fails; none of them is set then.
    pub fn put_many(&self, bucket: &str, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        self.write("write metadata", |t| {
            pairs
                .iter()
                .try_for_each(|(key, value)| put(t, bucket, key, value))
        })
    }

    /// Removes `key` from `bucket`; whether it was there. References of an owner of that name stay.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete(&self, bucket: &str, key: &[u8]) -> Result<bool> {
        self.write("write metadata", |t| delete(t, bucket, key))
    }

    /// Returns the entries of `bucket` whose keys begin with `prefix`, in the order of the keys.
    ///
    /// # Errors
    /// When the database fails.
    pub fn scan(&self, bucket: &str, prefix: &[u8]) -> Result<Vec<Pair>> {
        self.read("read metadata", |c| scan(c, bucket, prefix))
    }

    /// Runs `work` in a transaction: either all of it is there afterwards or, when it returns an error, nothing.
    /// No other process or thread writes metadata meanwhile, so it has to be short, and must not call the store
    /// itself. It runs a second time when the database turns out to be damaged.
    ///
    /// # Errors
    /// What `work` returns, or when the database fails.
    pub fn transaction<T>(&self, mut work: impl FnMut(&Entries<'_>) -> Result<T>) -> Result<T> {
        self.write("write metadata", |transaction| {
            Ok(work(&Entries {
                store: self,
                transaction,
            })?)
        })
    }
}

impl Entries<'_> {
    /// Returns the value of `key` in `bucket`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, bucket: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.named(get(self.transaction, bucket, key))
    }

    /// Sets the value of `key` in `bucket`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put(&self, bucket: &str, key: &[u8], value: &[u8]) -> Result<()> {
        self.named(put(self.transaction, bucket, key, value))
    }

    /// Removes `key` from `bucket`; whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete(&self, bucket: &str, key: &[u8]) -> Result<bool> {
        self.named(delete(self.transaction, bucket, key))
    }

    /// Returns the entries of `bucket` whose keys begin with `prefix`, in the order of the keys.
    ///
    /// # Errors
    /// When the database fails.
    pub fn scan(&self, bucket: &str, prefix: &[u8]) -> Result<Vec<Pair>> {
        self.named(scan(self.transaction, bucket, prefix))
    }

    /// As [`Store::refer`].
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] when an object is not in the store.
    pub fn refer(&self, from: &Owner, to: &[Object]) -> Result<()> {
        self.named(reference::refer(self.store, self.transaction, from, to))
    }

    /// As [`Store::refer_as`].
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] when an object is not in the store.
    pub fn refer_as(&self, from: &Owner, info: &OwnerInfo, to: &[Object]) -> Result<()> {
        self.named(reference::refer_as(self.store, self.transaction, from, info, to))
    }

    /// As [`Store::unrefer`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn unrefer(&self, from: &Owner) -> Result<()> {
        self.named(reference::unrefer(self.transaction, from))
    }

    fn named<T>(&self, result: Result<T, Failure>) -> Result<T> {
        result.map_err(|f| f.into_error("write metadata", &self.store.layout().database()))
    }
}

fn get(connection: &Connection, bucket: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let row = connection
        .prepare_cached("SELECT value FROM entry WHERE bucket = ? AND key = ?")?
        .query_row(params![bucket, key], |row| row.get(0))
        .optional()?;
    Ok(row)
}

fn put(connection: &Connection, bucket: &str, key: &[u8], value: &[u8]) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO entry (bucket, key, value) VALUES (?1, ?2, ?3) \
             ON CONFLICT (bucket, key) DO UPDATE SET value = ?3",
        )?
        .execute(params![bucket, key, value])?;
    Ok(())
}

pub(crate) fn delete(connection: &Connection, bucket: &str, key: &[u8]) -> Result<bool, Failure> {
    let rows = connection
        .prepare_cached("DELETE FROM entry WHERE bucket = ? AND key = ?")?
        .execute(params![bucket, key])?;
    Ok(rows > 0)
}

fn scan(connection: &Connection, bucket: &str, prefix: &[u8]) -> Result<Vec<Pair>, Failure> {
    let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let rows = match end_of(prefix) {
        Some(end) => connection
            .prepare_cached(
                "SELECT key, value FROM entry WHERE bucket = ? AND key >= ? AND key < ? ORDER BY key",
            )?
            .query_map(params![bucket, prefix, end], pair)?
            .collect::<rusqlite::Result<_>>()?,
        None => connection
            .prepare_cached("SELECT key, value FROM entry WHERE bucket = ? AND key >= ? ORDER BY key")?
            .query_map(params![bucket, prefix], pair)?
            .collect::<rusqlite::Result<_>>()?,
    };
    Ok(rows)
}

/// The first key after all that begin with `prefix`; nothing when there is none.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
