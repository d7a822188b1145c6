//! What survives a power failure.
//!
//! Content is not forced to the disk when it is written: what a process wrote is there for all others even if the
//! process is killed, and only the end of the machine can lose it. Each object is marked with the start of the
//! machine in which it was written. After another start it is doubtful: a blob is hashed when it is first opened,
//! once, and a tree, which has no digest, is made anew. [`Store::settle`] forces everything out and ends all doubt.

use std::fs;
use std::fs::File;

use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::params;

use kiln_image::Digest;
use kiln_image::Hasher;

use crate::Result;
use crate::StoreError;
use crate::database::Database;
use crate::database::Failure;
use crate::object::Object;
use crate::store::Store;

/// A start of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boot {
    /// Its number in the database.
    pub(crate) number: i64,
    /// Whether the store sees it for the first time.
    pub(crate) is_new: bool,
}

/// Finds the present start of the machine in the database, or adds it.
pub(crate) fn boot(database: &mut Database) -> Result<Boot, Failure> {
    let id = boot_id();
    if let Some(number) = database.read(|c| current(c, &id))? {
        return Ok(Boot {
            number,
            is_new: false,
        });
    }
    database.write(|transaction| {
        // Another process may have been first.
        if let Some(number) = current(transaction, &id)? {
            return Ok(Boot {
                number,
                is_new: false,
            });
        }
        transaction.execute("INSERT INTO boot (id) VALUES (?)", [&id])?;
        Ok(Boot {
            number: transaction.last_insert_rowid(),
            is_new: true,
        })
    })
}

/// Gives the present start the number that this process knows it by, in a database that has just been made.
pub(crate) fn restore_boot(database: &mut Database, number: i64) -> Result<(), Failure> {
    let id = boot_id();
    database.write(|t| {
        t.execute(
            "INSERT OR REPLACE INTO boot (seq, id) VALUES (?, ?)",
            params![number, id],
        )?;
        Ok(())
    })
}

fn current(connection: &rusqlite::Connection, id: &str) -> Result<Option<i64>, Failure> {
    let last = connection
        .prepare_cached("SELECT seq, id FROM boot ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    Ok(last.filter(|(_, last)| last == id).map(|(number, _)| number))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

impl Store {
    /// Forces the store's file system to the disk. Everything in the store outlives a power failure from then on.
    ///
    /// May take as long as the disk needs for all that was written lately, by whomever. A good moment is after the
    /// result of a build has been reported; a store on which it is never called unpacks trees again after each
    /// start of the machine.
    ///
    /// # Errors
    /// When the disk fails, or the database.
    pub fn settle(&self) -> Result<()> {
        let unsettled: Vec<(i64, Vec<u8>)> = self.read("list the objects to settle", |c| {
            let mut query = c.prepare_cached("SELECT kind, key FROM object WHERE boot = ?")?;
            let rows = query.query_map([self.boot()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        if unsettled.is_empty() {
            return Ok(());
        }
        let root = File::open(self.root()).map_err(|e| StoreError::io("open", self.root(), e))?;
        rustix::fs::syncfs(&root).map_err(|e| StoreError::io("sync", self.root(), e.into()))?;
        self.write("settle objects", |transaction| {
            let mut update = transaction
                .prepare_cached("UPDATE object SET boot = 0 WHERE kind = ? AND key = ? AND boot = ?")?;
            for (kind, key) in &unsettled {
                update.execute(params![kind, key, self.boot()])?;
            }
            Ok(())
        })
    }

    /// Notes which objects stem from an earlier start of the machine.
    pub(crate) fn load_doubtful(&self) -> Result<()> {
        let objects: Vec<Object> = self.read("list the objects in doubt", |c| {
            let mut query = c.prepare_cached("SELECT kind, key FROM object WHERE boot > 0 AND boot <> ?")?;
            let rows = query.query_map([self.boot()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows: Vec<(i64, Vec<u8>)> = rows.collect::<rusqlite::Result<_>>()?;
            let objects = rows
                .into_iter()
                .filter_map(|(kind, key)| Object::from_columns(kind, String::new(), key));
            Ok(objects.collect())
        })?;
        *self.doubtful() = objects.into_iter().collect();
        Ok(())
    }

    /// Hashes a blob that is in doubt; whether it is good. One that is not is removed.
    pub(crate) fn clear_doubt(&self, digest: &Digest) -> Result<bool> {
        let object = Object::Blob(*digest);
        if !self.doubtful().contains(&object) {
            return Ok(true);
        }
        let path = self.layout().blob(digest);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(|e| StoreError::io("open", &path, e))?,
        };
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 1 << 17];
        loop {
            let n =
                std::io::Read::read(&mut file, &mut buffer).map_err(|e| StoreError::io("read", &path, e))?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
        }
        let good = hasher.finish() == *digest;
        if good {
            self.write("settle a blob", |t| settle_one(t, &object))?;
        } else {
            self.discard(&object, Some(self.boot()))?;
        }
        self.doubtful().remove(&object);
        Ok(good)
    }
}

fn settle_one(transaction: &Transaction<'_>, object: &Object) -> Result<(), Failure> {
    let (kind, _, key) = object.columns();
    transaction
        .prepare_cached("UPDATE object SET boot = 0 WHERE kind = ? AND key = ?")?
        .execute(params![kind as i64, key])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Makes all that is in the store look as if the machine had been started again since.
    fn restart(store: Store) -> Store {
        let root = store.root().to_owned();
        store
            .write("test", |t| {
                t.execute("UPDATE boot SET id = 'earlier'", [])?;
                Ok(())
            })
            .unwrap();
        drop(store);
        Store::open(&root).unwrap()
    }

    fn fill(store: &Store) -> Digest {
        let tree = store.new_tree().unwrap();
        fs::write(tree.path().join("file"), "x").unwrap();
        tree.commit("tree", 1).unwrap();
        store.put_blob(b"content").unwrap()
    }

    fn boots(store: &Store) -> Vec<i64> {
        store
            .read("test", |c| {
                let mut query = c.prepare("SELECT boot FROM object ORDER BY kind")?;
                let rows = query.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .unwrap()
    }

    #[test]
    fn a_blob_is_hashed_once_after_a_restart_and_a_tree_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = fill(&store);
        let store = restart(store);
        assert_eq!(store.doubtful().len(), 2);
        assert!(store.contains(&digest).unwrap());
        assert_eq!(store.tree("tree").unwrap(), None);
        assert!(store.doubtful().is_empty());
        assert_eq!(boots(&store), [0]);
    }

    #[test]
    fn what_a_power_failure_spoiled_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = fill(&store);
        let path = store.blob_path(&digest);
        let store = restart(store);
        fs::write(&path, "").unwrap();
        assert!(!store.contains(&digest).unwrap());
        assert!(!path.exists());
        assert_eq!(store.put_blob(b"content").unwrap(), digest);
        assert!(store.contains(&digest).unwrap());
    }

    #[test]
    fn settled_objects_are_not_doubted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        fill(&store);
        store.settle().unwrap();
        let store = restart(store);
        assert!(store.doubtful().is_empty());
        assert!(store.tree("tree").unwrap().is_some());
    }

    #[test]
    fn rows_that_a_power_failure_took_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = fill(&store);
        store
            .write("test", |t| {
                t.execute("DELETE FROM object", [])?;
                Ok(())
            })
            .unwrap();
        let mut stray = File::create(store.layout().blobs().join("stray")).unwrap();
        stray.write_all(b"x").unwrap();
        let store = restart(store);
        assert_eq!(store.doubtful().len(), 2);
        assert_eq!(store.read_blob(&digest, 100).unwrap(), b"content");
    }
}
