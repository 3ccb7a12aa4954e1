//! The counters and slots of one scope.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    Kind, Need, ScopeOwned, Span,
    counter::{Change, Counter, Moment},
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
        Self { scope, ledger, state: Mutex::default() }
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
    /// Grows only, but where [`forget`](Self::forget) or [`sweep`](Self::sweep) says otherwise: holds name them by place.
    pub counters: Vec<Counter>,
    pub slots: Slots,
    /// Of the counts; holds of an earlier one are about counts that are no more.
    pub generation: u32,
    /// Whether the next checkpoint is going to look at it.
    listed: bool,
}

impl State {
    /// Has the next checkpoint look at what has changed here. To be called after every change of counts.
    pub(super) fn note(&mut self, cell: &Arc<Cell>) {
        if cell.ledger.keeps() && !self.listed && self.counters.iter().any(Counter::has_changed) {
            self.listed = true;
            cell.ledger.list(cell.clone());
        }
    }

    /// What a checkpoint is to write: all there is, or what has changed since the last one.
    pub(super) fn tell(&mut self, all: bool) -> impl Iterator<Item = Change<'_>> {
        self.listed = false;
        self.counters.iter_mut().filter_map(move |counter| counter.tell(all))
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
        let place = self.find(kind, span).unwrap_or_else(|| {
            if self.counters.len() == MOST_COUNTERS {
                self.forget(ledger);
            }
            self.counters.reserve_exact(1);
            self.counters.push(Counter::new(kind, span));
            self.counters.len() - 1
        });
        self.counters[place].advance(now, ledger);
        place
    }

    /// What is used of a kind, and until when that counts.
    pub(super) fn usage(&mut self, kind: Kind, span: Span, now: Moment, ledger: &Ledger) -> Option<(u64, u64)> {
        let now = self.moment(now);
        let counter = self.find(kind, span).and_then(|place| self.counters.get_mut(place))?;
        counter.advance(now, ledger);
        Some((counter.sum(), counter.reset_us(now)))
    }

    pub(super) fn find(&self, kind: Kind, span: Span) -> Option<usize> {
        self.counters.iter().position(|counter| counter.kind == kind && counter.span == span)
    }

    /// Counts begin again at zero; slots stay. What is in flight is forgotten with the rest.
    pub(super) fn reset(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.counters.iter_mut().for_each(Counter::reset);
    }

    /// Drops what says nothing. `true`: nothing is left. Nobody may hold anything of the cell.
    pub(super) fn sweep(&mut self, now: Moment, ledger: &Ledger) -> bool {
        let now = self.moment(now);
        let before = self.room();
        self.counters.retain_mut(|counter| {
            counter.advance(now, ledger);
            counter.sum() > 0
        });
        ledger.resized(before, self.room());
        self.counters.iter_mut().for_each(|counter| counter.shrink(ledger));
        self.counters.is_empty() && self.slots.is_idle()
    }

    /// Counters of limits that were changed 64 times over: those of today are made anew, at zero.
    fn forget(&mut self, ledger: &Ledger) {
        ledger.resized(self.room(), 0);
        self.counters.clear();
        self.generation = self.generation.wrapping_add(1);
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
