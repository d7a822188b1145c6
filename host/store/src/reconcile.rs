//! Brings rows and files together again after a process died between the two, or the database was lost.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use kiln_image::Digest;
use rusqlite::Transaction;
use rusqlite::params;

use crate::Result;
use crate::StoreError;
use crate::blob;
use crate::database::Failure;
use crate::lease;
use crate::object::Object;
use crate::session;
use crate::store::Store;

/// The mark of an object of which nobody knows when it was written: it is in doubt at any start of the machine.
const UNKNOWN_BOOT: i64 = i64::MAX;

impl Store {
    /// Adds rows for files that have none, and removes rows whose file is gone. Reads two directories and one
    /// table; done after a crash, and before garbage is collected.
    pub(crate) fn reconcile(&self) -> Result<()> {
        self.adopt(UNKNOWN_BOOT, &[])
    }

    /// Fills an empty database. What living processes hold is not known any more, so they hold everything.
    pub(crate) fn adopt_all(&self) -> Result<()> {
        let own = self.session().name();
        let mut living = session::names(self.layout())?;
        living.retain(|name| name == own || session::is_alive(self.layout(), name));
        // Others that live have been using what is there; alone, this may be the first start after a power failure.
        let boot = if living.len() > 1 || self.is_open() {
            self.boot()
        } else {
            UNKNOWN_BOOT
        };
        self.adopt(boot, &living)
    }

    /// Makes sure that an object that has a file has a row; whether it has a file.
    pub(crate) fn ensure_row(&self, transaction: &Transaction<'_>, object: &Object) -> Result<bool, Failure> {
        let (kind, _, key) = object.columns();
        let known: bool = transaction
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM object WHERE kind = ? AND key = ?)")?
            .query_row(params![kind as i64, key], |row| row.get(0))?;
        let place = self.place(object)?;
        if !known && place.exists() {
            // Shown in this start of the machine, by a process that could not finish its transaction.
            blob::insert(transaction, object, size_of(&place)?, self.boot())?;
            return Ok(true);
        }
        Ok(known)
    }

    fn adopt(&self, boot: i64, holders: &[String]) -> Result<()> {
        let rows: Vec<(i64, Vec<u8>)> = self.read("list objects", |c| {
            let mut query = c.prepare_cached("SELECT kind, key FROM object")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        let rows = rows
            .into_iter()
            .filter_map(|(k, key)| Object::from_columns(k, String::new(), key));
        let rows: HashSet<Object> = rows.collect();
        let files = self.files()?;
        for object in files.difference(&rows) {
            let place = self.place(object)?;
            // Measured outside of the transaction: a tree may be large.
            let size = match size_of(&place) {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let boot = if self.doubtful().contains(object) {
                UNKNOWN_BOOT
            } else {
                boot
            };
            self.write("adopt an object", |t| {
                adopt_one(t, object, &place, (size, boot), holders)
            })?;
        }
        for object in rows.difference(&files) {
            let place = self.place(object)?;
            self.write("forget an object", |transaction| {
                // One that has been shown since has a file now.
                if !place.exists() {
                    blob::delete_row(transaction, object)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Every blob and tree that is visible.
    fn files(&self) -> Result<HashSet<Object>> {
        let mut files = HashSet::new();
        for name in names(&self.layout().blobs())? {
            files.extend(Digest::from_hex(&name).ok().map(Object::Blob));
        }
        for name in names(&self.layout().trees())? {
            files.extend(self.layout().tree(&name).is_ok().then_some(Object::Tree(name)));
        }
        Ok(files)
    }
}

fn adopt_one(
    transaction: &Transaction<'_>,
    object: &Object,
    place: &Path,
    (size, boot): (u64, i64),
    holders: &[String],
) -> Result<(), Failure> {
    let (kind, _, key) = object.columns();
    let known: bool = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM object WHERE kind = ? AND key = ?)")?
        .query_row(params![kind as i64, key], |row| row.get(0))?;
    if known || !place.exists() {
        return Ok(());
    }
    blob::insert(transaction, object, size, boot)?;
    for holder in holders {
        lease::hold(transaction, holder, &[0], object)?;
    }
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| StoreError::io("list", dir, e))? {
        let entry = entry.map_err(|e| StoreError::io("list", dir, e))?;
        names.extend(entry.file_name().to_str().map(str::to_owned));
    }
    Ok(names)
}

/// The size of a file, or the sum of those in a directory. What cannot be read counts for nothing.
fn size_of(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path).map_err(|e| StoreError::io("read", path, e))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut size = 0;
    let mut dirs = vec![path.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(metadata) => size += metadata.len(),
                Err(_) => {}
            }
        }
    }
    Ok(size)
}
