//! Time that a plugin itself has taken: the clock stands while the host answers.

use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use kiln_plugin::Limit;

use crate::call::LimitHit;

/// A stop watch.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Mutex<Watch>>);

#[derive(Debug)]
struct Watch {
    taken: Duration,
    since: Option<Instant>,
}

impl Clock {
    /// Returns a running clock.
    pub(crate) fn start() -> Self {
        Self(Arc::new(Mutex::new(Watch {
            taken: Duration::ZERO,
            since: Some(Instant::now()),
        })))
    }

    /// Returns how long it has run.
    pub(crate) fn taken(&self) -> Duration {
        self.with(|watch| watch.taken + watch.since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    pub(crate) fn pause(&self) {
        self.with(|watch| watch.taken += watch.since.take().map_or(Duration::ZERO, |since| since.elapsed()));
    }

    pub(crate) fn resume(&self) {
        self.with(|watch| watch.since = Some(Instant::now()));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Watch) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs a call until it ends or the clock has run for `wall`.
///
/// Loops are broken by epochs; this is for a plugin that waits, for instance by a poll of WASI.
pub(crate) async fn within<T>(
    clock: &Clock,
    wall: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    tokio::pin!(call);
    loop {
        // A breath later than the epochs, which end in a backtrace.
        let left = wall.saturating_sub(clock.taken()) + Duration::from_millis(50);
        tokio::select! {
            biased;
            result = &mut call => return result,
            () = tokio::time::sleep(left) => {}
        }
        if clock.taken() >= wall {
            return Err(LimitHit(Limit::Wall).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_while_it_is_paused() {
        let clock = Clock::start();
        clock.pause();
        let taken = clock.taken();
        assert_eq!(clock.taken(), taken);
        clock.resume();
        assert!(clock.taken() >= taken);
    }
}
