//! How long limits take among 100,000 keys, in nanoseconds: admission and settlement together, by how many limits hold;
//! a refusal; two threads that share a team; a sweep.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use penstock_core::{
    clock::Clock,
    limits::{Ask, Held, Layered, Limits, Need, Now, Policy, Rate, Refused, Scope, Slots, Used},
};

const KEYS: usize = 100_000;
const ROUNDS: usize = 400_000;
const MINUTE_US: u64 = 60_000_000;
const PLENTY: u64 = 1 << 50;
const NEED: Need = Need { requests: 1, tokens: 900, nanousd: 40_000 };
const USED: Used = Used { tokens: 700, nanousd: 30_000 };

fn rates(amount: u64) -> Box<[Rate]> {
    [Rate { amount, window_us: Some(MINUTE_US), period: None }].into()
}

/// Nanoseconds of one round, the best of five.
fn per_round(mut work: impl FnMut(usize)) -> u64 {
    let clock = Clock::System;
    let best = (0..5).map(|_| {
        let start = clock.boot_us();
        (0..ROUNDS).for_each(&mut work);
        (clock.boot_us() - start) * 1_000 / ROUNDS as u64
    });
    best.min().unwrap_or(0)
}

/// The outcome where nothing has to wait.
fn admit(limits: &Limits, asks: &[Ask<'_>]) -> Option<Result<Held, Refused>> {
    let admission = pin!(limits.admit(asks, &Clock::System));
    match admission.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn serve(limits: &Limits, asks: &[Ask<'_>]) {
    if let Some(Ok(held)) = admit(limits, black_box(asks)) {
        held.settle(USED, Now::of(&Clock::System));
    }
}

/// The same where limits are shared with other nodes: what is lacking is granted for an hour.
fn serve_shared(limits: &Limits, asks: &[Ask<'_>]) {
    let mut context = Context::from_waker(Waker::noop());
    let mut admission = pin!(limits.admit(asks, &Clock::System));
    loop {
        if let Poll::Ready(outcome) = admission.as_mut().poll(&mut context) {
            return outcome.map(|held| drop(held.settle(USED, Now::of(&Clock::System)))).unwrap_or_default();
        }
        for ask in limits.lease_asks(&Clock::System) {
            let (now, number) = (Clock::System.boot_us().cast_signed(), ask.args[6].parse().unwrap_or(0));
            let bucket = now / 1_000_000;
            let answer = [0, now, 1, number, 0, 1 << 50, bucket, now + 3_600_000_000, 0, 0, 0, bucket];
            limits.lease_answered(ask, Some(&answer), &Clock::System);
        }
    }
}

fn ask<'a>(scope: Scope<'a>, policy: &'a Policy) -> Ask<'a> {
    Ask { scope, policy: Layered { own: Some(policy), default: None }, need: NEED }
}

fn main() {
    let requests = Policy { requests: Some(rates(PLENTY)), ..Policy::default() };
    let three = Policy { tokens: Some(rates(PLENTY)), budget: Some(rates(PLENTY)), ..requests.clone() };
    let slots = Some([Slots { amount: 1_000_000, queue_us: 0 }].into());
    let four = Policy { concurrent: slots, ..three.clone() };
    let none = Policy { requests: Some(rates(3)), ..Policy::default() };
    let names: Vec<_> = (0..KEYS).map(|n| format!("{n:012}")).collect();
    // Keys in no order that a cache would know.
    let key = |n: usize| Scope::Key(&names[n * 7_919 % KEYS]);

    println!(
        "both clocks, read twice in all that follows: {} ns",
        per_round(|_| _ = black_box(Now::of(&Clock::System)))
    );
    for (what, policy, limited) in [("1 limit", &requests, 1), ("3 limits", &three, 3), ("4 limits", &four, 4)] {
        let limits = Limits::new();
        let hot = per_round(|_| serve(&limits, &[ask(key(1), policy)]));
        let ns = per_round(|n| serve(&limits, &[ask(key(n), policy)]));
        println!("a key with {what}: {ns} ns, {} ns a limit; one hot key {hot} ns", ns / limited);
        let start = Clock::System.boot_us();
        (0..256).for_each(|_| limits.sweep(&Clock::System));
        let us = (Clock::System.boot_us() - start) / 256;
        println!("  a sweep of {} cells: {us} us", limits.len());
    }
    let limits = Arc::new(Limits::new());
    let stack = |n| {
        [
            ask(key(n), &three),
            ask(Scope::Team("t"), &four),
            ask(Scope::Model("gpt-5"), &three),
            ask(Scope::Global, &requests),
        ]
    };
    let ns = per_round(|n| serve(&limits, &stack(n)));
    println!("key, team, model and global with 11 limits: {ns} ns, {} ns a limit", ns / 11);
    let ns = thread::scope(|scope| {
        let other = scope.spawn(|| per_round(|n| serve(&limits, &stack(n + KEYS / 2))));
        per_round(|n| serve(&limits, &stack(n))).max(other.join().unwrap_or(0))
    });
    println!("the same on each of two threads: {ns} ns");
    let shared = Limits::new();
    shared.share("a1b2", 50_000);
    shared.set_shared(false, 2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let _entered = runtime.as_ref().map(tokio::runtime::Runtime::enter);
    let ns = per_round(|_| serve_shared(&shared, &stack(1)));
    println!("one key's shared with other nodes, by leases at hand: {ns} ns, {} ns a limit", ns / 11);
    let refusals = Limits::new();
    let held: Vec<_> = (0..3).filter_map(|_| admit(&refusals, &[ask(key(0), &none)])).collect();
    let ns = per_round(|_| drop(black_box(admit(&refusals, &[ask(key(0), &none)]))));
    println!("a refusal, {} admitted: {ns} ns", held.len());
}
