//! What a journal tells of itself: counts for the metrics, events for the log.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

use super::{WhenFull, read::Position};
use crate::observe::histogram::{Histogram, SYNC};

/// Why entries were lost, or a segment was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// More waited than memory may hold.
    Memory,
    /// The journal had come to `max_bytes`.
    Disk,
    /// It was older than `retain`.
    Age,
    /// The store has all of it.
    Shipped,
}

impl Why {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Age => "age",
            Self::Shipped => "shipped",
        }
    }
}

/// What happened, for the log; a fault is told once, until it is over.
#[derive(Debug)]
pub enum Event {
    /// It cannot be written.
    Failed(io::Error),
    Recovered,
    /// There is no room, and nothing may go.
    Full(WhenFull),
    HasRoom,
    /// Its directory cannot be looked after: what is to go stays.
    Untidy(io::Error),
    Tidy,
    Lost {
        entries: u64,
        why: Why,
    },
    Removed {
        instance: String,
        segment: u64,
        why: Why,
    },
    /// The journal of a process that is gone was looked through: bytes cut off its end, or set aside.
    Adopted {
        instance: String,
        cut_bytes: u64,
        is_damaged: bool,
    },
}

/// Counts since the start, and how things stand.
#[derive(Debug)]
pub struct Facts {
    pub records: AtomicU64,
    pub entries: AtomicU64,
    pub bytes: AtomicU64,
    pub lost_memory: AtomicU64,
    pub lost_disk: AtomicU64,
    /// How many of both were told of.
    pub lost_told: AtomicU64,
    pub removed: AtomicU64,
    /// Of all journals beside this one too.
    pub disk_bytes: AtomicU64,
    pub failures: AtomicU64,
    /// Records that the store has taken, tries that it refused, and when the oldest that it lacks ended; 0: none.
    pub shipped: AtomicU64,
    pub ship_failures: AtomicU64,
    pub unshipped_us: AtomicU64,
    pub is_full: AtomicBool,
    pub sync: Histogram,
    /// Up to where this journal lasts.
    pub committed: Mutex<Position>,
}

impl Default for Facts {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            records: zero(),
            entries: zero(),
            bytes: zero(),
            lost_memory: zero(),
            lost_disk: zero(),
            lost_told: zero(),
            removed: zero(),
            disk_bytes: zero(),
            failures: zero(),
            shipped: zero(),
            ship_failures: zero(),
            unshipped_us: zero(),
            is_full: AtomicBool::new(false),
            sync: Histogram::new(SYNC),
            committed: Mutex::default(),
        }
    }
}

impl Facts {
    /// How shipping goes, as whoever ships counts it.
    pub fn ship(&self, records: u64, failures: u64, oldest_us: u64) {
        self.shipped.store(records, Relaxed);
        self.ship_failures.store(failures, Relaxed);
        self.unshipped_us.store(oldest_us, Relaxed);
    }

    /// Entries that were lost and of which nothing has told: whoever asks tells of them.
    pub fn tell_lost(&self) -> u64 {
        let lost = self.lost_memory.load(Relaxed) + self.lost_disk.load(Relaxed);
        lost.saturating_sub(self.lost_told.swap(lost, Relaxed))
    }

    pub(super) fn lose(&self, entries: u64, why: Why) {
        let count = if why == Why::Disk { &self.lost_disk } else { &self.lost_memory };
        count.fetch_add(entries, Relaxed);
    }
}
