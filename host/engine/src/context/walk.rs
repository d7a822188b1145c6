//! Reads a directory tree as a change set, with what `stat` says of each entry. Several threads, one pass, no file
//! opened.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;

use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;
use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::fs::ResolveFlags;

use super::WalkError;
use super::filter::Filter;
use super::filter::Scope;

/// Bytes of names that are read at a time.
const LISTING: usize = 64 << 10;

/// What identifies the state of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) ctime: Timestamp,
}

/// A directory as it was found.
#[derive(Debug)]
pub(crate) struct Walked {
    /// Entries in walk order.
    pub(crate) changes: Arc<ChangeSet>,
    /// What `stat` said of each, in the same order.
    pub(crate) stats: Vec<Stat>,
    /// Which of the entries are symbolic links on the way to something wanted.
    pub(crate) ways: Vec<usize>,
}

struct Found {
    entry: Entry,
    stat: Stat,
    links: u64,
    included: bool,
    /// A symbolic link on the way to something wanted.
    way: bool,
    /// Of a directory: the number of the job that reads it.
    job: Option<usize>,
}

/// A directory to read.
struct Job {
    number: usize,
    path: TreePath,
    scope: Scope,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// Threads that read a directory.
    busy: usize,
    /// Threads that have nothing to do.
    waiting: usize,
    /// Jobs that there were.
    numbers: usize,
    failed: Option<WalkError>,
}

struct Walk<'a> {
    root: Arc<Path>,
    fd: rustix::fd::OwnedFd,
    filter: &'a Filter,
    queue: Mutex<Queue>,
    ready: Condvar,
}

/// Reads everything below `root` that `filter` lets through. Owners are set to 0:0: a context has none.
///
/// # Errors
/// When a directory or entry cannot be read.
pub(crate) fn walk(root: &Path, filter: &Filter, threads: usize) -> Result<Walked, WalkError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(|error| WalkError::Open {
        path: root.to_owned(),
        source: error.into(),
    })?;
    let first = Job {
        number: 0,
        path: TreePath::root(),
        scope: filter.root(),
    };
    let queue = Mutex::new(Queue {
        jobs: vec![first],
        numbers: 1,
        ..Queue::default()
    });
    let walk = Walk {
        root: root.into(),
        fd,
        filter,
        queue,
        ready: Condvar::new(),
    };
    let found = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(|| walk.work())).collect();
        let mut all = walk.work();
        for worker in workers {
            all.extend(worker.join().unwrap_or_default());
        }
        all
    });
    let queue = walk.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    match queue.failed {
        Some(error) => Err(error),
        None => Ok(assemble(found, queue.numbers)),
    }
}

/// What was found in directories, by the numbers of their jobs.
type Directories = Vec<(usize, Vec<Found>)>;

impl Walk<'_> {
    /// Takes directories until none is left, and returns what it found.
    fn work(&self) -> Directories {
        let mut done = Vec::new();
        let mut buffer = Vec::with_capacity(LISTING);
        while let Some(job) = self.next() {
            let result = self.read(&job, buffer.spare_capacity_mut());
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.busy -= 1;
            match result {
                Ok((mut found, mut below)) => {
                    number(&mut found, &mut below, &mut queue.numbers);
                    queue.jobs.append(&mut below);
                    done.push((job.number, found));
                }
                Err(error) => {
                    queue.failed.get_or_insert(error);
                    queue.jobs.clear();
                }
            }
            if queue.waiting > 0 {
                self.ready.notify_all();
            }
        }
        done
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.failed.is_none()
                && let Some(job) = queue.jobs.pop()
            {
                queue.busy += 1;
                return Some(job);
            }
            if queue.busy == 0 {
                return None;
            }
            queue.waiting += 1;
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
        }
    }

    fn read(&self, job: &Job, buffer: &mut [MaybeUninit<u8>]) -> Result<(Vec<Found>, Vec<Job>), WalkError> {
        let failed = |path: &TreePath, error: rustix::io::Errno| WalkError::Read {
            path: self.root.join(path.as_path()),
            source: io::Error::from(error),
        };
        let dir = self.open(&job.path).map_err(|error| failed(&job.path, error))?;
        let mut found = Vec::new();
        let mut below = Vec::new();
        let mut reader = RawDir::new(&dir, buffer);
        while let Some(item) = reader.next() {
            let item = item.map_err(|error| failed(&job.path, error))?;
            let name = item.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let path = job.path.join_name(name).map_err(WalkError::Path)?;
            let verdict = self.filter.judge(&job.scope, &path);
            if !verdict.included && !verdict.descend {
                continue;
            }
            let stat = match rustix::fs::statat(&dir, item.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue, // gone since the directory was read
                Err(error) => return Err(failed(&path, error)),
            };
            let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if directory {
                below.push(Job {
                    number: 0, // until it is put into the queue
                    path: path.clone(),
                    scope: verdict.scope,
                });
            }
            let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            let way = link && verdict.named && self.filter.follows();
            let included = verdict.included || way;
            if !included && !directory {
                continue;
            }
            let node = self
                .node(&dir, item.file_name(), &stat, &path)
                .map_err(|error| failed(&path, error))?;
            found.push(Found {
                links: if directory { 1 } else { stat.st_nlink as u64 },
                stat: summary(&stat),
                entry: Entry {
                    path,
                    meta: metadata(&stat),
                    node,
                },
                included,
                way,
                job: None,
            });
        }
        found.sort_unstable_by(|a, b| a.entry.path.file_name().cmp(b.entry.path.file_name()));
        below.sort_unstable_by(|a, b| a.path.file_name().cmp(b.path.file_name()));
        Ok((found, below))
    }

    fn open(&self, path: &TreePath) -> rustix::io::Result<rustix::fd::OwnedFd> {
        let name = if path.is_root() {
            Path::new(".")
        } else {
            path.as_path()
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat2(
            &self.fd,
            name,
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
    }

    fn node(
        &self,
        dir: &rustix::fd::OwnedFd,
        name: &std::ffi::CStr,
        stat: &rustix::fs::Stat,
        path: &TreePath,
    ) -> rustix::io::Result<Node> {
        let device = || (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Node::Directory { opaque: false },
            FileType::Symlink => Node::Symlink {
                target: rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes().into(),
            },
            FileType::CharacterDevice => {
                let (major, minor) = device();
                Node::CharDevice { major, minor }
            }
            FileType::BlockDevice => {
                let (major, minor) = device();
                Node::BlockDevice { major, minor }
            }
            FileType::Fifo => Node::Fifo,
            FileType::RegularFile => {
                let content = Content::Disk {
                    root: self.root.clone(),
                    path: path.clone(),
                };
                Node::File {
                    size: stat.st_size as u64,
                    content,
                }
            }
            // A socket means nothing in an image: BuildKit makes it an empty file.
            _ => Node::File {
                size: 0,
                content: Content::Inline(Arc::from([])),
            },
        })
    }
}

/// Returns what `stat` says of a path, not following a symbolic link at its end.
pub(super) fn stat(path: &Path) -> rustix::io::Result<Stat> {
    rustix::fs::lstat(path).map(|stat| summary(&stat))
}

fn summary(stat: &rustix::fs::Stat) -> Stat {
    let time = |seconds: i64, nanos: u64| Timestamp {
        seconds,
        nanos: nanos as u32,
    };
    Stat {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: stat.st_size as u64,
        mode: stat.st_mode,
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}

fn metadata(stat: &rustix::fs::Stat) -> Metadata {
    let mtime = Timestamp {
        seconds: stat.st_mtime,
        nanos: stat.st_mtime_nsec as u32,
    };
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: 0,
        gid: 0,
        mtime,
        xattrs: Vec::new(),
    }
}

/// Gives numbers to the directories `below` and to their entries in `found`.
fn number(found: &mut [Found], below: &mut [Job], numbers: &mut usize) {
    let directories = found
        .iter_mut()
        .filter(|found| matches!(found.entry.node, Node::Directory { .. }));
    for (directory, job) in directories.zip(below) {
        job.number = *numbers;
        directory.job = Some(*numbers);
        *numbers += 1;
    }
}

/// Brings the directories that the threads read into walk order. Directories that are there only because something in
/// them may be included are dropped when nothing was.
fn assemble(found: Directories, jobs: usize) -> Walked {
    let most = found.iter().map(|(_, found)| found.len()).sum();
    let mut by_job: Vec<Vec<Found>> = Vec::new();
    by_job.resize_with(jobs, Vec::new);
    for (job, found) in found {
        by_job[job] = found;
    }
    let mut entries = Vec::with_capacity(most);
    let mut stats = Vec::with_capacity(most);
    let mut ways = Vec::new();
    let mut first_names: HashMap<(u64, u64), TreePath> = HashMap::new();
    let mut held: Vec<Found> = Vec::new(); // excluded directories above the current place
    let mut stack: Vec<_> = by_job
        .first_mut()
        .map(std::mem::take)
        .into_iter()
        .map(Vec::into_iter)
        .collect();
    while let Some(level) = stack.last_mut() {
        let Some(mut item) = level.next() else {
            stack.pop();
            continue;
        };
        held.retain(|above| item.entry.path.starts_with(&above.entry.path));
        let children = item.job.map(|job| std::mem::take(&mut by_job[job]));
        if item.included {
            if item.links > 1 && matches!(item.entry.node, Node::File { size: 1.., .. }) {
                let identity = (item.stat.device, item.stat.inode);
                match first_names.get(&identity) {
                    Some(target) => {
                        item.entry.node = Node::Hardlink {
                            target: target.clone(),
                        }
                    }
                    None => drop(first_names.insert(identity, item.entry.path.clone())),
                }
            }
            if item.way {
                ways.push(entries.len() + held.len());
            }
            for above in held.drain(..).chain([item]) {
                entries.push(above.entry);
                stats.push(above.stat);
            }
        } else {
            held.push(item);
        }
        stack.extend(children.map(Vec::into_iter));
    }
    Walked {
        changes: Arc::new(ChangeSet::new(entries)),
        stats,
        ways,
    }
}
