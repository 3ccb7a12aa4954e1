//! Limits that are shared between nodes, as whoever carries questions and answers sees them.

use std::sync::Arc;

use super::{
    Kind, LeaseResult, Limits, Span,
    broker::{Broker, Due},
    call::Call,
    cell::{Cell, State},
    counter::Moment,
    tag,
};
use crate::clock::Clock;

/// Asks that are made at once.
const MOST_ASKS: usize = 256;

/// What is to be asked of one limit. Dropped, it was not answered.
#[derive(Debug)]
pub struct LeaseAsk {
    pub tag: String,
    /// The script's.
    pub args: Vec<String>,
    cell: Arc<Cell>,
    kind: Kind,
    span: Span,
    /// `None`: it has ended.
    call: Option<Call>,
}

impl LeaseAsk {
    fn end(&mut self, answer: Option<&[i64]>, now: Option<Moment>) -> LeaseResult {
        let (Some(call), Some(broker)) = (self.call.take(), self.cell.ledger.broker.get()) else {
            return LeaseResult::Unanswered;
        };
        let mut state = self.cell.state.lock();
        let now = now.map_or(state.latest(), |now| state.moment(now));
        let State { counters, leases, generation, .. } = &mut *state;
        let Some(leased) = leases.find(self.kind, self.span) else { return LeaseResult::Unanswered };
        let mut counter = counters.iter_mut().find(|each| each.kind == self.kind && each.span == self.span);
        if now.utc_us > 0 {
            if let Some(counter) = &mut counter {
                counter.advance(now, &self.cell.ledger);
            }
            leased.advance(counter.as_deref(), now, &self.cell.ledger);
        }
        let (result, was_reset) =
            leased.answered(&call, answer, counter.as_ref().map_or(0, |counter| counter.sum()), now, broker);
        leased.touch(&self.cell, broker);
        if was_reset && let Some(counter) = counter {
            *generation += 1;
            counter.reset(*generation);
            state.note(&self.cell);
        }
        result
    }
}

impl Drop for LeaseAsk {
    fn drop(&mut self) {
        if self.call.is_some() {
            self.end(None, None);
        }
    }
}

impl Limits {
    /// From now on limits over time are shared with other nodes: before the first request, once. A request waits for an
    /// answer `timeout_us` at most. Nobody can be asked before [`set_shared`](Self::set_shared) says so.
    pub fn share(&self, instance: &str, timeout_us: u64) {
        let _ = self.ledger().broker.set(Broker::new(instance, timeout_us));
    }

    pub fn is_shared(&self) -> bool {
        self.ledger().broker.get().is_some()
    }

    /// Whether Redis cannot be asked, and how many nodes there are; 0: nobody knows.
    pub fn set_shared(&self, away: bool, nodes: u32) {
        if let Some(broker) = self.ledger().broker.get() {
            broker.set(away, nodes);
        }
    }

    /// Another node was refused by the limit of this tag: what is idle here is given back early.
    pub fn press(&self, tag: &str) {
        let Some((broker, (scope, kind, span))) = self.ledger().broker.get().zip(tag::read(tag)) else { return };
        if let Some(cell) = self.find(scope) {
            let mut state = cell.state.lock();
            if let Some(leased) = state.leases.find(kind, span) {
                leased.is_pressed = true;
                leased.touch(&cell, broker);
            }
        }
    }

    /// Gives back what is left of all leases, as nobody is going to need it. `true`: there is nothing that others have not
    /// heard, or nobody who would.
    pub fn give_back(&self, clock: &Clock) -> bool {
        let Some(broker) = self.ledger().broker.get().filter(|broker| !broker.is_away()) else { return true };
        let mut is_known = true;
        for cell in self.parts().flatten() {
            let mut state = cell.state.lock();
            let now = state.moment(self.now(clock).into());
            for leased in state.leases.iter_mut() {
                is_known &= leased.give_back(now);
                leased.touch(&cell, broker);
            }
        }
        is_known
    }

    /// Returns once there may be something to ask or to tell. For one task.
    pub async fn wants_leases(&self, clock: &Clock) {
        match self.ledger().broker.get() {
            Some(broker) => broker.wait(clock).await,
            None => std::future::pending().await,
        }
    }

    /// What is to be asked now, at most 256; of a limit one at a time.
    pub fn lease_asks(&self, clock: &Clock) -> Vec<LeaseAsk> {
        let Some(broker) = self.ledger().broker.get() else { return Vec::new() };
        // Read before anything is written: leases are reckoned from here on.
        let now = Moment::from(self.now(clock));
        let due = broker.take_due(now.us, MOST_ASKS);
        due.into_iter().filter_map(|due| self.lease_ask(&due, now, broker)).collect()
    }

    /// Takes the script's reply, 12 integers; `None`: there is none.
    pub fn lease_answered(&self, mut ask: LeaseAsk, answer: Option<&[i64]>, clock: &Clock) -> LeaseResult {
        ask.end(answer, Some(self.now(clock).into()))
    }

    fn lease_ask(&self, due: &Due, asked: Moment, broker: &Broker) -> Option<LeaseAsk> {
        let cell = due.cell.upgrade()?;
        let mut state = cell.state.lock();
        let now = state.moment(asked);
        let State { counters, leases, .. } = &mut *state;
        let leased = leases.find(due.kind, due.span)?;
        if !leased.is_timer(due.at_us) {
            return None;
        }
        let mut counter = counters.iter_mut().find(|each| each.kind == due.kind && each.span == due.span);
        if let Some(counter) = &mut counter {
            counter.advance(now, self.ledger());
        }
        leased.advance(counter.as_deref(), now, self.ledger());
        let call = leased.call(asked.us, now, broker);
        leased.touch(&cell, broker);
        let call = call?;
        let args = call.args(leased, broker);
        drop(state);
        let tag = tag::write(cell.scope.as_scope(), due.kind, due.span);
        Some(LeaseAsk { tag, args, cell, kind: due.kind, span: due.span, call: Some(call) })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::limits::{Ask, Layered, Need, Policy, Scope, Used};

    /// A request of a key that is admitted whatever becomes of it.
    fn admitted(limits: &Limits, clock: &Clock, policy: &Policy, key: &str) {
        let need = Need { requests: 1, tokens: 0, nanousd: 0 };
        let asks = [Ask { scope: Scope::Key(key), policy: Layered { own: Some(policy), default: None }, need }];
        let admission = pin!(limits.admit(&asks, clock));
        let Poll::Ready(Ok(held)) = admission.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
        held.settle(Used::default(), limits.now(clock));
    }

    #[test]
    fn while_redis_is_away_no_more_is_noted_than_there_are_limits() {
        let (limits, hand) = (Limits::new(), Arc::new(AtomicU64::new(1_000_000_000)));
        let clock = Clock::Manual(hand.clone());
        let policy: Policy =
            serde_json::from_str(r#"{"requests": [{"amount": 9, "window_us": 1000000}], "away": "open"}"#).unwrap();
        limits.share("a1b2", 50_000);
        for _ in 0..100 {
            admitted(&limits, &clock, &policy, "k");
            hand.fetch_add(2_000_000, Relaxed);
            (0..256).for_each(|_| limits.sweep(&clock));
        }
        let noted = limits.ledger().broker.get().map(Broker::noted);
        assert!(noted.is_some_and(|noted| noted <= 1), "{noted:?}");
    }
}
