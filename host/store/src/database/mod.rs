//! The metadata database: opening it, transactions, and what happens when it is damaged. Knows nothing of what the
//! tables mean.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OpenFlags;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::config::DbConfig;

use crate::Result;
use crate::StoreError;
use crate::layout::Layout;

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;

/// Transactions are short; only a process that is stopped in one makes others wait this long.
const BUSY: Duration = Duration::from_secs(60);

/// The write-ahead log is read by the first process that opens the database, so it has to stay small, about 1 MiB.
const CHECKPOINT_PAGES: i64 = 256;

/// A connection, and which file it is connected to: another process may have replaced a damaged one.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    file: Option<(u64, u64)>,
    connection: Connection,
}

/// How work inside a transaction fails.
#[derive(Debug)]
pub(crate) enum Failure {
    Sql(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    /// Whether the database file itself is bad.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Sql(error) => is_damage(error),
            Self::Store(_) => false,
        }
    }

    pub(crate) fn into_error(self, action: &'static str, path: &Path) -> StoreError {
        match self {
            Self::Sql(error) => StoreError::database(action, path, error),
            Self::Store(error) => error,
        }
    }
}

impl Database {
    /// Opens the database of a store, or makes it. `Err(Failure)` with damage when the file is no database of ours.
    pub(crate) fn open(layout: &Layout) -> Result<Self, Failure> {
        let path = layout.database();
        if !path.exists() {
            let _lock = layout.lock()?;
            if !path.exists() {
                create(&path)?;
            }
        }
        let database = Self::connect(path)?;
        match database.schema_version()? {
            SCHEMA_VERSION => Ok(database),
            found if found > SCHEMA_VERSION => Err(Failure::Store(StoreError::Version {
                path: layout.root().to_owned(),
                found: format!("{}.{found}", crate::layout::VERSION),
                supported: crate::layout::VERSION,
            })),
            // An empty file: whoever made it could not finish.
            _ => {
                let _lock = layout.lock()?;
                if database.schema_version()? == 0 {
                    database
                        .connection
                        .execute_batch(&format!("BEGIN IMMEDIATE;{SCHEMA}COMMIT;"))?;
                }
                Ok(database)
            }
        }
    }

    /// Moves a damaged database aside and makes an empty one, unless another process did so already. Returns where
    /// the damaged one is now, when this call moved it.
    pub(crate) fn replace(&mut self, layout: &Layout) -> Result<Option<PathBuf>, Failure> {
        let _lock = layout.lock()?;
        let path = layout.database();
        if identity(&path).is_some() && identity(&path) != self.file {
            *self = Self::connect(path)?;
            return Ok(None);
        }
        let aside = set_aside(&path)?;
        create(&path)?;
        *self = Self::connect(path)?;
        Ok(Some(aside))
    }

    /// As [`Database::replace`], for a file that could not even be opened.
    pub(crate) fn replace_unopened(layout: &Layout) -> Result<(Self, Option<PathBuf>), Failure> {
        let _lock = layout.lock()?;
        let path = layout.database();
        if let Ok(database) = Self::connect(path.clone())
            && let Ok(SCHEMA_VERSION) = database.schema_version()
        {
            return Ok((database, None));
        }
        let aside = set_aside(&path)?;
        create(&path)?;
        Ok((Self::connect(path)?, Some(aside)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs statements that only read, outside of a transaction.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        work(&self.connection)
    }

    /// Runs statements in one transaction that is alone in writing, in this and all other processes.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    fn connect(path: PathBuf) -> Result<Self, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY)?;
        // The last process to leave would otherwise write the whole log back, and wait for the disk.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self {
            file: identity(&path),
            path,
            connection,
        })
    }

    fn schema_version(&self) -> Result<i64, Failure> {
        Ok(self
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))?)
    }
}

/// Makes an empty database. It gets its name only when it has its tables.
fn create(path: &Path) -> Result<(), Failure> {
    let new = path.with_extension("new");
    remove_with_logs(&new)?;
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new);
    file.map_err(|e| StoreError::io("create", &new, e))?;
    let connection = Connection::open(&new)?;
    connection.execute_batch(&format!("BEGIN;{SCHEMA}COMMIT;"))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // Closing brings everything into the one file.
    connection.close().map_err(|(_, error)| error)?;
    remove_logs(path)?;
    fs::rename(&new, path).map_err(|e| StoreError::io("create", path, e))?;
    Ok(())
}

fn set_aside(path: &Path) -> Result<PathBuf> {
    let mut number = 1;
    let aside = loop {
        let aside = path.with_extension(format!("db.damaged-{number}"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    match fs::rename(path, &aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io("move aside", path, error));
        }
        _ => {}
    }
    for log in ["-wal", "-shm"] {
        // A log that stays behind would be taken for the new database's; `create` removes it.
        drop(fs::rename(with_suffix(path, log), with_suffix(&aside, log)));
    }
    Ok(aside)
}

fn remove_with_logs(path: &Path) -> Result<()> {
    remove_logs(path)?;
    crate::removal::remove(path).map_err(|e| StoreError::io("remove", path, e))
}

fn remove_logs(path: &Path) -> Result<()> {
    for log in ["-wal", "-shm", "-journal"] {
        let path = with_suffix(path, log);
        crate::removal::remove(&path).map_err(|e| StoreError::io("remove", &path, e))?;
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(error, text) => match error.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
            // A table or column that the schema has and the file does not.
            ErrorCode::Unknown => text.as_deref().is_some_and(|t| t.starts_with("no such")),
            _ => false,
        },
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => true,
        _ => false,
    }
}
