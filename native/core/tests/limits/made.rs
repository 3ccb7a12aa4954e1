//! Policies, clocks and asks as the tests of this room want them.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use penstock_core::{
    clock::Clock,
    limits::{Ask, Held, Kind, Layered, Limits, Need, Now, Policy, Refused, Scope},
};
use serde_json::Value;

pub const SECOND: u64 = 1_000_000;
/// A time of the year 2026.
pub const START_US: u64 = 1_774_000_000_000_000;

pub fn policy(json: Value) -> Policy {
    serde_json::from_value(json).unwrap()
}

/// A clock that stands, and the hand that moves it.
pub fn clock_at(us: u64) -> (Clock, Arc<AtomicU64>) {
    let hand = Arc::new(AtomicU64::new(us));
    (Clock::Manual(hand.clone()), hand)
}

pub fn set(hand: &AtomicU64, us: u64) {
    hand.store(us, Relaxed);
}

pub fn now(clock: &Clock) -> Now {
    Now::of(clock)
}

pub fn need(requests: u64, tokens: u64, nanousd: u64) -> Need {
    Need { requests, tokens, nanousd }
}

pub fn layered(own: &Policy) -> Layered<'_> {
    Layered { own: Some(own), default: None }
}

pub fn ask<'a>(scope: Scope<'a>, own: &'a Policy, need: Need) -> Ask<'a> {
    Ask { scope, policy: layered(own), need }
}

/// What becomes of a request that must not wait.
pub fn admit(limits: &Limits, asks: &[Ask<'_>], clock: &Clock) -> Result<Held, Refused> {
    let mut admission = pin!(limits.admit(asks, clock));
    match admission.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}

/// How much is used of the first limit of a kind.
pub fn used(limits: &Limits, scope: Scope<'_>, policy: &Policy, kind: Kind, clock: &Clock) -> u64 {
    let uses = limits.report(scope, layered(policy), now(clock));
    uses.iter().find(|each| each.kind == kind).unwrap().used
}
