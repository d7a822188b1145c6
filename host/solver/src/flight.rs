//! Work that is done once for all who wait for it, and is cancelled when the last of them leaves.
//!
//! A flight runs in a task of its own, so that it neither stops with one waiter nor needs one to be polled.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::error::Failure;
use crate::error::Outcome;
use crate::op::Cancel;
use crate::op::OpError;
use crate::op::VertexInfo;

/// Locks although a holder panicked: every holder leaves the value whole at each point where it could panic.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the tasks of a solver, so that one can wait until none is left.
#[derive(Debug, Clone)]
pub(crate) struct Tasks(Arc<watch::Sender<usize>>);

impl Default for Tasks {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Tasks {
    pub(crate) async fn idle(&self) {
        let mut count = self.0.subscribe();
        // The sender lives in `self`: an error cannot happen.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    fn enter(&self) -> Entered {
        self.0.send_modify(|count| *count += 1);
        Entered(self.clone())
    }
}

struct Entered(Tasks);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// What every flight of one vertex needs.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) tasks: Tasks,
    pub(crate) vertex: Arc<VertexInfo>,
    /// How long a cancelled flight may go on before it is dropped.
    pub(crate) grace: Duration,
}

/// One piece of work and, once it is done, its outcome. A cancelled one is forgotten: whoever comes next starts it
/// again.
pub(crate) struct Flight<T> {
    ground: Ground,
    slot: Arc<Mutex<Slot<T>>>,
}

enum Slot<T> {
    Idle,
    Running(Running),
    Done(Outcome<T>),
}

struct Running {
    waiters: usize,
    cancel: watch::Sender<bool>,
    /// Closes when the flight has landed.
    landed: watch::Receiver<()>,
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    pub(crate) fn new(ground: Ground) -> Self {
        Self {
            ground,
            slot: Arc::new(Mutex::new(Slot::Idle)),
        }
    }

    /// Returns the outcome; starts the work when nobody has. Dropping the future is leaving.
    pub(crate) async fn join<F>(&self, start: F) -> Outcome<T>
    where
        F: Fn(Cancel) -> BoxFuture<'static, Outcome<T>> + Send,
    {
        loop {
            let mut seat = match self.board(&start) {
                Ok(outcome) => return outcome,
                Err(seat) => seat,
            };
            // Nothing is ever sent: this returns when the flight has landed and has closed the channel. When it
            // was cancelled before this seat was taken, it is started anew.
            let _ = seat.landed.changed().await;
        }
    }

    /// Returns the value if the work is done and went well.
    pub(crate) fn value(&self) -> Option<T> {
        match &*lock(&self.slot) {
            Slot::Done(Ok(value)) => Some(value.clone()),
            _ => None,
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(&*lock(&self.slot), Slot::Done(Err(_)))
    }

    /// Returns whether the last waiter has left and nobody has started it again.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(&*lock(&self.slot), Slot::Running(running) if *running.cancel.borrow())
    }

    fn board<F>(&self, start: &F) -> Result<Outcome<T>, Seat<T>>
    where
        F: Fn(Cancel) -> BoxFuture<'static, Outcome<T>>,
    {
        let mut slot = lock(&self.slot);
        if let Slot::Done(outcome) = &*slot {
            return Ok(outcome.clone());
        }
        if let Slot::Running(running) = &mut *slot {
            running.waiters += 1;
            return Err(Seat {
                slot: Arc::clone(&self.slot),
                landed: running.landed.clone(),
            });
        }
        let (running, landing, cancel) = self.runway();
        let landed = running.landed.clone();
        *slot = Slot::Running(running);
        drop(slot);
        tokio::spawn(fly(self.ground.clone(), landing, cancel.clone(), start(cancel)));
        Err(Seat {
            slot: Arc::clone(&self.slot),
            landed,
        })
    }

    fn runway(&self) -> (Running, Landing<T>, Cancel) {
        let (close, landed) = watch::channel(());
        let (cancel, cancelled) = watch::channel(false);
        let landing = Landing {
            slot: Arc::clone(&self.slot),
            _close: close,
            _entered: self.ground.tasks.enter(),
        };
        (
            Running {
                waiters: 1,
                cancel,
                landed,
            },
            landing,
            Cancel(cancelled),
        )
    }
}

async fn fly<T: Clone>(
    ground: Ground,
    landing: Landing<T>,
    cancel: Cancel,
    work: BoxFuture<'static, Outcome<T>>,
) {
    let outcome = tokio::select! {
        biased;
        caught = AssertUnwindSafe(work).catch_unwind() => Some(caught.unwrap_or_else(|panic| {
            let error = OpError::Panicked(panic_text(&*panic));
            Err(Failure { vertex: ground.vertex, error })
        })),
        () = expired(&cancel, ground.grace) => None,
    };
    // The work has been dropped here, before anybody is told that it has ended.
    landing.land(outcome, &cancel);
}

async fn expired(cancel: &Cancel, grace: Duration) {
    cancel.cancelled().await;
    if !grace.is_zero() {
        tokio::time::sleep(grace).await;
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Ends a flight, also when its task is dropped half way: fields are dropped in order, after the slot is set.
struct Landing<T> {
    slot: Arc<Mutex<Slot<T>>>,
    _close: watch::Sender<()>,
    _entered: Entered,
}

impl<T> Landing<T> {
    fn land(self, outcome: Option<Outcome<T>>, cancel: &Cancel) {
        let mut slot = lock(&self.slot);
        *slot = match outcome {
            // Whether an error is only a consequence of being cancelled cannot be told.
            None => Slot::Idle,
            Some(Err(_)) if cancel.is_cancelled() => Slot::Idle,
            Some(outcome) => Slot::Done(outcome),
        };
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        if matches!(*slot, Slot::Running(_)) {
            *slot = Slot::Idle;
        }
    }
}

/// A waiter's place. Dropping it is leaving.
struct Seat<T> {
    slot: Arc<Mutex<Slot<T>>>,
    landed: watch::Receiver<()>,
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        let Slot::Running(running) = &mut *slot else {
            return;
        };
        // The flight may have landed and been started again by another waiter meanwhile.
        if !running.landed.same_channel(&self.landed) {
            return;
        }
        running.waiters -= 1;
        if running.waiters == 0 {
            running.cancel.send_replace(true);
        }
    }
}
