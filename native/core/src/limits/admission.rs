//! All or nothing: a request is charged to all of its scopes, or to none.

use std::{cmp::Reverse, sync::Arc};

use parking_lot::MutexGuard;
use tokio::{
    sync::Notify,
    time::{Duration, Instant, timeout_at},
};

use super::{
    Held, Kind, Layered, Left, Limits, Now, Refused, Scope, Span, Standing,
    cell::{Cell, State, amount},
    counter::Moment,
    held::Hold,
};
use crate::clock::Clock;

/// When to come again where a slot is missing: nobody knows when a request ends.
const SLOT_RETRY_US: u64 = 1_000_000;
/// The same where there are no slots at all.
const NO_SLOTS_RETRY_US: u64 = 60_000_000;

/// What a request would reserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub requests: u64,
    pub tokens: u64,
    pub nanousd: u64,
}

/// What is asked of one scope. One whose policy is empty costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub scope: Scope<'a>,
    pub policy: Layered<'a>,
    pub need: Need,
}

/// A request's place among those who wait. Dropped, it is given up.
#[derive(Debug)]
struct Turn {
    ticket: u64,
    woken: Arc<Notify>,
    since: Instant,
    since_us: u64,
    /// Where it waits.
    cell: Option<Arc<Cell>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(cell) = &self.cell {
            let mut state = cell.state.lock();
            state.slots.leave(self.ticket);
            state.slots.wake();
        }
    }
}

/// An ask and the cell that it is about.
struct Party<'a> {
    place: usize,
    ask: &'a Ask<'a>,
    cell: Arc<Cell>,
}

enum Tried {
    Admitted(Held),
    Refused(Refused),
    /// A slot is missing; the ask that may wait for it.
    Waits(usize),
}

impl Limits {
    /// Admits a request to all scopes or none. An ask of a scope that was asked already is passed over.
    ///
    /// Where slots are missing and the policy has a queue, this waits, in the order of arrival.
    pub async fn admit(&self, asks: &[Ask<'_>], clock: &Clock) -> Result<Held, Refused> {
        let parties = self.parties(asks);
        if parties.is_empty() {
            return Ok(Held::none());
        }
        let mut turn = None;
        loop {
            let at = match self.attempt(&parties, &mut turn, clock) {
                Tried::Admitted(held) => return Ok(held),
                Tried::Refused(refused) => return Err(refused),
                Tried::Waits(at) => at,
            };
            let Some(turn) = &turn else { continue };
            let queue_us = parties[at].ask.policy.slots().map_or(0, |slots| slots.queue_us);
            let until = turn.since.checked_add(Duration::from_micros(queue_us)).unwrap_or(turn.since);
            if timeout_at(until, turn.woken.notified()).await.is_err() {
                return Err(Bar::of_slots(&parties[at]).refused(&lock(&parties, clock)));
            }
        }
    }

    /// In the order in which all requests lock them.
    fn parties<'a>(&self, asks: &'a [Ask<'a>]) -> Vec<Party<'a>> {
        let asked = asks.iter().enumerate().filter(|(_, ask)| !ask.policy.is_empty());
        let mut parties: Vec<_> = asked.map(|(place, ask)| Party { place, ask, cell: self.cell(ask.scope) }).collect();
        parties.sort_by_key(|party| Arc::as_ptr(&party.cell));
        parties.dedup_by(|later, first| Arc::ptr_eq(&later.cell, &first.cell));
        parties
    }

    fn attempt(&self, parties: &[Party<'_>], turn: &mut Option<Turn>, clock: &Clock) -> Tried {
        let mut locked = lock(parties, clock);
        let ticket = turn.as_ref().map_or(u64::MAX, |turn| turn.ticket);
        let left = turn.as_mut().and_then(|turn| turn.cell.take());
        let left = left.and_then(|cell| locked.iter().position(|one| Arc::ptr_eq(&one.party.cell, &cell)));
        left.into_iter().for_each(|at| locked[at].state.slots.leave(ticket));
        let mut found = Found::default();
        locked.iter_mut().enumerate().for_each(|(at, one)| one.look(at, ticket, &mut found));
        let tried = match found {
            Found { bar: Some(bar), .. } => Tried::Refused(bar.refused(&locked)),
            Found { waits: Some((_, at)), .. } => {
                let turn = turn.get_or_insert_with(|| self.turn(locked[at].now));
                locked[at].enter(turn);
                Tried::Waits(at)
            }
            Found { .. } => {
                let holds = locked.iter_mut().map(Locked::take).collect();
                let admitted_us = locked.iter().map(|one| one.now.boot_us()).max().unwrap_or(0);
                let waited_us = turn.as_ref().map_or(0, |turn| admitted_us.saturating_sub(turn.since_us));
                let standing = standing(&locked);
                Tried::Admitted(Held { holds, standing, waited_us, admitted_us, keeps_requests: false })
            }
        };
        left.into_iter().for_each(|at| locked[at].state.slots.wake());
        tried
    }

    /// A new place behind all others; taken where the slots are locked.
    fn turn(&self, now: Moment) -> Turn {
        Turn {
            ticket: self.next_ticket(),
            woken: Arc::default(),
            since: Instant::now(),
            since_us: now.boot_us(),
            cell: None,
        }
    }
}

/// A party while no one else may touch its cell.
struct Locked<'a> {
    party: &'a Party<'a>,
    state: MutexGuard<'a, State>,
    now: Moment,
}

fn lock<'a>(parties: &'a [Party<'a>], clock: &Clock) -> Vec<Locked<'a>> {
    let now = Moment::default();
    let mut locked: Vec<_> =
        parties.iter().map(|party| Locked { party, state: party.cell.state.lock(), now }).collect();
    // Read behind the locks: whoever was here before was so at an earlier moment.
    let now = Now::of(clock).into();
    locked.iter_mut().for_each(|one| one.now = one.state.moment(now));
    locked
}

impl<'a> Locked<'a> {
    /// Looks for what is in the way; changes nothing.
    fn look(&mut self, at: usize, ticket: u64, found: &mut Found<'a>) {
        let Party { place, ask, cell } = self.party;
        if let Some(slots) = ask.policy.slots() {
            self.state.slots.set_amount(slots.amount);
            if !self.state.slots.is_free(ticket) {
                if slots.amount > 0 && slots.queue_us > 0 && !self.state.slots.is_full() {
                    found.waits(*place, at);
                } else {
                    found.bar(Bar::of_slots(self.party));
                }
            }
        }
        for (kind, rate) in ask.policy.all_rates() {
            let (need, span) = (amount(&ask.need, kind), Span::of(rate));
            let counter = self.state.counter(kind, span, self.now, &cell.ledger);
            let counter = &self.state.counters[counter];
            if !counter.fits(need, rate.amount) {
                let exceeds = need > rate.amount;
                let retry_after_us = if exceeds { 0 } else { counter.wait_us(need, rate.amount, self.now) };
                let scope = ask.scope;
                found.bar(Bar { place: *place, scope, kind, amount: rate.amount, span, need, exceeds, retry_after_us });
            }
        }
    }

    /// Waits here for a slot.
    fn enter(&mut self, turn: &mut Turn) {
        self.state.slots.enter(turn.ticket, turn.woken.clone());
        turn.cell = Some(self.party.cell.clone());
    }

    /// Takes what has been found to fit.
    fn take(&mut self) -> Hold {
        let Party { ask, cell, .. } = self.party;
        let (mut counters, mut at) = (0, self.now);
        for (kind, rate) in ask.policy.all_rates() {
            let place = self.state.counter(kind, Span::of(rate), self.now, &cell.ledger);
            let counter = &mut self.state.counters[place];
            counter.charge(amount(&ask.need, kind), self.now, &cell.ledger);
            counters |= 1 << place;
            at.utc_us = at.utc_us.max(counter.begin_us());
        }
        let slot = ask.policy.slots().is_some();
        if slot {
            self.state.slots.take();
        }
        Hold { cell: cell.clone(), need: ask.need, at, counters, generation: self.state.generation, slot }
    }
}

/// What the limits leave, of the tightest of each kind.
fn standing(locked: &[Locked<'_>]) -> Standing {
    let mut standing = Standing::default();
    for one in locked {
        for (kind, rate) in one.party.ask.policy.all_rates().filter(|(kind, _)| *kind != Kind::Budget) {
            if let Some(place) = one.state.find(kind, Span::of(rate)) {
                let counter = &one.state.counters[place];
                let (limit, remaining) = (rate.amount, rate.amount.saturating_sub(counter.sum()));
                standing.meet(kind, Left { limit, remaining, reset_us: counter.reset_us(one.now) });
            }
        }
    }
    standing
}

/// A limit that is in the way.
struct Bar<'a> {
    place: usize,
    scope: Scope<'a>,
    kind: Kind,
    amount: u64,
    span: Span,
    need: u64,
    exceeds: bool,
    retry_after_us: u64,
}

impl<'a> Bar<'a> {
    fn of_slots(party: &Party<'a>) -> Self {
        let amount = party.ask.policy.slots().map_or(0, |slots| slots.amount);
        Self {
            place: party.place,
            scope: party.ask.scope,
            kind: Kind::Concurrent,
            amount: amount.into(),
            span: Span::AtOnce,
            need: 1,
            exceeds: false,
            retry_after_us: if amount == 0 { NO_SLOTS_RETRY_US } else { SLOT_RETRY_US },
        }
    }

    /// Larger for what stays longer, then for what was asked first.
    fn rank(&self) -> (bool, u64, Reverse<usize>) {
        (self.exceeds, self.retry_after_us, Reverse(self.place))
    }

    fn refused(self, locked: &[Locked<'_>]) -> Refused {
        Refused {
            kind: self.kind,
            scope: self.scope.into(),
            amount: self.amount,
            span: self.span,
            need: self.need,
            exceeds: self.exceeds,
            retry_after_us: self.retry_after_us,
            standing: standing(locked),
        }
    }
}

/// What is in the way of a request.
#[derive(Default)]
struct Found<'a> {
    /// The limit that refuses it the longest.
    bar: Option<Bar<'a>>,
    /// The first ask that may wait for a slot, and its party.
    waits: Option<(usize, usize)>,
}

impl<'a> Found<'a> {
    fn bar(&mut self, bar: Bar<'a>) {
        if self.bar.as_ref().is_none_or(|known| known.rank() < bar.rank()) {
            self.bar = Some(bar);
        }
    }

    fn waits(&mut self, place: usize, at: usize) {
        if self.waits.is_none_or(|(known, _)| place < known) {
            self.waits = Some((place, at));
        }
    }
}
