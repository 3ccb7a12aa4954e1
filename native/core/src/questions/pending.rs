//! Who waits for which answer: each waiter is handed out once, to the answer or to the one who gave up.

use super::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};

/// Waiters spread over this many locks, so that workers and the answering thread seldom meet.
const SHARDS: u64 = 8;

/// Why nobody may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

struct Shard<T> {
    closed: bool,
    waiters: Vec<(u64, T)>,
}

/// A bounded set of waiters, each under a number that is never used again.
pub(super) struct Pending<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    next: AtomicU64,
    waiting: AtomicUsize,
    capacity: usize,
}

impl<T> Pending<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard { closed: false, waiters: Vec::new() })).collect();
        Self { shards, next: AtomicU64::new(1), waiting: AtomicUsize::new(0), capacity }
    }

    /// Registers a waiter and gives it its number.
    pub(super) fn insert(&self, waiter: T) -> Result<u64, Refused> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.capacity {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Refused::Full);
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(id).lock();
        if shard.closed {
            drop(shard);
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Refused::Closed);
        }
        shard.waiters.push((id, waiter));
        Ok(id)
    }

    /// The waiter of this number, if nobody took it before.
    pub(super) fn take(&self, id: u64) -> Option<T> {
        let mut shard = self.shard(id).lock();
        let index = shard.waiters.iter().position(|(waiting, _)| *waiting == id)?;
        let (_, waiter) = shard.waiters.swap_remove(index);
        drop(shard);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        Some(waiter)
    }

    /// Whether somebody still waits under this number.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.shard(id).lock().waiters.iter().any(|(waiting, _)| *waiting == id)
    }

    /// How many wait now.
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Refuses newcomers from now on and returns all who wait.
    pub(super) fn close(&self) -> Vec<T> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.closed = true;
            all.extend(shard.waiters.drain(..).map(|(_, waiter)| waiter));
        }
        self.waiting.fetch_sub(all.len(), Ordering::AcqRel);
        all
    }

    fn shard(&self, id: u64) -> &Mutex<Shard<T>> {
        &self.shards[(id % SHARDS) as usize]
    }
}
