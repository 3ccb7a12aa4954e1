//! What all cells share where limits are shared between nodes: who this is, whether the others can be asked, and which
//! limits have something to ask or to tell, and when.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, binary_heap::PeekMut},
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Duration, timeout},
};

use super::{Kind, Now, Span, cell::Cell, counter::Moment};
use crate::clock::Clock;

/// Set of the state while nobody can be asked.
const AWAY: u64 = 1 << 32;

/// A limit that is to be looked at, at some time.
#[derive(Debug)]
pub(super) struct Due {
    pub at_us: u64,
    pub cell: Weak<Cell>,
    pub kind: Kind,
    pub span: Span,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at_us == other.at_us
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at_us.cmp(&other.at_us)
    }
}

#[derive(Debug)]
pub(super) struct Broker {
    /// This life of this process, in hex.
    pub instance: Box<str>,
    /// How long a request waits for an answer at most.
    pub timeout_us: u64,
    /// Nodes that are known, and [`AWAY`].
    state: AtomicU64,
    /// Of calls and of leases; none is used twice, though cells come and go.
    numbers: AtomicU64,
    /// How many calls were answered.
    answers: AtomicU64,
    /// What is next comes first. Taken behind cells.
    due: Mutex<BinaryHeap<Reverse<Due>>>,
    changed: Notify,
}

impl Broker {
    pub(super) fn new(instance: &str, timeout_us: u64) -> Self {
        Self {
            instance: instance.into(),
            timeout_us,
            state: AtomicU64::new(AWAY),
            numbers: AtomicU64::new(1),
            answers: AtomicU64::new(0),
            due: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn set(&self, away: bool, nodes: u32) {
        self.state.store(u64::from(nodes) | if away { AWAY } else { 0 }, Relaxed);
        self.changed.notify_one();
    }

    pub(super) fn is_away(&self) -> bool {
        self.state.load(Relaxed) & AWAY != 0
    }

    /// How many nodes there are; 0: nobody knows.
    pub(super) fn nodes(&self) -> u64 {
        self.state.load(Relaxed) & !AWAY
    }

    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Relaxed);
    }

    pub(super) fn schedule(&self, due: Due) {
        let mut all = self.due.lock();
        let is_next = all.peek().is_none_or(|Reverse(next)| due.at_us < next.at_us);
        all.push(Reverse(due));
        drop(all);
        if is_next {
            self.changed.notify_one();
        }
    }

    /// What is due by now, some of it; nothing while nobody can be asked.
    pub(super) fn take_due(&self, now_us: u64, most: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        if self.is_away() {
            return taken;
        }
        let mut all = self.due.lock();
        while taken.len() < most
            && let Some(next) = all.peek_mut().filter(|next| next.0.at_us <= now_us)
        {
            taken.push(PeekMut::pop(next).0);
        }
        taken
    }

    /// Returns once something may be due.
    pub(super) async fn wait(&self, clock: &Clock) {
        loop {
            let next_us = if self.is_away() { None } else { self.due.lock().peek().map(|Reverse(due)| due.at_us) };
            let now_us = Moment::from(Now::of(clock)).us;
            match next_us {
                None => self.changed.notified().await,
                Some(at_us) if at_us <= now_us => return,
                Some(at_us) => {
                    let wait = Duration::from_micros(at_us - now_us);
                    if timeout(wait, self.changed.notified()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
