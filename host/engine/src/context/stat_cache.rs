//! Remembers content digests of context files by what `stat` says, so that a build that changed nothing opens no file.
//!
//! An entry counts only when device, inode, size, mode, modification and change time are as they were, and when the
//! file was old enough at the time it was read: one that changes within the clock's granularity could look the same
//! (git calls such an entry racy).

use std::collections::BTreeMap;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use kiln_image::Digest;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;
use kiln_tree::Xattrs;

use super::walk::Stat;

/// Version of the file's form; another one is read as empty.
const MAGIC: &[u8; 8] = b"kilnsc03";

/// Coarsest clock of the file systems in use: ext4 stamps with the kernel's tick (at most 10 ms).
const GRANULARITY: Duration = Duration::from_millis(20);

/// Rows that are looked at before a path is searched for.
const NEAR: usize = 4;

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    stat: Stat,
    digest: Digest,
    xattrs: Xattrs,
}

impl Known {
    /// Takes what was found out about a file.
    pub(crate) fn new(stat: Stat, digest: Digest, xattrs: &Xattrs) -> Self {
        let xattrs = xattrs.clone();
        Self { stat, digest, xattrs }
    }
}

/// The digests of one directory's files.
#[derive(Debug)]
pub(crate) struct StatCache {
    file: PathBuf,
    kept: Kept,
    /// What was learned since.
    learned: BTreeMap<TreePath, Known>,
}

impl StatCache {
    /// Reads the cache of the directory `root`, kept in the directory `at`. What cannot be read is empty: the cache
    /// saves time and nothing else.
    pub(crate) fn load(at: &Path, root: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let file = at.join(Digest::of(root.as_os_str().as_bytes()).hex());
        let kept = std::fs::read(&file).ok().and_then(Kept::new).unwrap_or_default();
        let learned = BTreeMap::new();
        Self { file, kept, learned }
    }

    /// Returns the digest of the file at `path` if it is as it was.
    pub(crate) fn get(&self, path: &TreePath, stat: &Stat) -> Option<Digest> {
        match self.learned.get(path) {
            Some(known) => (known.stat == *stat).then_some(known.digest),
            None => self.kept.find(path, stat)?.digest(),
        }
    }

    /// Returns the extended attributes of the file at `path` if it is as it was.
    pub(crate) fn attributes(&self, path: &TreePath, stat: &Stat) -> Option<Xattrs> {
        match self.learned.get(path) {
            Some(known) => (known.stat == *stat).then(|| known.xattrs.clone()),
            None => self.kept.find(path, stat)?.xattrs(),
        }
    }

    /// Remembers the digest of a file that was read at `read_at`, unless it changed too short before to tell.
    pub(crate) fn put(&mut self, path: TreePath, known: Known, read_at: SystemTime) {
        let limit = timestamp(read_at - GRANULARITY);
        if known.stat.mtime < limit && known.stat.ctime < limit {
            self.learned.insert(path, known);
        }
    }

    /// Writes the cache if it changed, whole or not at all. Files that are gone are dropped by `keep`.
    pub(crate) fn save(&mut self, keep: impl Fn(&TreePath) -> bool) -> io::Result<()> {
        if self.learned.is_empty() {
            return Ok(());
        }
        let old = self.kept.rows().filter_map(|row| {
            let path = TreePath::parse(row.path).ok()?;
            (!self.learned.contains_key(&path) && keep(&path)).then(|| (path, row.whole.to_vec()))
        });
        let new = self.learned.iter().filter(|(path, _)| keep(path));
        let new = new.map(|(path, known)| (path.clone(), encode(path, known)));
        let rows: BTreeMap<TreePath, Vec<u8>> = old.chain(new).collect();
        let directory = self.file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)?;
        let mut out = io::BufWriter::new(tempfile::NamedTempFile::new_in(directory)?);
        out.write_all(MAGIC)?;
        for row in rows.values() {
            out.write_all(row)?;
        }
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .persist(&self.file)?;
        self.learned.clear();
        Ok(())
    }
}

/// A cache's file as it is, with the place of each row: who changed nothing pays for no row that is not asked for.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Where rows start, in the order of their paths.
    rows: Vec<u32>,
    /// The row that may be asked for next: who asks mostly goes through the files in their order.
    next: AtomicUsize,
}

/// One file's row.
struct Row<'a> {
    whole: &'a [u8],
    path: &'a [u8],
    rest: &'a [u8],
}

/// Bytes of what `stat` says, in a row.
const STAT: usize = 3 * 8 + 4 + 2 * 12;
/// Bytes of a digest, in a row.
const DIGEST: usize = 32;

impl Kept {
    /// Takes a file's bytes; none when they are damaged.
    fn new(bytes: Vec<u8>) -> Option<Self> {
        u32::try_from(bytes.len()).ok()?;
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut rows = Vec::with_capacity(rest.len() / 128);
        while !rest.is_empty() {
            rows.push((bytes.len() - rest.len()) as u32);
            let length = u16::from_le_bytes(take(&mut rest)?) as usize;
            rest = rest.get(length + STAT + DIGEST..)?;
            for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
                chunk(&mut rest)?;
                chunk(&mut rest)?;
            }
        }
        let next = AtomicUsize::new(0);
        Some(Self { bytes, rows, next })
    }

    fn row(&self, at: usize) -> Option<Row<'_>> {
        let start = *self.rows.get(at)? as usize;
        let end = self
            .rows
            .get(at + 1)
            .map_or(self.bytes.len(), |next| *next as usize);
        let whole = self.bytes.get(start..end)?;
        let mut rest = whole;
        let length = u16::from_le_bytes(take(&mut rest)?) as usize;
        let (path, rest) = rest.split_at_checked(length)?;
        Some(Row { whole, path, rest })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows.len()).filter_map(|at| self.row(at))
    }

    fn find(&self, path: &TreePath, stat: &Stat) -> Option<Row<'_>> {
        let next = self.next.load(Ordering::Relaxed);
        let is_it = |at: &usize| self.row(*at).is_some_and(|row| row.path == path.as_bytes());
        let at = (next..next + NEAR).find(is_it).or_else(|| self.search(path))?;
        self.next.store(at + 1, Ordering::Relaxed);
        self.row(at).filter(|row| row.stat().as_ref() == Some(stat))
    }

    fn search(&self, path: &TreePath) -> Option<usize> {
        let start_of = |start: &u32| {
            let mut rest = self.bytes.get(*start as usize..).unwrap_or_default();
            let length = take(&mut rest).map_or(0, u16::from_le_bytes);
            rest.get(..length as usize).unwrap_or_default()
        };
        self.rows
            .binary_search_by(|start| path.cmp_bytes(start_of(start)).reverse())
            .ok()
    }
}

impl Row<'_> {
    fn stat(&self) -> Option<Stat> {
        let mut rest = self.rest;
        let [device, inode, size] = [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
        let mode = u32::from_le_bytes(take(&mut rest)?);
        let [mtime, ctime] = [time(&mut rest)?, time(&mut rest)?];
        Some(Stat {
            device,
            inode,
            size,
            mode,
            mtime,
            ctime,
        })
    }

    fn digest(&self) -> Option<Digest> {
        take(&mut self.rest.get(STAT..)?).map(Digest::from_bytes)
    }

    fn xattrs(&self) -> Option<Xattrs> {
        let mut rest = self.rest.get(STAT + DIGEST..)?;
        let count = u32::from_le_bytes(take(&mut rest)?);
        (0..count)
            .map(|_| Some((chunk(&mut rest)?.into(), chunk(&mut rest)?.into())))
            .collect()
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: since.as_secs() as i64,
        nanos: since.subsec_nanos(),
    }
}

fn encode(path: &TreePath, known: &Known) -> Vec<u8> {
    let stat = &known.stat;
    let mut out = Vec::with_capacity(path.as_bytes().len() + 2 + STAT + DIGEST + 4);
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
    out.extend_from_slice(&(known.xattrs.len() as u32).to_le_bytes());
    for part in known.xattrs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn chunk<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
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

    #[test]
    fn rows_are_found_in_any_order_and_go_with_their_files() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["a", "a/b", "a-b", "a/b/c", "z", "b", "a.c"];
        let paths = names.map(|name| TreePath::parse(name).unwrap());
        let attribute = || (b"user.x"[..].into(), b"y"[..].into());
        let known = |n: usize| {
            let xattrs = (0..n % 3).map(|_| attribute()).collect();
            Known::new(stat(n as i64), Digest::of(n.to_string()), &xattrs)
        };
        for round in 0..2 {
            let mut cache = StatCache::load(directory.path(), Path::new("/c"));
            for (n, path) in paths.iter().enumerate().filter(|(n, _)| n % 2 == round) {
                cache.put(path.clone(), known(n), SystemTime::now());
            }
            cache.save(|_| true).unwrap();
        }
        let mut cache = StatCache::load(directory.path(), Path::new("/c"));
        for step in [1, 2, 3, 5] {
            for n in (0..names.len() * step).step_by(step).map(|n| n % names.len()) {
                let stat = stat(n as i64);
                assert_eq!(cache.get(&paths[n], &stat), Some(known(n).digest), "{}", names[n]);
                assert_eq!(cache.attributes(&paths[n], &stat), Some(known(n).xattrs));
            }
        }
        cache.put(paths[0].clone(), known(8), SystemTime::now());
        cache.save(|path| *path != paths[1]).unwrap();
        let cache = StatCache::load(directory.path(), Path::new("/c"));
        assert_eq!(cache.get(&paths[0], &stat(8)), Some(known(8).digest));
        assert_eq!(cache.get(&paths[1], &stat(1)), None);
        assert_eq!(cache.get(&paths[2], &stat(2)), Some(known(2).digest));
    }
}
