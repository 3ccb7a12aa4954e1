//! The machine's monotonic clock: one time line for mock and driver, so that stamps of one can be taken from the other.

use rustix::time::{ClockId, Timespec, clock_gettime};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    tv_sec.cast_unsigned() * SECOND + tv_nsec.cast_unsigned()
}

pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / SECOND).cast_signed(), tv_nsec: (ns % SECOND).cast_signed() }
}

/// Seconds of the command line as nanoseconds.
pub(crate) fn seconds(s: f64) -> u64 {
    std::time::Duration::from_secs_f64(s.max(0.0)).as_nanos() as u64
}
