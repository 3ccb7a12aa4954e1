//! What is in the way of a request.

use super::{Away, Kind, Refused, Scope, Span, Standing, party::Party};

/// When to come again where a slot is missing: nobody knows when a request ends.
const SLOT_RETRY_US: u64 = 1_000_000;
/// The same where there are no slots at all.
const NO_SLOTS_RETRY_US: u64 = 60_000_000;

/// A limit that refuses it.
pub(super) struct Bar<'a> {
    pub scope: Scope<'a>,
    pub kind: Kind,
    pub amount: u64,
    pub span: Span,
    pub need: u64,
    pub exceeds: bool,
    /// Nobody can say whether it is in the way.
    pub unavailable: bool,
    pub retry_after_us: u64,
}

impl<'a> Bar<'a> {
    pub(super) fn of_slots(party: &Party<'a>) -> Self {
        let amount = party.ask.policy.slots().map_or(0, |slots| slots.amount);
        Self {
            scope: party.ask.scope,
            kind: Kind::Concurrent,
            amount: amount.into(),
            span: Span::AtOnce,
            need: 1,
            exceeds: false,
            unavailable: false,
            retry_after_us: if amount == 0 { NO_SLOTS_RETRY_US } else { SLOT_RETRY_US },
        }
    }

    pub(super) fn refused(self, away: Option<Away>, standing: Standing) -> Refused {
        Refused {
            kind: self.kind,
            scope: self.scope.into(),
            amount: self.amount,
            span: self.span,
            need: self.need,
            exceeds: self.exceeds,
            retry_after_us: self.retry_after_us,
            waited_us: 0,
            lease_us: 0,
            away,
            unavailable: self.unavailable,
            standing,
        }
    }

    /// Larger for what stays in the way longer; what is certain before what is not.
    fn rank(&self) -> (bool, bool, u64) {
        (self.exceeds, !self.unavailable, self.retry_after_us)
    }
}

/// Nothing in it: the request fits.
#[derive(Default)]
pub(super) struct Verdict<'a> {
    /// The limit that refuses it the longest, the first of those that do.
    pub bar: Option<Bar<'a>>,
    /// The first place where a slot may be waited for.
    pub waits: Option<usize>,
    /// Leases are lacking that may come, until then.
    pub lacks_until_us: Option<u64>,
    /// The first limit's policy that was judged by without Redis.
    pub away: Option<Away>,
}

impl<'a> Verdict<'a> {
    pub(super) fn meet(&mut self, bar: Bar<'a>) {
        if self.bar.as_ref().is_none_or(|known| known.rank() < bar.rank()) {
            self.bar = Some(bar);
        }
    }

    pub(super) fn lack(&mut self, until_us: u64) {
        self.lacks_until_us = self.lacks_until_us.max(Some(until_us));
    }
}
