//! What a request was admitted with, until its true use is known.

use std::sync::Arc;

use super::{
    Kind, Need, Now, Standing,
    cell::{Cell, amount},
    counter::Moment,
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
}

/// What a request holds of all its scopes. Dropped, all of it is released as unused, the request's count included.
#[must_use]
#[derive(Debug, Default)]
pub struct Held {
    pub(super) holds: Vec<Hold>,
    pub(super) standing: Standing,
    pub(super) waited_us: u64,
    pub(super) admitted_us: u64,
    pub(super) keeps_requests: bool,
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

    /// The boot time at which it was counted; 0 where nothing is.
    pub fn admitted_us(&self) -> u64 {
        self.admitted_us
    }

    /// What was left when it was admitted.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// From now on the request counts, whatever becomes of it.
    pub fn keep_requests(&mut self) {
        self.keeps_requests = true;
    }

    /// Puts what was used in the place of what was reserved. The request counts, its slots are free.
    pub fn settle(mut self, used: Used, now: Now) {
        std::mem::take(&mut self.holds).into_iter().for_each(|hold| hold.settle(used, now));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holds.iter().for_each(|hold| hold.release(self.keeps_requests));
    }
}

impl Hold {
    fn settle(&self, used: Used, now: Now) {
        let mut state = self.cell.state.lock();
        let now = state.moment(now.into());
        if state.generation == self.generation {
            for place in places(self.counters) {
                let counter = &mut state.counters[place];
                let used = match counter.kind {
                    Kind::Concurrent | Kind::Requests => continue,
                    Kind::Tokens => used.tokens,
                    Kind::Budget => used.nanousd,
                };
                let reserved = amount(&self.need, counter.kind);
                counter.advance(now, &self.cell.ledger);
                counter.give_back(reserved.saturating_sub(used), self.at, now);
                counter.charge(used.saturating_sub(reserved), now, &self.cell.ledger);
            }
        }
        state.note(&self.cell);
        if self.slot {
            state.slots.release();
        }
    }

    fn release(&self, keeps_requests: bool) {
        let mut state = self.cell.state.lock();
        let now = state.latest();
        if state.generation == self.generation {
            for place in places(self.counters) {
                let counter = &mut state.counters[place];
                if !(keeps_requests && counter.kind == Kind::Requests) {
                    counter.give_back(amount(&self.need, counter.kind), self.at, now);
                }
            }
        }
        state.note(&self.cell);
        if self.slot {
            state.slots.release();
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
