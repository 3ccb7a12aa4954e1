//! Refusals by where the limit sits and what it counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::Kind;

/// The values of the label `scope`.
pub(super) const SCOPES: [&str; 5] = ["key", "team", "model", "provider", "global"];
/// The values of the label `kind`.
pub(super) const KINDS: [(Kind, &str); 4] = [
    (Kind::Requests, "requests"),
    (Kind::Tokens, "tokens"),
    (Kind::Budget, "budget"),
    (Kind::Concurrent, "concurrent"),
];

/// One shard's counters.
#[derive(Debug, Default)]
pub(super) struct ByLimit([[AtomicU64; KINDS.len()]; SCOPES.len()]);

impl ByLimit {
    pub(super) fn refused(&self, scope: &str, kind: Kind) {
        let scope = SCOPES.iter().position(|known| *known == scope);
        let kind = KINDS.iter().position(|(known, _)| *known == kind);
        if let Some((scope, kind)) = scope.zip(kind) {
            self.0[scope][kind].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// By the places in [`SCOPES`] and [`KINDS`].
    pub(super) fn get(&self, scope: usize, kind: usize) -> &AtomicU64 {
        &self.0[scope][kind]
    }
}
