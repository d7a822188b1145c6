//! The store as a whole: opening, and the parts that all acts share.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rusqlite::Connection;
use rusqlite::Transaction;

use crate::Result;
use crate::database::Database;
use crate::database::Failure;
use crate::durability;
use crate::layout::Layout;
use crate::lease::Leases;
use crate::object::Object;
use crate::object::Owner;
use crate::scratch::Scratch;
use crate::session;
use crate::session::Session;

/// A store of blobs, trees and metadata in one directory. Cheap to clone; clones are the same session.
///
/// Any number of processes may have the same store open. What a process was making when it died is removed by the
/// next open.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    session: Session,
    database: Mutex<Database>,
    /// Start of the machine, as the number that objects are marked with.
    boot: i64,
    /// Objects of an earlier start that nobody has looked at since.
    doubtful: Mutex<HashSet<Object>>,
    leases: Mutex<Leases>,
    touches: Mutex<HashMap<Owner, Touch>>,
    warnings: Mutex<Vec<String>>,
    open: AtomicBool,
}

/// Uses of an owner that are not in the database yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Touch {
    pub(crate) uses: i64,
    pub(crate) last: i64,
}

impl Store {
    /// Opens the store in the directory `root`, making it where there is none, and removes what dead processes
    /// left. A damaged database is moved aside and rebuilt from the blobs; see [`Store::take_warnings`].
    ///
    /// # Errors
    /// [`crate::StoreError::ReadOnly`] when it cannot be written, [`crate::StoreError::Full`] when even the space
    /// set aside for this is not enough, [`crate::StoreError::Version`] when a newer kiln wrote it.
    pub fn open(root: &Path) -> Result<Self> {
        match Self::open_once(root) {
            Err(error) if error.is_full() && (Layout::open(root)?).drop_ballast() => Self::open_once(root),
            other => other,
        }
    }

    fn open_once(root: &Path) -> Result<Self> {
        let layout = Layout::open(root)?;
        let reaped = session::reap(&layout)?;
        let session = Session::begin(&layout)?;
        let (mut database, mut aside) = open_database(&layout)?;
        let boot = match durability::boot(&mut database) {
            Err(failure) if failure.is_damage() => {
                let sql = |f: Failure| f.into_error("replace the database", &layout.database());
                aside = database.replace(&layout).map_err(sql)?;
                durability::boot(&mut database)
            }
            other => other,
        };
        let boot = boot.map_err(|f| f.into_error("open", &layout.database()))?;
        let inner = Inner {
            layout,
            session,
            database: Mutex::new(database),
            boot: boot.number,
            doubtful: Mutex::default(),
            leases: Mutex::default(),
            touches: Mutex::default(),
            warnings: Mutex::default(),
            open: AtomicBool::new(false),
        };
        let store = Self {
            inner: Arc::new(inner),
        };
        if let Some(aside) = &aside {
            store.rebuild(aside)?;
        } else if reaped > 0 || boot.is_new {
            store.reconcile()?;
            store.release_dead()?;
        }
        store.load_doubtful()?;
        store.inner.open.store(true, Ordering::Relaxed);
        Ok(store)
    }

    /// Returns the directory of the store.
    pub fn root(&self) -> &Path {
        self.inner.layout.root()
    }

    /// Makes a temporary directory on the file system of the store.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<Scratch> {
        Scratch::new(self.clone())
    }

    /// Takes the warnings that have come up, such as a damaged database that was replaced: text for people.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.inner.warnings))
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn session(&self) -> &Session {
        &self.inner.session
    }

    pub(crate) fn boot(&self) -> i64 {
        self.inner.boot
    }

    /// Whether opening is over.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.open.load(Ordering::Relaxed)
    }

    pub(crate) fn doubtful(&self) -> MutexGuard<'_, HashSet<Object>> {
        lock(&self.inner.doubtful)
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.inner.leases)
    }

    pub(crate) fn touches(&self) -> MutexGuard<'_, HashMap<Owner, Touch>> {
        lock(&self.inner.touches)
    }

    /// Runs statements that only read. On a damaged database they run once more, on the new one.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        mut work: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T> {
        self.attempt(action, |database| database.read(&mut work))
    }

    /// Runs one writing transaction. On a damaged database it runs once more, on the new one.
    pub(crate) fn write<T>(
        &self,
        action: &'static str,
        mut work: impl FnMut(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T> {
        self.attempt(action, |database| database.write(&mut work))
    }

    fn attempt<T>(
        &self,
        action: &'static str,
        mut work: impl FnMut(&mut Database) -> Result<T, Failure>,
    ) -> Result<T> {
        let mut database = lock(&self.inner.database);
        let failure = match work(&mut database) {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if !failure.is_damage() {
            return Err(failure.into_error(action, database.path()));
        }
        let path = database.path().to_owned();
        let sql = |failure: Failure| failure.into_error(action, &path);
        let aside = database.replace(&self.inner.layout).map_err(sql)?;
        durability::restore_boot(&mut database, self.inner.boot).map_err(sql)?;
        drop(database);
        if let Some(aside) = aside {
            self.rebuild(&aside)?;
        }
        work(&mut lock(&self.inner.database)).map_err(sql)
    }

    /// Fills a new database from what the directories hold.
    fn rebuild(&self, aside: &Path) -> Result<()> {
        lock(&self.inner.warnings).push(format!(
            "the database of the store was damaged and has been moved to `{}`; image names and build caches are \
             lost, blobs are kept",
            aside.display()
        ));
        self.adopt_all()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let touches = std::mem::take(self.touches.get_mut().unwrap_or_else(PoisonError::into_inner));
        let held = self
            .leases
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .ever();
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        if touches.is_empty() && !held {
            return;
        }
        // Nothing of this must be there for the store to be right: holds of a session that has ended count for
        // nothing, and a use that is not counted only makes its record go earlier.
        drop(database.write(|transaction| {
            crate::reference::write_touches(transaction, &touches)?;
            crate::lease::release_session(transaction, self.session.name())?;
            Ok(())
        }));
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn open_database(layout: &Layout) -> Result<(Database, Option<PathBuf>)> {
    let sql = |failure: Failure| failure.into_error("open", &layout.database());
    match Database::open(layout) {
        Err(failure) if failure.is_damage() => Database::replace_unopened(layout).map_err(sql),
        other => Ok((other.map_err(sql)?, None)),
    }
}

/// The data behind these locks is whole after each statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
