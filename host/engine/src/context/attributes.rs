//! Extended attributes of context files. Those of a file that is as it was come from the cache: listing them costs as
//! much as `stat`, and next to no file has any.

use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::Xattrs;
use rustix::io::Errno;

use super::WalkError;
use super::stat_cache::StatCache;
use super::walk::Walked;

/// Most bytes of names, and of one value; Linux's own limit (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MOST: usize = 64 << 10;

/// Adds the attributes of regular files to what was walked.
pub(super) fn add(root: &Path, walked: Walked, cache: &StatCache) -> Result<Walked, WalkError> {
    let mut buffer = vec![0; MOST];
    let mut found = Vec::new();
    let files = walked.changes.entries().iter().zip(&walked.stats).enumerate();
    for (at, (entry, stat)) in files {
        if !matches!(&entry.node, Node::File { .. }) {
            continue;
        }
        let xattrs = match cache.attributes(&entry.path, stat) {
            Some(known) => known,
            None => {
                read(&root.join(entry.path.as_path()), &mut buffer).map_err(|source| WalkError::Read {
                    path: root.join(entry.path.as_path()),
                    source,
                })?
            }
        };
        if !xattrs.is_empty() {
            found.push((at, xattrs));
        }
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

fn read(path: &Path, buffer: &mut [u8]) -> io::Result<Xattrs> {
    let length = match rustix::fs::llistxattr(path, &mut *buffer) {
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
