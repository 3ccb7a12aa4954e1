//! What limits did: refusals by where the limit sits and what it counts, leases, and what was judged without Redis.

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{Histogram, LEASE_WAIT};
use crate::limits::{Away, Kind, LeaseResult, Scope};

/// One shard's counters.
#[derive(Debug, Default)]
pub(super) struct ByLimit([[AtomicU64; Kind::ALL.len()]; Scope::KINDS]);

impl ByLimit {
    pub(super) fn refused(&self, scope: Scope<'_>, kind: Kind) {
        self.0[scope.rank()][kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// By the place of the scope's kind in [`Scope::NAMES`].
    pub(super) fn get(&self, scope: usize, kind: Kind) -> &AtomicU64 {
        &self.0[scope][kind as usize]
    }
}

pub(super) const POLICIES: [Away; 3] = [Away::FairShare, Away::Closed, Away::Open];

/// One shard's counters of limits that nodes share.
#[derive(Debug)]
pub(super) struct Shared {
    asks: [AtomicU64; LeaseResult::ALL.len()],
    away: [AtomicU64; POLICIES.len()],
    pub(super) wait: Histogram,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { asks: Default::default(), away: Default::default(), wait: Histogram::new(LEASE_WAIT) }
    }

    pub(super) fn asks(&self, result: LeaseResult) -> &AtomicU64 {
        &self.asks[result as usize]
    }

    pub(super) fn away(&self, policy: Away) -> &AtomicU64 {
        &self.away[policy as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_and_policy_has_a_place_of_its_own() {
        assert!(LeaseResult::ALL.iter().enumerate().all(|(place, result)| *result as usize == place));
        assert!(POLICIES.iter().enumerate().all(|(place, policy)| *policy as usize == place));
    }
}
