//! The only place that reads a clock: boot time for stamps inside, UTC for the edges.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// Microseconds that the calling thread has had of a processor.
pub fn thread_cpu_us() -> u64 {
    micros(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime))
}

fn micros(t: rustix::time::Timespec) -> u64 {
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000
}

/// Appends RFC 3339 time in UTC with microseconds, `2026-01-31T23:59:59.123456Z`, for times after 1970. Days to a date as
/// in H. Hinnant, "chrono-compatible low-level date algorithms".
pub fn write_utc(utc_us: u64, out: &mut impl Write) {
    let (seconds, us) = (utc_us / 1_000_000, utc_us % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468; // days since 0000-03-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_date_that_it_should_be() {
        // Whole seconds are from `date -u -d @N +%FT%T`.
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_735_689_599_000_000, "2024-12-31T23:59:59.000000Z"),
            (1_795_446_061_250_000, "2026-11-23T15:01:01.250000Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            let mut out = Vec::new();
            write_utc(us, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }
}
