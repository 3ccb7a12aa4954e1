//! The counters and slots of one scope.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Kind, Layered, Need, ScopeOwned, Span,
    counter::{Change, Counter, Moment},
    leased::Leased,
    leases::Leases,
    ledger::Ledger,
    queue::Slots,
};

/// As many as a hold can name.
const MOST_COUNTERS: usize = u64::BITS as usize;

#[derive(Debug)]
pub(super) struct Cell {
    pub scope: ScopeOwned,
    pub ledger: Arc<Ledger>,
    pub state: Mutex<State>,
}

impl Cell {
    pub(super) fn new(scope: ScopeOwned, ledger: Arc<Ledger>) -> Self {
        let state = Mutex::new(State { told: ledger.tellings(), ..State::default() });
        Self { scope, ledger, state }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.ledger.resized(self.state.get_mut().room(), 0);
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The latest moment seen: time does not go back.
    last_us: u64,
    /// Holds name them by place: each stays in its own, until nobody holds anything of the cell.
    pub counters: Vec<Counter>,
    pub slots: Slots,
    /// What is shared with other nodes: one for each counter that needs it.
    pub leases: Leases,
    /// Of the counts: one more each time that some begin anew.
    pub generation: u32,
    /// The number of its latest [telling](Self::tell): what is counted from here on is not in that one.
    pub told: u64,
    /// Whether the next checkpoint is going to look at it.
    listed: bool,
    /// Whether the ledger knows that somebody waits here.
    queued: bool,
}

impl State {
    /// Has the next checkpoint look at what has changed here. To be called after every change of counts.
    pub(super) fn note(&mut self, cell: &Arc<Cell>) {
        if cell.ledger.keeps() && !self.listed && self.counters.iter().any(Counter::has_changed) {
            self.listed = true;
            cell.ledger.list(cell.clone());
        }
    }

    /// What a checkpoint is to write: all there is, or what has changed since the last one. It has a number of its own.
    pub(super) fn tell(&mut self, all: bool, ledger: &Ledger) -> (u64, impl Iterator<Item = Change<'_>>) {
        self.listed = false;
        self.told = ledger.tells();
        (self.told, self.counters.iter_mut().filter_map(move |counter| counter.tell(all)))
    }

    /// The latest moment this cell has seen.
    pub(super) fn latest(&self) -> Moment {
        Moment { us: self.last_us, utc_us: 0 }
    }

    /// The moment as this cell sees it.
    pub(super) fn moment(&mut self, now: Moment) -> Moment {
        self.last_us = self.last_us.max(now.us);
        Moment { us: self.last_us, utc_us: now.utc_us }
    }

    /// The place of a counter, brought up to now; it is made when there is none.
    pub(super) fn counter(&mut self, kind: Kind, span: Span, now: Moment, ledger: &Ledger) -> usize {
        let place = self.find(kind, span).unwrap_or_else(|| self.make(kind, span, 0, now, ledger));
        self.counters[place].advance(now, ledger);
        self.counters[place].seen_s = now.seconds();
        place
    }

    /// Makes what a policy lacks of counters where places are scarce, so that none of its own has to go for another.
    pub(super) fn make_room(&mut self, policy: Layered<'_>, now: Moment, ledger: &Ledger) {
        if self.counters.len() + policy.all_rates().count() <= MOST_COUNTERS {
            return;
        }
        let spans = || policy.all_rates().map(|(kind, rate)| (kind, Span::of(rate)));
        let mut wanted = spans().filter_map(|(kind, span)| self.find(kind, span)).fold(0, |mask, at| mask | 1 << at);
        for (kind, span) in spans() {
            if self.find(kind, span).is_none() {
                wanted |= 1 << self.make(kind, span, wanted, now, ledger);
            }
        }
    }

    /// The place of a new counter. Of limits that were changed 64 times over one that counts nothing goes for it, else
    /// the one that was not looked at for the longest time, but none that is wanted.
    fn make(&mut self, kind: Kind, span: Span, wanted: u64, now: Moment, ledger: &Ledger) -> usize {
        if self.counters.len() < MOST_COUNTERS {
            self.counters.reserve_exact(1);
            self.counters.push(Counter::new(kind, span, self.generation));
            return self.counters.len() - 1;
        }
        self.counters.iter_mut().for_each(|counter| counter.advance(now, ledger));
        let places = (0..MOST_COUNTERS).filter(|place| wanted & (1 << place) == 0);
        let oldest = places.min_by_key(|place| (self.counters[*place].sum() > 0, self.counters[*place].seen_s));
        let place = oldest.unwrap_or(0);
        ledger.resized(self.counters[place].room(), 0);
        self.generation += 1;
        self.counters[place] = Counter::new(kind, span, self.generation);
        place
    }

    /// Waits for a slot from now on.
    pub(super) fn wait(&mut self, cell: &Arc<Cell>, ticket: u64, woken: Arc<Notify>) {
        self.slots.enter(ticket, woken);
        if !self.queued {
            self.queued = true;
            cell.ledger.queued(Arc::downgrade(cell));
        }
    }

    /// Takes note of how many slots there are by now. `false`: nobody waits for any.
    pub(super) fn renew(&mut self, amount: Option<u32>) -> bool {
        if let Some(amount) = amount {
            self.slots.set_amount(amount);
        }
        self.queued = self.slots.has_waiters();
        self.queued
    }

    /// What is used of a kind, and until when that counts.
    pub(super) fn usage(&mut self, kind: Kind, span: Span, now: Moment, ledger: &Ledger) -> Option<(u64, u64)> {
        let now = self.moment(now);
        let place = self.find(kind, span);
        if !self.leases.is_empty() {
            return self.usage_of_all(place, kind, span, now, ledger);
        }
        let counter = self.counters.get_mut(place?)?;
        counter.advance(now, ledger);
        Some((counter.sum(), counter.reset_us(now)))
    }

    /// The same with what other nodes use.
    #[inline(never)]
    fn usage_of_all(
        &mut self,
        place: Option<usize>,
        kind: Kind,
        span: Span,
        now: Moment,
        ledger: &Ledger,
    ) -> Option<(u64, u64)> {
        let own = place.and_then(|place| self.counters.get_mut(place)).map(|counter| {
            counter.advance(now, ledger);
            (counter.sum(), counter.reset_us(now))
        });
        let others = self.leases.find(kind, span).map(|leased| leased.others(now));
        match (own, others) {
            (Some(own), Some(others)) => Some((own.0.saturating_add(others.0), own.1.max(others.1))),
            (own, others) => own.or(others),
        }
    }

    pub(super) fn find(&self, kind: Kind, span: Span) -> Option<usize> {
        self.counters.iter().position(|counter| counter.kind == kind && counter.span == span)
    }

    /// Counts begin again at zero; slots stay. What is in flight is forgotten with the rest.
    pub(super) fn reset(&mut self) {
        self.generation += 1;
        let since = self.generation;
        self.counters.iter_mut().for_each(|counter| counter.reset(since));
        self.leases.iter_mut().for_each(Leased::forget);
    }

    /// A counter and what is shared of it, brought up to now.
    pub(super) fn shared(&mut self, place: usize, now: Moment, ledger: &Ledger) -> (&mut Counter, &mut Leased) {
        let counter = &mut self.counters[place];
        let leased = self.leases.get(counter.kind, counter.span);
        leased.advance(Some(counter), now, ledger);
        (counter, leased)
    }

    /// Drops what says nothing. `true`: nothing is left. Nobody may hold anything of the cell.
    pub(super) fn sweep(&mut self, now: Moment, ledger: &Ledger) -> bool {
        let now = self.moment(now);
        let before = self.room();
        self.counters.retain_mut(|counter| {
            counter.advance(now, ledger);
            counter.sum() > 0 || counter.may_come_back(now)
        });
        ledger.resized(before, self.room());
        self.counters.iter_mut().for_each(|counter| counter.shrink(ledger));
        self.leases.sweep(now, ledger) && self.counters.is_empty() && self.slots.is_idle()
    }

    /// Gives back the memory of counters that count nothing any more, where they may be held: their places stay.
    pub(super) fn shrink(&mut self, now: Moment, ledger: &Ledger) {
        let now = self.moment(now);
        for counter in &mut self.counters {
            counter.advance(now, ledger);
            counter.shrink(ledger);
        }
        self.leases.sweep(now, ledger);
    }

    fn room(&self) -> usize {
        self.counters.iter().map(Counter::room).sum()
    }
}

/// How much of a need is of a kind.
pub(super) fn amount(need: &Need, kind: Kind) -> u64 {
    match kind {
        Kind::Concurrent => 1,
        Kind::Requests => need.requests,
        Kind::Tokens => need.tokens,
        Kind::Budget => need.nanousd,
    }
}
