//! Slots go to those who wait for them in the order in which they came.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    limits::{Held, Kind, Limits, Policy, Scope, Used},
};
use serde_json::json;
use tokio::{
    task::{JoinHandle, LocalSet, spawn_local, yield_now},
    time::Instant,
};

use crate::made::{START_US, admit, ask, clock_at, need, now, policy, set, used};

fn slots(amount: u32, queue_ms: u64) -> Policy {
    policy(json!({"concurrent": [{"amount": amount, "queue_us": queue_ms * 1_000}]}))
}

/// Requests that note when they were admitted, by number.
#[derive(Clone)]
struct House {
    limits: Arc<Limits>,
    clock: Clock,
    order: Rc<RefCell<Vec<u32>>>,
}

impl House {
    fn new() -> Self {
        Self { limits: Arc::default(), clock: clock_at(START_US).0, order: Rc::default() }
    }

    /// Begins a request of scopes and their policies, and lets it come as far as it does.
    async fn begin(&self, n: u32, scopes: &[(Scope<'static>, &Policy)]) -> JoinHandle<Option<Held>> {
        let scopes: Vec<_> = scopes.iter().map(|(scope, policy)| (*scope, (*policy).clone())).collect();
        let house = self.clone();
        let task = spawn_local(async move {
            let asks: Vec<_> = scopes.iter().map(|(scope, policy)| ask(*scope, policy, need(1, 1, 0))).collect();
            let held = house.limits.admit(&asks, &house.clock).await.ok()?;
            house.order.borrow_mut().push(n);
            Some(held)
        });
        settle_down().await;
        task
    }

    fn in_use(&self, scope: Scope<'_>, policy: &Policy) -> u64 {
        used(&self.limits, scope, policy, Kind::Concurrent, &self.clock)
    }

    fn order(&self) -> Vec<u32> {
        self.order.borrow().clone()
    }
}

/// Until every task has done what it can at this time.
async fn settle_down() {
    for _ in 0..20 {
        yield_now().await;
    }
}

async fn held(task: JoinHandle<Option<Held>>) -> Held {
    task.await.unwrap().unwrap()
}

fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

const KEY: Scope<'static> = Scope::Key("k");
const OTHER: Scope<'static> = Scope::Key("other");
const TEAM: Scope<'static> = Scope::Team("t");

#[test]
fn who_waits_is_admitted_in_the_order_of_arrival_and_is_told_how_long_it_waited() {
    paused(async {
        let (house, two) = (House::new(), slots(2, 2_000));
        let mut tasks = Vec::new();
        for n in 0..20 {
            tasks.push(house.begin(n, &[(KEY, &two)]).await);
        }
        assert_eq!(house.order(), [0, 1]);
        for (n, task) in (0..).zip(tasks) {
            let Clock::Manual(hand) = &house.clock else { unreachable!() };
            assert_eq!(house.order(), (0..(n + 2).min(20)).collect::<Vec<_>>());
            let held = held(task).await;
            assert_eq!(held.waited_us(), u64::from(n.saturating_sub(1)) * 1_000, "{n}");
            hand.fetch_add(1_000, SeqCst);
            held.settle(Used::default(), now(&house.clock));
            settle_down().await;
        }
        assert_eq!(house.in_use(KEY, &two), 0);
    });
}

#[test]
fn who_waited_as_long_as_the_policy_says_is_refused_and_leaves_no_trace() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 2_000));
        let first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let started = Instant::now();
        let asks = [ask(KEY, &one, need(1, 0, 0))];
        let refused = house.limits.admit(&asks, &house.clock).await.unwrap_err();
        assert_eq!((refused.kind, refused.amount, refused.retry_after_us), (Kind::Concurrent, 1, 1_000_000));
        assert_eq!(started.elapsed().as_millis().div_ceil(10), 200);
        drop(first);
        held(house.begin(2, &[(KEY, &one)]).await).await.settle(Used::default(), now(&house.clock));
        house.limits.sweep(&house.clock);
        assert!(house.limits.is_empty());
    });
}

#[test]
fn who_gives_up_waiting_hands_its_turn_on_even_when_it_was_called_already() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 60_000));
        let first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let second = house.begin(1, &[(KEY, &one)]).await;
        let third = house.begin(2, &[(KEY, &one)]).await;
        let fourth = house.begin(3, &[(KEY, &one)]).await;
        third.abort();
        drop(first);
        // Called, and not yet run.
        second.abort();
        settle_down().await;
        assert_eq!(house.order(), [0, 3]);
        drop(held(fourth).await);
        assert_eq!(house.in_use(KEY, &one), 0);
    });
}

#[test]
fn no_newcomer_overtakes_while_a_free_slot_is_on_its_way_to_who_waits() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 60_000));
        let first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let second = house.begin(1, &[(KEY, &one)]).await;
        drop(first);
        // The second is called, and has not run yet.
        assert!(admit(&house.limits, &[ask(KEY, &slots(1, 0), need(1, 0, 0))], &house.clock).is_err());
        let third = house.begin(2, &[(KEY, &one)]).await;
        assert_eq!(house.order(), [0, 1]);
        drop(held(second).await);
        drop(held(third).await);
        assert_eq!(house.order(), [0, 1, 2]);
    });
}

#[test]
fn who_waits_for_its_key_does_not_keep_others_from_its_team_and_does_not_lose_its_place_there() {
    paused(async {
        let (house, key, team) = (House::new(), slots(1, 60_000), slots(2, 60_000));
        let first = held(house.begin(0, &[(KEY, &key), (TEAM, &team)]).await).await;
        // Waits for the key's slot; the team still has one.
        let second = house.begin(1, &[(KEY, &key), (TEAM, &team)]).await;
        let third = held(house.begin(2, &[(OTHER, &slots(9, 0)), (TEAM, &team)]).await).await;
        assert_eq!(house.order(), [0, 2]);
        // These came later, and wait for the team, which is full now.
        let fourth = house.begin(3, &[(OTHER, &slots(9, 0)), (TEAM, &team)]).await;
        let fifth = house.begin(4, &[(OTHER, &slots(9, 0)), (TEAM, &team)]).await;
        drop(first);
        settle_down().await;
        assert_eq!(house.order(), [0, 2, 1]);
        drop(third);
        drop(held(fourth).await);
        drop(held(second).await);
        drop(held(fifth).await);
        assert_eq!(house.order(), [0, 2, 1, 3, 4]);
        assert_eq!((house.in_use(KEY, &key), house.in_use(TEAM, &team)), (0, 0));
    });
}

#[test]
fn of_windows_that_refuse_nobody_waits_and_what_waited_is_checked_again() {
    paused(async {
        let house = House::new();
        let both = policy(json!({
            "requests": [{"amount": 2, "window_us": 60_000_000u64}], "concurrent": [{"amount": 1, "queue_us": 9_000_000}],
        }));
        let mut first = held(house.begin(0, &[(KEY, &both)]).await).await;
        first.keep_requests();
        let second = house.begin(1, &[(KEY, &both)]).await;
        let third = house.begin(2, &[(KEY, &both)]).await;
        assert!(!second.is_finished() && !third.is_finished());
        drop(first);
        held(second).await.settle(Used::default(), now(&house.clock));
        // Two requests of two have been: a slot alone is no use.
        assert!(third.await.unwrap().is_none());
        assert_eq!(used(&house.limits, KEY, &both, Kind::Requests, &house.clock), 2);
    });
}

#[test]
fn who_is_called_and_then_refused_or_sent_to_another_queue_hands_the_slot_on() {
    paused(async {
        let house = House::new();
        let (one, other) = (slots(1, 60_000), slots(1, 60_000));
        let none_left = policy(json!({
            "tokens": [{"amount": 4, "window_us": 60_000_000u64}], "concurrent": [{"amount": 1, "queue_us": 9_000_000}],
        }));
        let first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let second = house.begin(1, &[(KEY, &none_left)]).await;
        let third = house.begin(2, &[(KEY, &one), (TEAM, &other)]).await;
        let fourth = house.begin(3, &[(KEY, &one)]).await;
        let _team = held(house.begin(4, &[(TEAM, &other)]).await).await;
        let spent = policy(json!({"tokens": [{"amount": 4, "window_us": 60_000_000u64}]}));
        admit(&house.limits, &[ask(KEY, &spent, need(1, 4, 0))], &house.clock)
            .unwrap()
            .settle(Used { tokens: 4, nanousd: 0 }, now(&house.clock));
        let began = Instant::now();
        drop(first);
        // The second has no tokens left; the third waits for its team now; the fourth has the slot.
        assert!(second.await.unwrap().is_none());
        drop(held(fourth).await);
        assert_eq!((house.order(), began.elapsed()), (vec![0, 4, 3], Duration::ZERO));
        third.abort();
    });
}

#[test]
fn a_queue_is_bounded() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 60_000));
        let first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let mut tasks = Vec::new();
        for n in 1..=1024 {
            tasks.push(house.begin(n, &[(KEY, &one)]).await);
        }
        assert!(held_none(house.begin(2_000, &[(KEY, &one)]).await).await);
        drop(tasks.pop());
        drop(first);
        for task in tasks {
            drop(held(task).await);
        }
        assert_eq!(house.order().len(), 1024);
    });
}

async fn held_none(task: JoinHandle<Option<Held>>) -> bool {
    task.await.unwrap().is_none()
}

#[test]
fn whoever_may_not_wait_is_refused_at_once_and_whoever_waits_in_vain_knows_how_long() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 50));
        let _first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let asks = [ask(KEY, &one, need(1, 0, 0))];
        let (clock, hand) = clock_at(START_US);
        let began = Instant::now();
        assert_eq!(house.limits.admit_at_once(&asks, &clock).await.unwrap_err().waited_us, 0);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let waiting = house.limits.admit(&asks, &clock);
        let later = async {
            yield_now().await;
            set(&hand, START_US + 50_000);
        };
        let (refused, ()) = tokio::join!(waiting, later);
        assert_eq!(refused.unwrap_err().waited_us, 50_000);
        assert_eq!(house.in_use(KEY, &one), 1);
    });
}

#[test]
fn more_slots_by_a_new_policy_are_for_those_who_wait_too() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 60_000));
        let _first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let second = house.begin(1, &[(KEY, &one)]).await;
        let third = house.begin(2, &[(KEY, &slots(3, 60_000))]).await;
        let _second = held(second).await;
        let _third = held(third).await;
        assert_eq!(house.order().len(), 3);
    });
}

#[test]
fn slots_that_a_new_policy_lifts_are_no_slots_to_wait_for() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 60_000));
        let first = held(house.begin(0, &[(KEY, &one)]).await).await;
        let other = held(house.begin(1, &[(OTHER, &one)]).await).await;
        let tasks = [house.begin(2, &[(KEY, &one)]).await, house.begin(3, &[(KEY, &one)]).await];
        let unknown = house.begin(4, &[(OTHER, &one)]).await;
        house.limits.renew(|_| Some(1));
        settle_down().await;
        assert_eq!(house.order(), [0, 1]);
        let began = Instant::now();
        house.limits.renew(|scope| (scope == KEY).then_some(u32::MAX));
        for task in tasks {
            drop(held(task).await);
        }
        assert_eq!((house.order(), began.elapsed()), (vec![0, 1, 2, 3], Duration::ZERO));
        drop((first, other));
        drop(held(unknown).await);
        house.limits.renew(|_| None);
        house.limits.sweep(&house.clock);
        assert!(house.limits.is_empty());
    });
}

#[test]
fn each_queue_has_its_own_time() {
    paused(async {
        let (house, key, team) = (House::new(), slots(1, 60_000), slots(1, 2_000));
        let of_key = held(house.begin(0, &[(KEY, &key)]).await).await;
        let task = house.begin(1, &[(KEY, &key), (TEAM, &team)]).await;
        let of_team = held(house.begin(2, &[(TEAM, &team)]).await).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(of_key);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(!task.is_finished());
        // To the key's queue and back: the half second that is left in this one.
        let of_key = held(house.begin(3, &[(KEY, &key)]).await).await;
        drop(of_team);
        settle_down().await;
        let of_team = held(house.begin(4, &[(TEAM, &team)]).await).await;
        tokio::time::sleep(Duration::from_secs(40)).await;
        drop(of_key);
        let began = Instant::now();
        assert!(held_none(task).await);
        assert_eq!(began.elapsed().as_millis().div_ceil(10), 50);
        drop(of_team);
    });
}

#[test]
fn who_waited_elsewhere_is_not_refused_for_a_queue_full_of_those_who_came_later() {
    paused(async {
        let (house, one) = (House::new(), slots(1, 60_000));
        let of_key = held(house.begin(0, &[(KEY, &one)]).await).await;
        let task = house.begin(1, &[(KEY, &one), (TEAM, &one)]).await;
        let of_team = held(house.begin(2, &[(TEAM, &one)]).await).await;
        let mut later = Vec::new();
        for n in 3..1027 {
            later.push(house.begin(n, &[(TEAM, &one)]).await);
        }
        assert!(held_none(house.begin(5_000, &[(TEAM, &one)]).await).await);
        drop(of_key);
        settle_down().await;
        drop(of_team);
        drop(held(task).await);
        assert_eq!(house.order()[..3], [0, 2, 1]);
        later.iter().for_each(JoinHandle::abort);
    });
}

#[test]
fn a_refusal_after_a_wait_tells_of_the_counts_at_its_end() {
    paused(async {
        let (house, minute) = (House::new(), json!([{"amount": 9, "window_us": 60_000_000u64}]));
        let one = policy(json!({"requests": minute, "concurrent": [{"amount": 1, "queue_us": 60_000_000}]}));
        let mut first = held(house.begin(0, &[(KEY, &one)]).await).await;
        first.keep_requests();
        let asks = [ask(KEY, &one, need(1, 0, 0))];
        let mut admission = std::pin::pin!(house.limits.admit(&asks, &house.clock));
        assert!(tokio::time::timeout(Duration::from_secs(1), admission.as_mut()).await.is_err());
        let Clock::Manual(hand) = &house.clock else { unreachable!() };
        hand.fetch_add(62_000_000, SeqCst);
        let left = admission.await.unwrap_err().standing.requests.unwrap();
        assert_eq!((left.limit, left.remaining, left.reset_us), (9, 9, 0));
        drop(first);
    });
}
