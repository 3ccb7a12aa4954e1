//! What a request was admitted with, until its true use is known.

use std::sync::Arc;

use super::{
    Away, Counted, Kind, Need, Now, Standing,
    broker::Broker,
    cell::{Cell, State, amount},
    counter::{Counter, Moment, is_kept},
    lease::Charged,
};

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub tokens: u64,
    pub nanousd: u64,
}

/// One scope's part.
#[derive(Debug)]
pub(super) struct Hold {
    pub cell: Arc<Cell>,
    pub need: Need,
    /// When it was charged, as the cell saw it.
    pub at: Moment,
    /// The counters it was charged to, by place.
    pub counters: u64,
    pub generation: u32,
    pub slot: bool,
    pub keeps_requests: bool,
    pub charges: Leaseholds,
}

/// What was charged to leases, by the counter's place. Without shared limits nothing, and no memory.
pub(super) type Leaseholds = Vec<(u8, Charged)>;

/// What a request holds of all its scopes. Dropped, all of it is released as unused, the request's count included.
#[must_use]
#[derive(Debug, Default)]
pub struct Held {
    pub(super) holds: Vec<Hold>,
    pub(super) standing: Standing,
    pub(super) waited_us: u64,
    pub(super) admitted_us: Option<u64>,
    pub(super) lease_us: u64,
    pub(super) away: Option<Away>,
}

impl Held {
    /// Of a request that nothing limits.
    pub fn none() -> Self {
        Self::default()
    }

    /// How long it waited for a slot.
    pub fn waited_us(&self) -> u64 {
        self.waited_us
    }

    /// How long it waited for leases.
    pub fn lease_us(&self) -> u64 {
        self.lease_us
    }

    /// It was admitted without what nodes share, by this policy; of several by the first that was asked.
    pub fn away(&self) -> Option<Away> {
        self.away
    }

    /// The boot time at which it was counted; `None` where nothing is.
    pub fn admitted_us(&self) -> Option<u64> {
        self.admitted_us
    }

    /// What was left when it was admitted.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// From now on the request counts, whatever becomes of it.
    pub fn keep_requests(&mut self) {
        self.holds.iter_mut().for_each(|hold| hold.keeps_requests = true);
    }

    /// Others may have its slots: the answer has ended, though what it used is not known yet.
    pub fn free_slots(&mut self) {
        for hold in self.holds.iter_mut().filter(|hold| hold.slot) {
            hold.slot = false;
            hold.cell.state.lock().slots.release();
        }
    }

    /// Puts what was used in the place of what was reserved. The request counts, its slots are free. Where it is counted
    /// for longer than the process may live.
    pub fn settle(mut self, used: Used, now: Now) -> Counted {
        self.keep_requests();
        let mut counted = Counted::default();
        for mut hold in self.holds.drain(..) {
            if let Some(told) = hold.end(Some((used, now))) {
                counted.note(hold.cell.scope.as_scope(), told);
            }
        }
        counted
    }
}

impl Hold {
    /// Settles or releases what it still holds, once: what is done with is forgotten at once. The number of the cell's
    /// latest telling, where a count is one that outlives the process.
    fn end(&mut self, used: Option<(Used, Now)>) -> Option<u64> {
        let mut state = self.cell.state.lock();
        // First of all: whatever becomes of the counts, others may have the slot.
        if std::mem::take(&mut self.slot) {
            state.slots.release();
        }
        let now = match used {
            Some((_, now)) => state.moment(now.into()),
            None => state.latest(),
        };
        let (counters, mut is_counted) = (std::mem::take(&mut self.counters), false);
        for place in places(counters) {
            let counter = &mut state.counters[place];
            // One that has begun anew since knows nothing of this.
            if counter.since > self.generation {
                continue;
            }
            if used.is_some() {
                counter.advance(now, &self.cell.ledger);
            }
            let (reserved, used) = (amount(&self.need, counter.kind), self.used(counter.kind, used));
            counter.settle(reserved, used, self.at, now, &self.cell.ledger);
            is_counted |= is_kept(counter.span);
        }
        if let Some(broker) = self.cell.ledger.broker.get() {
            self.end_leases(&mut state, counters, used.map(|(used, _)| used), now, broker);
        }
        state.note(&self.cell);
        is_counted.then_some(state.told)
    }

    /// What counts of a kind from now on.
    fn used(&self, kind: Kind, used: Option<(Used, Now)>) -> u64 {
        match kind {
            Kind::Requests if self.keeps_requests => self.need.requests,
            _ => used.map_or(0, |(used, _)| used.of(kind)),
        }
    }

    fn concerns(&self, counter: &Counter) -> bool {
        counter.since <= self.generation && !(self.keeps_requests && counter.kind == Kind::Requests)
    }

    /// The same of what is shared with other nodes.
    #[cold]
    fn end_leases(&self, state: &mut State, counters: u64, used: Option<Used>, now: Moment, broker: &Broker) {
        for place in places(counters) {
            let counter = &state.counters[place];
            if !self.concerns(counter) {
                continue;
            }
            let (kind, span) = (counter.kind, counter.span);
            let (reserved, used) = (amount(&self.need, kind), used.map_or(0, |used| used.of(kind)));
            if used > reserved {
                let (_, leased) = state.shared(place, now, &self.cell.ledger);
                leased.spend_more(used - reserved, now, broker, drop);
                leased.touch(&self.cell, broker);
            } else if used < reserved
                && let Some(leased) = state.leases.find(kind, span)
            {
                let charges = self.charges.iter().rev().filter(|(of, _)| usize::from(*of) == place);
                leased.free(charges.map(|(_, charged)| *charged), reserved - used, now);
                leased.touch(&self.cell, broker);
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.slot || self.counters != 0 {
            self.end(None);
        }
    }
}

impl Used {
    fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Concurrent | Kind::Requests => 0,
            Kind::Tokens => self.tokens,
            Kind::Budget => self.nanousd,
        }
    }
}

/// The places that are set in a mask.
fn places(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = mask.trailing_zeros();
        mask &= mask.checked_sub(1)?;
        Some(place as usize)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::{Held, Used};
    use crate::{
        clock::Clock,
        limits::{Ask, Kind, Layered, Limits, Need, Now, Policy, Scope},
    };

    #[test]
    fn a_panic_in_one_scope_costs_no_other_its_slot() {
        let limits = Limits::new();
        let policy: Policy = serde_json::from_str(
            r#"{"tokens": [{"amount": 9, "window_us": 60000000}], "concurrent": [{"amount": 1}]}"#,
        )
        .unwrap();
        let policy = Layered { own: Some(&policy), default: None };
        let need = Need { requests: 1, tokens: 5, nanousd: 0 };
        let scopes = [Scope::Key("k"), Scope::Team("t"), Scope::Global];
        let asks = scopes.map(|scope| Ask { scope, policy, need });
        let admit = || match pin!(limits.admit(&asks, &Clock::System)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(held) => held.unwrap(),
            Poll::Pending => Held::none(),
        };
        for settles in [true, false] {
            let mut held = admit();
            assert_eq!(held.holds.len(), 3);
            // A counter that is not there.
            held.holds[0].counters = 1 << 63;
            let settle = |held: Held| drop(held.settle(Used::default(), now()));
            let ends = AssertUnwindSafe(|| if settles { settle(held) } else { drop(held) });
            assert!(catch_unwind(ends).is_err());
            for scope in scopes {
                let used =
                    |kind| limits.report(scope, policy, now()).iter().find(|each| each.kind == kind).unwrap().used;
                assert_eq!(used(Kind::Concurrent), 0, "{scope:?}");
                assert_eq!(used(Kind::Tokens), if scope == scopes[0] { 5 } else { 0 }, "{scope:?}");
            }
            limits.reset(scopes[0]);
        }
    }

    fn now() -> Now {
        Now::of(&Clock::System)
    }
}
