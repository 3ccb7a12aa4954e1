//! The only place that reads a clock: boot time for stamps inside, UTC for the edges.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A source of time that tests can hold still. Boot time keeps counting while the machine sleeps.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Microseconds, moved by hand; boot time and UTC are the same number.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Microseconds since boot.
    pub fn boot_us(&self) -> u64 {
        match self {
            Self::System => micros(rustix::time::clock_gettime(rustix::time::ClockId::Boottime)),
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Microseconds since 1970, UTC.
    pub fn utc_us(&self) -> u64 {
        match self {
            Self::System => micros(rustix::time::clock_gettime(rustix::time::ClockId::Realtime)),
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }
}

fn micros(t: rustix::time::Timespec) -> u64 {
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000
}
