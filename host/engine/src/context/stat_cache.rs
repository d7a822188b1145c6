//! Remembers content digests of context files by what `stat` says, so that a build that changed nothing opens no file.
//!
//! An entry counts only when device, inode, size, mode, modification and change time are as they were, and when the
//! file was old enough at the time it was read: one that changes within the clock's granularity could look the same
//! (git calls such an entry racy).

use std::collections::HashMap;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use kiln_image::Digest;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;
use kiln_tree::Xattrs;

use super::walk::Stat;

/// Version of the file's form; another one is read as empty.
const MAGIC: &[u8; 8] = b"kilnsc02";

/// Coarsest clock of the file systems in use: ext4 stamps with the kernel's tick (at most 10 ms).
const GRANULARITY: Duration = Duration::from_millis(20);

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    stat: Stat,
    digest: Digest,
    /// None for nearly all files, which then take no memory for it.
    xattrs: Option<Box<Xattrs>>,
}

/// No attributes.
static NONE: Xattrs = Vec::new();

impl Known {
    /// Takes what was found out about a file.
    pub(crate) fn new(stat: Stat, digest: Digest, xattrs: &Xattrs) -> Self {
        let xattrs = (!xattrs.is_empty()).then(|| Box::new(xattrs.clone()));
        Self { stat, digest, xattrs }
    }
}

/// The digests of one directory's files.
#[derive(Debug)]
pub(crate) struct StatCache {
    file: PathBuf,
    known: HashMap<TreePath, Known>,
    changed: bool,
}

impl StatCache {
    /// Reads the cache of the directory `root`, kept in the directory `at`. What cannot be read is empty: the cache
    /// saves time and nothing else.
    pub(crate) fn load(at: &Path, root: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let file = at.join(Digest::of(root.as_os_str().as_bytes()).hex());
        let known = read(&file).unwrap_or_default();
        Self {
            file,
            known,
            changed: false,
        }
    }

    /// Returns the digest of the file at `path` if it is as it was.
    pub(crate) fn get(&self, path: &TreePath, stat: &Stat) -> Option<Digest> {
        self.known
            .get(path)
            .filter(|known| known.stat == *stat)
            .map(|known| known.digest)
    }

    /// Returns the extended attributes of the file at `path` if it is as it was.
    pub(crate) fn attributes(&self, path: &TreePath, stat: &Stat) -> Option<&Xattrs> {
        let known = self.known.get(path).filter(|known| known.stat == *stat)?;
        Some(known.xattrs.as_deref().unwrap_or(&NONE))
    }

    /// Remembers the digest of a file that was read at `read_at`, unless it changed too short before to tell.
    pub(crate) fn put(&mut self, path: TreePath, known: Known, read_at: SystemTime) {
        let limit = timestamp(read_at - GRANULARITY);
        if known.stat.mtime < limit && known.stat.ctime < limit {
            self.known.insert(path, known);
            self.changed = true;
        }
    }

    /// Writes the cache if it changed, whole or not at all. Files that are gone are dropped by `keep`.
    pub(crate) fn save(&mut self, keep: impl Fn(&TreePath) -> bool) -> io::Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        self.known.retain(|path, _| keep(path));
        let mut out = Vec::with_capacity(self.known.len() * 128);
        out.extend_from_slice(MAGIC);
        for (path, known) in &self.known {
            encode(&mut out, path, known);
        }
        let directory = self.file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)?;
        let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
        temporary.write_all(&out)?;
        temporary.persist(&self.file)?;
        Ok(())
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: since.as_secs() as i64,
        nanos: since.subsec_nanos(),
    }
}

fn encode(out: &mut Vec<u8>, path: &TreePath, known: &Known) {
    let stat = &known.stat;
    out.extend_from_slice(&(path.as_bytes().len() as u16).to_le_bytes());
    out.extend_from_slice(path.as_bytes());
    for number in [stat.device, stat.inode, stat.size] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&stat.mode.to_le_bytes());
    for time in [stat.mtime, stat.ctime] {
        out.extend_from_slice(&time.seconds.to_le_bytes());
        out.extend_from_slice(&time.nanos.to_le_bytes());
    }
    out.extend_from_slice(known.digest.as_bytes());
    let xattrs = known.xattrs.as_deref().unwrap_or(&NONE);
    out.extend_from_slice(&(xattrs.len() as u32).to_le_bytes());
    for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
}

fn read(file: &Path) -> Option<HashMap<TreePath, Known>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file).ok()?.read_to_end(&mut bytes).ok()?;
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut known = HashMap::with_capacity(rest.len() / 128);
    while !rest.is_empty() {
        let length = u16::from_le_bytes(take(&mut rest)?) as usize;
        let (path, after) = rest.split_at_checked(length)?;
        rest = after;
        let [device, inode, size] = [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
        let mode = u32::from_le_bytes(take(&mut rest)?);
        let [mtime, ctime] = [time(&mut rest)?, time(&mut rest)?];
        let digest = Digest::from_bytes(take(&mut rest)?);
        let stat = Stat {
            device,
            inode,
            size,
            mode,
            mtime,
            ctime,
        };
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut xattrs = Vec::new();
        for _ in 0..count {
            xattrs.push((chunk(&mut rest)?, chunk(&mut rest)?));
        }
        known.insert(TreePath::parse(path).ok()?, Known::new(stat, digest, &xattrs));
    }
    Some(known)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn chunk(rest: &mut &[u8]) -> Option<Box<[u8]>> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes.into())
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

fn time(rest: &mut &[u8]) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: take(rest).map(i64::from_le_bytes)?,
        nanos: take(rest).map(u32::from_le_bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(mtime: i64) -> Stat {
        let mtime = Timestamp {
            seconds: mtime,
            nanos: 0,
        };
        Stat {
            device: 1,
            inode: 2,
            size: 3,
            mode: 0o644,
            mtime,
            ctime: mtime,
        }
    }

    #[test]
    fn a_file_that_is_as_it_was_is_known_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = TreePath::parse("a/b").unwrap();
        let mut cache = StatCache::load(directory.path(), Path::new("/context"));
        cache.put(
            path.clone(),
            Known::new(stat(5), Digest::of("x"), &Vec::new()),
            SystemTime::now(),
        );
        cache.save(|_| true).unwrap();
        let again = StatCache::load(directory.path(), Path::new("/context"));
        assert_eq!(again.get(&path, &stat(5)), Some(Digest::of("x")));
        assert_eq!(again.get(&path, &stat(6)), None);
        assert_eq!(
            StatCache::load(directory.path(), Path::new("/other")).get(&path, &stat(5)),
            None
        );
    }

    #[test]
    fn a_file_that_changed_just_now_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let fresh = Stat {
            mtime: timestamp(now),
            ..stat(5)
        };
        let path = TreePath::parse("a").unwrap();
        let mut cache = StatCache::load(directory.path(), Path::new("/context"));
        cache.put(path.clone(), Known::new(fresh, Digest::of("x"), &Vec::new()), now);
        assert_eq!(cache.get(&path, &fresh), None);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = TreePath::parse("a").unwrap();
        let mut cache = StatCache::load(directory.path(), Path::new("/c"));
        cache.put(
            path.clone(),
            Known::new(stat(5), Digest::of("x"), &Vec::new()),
            SystemTime::now(),
        );
        cache.save(|_| true).unwrap();
        let bytes = std::fs::read(&cache.file).unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&cache.file, &bytes[..end]).unwrap();
            let cut = StatCache::load(directory.path(), Path::new("/c"));
            assert_eq!(cut.get(&path, &stat(5)), None);
        }
    }
}
