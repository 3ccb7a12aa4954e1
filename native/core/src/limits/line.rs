//! Who waits for a lease of one limit, in the order of arrival.

use std::sync::Arc;

use tokio::sync::Notify;

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    need: u64,
    woken: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    waiters: Vec<Waiter>,
    /// What all of them need.
    sum: u64,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// What those need who came before.
    pub(super) fn ahead_of(&self, ticket: u64) -> u64 {
        if self.waiters.last().is_none_or(|last| last.ticket < ticket) {
            return self.sum;
        }
        self.waiters.iter().take_while(|waiter| waiter.ticket < ticket).fold(0, |sum, w| w.need.saturating_add(sum))
    }

    /// What the first one lacks for whom something is lacking, and what all lack together.
    pub(super) fn lacks(&self, spare: u64) -> (u64, u64) {
        let (mut left, mut first) = (spare, 0);
        for waiter in &self.waiters {
            if waiter.need > left {
                first = waiter.need - left;
                break;
            }
            left -= waiter.need;
        }
        (first, self.sum.saturating_sub(spare).max(first))
    }

    pub(super) fn enter(&mut self, ticket: u64, need: u64, woken: Arc<Notify>) {
        let at = self.waiters.partition_point(|waiter| waiter.ticket < ticket);
        self.waiters.insert(at, Waiter { ticket, need, woken });
        self.add_up();
    }

    pub(super) fn leave(&mut self, ticket: u64) {
        let at = self.waiters.partition_point(|waiter| waiter.ticket < ticket);
        if self.waiters.get(at).is_some_and(|waiter| waiter.ticket == ticket) {
            self.waiters.remove(at);
            self.add_up();
            if self.waiters.is_empty() {
                self.waiters = Vec::new();
            }
        }
    }

    /// Has all of them look again.
    pub(super) fn wake(&self) {
        self.waiters.iter().for_each(|waiter| waiter.woken.notify_one());
    }

    /// Has those look again for whom there is enough, with what those need who came before.
    pub(super) fn wake_for(&self, spare: u64) {
        let mut left = spare;
        for waiter in &self.waiters {
            let Some(rest) = left.checked_sub(waiter.need) else { break };
            waiter.woken.notify_one();
            left = rest;
        }
    }

    fn add_up(&mut self) {
        self.sum = self.waiters.iter().fold(0, |sum, waiter| sum.saturating_add(waiter.need));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn is_woken(by: &Notify) -> bool {
        matches!(pin!(by.notified()).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
    }

    #[test]
    fn of_what_is_there_only_those_hear_for_whom_it_is_enough() {
        let (mut line, waiters) = (Line::default(), [5, 3, 4, 0].map(|need| (need, Arc::new(Notify::new()))));
        for (ticket, (need, woken)) in (0..).zip(&waiters) {
            line.enter(ticket, *need, woken.clone());
        }
        for (spare, woken) in [(4, [false; 4]), (8, [true, true, false, false]), (11, [true, true, false, false])] {
            line.wake_for(spare);
            assert_eq!(waiters.each_ref().map(|(_, by)| is_woken(by)), woken, "{spare}");
        }
        line.wake_for(12);
        assert_eq!(waiters.each_ref().map(|(_, by)| is_woken(by)), [true; 4]);
        line.wake();
        assert_eq!(waiters.each_ref().map(|(_, by)| is_woken(by)), [true; 4]);
    }
}
