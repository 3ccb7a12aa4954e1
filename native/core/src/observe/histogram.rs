//! A histogram with fixed bounds: one comparison a bucket, no float until it is rendered.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper end of a bucket, and the same in seconds as Prometheus wants to read it.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub us: u64,
    pub seconds: &'static str,
}

macro_rules! bounds {
    ($($us:literal $seconds:literal),* $(,)?) => { &[$(Bound { us: $us, seconds: $seconds }),*] };
}

/// What Penstock itself adds to a request.
pub const OVERHEAD: &[Bound] = bounds![
    25 "0.000025", 50 "0.00005", 75 "0.000075", 100 "0.0001", 150 "0.00015", 250 "0.00025", 500 "0.0005",
    1_000 "0.001", 2_500 "0.0025", 5_000 "0.005", 10_000 "0.01", 50_000 "0.05", 250_000 "0.25", 1_000_000 "1",
];

/// From the request to the first model frame.
pub const FIRST_TOKEN: &[Bound] = bounds![
    5_000 "0.005", 25_000 "0.025", 50_000 "0.05", 100_000 "0.1", 250_000 "0.25", 500_000 "0.5", 1_000_000 "1",
    2_500_000 "2.5", 5_000_000 "5", 10_000_000 "10", 30_000_000 "30", 60_000_000 "60", 180_000_000 "180",
    600_000_000 "600",
];

/// How long a request waits for a slot of a limit.
pub const WAIT: &[Bound] = bounds![
    1_000 "0.001", 5_000 "0.005", 25_000 "0.025", 100_000 "0.1", 250_000 "0.25", 500_000 "0.5", 1_000_000 "1",
    2_500_000 "2.5", 5_000_000 "5", 10_000_000 "10", 30_000_000 "30", 60_000_000 "60",
];

/// How long a request waits for leases of limits that nodes share.
pub const LEASE_WAIT: &[Bound] = bounds![
    250 "0.00025", 500 "0.0005", 1_000 "0.001", 2_500 "0.0025", 5_000 "0.005", 10_000 "0.01", 25_000 "0.025",
    50_000 "0.05", 100_000 "0.1", 250_000 "0.25", 1_000_000 "1",
];

/// How late an event loop comes to what is due.
pub const LAG: &[Bound] = bounds![
    50 "0.00005", 100 "0.0001", 250 "0.00025", 500 "0.0005", 1_000 "0.001", 2_500 "0.0025", 5_000 "0.005",
    10_000 "0.01", 25_000 "0.025", 100_000 "0.1", 500_000 "0.5", 2_000_000 "2",
];

/// How long the disk takes to make what was written last.
pub const SYNC: &[Bound] = bounds![
    50 "0.00005", 100 "0.0001", 250 "0.00025", 500 "0.0005", 1_000 "0.001", 2_500 "0.0025", 5_000 "0.005",
    10_000 "0.01", 25_000 "0.025", 100_000 "0.1", 500_000 "0.5", 2_000_000 "2",
];

/// Counts by bucket; the last one is open to the top.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [Bound],
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn new(bounds: &'static [Bound]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_us: AtomicU64::new(0) }
    }

    /// Counts one observation.
    pub fn observe(&self, us: u64) {
        let bucket = self.bounds.iter().position(|bound| us <= bound.us).unwrap_or(self.bounds.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

/// The sum of several histograms with the same bounds.
#[derive(Debug)]
pub struct Totals {
    pub bounds: &'static [Bound],
    /// Observations at or below each bound; one more at the end for all of them.
    pub cumulative: Vec<u64>,
    pub sum_us: u64,
}

impl Totals {
    pub fn of<'a>(bounds: &'static [Bound], parts: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut cumulative = vec![0; bounds.len() + 1];
        let mut sum_us = 0_u64;
        for part in parts {
            for (total, count) in cumulative.iter_mut().zip(&part.counts) {
                *total += count.load(Ordering::Relaxed);
            }
            sum_us = sum_us.wrapping_add(part.sum_us.load(Ordering::Relaxed));
        }
        let mut below = 0;
        for count in &mut cumulative {
            below += *count;
            *count = below;
        }
        Self { bounds, cumulative, sum_us }
    }

    pub fn count(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let (one, two) = (Histogram::new(OVERHEAD), Histogram::new(OVERHEAD));
        one.observe(25);
        one.observe(26);
        two.observe(5_000_000);
        let totals = Totals::of(OVERHEAD, [&one, &two].into_iter());
        assert_eq!(totals.cumulative[..2], [1, 2]);
        assert_eq!((totals.count(), totals.sum_us), (3, 5_000_051));
        assert_eq!(totals.cumulative[OVERHEAD.len() - 1], 2, "the last is above every bound");
    }

    #[test]
    fn bounds_rise_and_say_the_same_in_seconds() {
        for bounds in [OVERHEAD, FIRST_TOKEN, LAG, WAIT, LEASE_WAIT] {
            assert!(bounds.windows(2).all(|pair| pair[0].us < pair[1].us));
            for bound in bounds {
                let seconds: f64 = bound.seconds.parse().expect("a number");
                assert!((seconds * 1e6 - bound.us as f64).abs() < 1e-6, "{bound:?}");
            }
        }
    }
}
