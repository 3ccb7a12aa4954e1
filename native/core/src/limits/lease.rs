//! One lease, what was charged to it, and how its times by another clock are times by ours.

/// Two clocks differ by one part of so many at most.
const DRIFT: u64 = 1_000;

/// So much was granted to this instance, or counted by it without a grant.
#[derive(Debug)]
pub(super) struct Lease {
    /// Of the call that was granted it; one of its own where there was none.
    pub number: u64,
    /// Where it is filed; 0: nobody was told of it yet.
    pub bucket: u64,
    pub counted: u64,
    /// What may still be charged to it.
    pub left: u64,
    /// What counts of it for the other nodes, as far as is known.
    pub told: u64,
    /// It was told of, and whether anybody heard is not known: others may count more than that.
    pub is_sent: bool,
    /// Nothing is charged to it from here on.
    pub stop_us: u64,
    /// It counts no more from here on, at the latest.
    pub lapse_us: u64,
    /// It stands for several: what is freed of those counts on.
    pub is_merged: bool,
}

impl Lease {
    /// Whether all is told that there is to tell.
    pub(super) fn is_told(&self) -> bool {
        self.counted == self.told && !self.is_sent
    }
}

/// What of a lease a request was charged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charged {
    pub number: u64,
    pub amount: u64,
}

/// A time by another clock in our own, rather too short.
pub(super) fn at_least(us: u64) -> u64 {
    us - us.div_ceil(DRIFT)
}

/// The same, rather too long.
pub(super) fn at_most(us: u64) -> u64 {
    us.saturating_add(us.div_ceil(DRIFT - 1))
}
