//! The threads that compress.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::thread;

/// Threads that compress blocks for all layers of a process, and the bound of the memory that they use together.
/// Cheap to clone. The threads start with the first block and end with the last clone.
#[derive(Clone)]
pub struct Pool(Arc<Handle>);

type Job = Box<dyn FnOnce() + Send>;

/// What all clones share; dropping it ends the threads.
struct Handle {
    threads: usize,
    started: OnceLock<usize>,
    queue: Arc<Queue>,
    budget: Arc<Budget>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

/// Blocks that may exist at the same time, in MiB of uncompressed bytes.
struct Budget {
    free: Mutex<usize>,
    changed: Condvar,
}

/// A part of the budget, given back when dropped.
pub(crate) struct Permit {
    size: usize,
    budget: Arc<Budget>,
}

/// Smallest budget: with less, threads wait for each other.
const MIN_BUDGET: usize = 16;

impl Pool {
    /// Returns a pool of `threads` threads, at least one.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let budget = Budget {
            free: Mutex::new((4 * threads).max(MIN_BUDGET)),
            changed: Condvar::new(),
        };
        let (queue, started) = (Arc::default(), OnceLock::new());
        Self(Arc::new(Handle {
            threads,
            started,
            queue,
            budget: Arc::new(budget),
        }))
    }

    /// Returns a pool of one thread more than there are cores, which measured fastest: it fills the gaps of reading.
    pub fn for_this_machine() -> Self {
        Self::new(thread::available_parallelism().map_or(2, |cores| cores.get() + 1))
    }

    /// Runs `job` on a thread of the pool, first come, first served.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let handle = &*self.0;
        if *handle.started.get_or_init(|| handle.start()) == 0 {
            return job(); // the system refuses threads
        }
        lock(&handle.queue.jobs).waiting.push_back(Box::new(job));
        handle.queue.changed.notify_one();
    }

    /// Waits until `size` MiB may be used.
    pub(crate) fn reserve(&self, size: usize) -> Permit {
        let budget = self.0.budget.clone();
        let mut free = lock(&budget.free);
        while *free < size {
            free = budget.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= size;
        drop(free);
        Permit { size, budget }
    }
}

impl Handle {
    fn start(&self) -> usize {
        let start = |_: &usize| {
            let queue = self.queue.clone();
            thread::Builder::new()
                .name("kiln-compress".to_owned())
                .spawn(move || queue.work())
                .is_ok()
        };
        (0..self.threads).take_while(start).count()
    }
}

impl Queue {
    fn work(&self) {
        while let Some(job) = self.next() {
            // A job that panics drops the channel that its result was to go through: the layer fails, the thread stays.
            drop(std::panic::catch_unwind(AssertUnwindSafe(job)));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.queue.jobs).closed = true;
        self.queue.changed.notify_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *lock(&self.budget.free) += self.size;
        self.budget.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.0.threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_job_that_panics_leaves_its_thread_alive() {
        let pool = Pool::new(1);
        pool.run(|| panic!("expected in this test"));
        let (send, receive) = mpsc::channel();
        pool.run(move || send.send(7).unwrap());
        assert_eq!(receive.recv(), Ok(7));
    }

    #[test]
    fn permits_come_back() {
        let pool = Pool::new(1);
        for _ in 0..3 {
            let _all = pool.reserve(MIN_BUDGET);
        }
    }
}
