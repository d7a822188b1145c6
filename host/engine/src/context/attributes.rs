//! Extended attributes of context files. Those of a file that is as it was come from the cache: listing them costs as
//! much as `stat`, and next to no file has any.

use std::ffi::CStr;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;

use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::Xattrs;
use rustix::io::Errno;

use super::WalkError;
use super::stat_cache::StatCache;
use super::walk::Stat;
use super::walk::Walked;

/// Most bytes of names, and of one value; Linux's own limit (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MOST: usize = 64 << 10;

/// Bytes that are enough for nearly all. The kernel takes memory for as much as it is offered.
const FEW: usize = 1 << 10;

/// Files that are worth a thread.
const SHARE: usize = 1 << 10;

/// Adds the attributes of regular files to what was walked.
pub(super) fn add(
    root: &Path,
    walked: Walked,
    cache: &StatCache,
    threads: usize,
) -> Result<Walked, WalkError> {
    let entries = walked.changes.entries();
    let share = entries.len().div_ceil(threads.max(1)).max(SHARE);
    let shares: Vec<_> = std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for (at, part) in entries.chunks(share).enumerate().skip(1) {
            let stats = &walked.stats[at * share..];
            workers.push(scope.spawn(move || find(root, part, stats, cache)));
        }
        let first = find(root, &entries[..share.min(entries.len())], &walked.stats, cache);
        let join =
            |worker: ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        let others = workers.into_iter().map(join);
        std::iter::once(first).chain(others).collect()
    });
    let mut found = Vec::new();
    for (at, part) in shares.into_iter().enumerate() {
        found.extend(
            part?
                .into_iter()
                .map(|(entry, xattrs)| (at * share + entry, xattrs)),
        );
    }
    if found.is_empty() {
        return Ok(walked);
    }
    let mut entries: Vec<Entry> = walked.changes.entries().to_vec();
    for (at, xattrs) in found {
        entries[at].meta.xattrs = xattrs;
    }
    Ok(Walked {
        changes: Arc::new(ChangeSet::new(entries)),
        ..walked
    })
}

/// Returns the attributes of those of `entries` that have any.
fn find(
    root: &Path,
    entries: &[Entry],
    stats: &[Stat],
    cache: &StatCache,
) -> Result<Vec<(usize, Xattrs)>, WalkError> {
    let mut buffer = vec![0; MOST];
    let mut found = Vec::new();
    for (at, (entry, stat)) in entries.iter().zip(stats).enumerate() {
        if !matches!(&entry.node, Node::File { .. }) {
            continue;
        }
        let xattrs = match cache.attributes(&entry.path, stat) {
            Some(known) => known,
            None => {
                let path = root.join(entry.path.as_path());
                read(&path, &mut buffer).map_err(|source| WalkError::Read { path, source })?
            }
        };
        if !xattrs.is_empty() {
            found.push((at, xattrs));
        }
    }
    Ok(found)
}

fn read(path: &Path, buffer: &mut [u8]) -> io::Result<Xattrs> {
    let listed = match rustix::fs::llistxattr(path, &mut buffer[..FEW]) {
        Err(Errno::RANGE) => rustix::fs::llistxattr(path, &mut *buffer),
        listed => listed,
    };
    let length = match listed {
        Ok(length) => length,
        // Gone, replaced, or on a file system that has none.
        Err(Errno::NOTSUP | Errno::NOENT | Errno::NOTDIR | Errno::NODATA | Errno::PERM | Errno::ACCESS) => 0,
        Err(error) => return Err(error.into()),
    };
    let names = buffer[..length].split_inclusive(|&byte| byte == 0);
    let names: Vec<Box<CStr>> = names
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .filter(|name| counts(name.to_bytes()))
        .map(Into::into)
        .collect();
    let mut xattrs = Vec::with_capacity(names.len());
    for name in names {
        match rustix::fs::lgetxattr(path, &*name, &mut *buffer) {
            Ok(length) => xattrs.push((name.to_bytes().into(), buffer[..length].into())),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    xattrs.sort_unstable();
    Ok(xattrs)
}

/// Tells whether an attribute is part of the file, and not of the machine that it is on.
fn counts(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.")
}
