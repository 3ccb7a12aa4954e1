//! The scopes of one request while they are locked.

use std::sync::Arc;

use parking_lot::MutexGuard;
use tokio::sync::Notify;

use super::{
    Ask, Away, Kind, Left, Rate, Scope, Span, Standing,
    broker::Broker,
    cell::{Cell, State, amount},
    counter::Moment,
    held::{Hold, Leaseholds},
    ledger::Ledger,
    short::{Fit, Waited},
    verdict::{Bar, Verdict},
};
use crate::clock::Clock;

/// The ticket of whoever has not waited yet: behind all who do. Their policy is the newest, that of all others too.
pub(super) const NEWCOMER: u64 = u64::MAX;
/// When to come again where Redis does not answer.
const AWAY_RETRY_US: u64 = 1_000_000;

/// An ask and the cell that it is about.
pub(super) struct Party<'a> {
    pub ask: &'a Ask<'a>,
    pub cell: Arc<Cell>,
}

/// One place for each kind of scope. All requests lock cells in this order.
pub(super) type Parties<'a> = [Option<Party<'a>>; Scope::KINDS];

/// A party while no one else may touch its cell.
pub(super) struct Locked<'a> {
    pub party: &'a Party<'a>,
    pub state: MutexGuard<'a, State>,
    pub now: Moment,
}

pub(super) fn lock<'a>(parties: &'a Parties<'a>, ledger: &Ledger, clock: &Clock) -> [Option<Locked<'a>>; Scope::KINDS] {
    let now = Moment::default();
    let mut locked = parties.each_ref().map(|party| {
        let party = party.as_ref()?;
        Some(Locked { party, state: party.cell.state.lock(), now })
    });
    // Read behind the locks: whoever was here before was so at an earlier moment.
    let now = ledger.now(clock).into();
    locked.iter_mut().flatten().for_each(|one| one.now = one.state.moment(now));
    locked
}

impl<'a> Locked<'a> {
    /// Looks for what is in the way of a request; takes nothing.
    pub(super) fn look(&mut self, ticket: u64, may_wait: bool, waited: Waited, verdict: &mut Verdict<'a>) {
        let Party { ask, cell } = self.party;
        if let Some(slots) = ask.policy.slots() {
            if ticket == NEWCOMER {
                self.state.slots.set_amount(slots.amount);
            }
            if !self.state.slots.is_free(ticket) {
                let has_room = ticket != NEWCOMER || !self.state.slots.is_full();
                if may_wait && slots.amount > 0 && slots.queue_us > 0 && has_room {
                    verdict.waits.get_or_insert(ask.scope.rank());
                } else {
                    verdict.meet(Bar::of_slots(self.party));
                }
            }
        }
        self.state.make_room(ask.policy, self.now, &cell.ledger);
        for (kind, rate) in ask.policy.all_rates() {
            let (need, span) = (amount(&ask.need, kind), Span::of(rate));
            let place = self.state.counter(kind, span, self.now, &cell.ledger);
            let counter = &self.state.counters[place];
            if !counter.fits(need, rate.amount) {
                let exceeds = need > rate.amount;
                let retry_after_us = if exceeds { 0 } else { counter.wait_us(need, rate.amount, self.now) };
                verdict.meet(Bar { exceeds, ..self.bar(kind, rate, need, retry_after_us) });
            }
        }
        if let Some(broker) = cell.ledger.broker.get() {
            self.look_for_leases(ticket, waited, broker, verdict);
        }
    }

    /// The same of what is shared with other nodes.
    #[cold]
    fn look_for_leases(&mut self, ticket: u64, waited: Waited, broker: &Broker, verdict: &mut Verdict<'a>) {
        let Party { ask, cell } = self.party;
        let now = self.now;
        for (kind, rate) in ask.policy.all_rates().filter(|(kind, _)| amount(&ask.need, *kind) > 0) {
            let need = amount(&ask.need, kind);
            let place = self.state.find(kind, Span::of(rate)).filter(|_| need <= rate.amount);
            let Some(place) = place else { continue };
            let (counter, leased) = self.state.shared(place, now, &cell.ledger);
            leased.set_limit(rate.amount, now);
            if !counter.fits(need, rate.amount) {
                // Refused by this node alone.
                leased.doubt();
                leased.touch(cell, broker);
                continue;
            }
            let (fit, counter) = (leased.judge(need, ticket, waited, now.us, broker), &*counter);
            match fit {
                Fit::Fits => {}
                Fit::Wait { until_us } => verdict.lack(until_us),
                Fit::Refused { retry_after_us } => verdict.meet(self.bar(kind, rate, need, retry_after_us)),
                Fit::Away => {
                    let away = ask.policy.away();
                    let _ = verdict.away.get_or_insert(away);
                    let (nodes, share) = (broker.nodes(), rate.amount / broker.nodes().max(1));
                    let wait_us = if need <= share { counter.wait_us(need, share, now) } else { AWAY_RETRY_US };
                    match away {
                        Away::Open => {}
                        Away::FairShare if nodes > 0 && counter.fits(need, share) => {}
                        Away::FairShare if nodes > 0 => verdict.meet(self.bar(kind, rate, need, wait_us)),
                        Away::FairShare | Away::Closed => {
                            verdict.meet(Bar { unavailable: true, ..self.bar(kind, rate, need, AWAY_RETRY_US) });
                        }
                    }
                }
            }
        }
    }

    fn bar(&self, kind: Kind, rate: &Rate, need: u64, retry_after_us: u64) -> Bar<'a> {
        let (scope, amount, span) = (self.party.ask.scope, rate.amount, Span::of(rate));
        Bar { scope, kind, amount, span, need, exceeds: false, unavailable: false, retry_after_us }
    }

    /// Waits for leases of all limits that lack some, which they ask for now.
    pub(super) fn want(&mut self, ticket: u64, woken: &Arc<Notify>, broker: &Broker) {
        let Party { ask, cell } = self.party;
        for (kind, rate) in ask.policy.all_rates() {
            let (need, span) = (amount(&ask.need, kind), Span::of(rate));
            if let Some(leased) = self.state.leases.find(kind, span).filter(|_| need > 0)
                && leased.lacks(need, ticket)
            {
                leased.line.enter(ticket, need, woken.clone());
                leased.touch(cell, broker);
            }
        }
    }

    /// Takes what has been found to fit.
    pub(super) fn take(&mut self) -> Hold {
        let Party { ask, cell } = self.party;
        let (mut counters, mut at) = (0, self.now);
        for (kind, rate) in ask.policy.all_rates() {
            // It was brought up to this moment when it was looked at.
            let Some(place) = self.state.find(kind, Span::of(rate)) else { continue };
            let counter = &mut self.state.counters[place];
            counter.reserve(amount(&ask.need, kind), self.now, &cell.ledger);
            counters |= 1 << place;
            at.utc_us = at.utc_us.max(counter.begin_us());
        }
        let broker = cell.ledger.broker.get();
        let charges = broker.map_or_else(Leaseholds::default, |broker| self.take_leases(broker));
        self.state.note(cell);
        let slot = ask.policy.slots().is_some();
        if slot {
            self.state.slots.take();
        }
        let generation = self.state.generation;
        Hold { cell: cell.clone(), need: ask.need, at, counters, generation, slot, keeps_requests: false, charges }
    }

    /// The same of leases.
    #[cold]
    fn take_leases(&mut self, broker: &Broker) -> Leaseholds {
        let Party { ask, cell } = self.party;
        let mut charges = Leaseholds::default();
        for (kind, rate) in ask.policy.all_rates().filter(|(kind, _)| amount(&ask.need, *kind) > 0) {
            let place = self.state.counter(kind, Span::of(rate), self.now, &cell.ledger);
            let (_, leased) = self.state.shared(place, self.now, &cell.ledger);
            leased.spend(amount(&ask.need, kind), self.now, broker, |charged| charges.push((place as u8, charged)));
            leased.touch(cell, broker);
        }
        charges
    }
}

/// What the limits leave, of the tightest of each kind.
pub(super) fn standing(locked: &mut [Option<Locked<'_>>]) -> Standing {
    let mut standing = Standing::default();
    for one in locked.iter_mut().flatten() {
        let policy = one.party.ask.policy;
        for (kind, rate) in policy.all_rates().filter(|(kind, _)| *kind != Kind::Budget) {
            let cell = &one.party.cell;
            if let Some((used, reset_us)) = one.state.usage(kind, Span::of(rate), one.now, &cell.ledger) {
                let (limit, remaining) = (rate.amount, rate.amount.saturating_sub(used));
                standing.meet(kind, Left { limit, remaining, reset_us });
            }
        }
    }
    standing
}
