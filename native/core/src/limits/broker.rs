//! What all cells share where limits are shared between nodes: who this is, whether the others can be asked, and which
//! limits have something to ask or to tell, and when.

use std::{
    collections::BTreeMap,
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

use super::{Kind, Now, Span, cell::Cell, counter::Moment, stock::NEVER};
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

/// When the broker looks at a limit next, and as which one it knows it; 0: as none yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    pub at_us: u64,
    id: u64,
}

impl Timer {
    pub(super) const NONE: Self = Self { at_us: NEVER, id: 0 };
}

#[derive(Debug)]
pub(super) struct Broker {
    /// This life of this process, in hex.
    pub instance: Box<str>,
    /// How long a request waits for an answer at most.
    pub timeout_us: u64,
    /// Nodes that are known, and [`AWAY`].
    state: AtomicU64,
    /// Of calls, of leases and of timers; none is used twice, though cells come and go.
    numbers: AtomicU64,
    /// How many calls were answered.
    answers: AtomicU64,
    /// What is next comes first, and each limit once. Taken behind cells.
    due: Mutex<BTreeMap<(u64, u64), Due>>,
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

    /// In the place of when it was due before.
    pub(super) fn schedule(&self, timer: &mut Timer, due: Due) {
        if timer.id == 0 {
            timer.id = self.number();
        }
        let mut all = self.due.lock();
        all.remove(&(timer.at_us, timer.id));
        timer.at_us = due.at_us;
        let is_next = all.first_key_value().is_none_or(|((next_us, _), _)| due.at_us < *next_us);
        all.insert((timer.at_us, timer.id), due);
        drop(all);
        if is_next {
            self.changed.notify_one();
        }
    }

    pub(super) fn cancel(&self, timer: Timer) {
        self.due.lock().remove(&(timer.at_us, timer.id));
    }

    /// How many limits are due at some time.
    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.due.lock().len()
    }

    /// What is due by now, some of it; nothing while nobody can be asked.
    pub(super) fn take_due(&self, now_us: u64, most: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        if self.is_away() {
            return taken;
        }
        let mut all = self.due.lock();
        while taken.len() < most
            && let Some(next) = all.first_entry().filter(|next| next.key().0 <= now_us)
        {
            taken.push(next.remove());
        }
        taken
    }

    /// Returns once something may be due.
    pub(super) async fn wait(&self, clock: &Clock) {
        loop {
            let next_us =
                if self.is_away() { None } else { self.due.lock().first_key_value().map(|((at_us, _), _)| *at_us) };
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
