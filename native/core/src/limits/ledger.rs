//! What all cells share: the calendar, and how many counters there are.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwap;

use super::calendar::Calendar;

/// Counters beyond which old ones merge into newer ones instead of taking more memory: 128 MB.
const MOST_COUNTERS: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) calendar: ArcSwap<Calendar>,
    counters: AtomicUsize,
    most: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::of(MOST_COUNTERS)
    }
}

impl Ledger {
    pub(super) fn of(most: usize) -> Self {
        Self { calendar: ArcSwap::default(), counters: AtomicUsize::new(0), most }
    }

    pub(super) fn is_tight(&self) -> bool {
        self.counters.load(Relaxed) >= self.most
    }

    /// Room for counters was made or given back.
    pub(super) fn resized(&self, before: usize, after: usize) {
        if after > before {
            self.counters.fetch_add(after - before, Relaxed);
        } else if before > after {
            self.counters.fetch_sub(before - after, Relaxed);
        }
    }
}
