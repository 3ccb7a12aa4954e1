//! How fast one limit is spent, and how often it may be asked for.

use super::stock::NEVER;

/// Of a limit over this long or longer no more than 20 asks go out in any second: four at once, then one each 60 ms.
const LONG_US: u64 = 10_000_000;
const LONG_PACE: (u64, u64) = (60_000, 3);
const SHORT_PACE: (u64, u64) = (5_000, 0);

/// A generic cell rate algorithm.
#[derive(Debug)]
pub(super) struct Pace {
    interval_us: u64,
    /// How many more than one may go out at once.
    burst: u64,
    /// When the next one would be due if all were evenly spaced.
    due_us: u64,
}

impl Pace {
    /// `None`: of a period.
    pub(super) fn of(window_us: Option<u64>) -> Self {
        let is_long = window_us.is_none_or(|us| us >= LONG_US);
        let (interval_us, burst) = if is_long { LONG_PACE } else { SHORT_PACE };
        Self { interval_us, burst, due_us: 0 }
    }

    /// When the next one may go out.
    pub(super) fn next_us(&self) -> u64 {
        self.due_us.saturating_sub(self.burst * self.interval_us)
    }

    pub(super) fn take(&mut self, now_us: u64) {
        self.due_us = self.due_us.max(now_us).saturating_add(self.interval_us);
    }
}

/// What was spent since the last grant.
#[derive(Debug, Default)]
pub(super) struct Demand {
    grant: u64,
    granted_us: u64,
    spent: u64,
    charges: u32,
    pub(super) last_us: u64,
}

impl Demand {
    pub(super) fn granted(&mut self, amount: u64, now_us: u64) {
        *self = Self { grant: amount, granted_us: now_us, last_us: self.last_us, ..Self::default() };
    }

    /// A request came that takes some.
    pub(super) fn came(&mut self, now_us: u64) {
        self.charges = self.charges.saturating_add(1);
        self.last_us = now_us;
    }

    pub(super) fn spent(&mut self, amount: u64) {
        self.spent = self.spent.saturating_add(amount);
    }

    /// Nothing is foreseen before more was spent.
    pub(super) fn forget(&mut self) {
        self.charges = 0;
    }

    /// The same if nobody came for a lease time.
    pub(super) fn fade(&mut self, now_us: u64, lease_us: u64) {
        if now_us > self.last_us.saturating_add(lease_us) {
            self.forget();
        }
    }

    /// What two lease times will take. What came at once is no rate.
    pub(super) fn foreseen(&self, now_us: u64, lease_us: u64) -> u64 {
        let took_us = now_us.saturating_sub(self.granted_us).max(lease_us / 4).max(1);
        let foreseen = 2 * u128::from(self.spent) * u128::from(lease_us) / u128::from(took_us);
        u64::try_from(foreseen).unwrap_or(u64::MAX)
    }

    /// When to ask ahead of need: before the last lease stops, or when little is left. A single request, as each of a
    /// key that is hardly used, foretells no other.
    pub(super) fn ahead_us(&self, spare: u64, last_stop_us: u64, lease_us: u64) -> u64 {
        match () {
            () if self.charges < 2 => NEVER,
            () if spare < self.grant / 4 => 0,
            () if spare == 0 => NEVER,
            () => last_stop_us.saturating_sub(lease_us / 4),
        }
    }
}
