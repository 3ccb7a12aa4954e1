//! What keys with three limits cost in memory, each. Alone in its process: it counts every allocation.

#![expect(clippy::print_stdout, reason = "its figures are what a reader wants")]
#![expect(clippy::unwrap_used, reason = "in a test's helpers they are its verdict")]

#[path = "support/counting.rs"]
mod counting;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use counting::HELD;
use penstock_core::{
    clock::Clock,
    limits::{Ask, Held, Layered, Limits, Need, Now, Policy, Scope, Used},
};
use serde_json::json;

const KEYS: usize = 10_000;
const SECOND_US: u64 = 1_000_000;

struct House {
    limits: Limits,
    policy: Policy,
    now: Arc<AtomicU64>,
    names: Vec<String>,
}

impl House {
    fn new(most_counters: usize) -> Self {
        let minute = json!([{"amount": 1u64 << 40, "window_us": 60 * SECOND_US}]);
        let day = json!([{"amount": 1u64 << 40, "period": "day"}]);
        let policy = json!({"requests": minute, "tokens": minute, "budget": day, "concurrent": [{"amount": 9}]});
        Self {
            limits: Limits::with_most_counters(most_counters),
            policy: serde_json::from_value(policy).unwrap(),
            now: Arc::new(AtomicU64::new(1_774_000_000 * SECOND_US)),
            names: (0..KEYS).map(|n| format!("{n:012}")).collect(),
        }
    }

    /// Every key sends a request in each of so many seconds; bytes a key that this takes.
    fn after(&self, seconds: usize) -> usize {
        let before = HELD.load(Relaxed);
        let clock = Clock::Manual(self.now.clone());
        for _ in 0..seconds {
            for name in &self.names {
                self.admit(name, &clock).settle(Used { tokens: 9, nanousd: 9 }, Now::of(&clock));
            }
            self.now.fetch_add(SECOND_US, Relaxed);
        }
        (HELD.load(Relaxed) - before) / KEYS
    }

    fn admit(&self, name: &str, clock: &Clock) -> Held {
        let need = Need { requests: 1, tokens: 5, nanousd: 5 };
        let asks = [Ask { scope: Scope::Key(name), policy: Layered { own: Some(&self.policy), default: None }, need }];
        let admission = pin!(self.limits.admit(&asks, clock));
        match admission.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome.unwrap(),
            Poll::Pending => unreachable!("nothing queues"),
        }
    }
}

impl House {
    /// The same where limits are shared with other nodes, with a Redis that grants whatever is wanted. Each key has told
    /// what is left of its leases.
    fn after_shared(&self) -> usize {
        self.limits.share("a1b2", 50_000);
        self.limits.set_shared(false, 2);
        let before = HELD.load(Relaxed);
        let clock = Clock::Manual(self.now.clone());
        let need = Need { requests: 1, tokens: 5, nanousd: 5 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        for name in &self.names {
            let policy = Layered { own: Some(&self.policy), default: None };
            let asks = [Ask { scope: Scope::Key(name), policy, need }];
            let mut admission = pin!(self.limits.admit(&asks, &clock));
            let mut context = Context::from_waker(Waker::noop());
            assert!(admission.as_mut().poll(&mut context).is_pending());
            self.answer(&clock);
            let Poll::Ready(held) = admission.poll(&mut context) else { unreachable!("it has leases") };
            held.unwrap().settle(Used { tokens: 9, nanousd: 9 }, Now::of(&clock));
        }
        for _ in 0..1_000 {
            self.now.fetch_add(70_000, Relaxed);
            self.answer(&clock);
        }
        (HELD.load(Relaxed) - before) / KEYS
    }

    fn answer(&self, clock: &Clock) {
        loop {
            let asks = self.limits.lease_asks(clock);
            if asks.is_empty() {
                return;
            }
            for ask in asks {
                let arg = |at: usize| ask.args[at].parse::<i64>().unwrap();
                let (now, granted) = (clock.boot_us().cast_signed(), arg(13));
                let bucket = if arg(0) == 0 { arg(1) } else { now / arg(0) };
                let answer = [0, now, 7, arg(6), 0, granted, bucket, now + 900_000, granted, 0, 0, bucket];
                self.limits.lease_answered(ask, Some(&answer), clock);
            }
        }
    }
}

#[test]
fn a_key_with_three_limits_costs_a_few_hundred_bytes_and_more_only_while_it_is_busy() {
    let house = House::new(usize::MAX);
    let first = house.after(1);
    let busy = first + house.after(7);
    let always = busy + house.after(60);
    println!("{first} bytes a key after one request, {busy} after one in each of 8 seconds, {always} a minute long");
    assert!((300..=680).contains(&first) && busy <= 880 && always <= 2_800, "{first}, {busy}, {always}");
    house.now.fetch_add(62 * SECOND_US, Relaxed);
    let clock = Clock::Manual(house.now.clone());
    (0..256).for_each(|_| house.limits.sweep(&clock));
    assert_eq!(house.limits.len(), KEYS, "their budgets of the day are kept");
    drop(house);

    let house = House::new(0);
    let tight = house.after(60);
    println!("{tight} bytes a key a minute long, when memory is short");
    assert!(tight <= first + 100, "{tight}");
    drop(house);

    let shared = House::new(usize::MAX).after_shared();
    println!("{shared} bytes a key after one request, where its limits are shared between nodes");
    assert!(shared <= first + 2_000, "{shared}");
}
