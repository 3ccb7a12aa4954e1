//! The bound on connections in use and the one fair queue before it, shared by all workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

/// Why no permit was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    QueueFull,
    WaitedTooLong,
}

/// Permits for connections in use. Waiters are served in the order they came, whichever worker they are on:
/// the semaphore hands a freed permit to the first of them, so nobody can slip in between.
pub(super) struct Gate {
    permits: Semaphore,
    limit: Mutex<usize>,
    /// Permits to be withdrawn as they come back, after the limit was lowered.
    debt: AtomicUsize,
    queued: AtomicUsize,
    queue_max: usize,
    queue_wait: Duration,
}

/// The right to one connection in use; given back when dropped.
pub(super) struct Permit(Arc<Gate>);

impl Gate {
    pub(super) fn new(limit: usize, queue_max: usize, queue_wait: Duration) -> Arc<Self> {
        let limit = clamp(limit);
        Arc::new(Self {
            permits: Semaphore::new(limit),
            limit: Mutex::new(limit),
            debt: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            queue_max,
            queue_wait,
        })
    }

    /// A permit if one is free and nobody waits.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        self.permits.try_acquire().ok()?.forget();
        Some(Permit(Arc::clone(self)))
    }

    /// A permit in turn.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Permit, Refused> {
        let place = Place::take(self).ok_or(Refused::QueueFull)?;
        let permit = match timeout(self.queue_wait, self.permits.acquire()).await {
            // The semaphore is never closed.
            Err(_) | Ok(Err(_)) => return Err(Refused::WaitedTooLong),
            Ok(Ok(permit)) => permit,
        };
        permit.forget();
        drop(place);
        Ok(Permit(Arc::clone(self)))
    }

    /// Changes the bound. Lowering it lets those in use finish.
    pub(super) fn set_limit(&self, limit: usize) {
        let limit = clamp(limit);
        let mut current = self.limit.lock();
        if limit > *current {
            let mut more = limit - *current;
            more -= take_up_to(&self.debt, more);
            self.permits.add_permits(more);
        } else {
            let less = *current - limit;
            self.debt.fetch_add(less - self.permits.forget_permits(less), Ordering::AcqRel);
        }
        *current = limit;
    }

    /// Permits given out: nothing counts them on the common path.
    pub(super) fn in_use(&self) -> usize {
        let allowed = *self.limit.lock() + self.debt.load(Ordering::Relaxed);
        allowed.saturating_sub(self.permits.available_permits())
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if take_up_to(&self.0.debt, 1) == 0 {
            self.0.permits.add_permits(1);
        }
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Option<Self> {
        let place = Self(&gate.queued);
        (gate.queued.fetch_add(1, Ordering::Relaxed) < gate.queue_max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn clamp(limit: usize) -> usize {
    limit.clamp(1, Semaphore::MAX_PERMITS)
}

/// Takes at most `wanted` from the counter and says how many there were.
fn take_up_to(counter: &AtomicUsize, wanted: usize) -> usize {
    if counter.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    counter
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| Some(left - left.min(wanted)))
        .map_or(0, |before| before.min(wanted))
}
