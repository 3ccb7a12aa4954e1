//! Shared limits among threads, with everything at once: answers that come late or never, requests that give up, and the
//! sweep. What Redis knows in the end is what was used.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    limits::{LeaseAsk, Limits, Now, Scope},
};
use tokio::task::{LocalSet, yield_now};

use crate::{
    made::{ask, layered, need},
    redis::{Answer, Args, away, tokens},
};

const LIMIT: u64 = 1 << 40;
const HOUR_US: u64 = 3_600_000_000;

/// What the script keeps, of windows that nothing leaves.
#[derive(Default)]
struct Redis {
    /// By tag: the last call, and what is counted by lease.
    limits: HashMap<String, (u64, HashMap<u64, u64>)>,
    granted: u64,
}

impl Redis {
    fn call(&mut self, args: &Args, now_us: u64) -> Answer {
        let (last, counted) = self.limits.entry(args.tag.clone()).or_default();
        let answer = Answer::of(args, now_us);
        if *last >= args.number {
            return Answer { status: 2, ..answer };
        }
        *last = args.number;
        for (number, _, amount) in &args.tells {
            counted.insert(*number, *amount);
        }
        if args.want > 0 {
            counted.insert(args.number, args.want);
            self.granted += args.want;
        }
        // So short that stops come all the time.
        let expiry_us = now_us + 20_000;
        Answer { expiry_us, sum: counted.values().sum(), ..answer }.granting(args.want)
    }
}

/// Carries asks and answers until all is told: some late, some never, some to Redis but not back.
fn carry(limits: &Limits, clock: &Clock, at_work: &AtomicU64) -> Redis {
    let (mut redis, mut on_its_way, mut n) = (Redis::default(), VecDeque::<(LeaseAsk, Answer)>::new(), 0u64);
    let mut quiet_since_us = clock.boot_us();
    loop {
        for ask in limits.lease_asks(clock) {
            quiet_since_us = clock.boot_us();
            n += 1;
            let is_loud = at_work.load(SeqCst) > 0;
            match n % 11 {
                3 if is_loud => drop(ask),
                5 if is_loud => {
                    redis.call(&Args::of(&ask), clock.boot_us());
                    limits.lease_answered(ask, None, clock);
                }
                _ => {
                    let answer = redis.call(&Args::of(&ask), clock.boot_us());
                    on_its_way.push_back((ask, answer));
                }
            }
        }
        while on_its_way.len() > usize::try_from(n % 3).unwrap() {
            let Some((ask, answer)) = on_its_way.pop_front() else { break };
            limits.lease_answered(ask, Some(&answer.numbers()), clock);
        }
        if at_work.load(SeqCst) == 0 {
            for (ask, answer) in on_its_way.drain(..) {
                limits.lease_answered(ask, Some(&answer.numbers()), clock);
            }
            if clock.boot_us() - quiet_since_us > 600_000 {
                return redis;
            }
        }
        limits.sweep(clock);
        std::thread::yield_now();
    }
}

#[test]
fn among_threads_what_redis_counts_in_the_end_is_what_was_used() {
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let (limits, clock) = (Arc::new(Limits::new()), Clock::System);
    limits.share("a1b2", 50_000);
    limits.set_shared(false, 3);
    let written = away(tokens(LIMIT, HOUR_US), "open");
    let scopes = [Scope::Key("a"), Scope::Key("b"), Scope::Global];
    let (used, at_work) = (scopes.map(|_| AtomicU64::new(0)), AtomicU64::new(3));
    let redis = std::thread::scope(|scope| {
        let (limits, written, used, at_work) = (&limits, &written, &used, &at_work);
        for worker in 0..3u64 {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let lanes = (0..8u64).map(|lane| async move {
                    for n in 0..rounds {
                        let key = usize::from((worker + lane + n) % 5 == 0);
                        let wanted = need(1, 1 + (n * 7 + lane) % 40, 0);
                        let asks = [ask(scopes[key], written, wanted), ask(scopes[2], written, wanted)];
                        let admission = limits.admit(&asks, &Clock::System);
                        if n % 9 == lane {
                            // Gives up at some point of its wait.
                            let _ = tokio::time::timeout(Duration::from_micros(37 * (n % 60)), admission).await;
                            continue;
                        }
                        // Who is refused waited too long for others.
                        let Ok(held) = admission.await else { continue };
                        yield_now().await;
                        if n % 50 == 7 {
                            tokio::time::sleep(Duration::from_millis(30)).await;
                        }
                        if n % 4 == 1 {
                            drop(held);
                            continue;
                        }
                        let tokens = (n * 13 + lane) % 60;
                        used[key].fetch_add(tokens, SeqCst);
                        used[2].fetch_add(tokens, SeqCst);
                        held.settle(penstock_core::limits::Used { tokens, nanousd: 0 }, Now::of(&Clock::System));
                    }
                });
                let local = LocalSet::new();
                local.block_on(&runtime, crate::stress::join_all(lanes.collect()));
                at_work.fetch_sub(1, SeqCst);
            });
        }
        carry(limits, &clock, at_work)
    });
    assert!(redis.granted > 0);
    for (scope, used) in scopes.iter().zip(&used) {
        let own = limits.report(*scope, layered(&written), Now::of(&clock))[0].used;
        let tag = format!("{}:{}:tokens:{HOUR_US}", scope.kind_name(), scope.name());
        let counted: u64 = redis.limits[&tag].1.values().sum();
        let used = used.load(SeqCst);
        assert_eq!((own, counted), (used, used), "{scope:?}");
    }
}
