//! Slots of one scope, and who waits for one, in the order of arrival.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Notify;

/// Whoever comes when so many wait is refused, unless it has waited elsewhere.
const MOST_WAITERS: usize = 1024;

#[derive(Debug)]
struct Waiter {
    /// Handed out in the order of arrival, over all scopes.
    ticket: u64,
    woken: Arc<Notify>,
}

/// Invariant: as many waiters have been woken as there are slots free, from the front.
#[derive(Debug, Default)]
pub(super) struct Slots {
    in_use: u32,
    /// As many as there are, by the policy that was seen last.
    amount: u32,
    #[expect(clippy::box_collection, reason = "8 bytes where hardly any scope has waiters")]
    waiters: Option<Box<VecDeque<Waiter>>>,
}

impl Slots {
    pub(super) fn in_use(&self) -> u32 {
        self.in_use
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_use == 0 && !self.has_waiters()
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.waiting() > 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= MOST_WAITERS
    }

    /// Takes note of how many there are now.
    pub(super) fn set_amount(&mut self, amount: u32) {
        if amount != self.amount {
            self.amount = amount;
            self.wake();
        }
    }

    /// Whether there is a slot that nobody who came earlier waits for.
    pub(super) fn is_free(&self, ticket: u64) -> bool {
        let ahead = self.waiters.as_ref().map_or(0, |waiters| place(waiters, ticket));
        self.has_more_than(ahead)
    }

    pub(super) fn take(&mut self) {
        self.in_use = self.in_use.saturating_add(1);
    }

    pub(super) fn release(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
        self.wake();
    }

    /// Waits from now on; `woken` is told when it may try.
    pub(super) fn enter(&mut self, ticket: u64, woken: Arc<Notify>) {
        let waiters = self.waiters.get_or_insert_default();
        let at = place(waiters, ticket);
        waiters.insert(at, Waiter { ticket, woken });
        self.wake();
    }

    /// Waits no longer. [`wake`](Self::wake) is to follow, once it is clear whether it took a slot.
    pub(super) fn leave(&mut self, ticket: u64) {
        if let Some(waiters) = &mut self.waiters {
            let at = place(waiters, ticket);
            if waiters.get(at).is_some_and(|waiter| waiter.ticket == ticket) {
                waiters.remove(at);
            }
            if waiters.is_empty() {
                self.waiters = None;
            }
        }
    }

    /// Tells all for whom there is a slot to try.
    pub(super) fn wake(&self) {
        let waiters = self.waiters.iter().flat_map(|waiters| waiters.iter()).enumerate();
        waiters.take_while(|(ahead, _)| self.has_more_than(*ahead)).for_each(|(_, waiter)| waiter.woken.notify_one());
    }

    /// Whether so many may be taken, and one more.
    fn has_more_than(&self, others: usize) -> bool {
        (self.in_use as usize).saturating_add(others) < self.amount as usize
    }

    fn waiting(&self) -> usize {
        self.waiters.as_ref().map_or(0, |waiters| waiters.len())
    }
}

/// Where a ticket stands or would stand.
fn place(waiters: &VecDeque<Waiter>, ticket: u64) -> usize {
    waiters.partition_point(|waiter| waiter.ticket < ticket)
}
