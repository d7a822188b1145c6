//! Garbage collection: removes records that nothing pins or holds, and what only they referred to. One process
//! collects at a time; others go on building, and what they hold or begin to refer to meanwhile stays.

mod filter;
mod graph;
mod order;
mod policy;

use std::path::PathBuf;

use rusqlite::Transaction;
use rusqlite::params;

pub(crate) use self::graph::Graph;
use self::graph::entry;
use crate::Result;
use crate::StoreError;
use crate::blob;
use crate::database::Failure;
use crate::entry;
use crate::object::Kind;
use crate::object::Object;
use crate::object::Owner;
use crate::object::Pin;
use crate::partial;
use crate::reference;
use crate::removal;
use crate::session;
use crate::store;
use crate::store::Store;
use crate::usage;
use crate::usage::UsageRecord;

pub use self::filter::Filter;
pub use self::policy::DiskSpace;
pub use self::policy::GcPolicy;
pub use self::policy::Scope;

/// A download that nobody has gone on with for a day is not worth its space.
const ABANDONED: i64 = 24 * 3600 * 1000;

/// What a garbage collection did.
#[derive(Debug, Clone, Default)]
pub struct GcReport {
    /// The records that went, in this order: owners, and blobs and trees that nobody referred to.
    pub removed: Vec<UsageRecord>,
    /// Bytes that were freed.
    pub freed: u64,
    /// Bytes that are left, not counting what pinned owners keep.
    pub used: u64,
    /// Bytes by which `used` is still over the cap, because the rest is in use or spared by the policy.
    pub over: u64,
}

/// Something that garbage collection can choose.
#[derive(Debug, Clone)]
enum Candidate {
    Owner(Owner),
    /// A blob or tree that nobody refers to.
    Unowned(Object),
}

impl Store {
    /// Collects garbage by one policy. Costs a query and a system call when the cap holds already.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn gc(&self, policy: &GcPolicy) -> Result<GcReport> {
        let disk = self.disk_space()?;
        let all = self.object_bytes()?;
        let keep = policy.keep_bytes(all, disk);
        // `keep` can only shrink when pinned bytes are left out, and then by no more than they are.
        if keep != 0 && all <= keep {
            return Ok(GcReport {
                used: all,
                ..GcReport::default()
            });
        }
        let _lock = self.layout().gc_lock()?;
        self.relieved(|store| store.prepare_gc(ABANDONED))?;
        let report = Collection::new(self, policy, disk)?.run();
        self.layout().restore_ballast();
        report
    }

    /// Collects garbage by several policies, one after the other.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn gc_all(&self, policies: &[GcPolicy]) -> Result<GcReport> {
        let mut sum = GcReport::default();
        for policy in policies {
            let report = self.gc(policy)?;
            sum.removed.extend(report.removed);
            sum.freed += report.freed;
            sum.used = report.used;
            sum.over = report.over;
        }
        Ok(sum)
    }

    /// As [`Store::gc`], for a user who asks for it: removes incomplete downloads of any age as well when the policy
    /// spares nothing, gives the database's free space back, and settles what is left.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn prune(&self, policy: &GcPolicy) -> Result<GcReport> {
        let all = policy.scope == Scope::All && policy.filters.is_empty() && policy.keep_duration.is_zero();
        let (_, bytes) = partial::remove_abandoned(self, if all { 0 } else { ABANDONED })?;
        let mut report = self.gc(policy)?;
        report.freed += bytes;
        // Best effort: others may be reading, and a store that is pruned because it is full may not have room.
        drop(self.read("shrink", |c| {
            Ok(c.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?)
        }));
        self.settle()?;
        Ok(report)
    }

    /// Returns how large the disk of the store is and what is free.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn disk_space(&self) -> Result<DiskSpace> {
        let stat = rustix::fs::statvfs(self.root())
            .map_err(|e| StoreError::io("read the free space of", self.root(), e.into()))?;
        Ok(DiskSpace {
            total: stat.f_blocks * stat.f_frsize,
            free: stat.f_bavail * stat.f_frsize,
        })
    }

    /// Bytes of all blobs and trees.
    fn object_bytes(&self) -> Result<u64> {
        self.read("measure the store", |c| {
            let sum: i64 = c
                .prepare_cached("SELECT coalesce(sum(size), 0) FROM object")?
                .query_row([], |r| r.get(0))?;
            Ok(u64::try_from(sum).unwrap_or(0))
        })
    }

    /// Clears away what dead processes left, holds included.
    fn prepare_gc(&self, abandoned: i64) -> Result<()> {
        session::reap(self.layout())?;
        self.reconcile()?;
        partial::remove_abandoned(self, abandoned)?;
        self.flush_touches()?;
        self.release_dead()
    }

    /// Ends the leases of sessions that are no more.
    pub(crate) fn release_dead(&self) -> Result<()> {
        self.write("release dead leases", |transaction| {
            // Whoever writes a hold has its session's file already, so the list is complete inside a transaction.
            let living = session::names(self.layout())?;
            let sessions: Vec<String> = transaction
                .prepare_cached("SELECT DISTINCT session FROM hold")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for dead in sessions.iter().filter(|s| !living.contains(s)) {
                crate::lease::release_session(transaction, dead)?;
            }
            Ok(())
        })
    }

    /// Runs `work`, and once more with the space set aside given up when the disk is full.
    fn relieved<T>(&self, work: impl Fn(&Self) -> Result<T>) -> Result<T> {
        match work(self) {
            Err(error) if error.is_full() && self.layout().drop_ballast() => work(self),
            other => other,
        }
    }
}

/// One garbage collection on its way.
struct Collection<'a> {
    store: &'a Store,
    policy: &'a GcPolicy,
    graph: Graph,
    /// Zero for no cap.
    keep: u64,
    cutoff: i64,
    report: GcReport,
}

impl<'a> Collection<'a> {
    fn new(store: &'a Store, policy: &'a GcPolicy, disk: DiskSpace) -> Result<Self> {
        let graph = store.graph()?;
        let used = graph.collectable_bytes();
        let keep = policy.keep_bytes(used, disk);
        let age = i64::try_from(policy.keep_duration.as_millis()).unwrap_or(i64::MAX);
        let report = GcReport {
            used,
            ..GcReport::default()
        };
        Ok(Self {
            store,
            policy,
            graph,
            keep,
            cutoff: store::now().saturating_sub(age),
            report,
        })
    }

    fn run(mut self) -> Result<GcReport> {
        loop {
            let mut candidates = self.candidates();
            order::sort(&mut candidates, |(_, record)| {
                (
                    milliseconds(record.last_used),
                    i64::try_from(record.uses).unwrap_or(i64::MAX),
                )
            });
            let mut progress = false;
            for (candidate, record) in candidates {
                if self.is_enough() {
                    break;
                }
                progress |= self.remove(&candidate, record)?;
            }
            if !progress || self.is_enough() {
                break;
            }
            // What went may have been the last reference to other records.
            self.reload()?;
        }
        self.reload()?;
        self.report.over = if self.keep == 0 {
            0
        } else {
            self.report.used.saturating_sub(self.keep)
        };
        Ok(self.report)
    }

    fn reload(&mut self) -> Result<()> {
        self.graph = self.store.graph()?;
        self.report.used = self.graph.collectable_bytes();
        Ok(())
    }

    fn is_enough(&self) -> bool {
        self.keep != 0 && self.report.used <= self.keep
    }

    fn candidates(&self) -> Vec<(Candidate, UsageRecord)> {
        let graph = &self.graph;
        let owners = graph.owners().filter(|owner| self.may_go(owner));
        let owners = owners.map(|o| (Candidate::Owner(o.clone()), usage::owner_record(graph, o)));
        let unowned = graph
            .objects()
            .filter(|o| graph.owners_of(o).is_empty() && !graph.is_in_use(o));
        let unowned = unowned.map(|o| (Candidate::Unowned(o.clone()), usage::unowned_record(graph, o)));
        owners
            .chain(unowned)
            .filter(|(_, record)| self.matches(record))
            .collect()
    }

    fn may_go(&self, owner: &Owner) -> bool {
        let graph = &self.graph;
        let Some(row) = graph.owner(owner) else {
            return false;
        };
        let object = entry(owner);
        let internal = matches!(row.info.record_type.as_str(), "internal" | "frontend");
        let spared = self.policy.scope == Scope::Cache && (internal || graph.is_shared(owner));
        // Under a cap a record goes for its bytes: one whose bytes are all in use elsewhere would go for nothing.
        let stuck = |to: &Object| graph.is_pinned(to) || graph.is_in_use(to);
        let useless = self.keep != 0 && !row.to.is_empty() && row.to.iter().all(stuck);
        let wanted = graph.is_in_use(&object) || !graph.owners_of(&object).is_empty();
        row.info.pin == Pin::Collectable && !spared && !useless && !wanted
    }

    fn matches(&self, record: &UsageRecord) -> bool {
        let young = !self.policy.keep_duration.is_zero() && milliseconds(record.last_used) > self.cutoff;
        let filters = &self.policy.filters;
        !young && (filters.is_empty() || filters.iter().any(|filter| filter.matches(record)))
    }

    /// Removes a record unless somebody began to use it meanwhile; whether it went.
    fn remove(&mut self, candidate: &Candidate, mut record: UsageRecord) -> Result<bool> {
        let removed = self.store.relieved(|store| {
            let mut trash = Vec::new();
            let freed = store.write("collect garbage", |transaction| {
                trash.clear();
                match candidate {
                    Candidate::Owner(owner) => remove_owner(store, transaction, owner, &mut trash),
                    Candidate::Unowned(object) => {
                        let freed = remove_object(store, transaction, object, &mut trash)?;
                        Ok((freed > 0 || !trash.is_empty()).then_some(freed))
                    }
                }
            })?;
            for path in trash {
                // What cannot be removed now goes with the session or the next open; it is out of sight already.
                drop(removal::remove(&path));
            }
            Ok(freed)
        })?;
        let Some(freed) = removed else { return Ok(false) };
        self.report.freed += freed;
        self.report.used = self.report.used.saturating_sub(freed);
        record.size = freed;
        self.report.removed.push(record);
        Ok(true)
    }
}

/// Removes an owner, its entry, and what only it referred to. Nothing when it is wanted after all.
fn remove_owner(
    store: &Store,
    transaction: &Transaction<'_>,
    owner: &Owner,
    trash: &mut Vec<PathBuf>,
) -> Result<Option<u64>, Failure> {
    let there: bool = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM owner WHERE bucket = ? AND key = ? AND pinned = 0)")?
        .query_row(params![owner.bucket, owner.key], |row| row.get(0))?;
    if !there || is_wanted(transaction, &entry(owner))? {
        return Ok(None);
    }
    let objects: Vec<(i64, Vec<u8>)> = transaction
        .prepare_cached("SELECT kind, to_key FROM edge WHERE bucket = ? AND key = ? AND kind <> ?")?
        .query_map(params![owner.bucket, owner.key, Kind::Entry as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    reference::unrefer(transaction, owner)?;
    entry::delete(transaction, &owner.bucket, &owner.key)?;
    let mut freed = 0;
    for (kind, key) in objects {
        if let Some(object) = Object::from_columns(kind, String::new(), key) {
            freed += remove_object(store, transaction, &object, trash)?;
        }
    }
    Ok(Some(freed))
}

/// Takes a blob or tree out of sight unless it is wanted; returns its size.
fn remove_object(
    store: &Store,
    transaction: &Transaction<'_>,
    object: &Object,
    trash: &mut Vec<PathBuf>,
) -> Result<u64, Failure> {
    if is_wanted(transaction, object)? {
        return Ok(0);
    }
    let (kind, _, key) = object.columns();
    let size: Option<i64> = rusqlite::OptionalExtension::optional(
        transaction
            .prepare_cached("SELECT size FROM object WHERE kind = ? AND key = ?")?
            .query_row(params![kind as i64, key], |row| row.get(0)),
    )?;
    let Some(size) = size else { return Ok(0) };
    let aside = store.session().making("dead")?;
    blob::delete_row(transaction, object)?;
    blob::move_away(&store.place(object)?, &aside)?;
    trash.push(aside);
    Ok(u64::try_from(size).unwrap_or(0))
}

/// Whether anybody refers to the object or holds it, or an owner that is held does.
fn is_wanted(transaction: &Transaction<'_>, object: &Object) -> Result<bool, Failure> {
    let (kind, bucket, key) = object.columns();
    Ok(transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM edge WHERE kind = ?1 AND to_bucket = ?2 AND to_key = ?3) \
             OR EXISTS (SELECT 1 FROM hold WHERE kind = ?1 AND bucket = ?2 AND key = ?3)",
        )?
        .query_row(params![kind as i64, bucket, key], |row| row.get(0))?)
}

fn milliseconds(time: std::time::SystemTime) -> i64 {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A table of the shared conformance data of the solver.
#[cfg(test)]
fn shared_table(name: &str) -> Vec<serde_json::Value> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = std::env::var_os("KILN_SHARED").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = shared.join("conformance/solver/solver_tables.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| {
        panic!(
            "conformance data missing: `{}`: {e} (set KILN_SHARED)",
            path.display()
        )
    });
    let tables: serde_json::Value = serde_json::from_str(&text).unwrap();
    tables[name]
        .as_array()
        .unwrap_or_else(|| panic!("no table `{name}`"))
        .clone()
}

#[cfg(test)]
mod tests;
