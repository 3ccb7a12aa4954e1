//! Refusals by where the limit sits and what it counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{Kind, Scope};

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
