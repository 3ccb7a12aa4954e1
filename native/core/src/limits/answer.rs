//! What callers are told: how much is left, why a request was refused, what is used.

use super::{Away, Kind, ScopeOwned, Span};

/// How much a limit leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub limit: u64,
    pub remaining: u64,
    /// Until nothing of what is counted now counts any more.
    pub reset_us: u64,
}

impl Left {
    /// Whether a smaller share of it is left.
    fn is_tighter(&self, other: &Self) -> bool {
        u128::from(self.remaining) * u128::from(other.limit) < u128::from(other.remaining) * u128::from(self.limit)
    }
}

/// The tightest limit of each kind that answers speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub requests: Option<Left>,
    pub tokens: Option<Left>,
}

impl Standing {
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        Self { requests: tighter(self.requests, other.requests), tokens: tighter(self.tokens, other.tokens) }
    }

    pub(super) fn meet(&mut self, kind: Kind, left: Left) {
        match kind {
            Kind::Requests => self.requests = tighter(self.requests, Some(left)),
            Kind::Tokens => self.tokens = tighter(self.tokens, Some(left)),
            Kind::Concurrent | Kind::Budget => {}
        }
    }
}

fn tighter(a: Option<Left>, b: Option<Left>) -> Option<Left> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.is_tighter(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The limit that refused a request; of several the one that does so for the longest time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub kind: Kind,
    pub scope: ScopeOwned,
    pub amount: u64,
    pub span: Span,
    pub need: u64,
    /// The request is larger than the limit itself: it fits at no time.
    pub exceeds: bool,
    /// Until the request could fit. A guess where slots are missing; 0 where it [exceeds](Self::exceeds) the limit.
    pub retry_after_us: u64,
    /// How long it waited for a slot before.
    pub waited_us: u64,
    /// How long it waited for leases before.
    pub lease_us: u64,
    /// It was judged without what nodes share, by this policy; of several by the first that was asked.
    pub away: Option<Away>,
    /// Nobody can say whether the limit is reached: what nodes share cannot be asked.
    pub unavailable: bool,
    pub standing: Standing,
}

/// How much of one limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub kind: Kind,
    pub amount: u64,
    pub span: Span,
    pub used: u64,
    /// Until nothing of what is counted now counts any more; 0 for what is in flight.
    pub reset_us: u64,
}
