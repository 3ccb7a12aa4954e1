//! Slots among threads, under everything at once: two queues, who gives up, limits that change, and the sweep.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    limits::{Kind, Limits, Now, Policy, Scope, Used},
};
use serde_json::json;
use tokio::task::{LocalSet, yield_now};

use crate::made::{ask, layered, need, policy};

const TEAM: Scope<'static> = Scope::Team("t");

/// Threads with a runtime each, as workers are: at no time more than the limits, nobody is forgotten, nothing is left.
#[test]
fn among_threads_slots_are_never_exceeded_and_nobody_waits_for_ever() {
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let limits = Arc::new(Limits::new());
    let (team, window) = (
        policy(json!({"concurrent": [{"amount": 3, "queue_us": 60_000_000u64}]})),
        json!([{"amount": 1u64 << 40, "window_us": 60_000_000u64}]),
    );
    let keyed = policy(json!({"tokens": window, "concurrent": [{"amount": 2, "queue_us": 60_000_000u64}]}));
    let (in_team, most, at_work) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(4));
    std::thread::scope(|scope| {
        let (limits, at_work) = (&limits, &at_work);
        scope.spawn(move || {
            for n in 0.. {
                if at_work.load(SeqCst) == 0 {
                    break;
                }
                limits.renew(|scope| (scope == TEAM).then_some(1 + n % 3));
                limits.sweep(&Clock::System);
                std::thread::yield_now();
            }
        });
        for worker in 0..4u64 {
            let (team, keyed, in_team, most) = (&team, &keyed, &in_team, &most);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let requests = (0..4u64).map(|lane| async move {
                    let key = ["a", "b", "c"][((worker + lane) % 3) as usize];
                    for n in 0..rounds {
                        let asks = [ask(Scope::Key(key), keyed, need(1, 5, 0)), ask(TEAM, team, need(1, 5, 0))];
                        let admission = limits.admit(&asks, &Clock::System);
                        if n % 7 == lane {
                            // Gives up at some point of its wait.
                            let _ = tokio::time::timeout(Duration::from_micros(50 * (n % 200)), admission).await;
                            continue;
                        }
                        let mut held = admission.await.unwrap();
                        most.fetch_max(in_team.fetch_add(1, SeqCst) + 1, SeqCst);
                        yield_now().await;
                        in_team.fetch_sub(1, SeqCst);
                        match n % 3 {
                            0 => drop(held.settle(Used { tokens: 5, nanousd: 0 }, Now::of(&Clock::System))),
                            1 => held.keep_requests(),
                            _ => {}
                        }
                    }
                });
                let local = LocalSet::new();
                local.block_on(&runtime, async { join_all(requests.collect()).await });
                at_work.fetch_sub(1, SeqCst);
            });
        }
    });
    assert_eq!(most.load(SeqCst), 3);
    let now = Now::of(&Clock::System);
    let kept =
        (0..rounds).flat_map(|n| (0..4).map(move |lane| (n, lane))).filter(|(n, lane)| n % 7 != *lane && n % 3 == 0);
    let tokens: u64 = ["a", "b", "c"].iter().map(|key| tokens_used(&limits, key, &keyed, now)).sum();
    assert_eq!(tokens, 4 * 5 * kept.count() as u64);
    assert_eq!(limits.report(TEAM, layered(&team), now)[0].used, 0);
}

fn tokens_used(limits: &Limits, key: &str, policy: &Policy, now: Now) -> u64 {
    let uses = limits.report(Scope::Key(key), layered(policy), now);
    assert_eq!((uses[0].kind, uses[0].used), (Kind::Concurrent, 0));
    uses[1].used
}

pub async fn join_all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
