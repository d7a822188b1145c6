//! Reading and deleting whole blobs, and what trees share with them: showing, holding and discarding objects.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Digest;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::params;

use crate::Result;
use crate::StoreError;
use crate::database::Failure;
use crate::object::Object;
use crate::removal;
use crate::store;
use crate::store::Store;

impl Store {
    /// Whether the blob is there. Under a lease of this process it stays there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.size(digest)?.is_some())
    }

    /// Returns the size of the blob in bytes. Under a lease of this process it stays there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.layout().blob(digest);
        let size = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| StoreError::io("read", &path, e))?.len(),
        };
        let there = self.clear_doubt(digest)? && self.keep(&Object::Blob(*digest), &path)?;
        Ok(there.then_some(size))
    }

    /// Opens the blob for reading. The file stays readable when the blob is deleted meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not there.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.layout().blob(digest);
        let missing = || StoreError::NotFound {
            object: digest.to_string(),
        };
        if !self.clear_doubt(digest)? || !self.keep(&Object::Blob(*digest), &path)? {
            return Err(missing());
        }
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => StoreError::io("open", &path, error),
        })
    }

    /// Reads a blob of at most `limit` bytes into memory and checks it against its digest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::TooLarge`], or [`StoreError::Mismatch`]; in the last case the blob
    /// is removed, so that it can be fetched again.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let file = self.open_blob(digest)?;
        let path = self.layout().blob(digest);
        let size = file
            .metadata()
            .map_err(|e| StoreError::io("read", &path, e))?
            .len();
        if size > limit {
            return Err(StoreError::TooLarge {
                digest: *digest,
                size,
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|e| StoreError::io("read", &path, e))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            self.discard(&Object::Blob(*digest), None)?;
            return Err(StoreError::Mismatch {
                expected: *digest,
                actual,
            });
        }
        Ok(bytes)
    }

    /// Returns where the blob is when it is there. Under no lease it may go at any moment.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.layout().blob(digest)
    }

    /// Removes a blob whoever refers to it or holds it; whether it was there. For blobs found to be wrong; what is
    /// no longer wanted is left to garbage collection.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn delete_blob(&self, digest: &Digest) -> Result<bool> {
        self.discard(&Object::Blob(*digest), None)
    }

    /// Moves what was made at `from` to its place, atomically with its row and with holds for the leases of this
    /// process. What was in the place before is replaced when it is a blob, and kept when it is a tree: whether
    /// `from` is in place now.
    pub(crate) fn show(&self, object: &Object, from: &Path, size: u64) -> Result<bool> {
        let place = self.place(object)?;
        let leases = self.leases().active();
        let shown = self.write("add an object", |transaction| {
            if matches!(object, Object::Tree(_)) && place.exists() {
                crate::lease::hold(transaction, self.session().name(), &leases, object)?;
                return Ok(false);
            }
            insert(transaction, object, size, self.boot())?;
            crate::lease::hold(transaction, self.session().name(), &leases, object)?;
            move_into_place(from, &place)?;
            Ok(true)
        })?;
        self.doubtful().remove(object);
        self.leases().note(&leases, object);
        Ok(shown)
    }

    /// Holds the object for the leases of this process, if there are any; whether it is there.
    pub(crate) fn keep(&self, object: &Object, path: &Path) -> Result<bool> {
        let leases = self.leases().lacking(object);
        if leases.is_empty() {
            return Ok(path.exists());
        }
        let there = self.write("hold an object", |transaction| {
            // Garbage collection moves objects away inside its transactions, so it is there as long as this lasts.
            let there = path.exists() && self.ensure_row(transaction, object)?;
            if there {
                crate::lease::hold(transaction, self.session().name(), &leases, object)?;
                count_use(transaction, object)?;
            }
            Ok(there)
        })?;
        if there {
            self.leases().note(&leases, object);
        }
        Ok(there)
    }

    /// Takes an object out of the store, with its row; whether it was there. With `unless`, only when it was not
    /// written in that start of the machine.
    pub(crate) fn discard(&self, object: &Object, unless: Option<i64>) -> Result<bool> {
        let place = self.place(object)?;
        let trash = self.session().making("dead")?;
        let moved = self.write("remove an object", |transaction| {
            let boot = boot_of(transaction, object)?;
            if boot.is_some() && boot == unless {
                return Ok(false);
            }
            delete_row(transaction, object)?;
            Ok(move_away(&place, &trash)?)
        })?;
        self.leases().forget(object);
        removal::remove(&trash).map_err(|e| StoreError::io("remove", &trash, e))?;
        Ok(moved)
    }

    /// Where an object with a file is.
    pub(crate) fn place(&self, object: &Object) -> Result<PathBuf> {
        match object {
            Object::Blob(digest) => Ok(self.layout().blob(digest)),
            Object::Tree(key) => self.layout().tree(key),
            Object::Entry(..) => Err(StoreError::NotFound {
                object: object.to_string(),
            }),
        }
    }
}

/// Adds the row of an object, or makes an older row right.
pub(crate) fn insert(
    transaction: &Transaction<'_>,
    object: &Object,
    size: u64,
    boot: i64,
) -> Result<(), Failure> {
    let (kind, _, key) = object.columns();
    let now = store::now();
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO object (kind, key, size, created, last_used, uses, boot) VALUES (?1, ?2, ?3, ?4, ?4, 1, ?5) \
             ON CONFLICT (kind, key) DO UPDATE SET size = ?3, last_used = ?4, uses = uses + 1, boot = ?5",
        )?
        .execute(params![kind as i64, key, size, now, boot])?;
    Ok(())
}

/// Notes that an object is used.
pub(crate) fn count_use(transaction: &Transaction<'_>, object: &Object) -> Result<(), Failure> {
    let (kind, _, key) = object.columns();
    transaction
        .prepare_cached("UPDATE object SET last_used = ?, uses = uses + 1 WHERE kind = ? AND key = ?")?
        .execute(params![store::now(), kind as i64, key])?;
    Ok(())
}

pub(crate) fn delete_row(transaction: &Transaction<'_>, object: &Object) -> Result<(), Failure> {
    let (kind, _, key) = object.columns();
    transaction
        .prepare_cached("DELETE FROM object WHERE kind = ? AND key = ?")?
        .execute(params![kind as i64, key])?;
    Ok(())
}

/// Moves an object out of its place; whether it was there.
pub(crate) fn move_away(place: &Path, trash: &Path) -> Result<bool> {
    match rename(place, trash) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("remove", place, error)),
    }
}

fn boot_of(transaction: &Transaction<'_>, object: &Object) -> Result<Option<i64>, Failure> {
    let (kind, _, key) = object.columns();
    let row = transaction
        .prepare_cached("SELECT boot FROM object WHERE kind = ? AND key = ?")?
        .query_row(params![kind as i64, key], |row| row.get(0))
        .optional()?;
    Ok(row)
}

fn move_into_place(from: &Path, place: &Path) -> Result<()> {
    match rename(from, place) {
        // The database was replaced after the first attempt.
        Err(error) if error.kind() == io::ErrorKind::NotFound && place.exists() => Ok(()),
        other => other.map_err(|e| StoreError::io("create", place, e)),
    }
}

/// Renames; a directory that its owner may not write, which cannot change its parent, is opened up for the moment.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && from.is_dir() => {
            let mode = fs::metadata(from)?.permissions().mode();
            fs::set_permissions(from, fs::Permissions::from_mode(mode | 0o200))?;
            let renamed = fs::rename(from, to);
            let at = if renamed.is_ok() { to } else { from };
            fs::set_permissions(at, fs::Permissions::from_mode(mode))?;
            renamed
        }
        other => other,
    }
}
