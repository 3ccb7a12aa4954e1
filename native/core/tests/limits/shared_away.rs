//! Limits that nodes share, while Redis does not answer: each place has a policy for that, and what it lets through is
//! told later.

use penstock_core::limits::{Away, LeaseResult, Need, Scope};
use serde_json::json;

use crate::{
    made::{SECOND, ask, need, policy},
    redis::{Args, KEY, MINUTE_US, Node, away, requests, tokens},
};

const ONE: Need = Need { requests: 1, tokens: 0, nanousd: 0 };

fn of_tokens(tokens: u64) -> Need {
    need(1, tokens, 0)
}

#[test]
fn without_a_known_number_of_nodes_nobody_can_say_and_before_the_first_word_nobody_can_be_asked() {
    let node = Node::new();
    node.limits.set_shared(true, 0);
    let written = requests(10, MINUTE_US);
    let refused = node.admit(KEY, &written, ONE).unwrap_err();
    assert!(refused.unavailable && !refused.exceeds);
    assert_eq!((refused.away, refused.retry_after_us), (Some(Away::FairShare), SECOND));
    node.asks_nothing();
}

#[test]
fn a_fair_share_is_the_limit_by_the_nodes_less_what_this_one_has_used() {
    let node = Node::new();
    let written = tokens(1_000, MINUTE_US);
    let mut waits = node.begin(KEY, &written, of_tokens(200));
    node.grant(200);
    let _held = waits.poll().unwrap().unwrap();
    node.limits.set_shared(true, 4);
    let held = node.admit(KEY, &written, of_tokens(50)).unwrap();
    assert_eq!(held.away(), Some(Away::FairShare));
    let refused = node.admit(KEY, &written, of_tokens(1)).unwrap_err();
    assert_eq!((refused.away, refused.unavailable, refused.exceeds), (Some(Away::FairShare), false, false));
    assert_eq!(refused.retry_after_us, 61 * SECOND);
    let larger = node.admit(KEY, &written, of_tokens(251)).unwrap_err();
    assert_eq!((larger.exceeds, larger.retry_after_us), (false, SECOND), "the limit itself is larger");
    assert!(node.admit(KEY, &written, of_tokens(1_001)).unwrap_err().exceeds);
    drop(held);
    assert!(node.fits(KEY, &written, of_tokens(50)));
}

#[test]
fn closed_spends_what_leases_have_left_and_open_the_whole_limit() {
    for (name, policy) in [("closed", Away::Closed), ("open", Away::Open)] {
        let node = Node::new();
        let written = away(tokens(100, MINUTE_US), name);
        let mut waits = node.begin(KEY, &written, of_tokens(10));
        node.grant(30);
        let _first = waits.poll().unwrap().unwrap();
        node.limits.set_shared(true, 0);
        let left = node.admit(KEY, &written, of_tokens(20)).unwrap();
        assert_eq!(left.away(), None, "it has a lease");
        match (node.admit(KEY, &written, of_tokens(70)), policy) {
            (Err(refused), Away::Closed) => assert!(refused.unavailable && refused.away == Some(policy)),
            (Ok(held), Away::Open) => {
                assert_eq!(held.away(), Some(policy));
                let refused = node.admit(KEY, &written, of_tokens(1)).unwrap_err();
                assert_eq!((refused.unavailable, refused.retry_after_us), (false, 61 * SECOND));
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn of_several_policies_the_first_is_named_and_what_is_certain_refuses_before_what_is_not() {
    let node = Node::new();
    node.limits.set_shared(true, 0);
    let (open, closed) = (away(requests(2, MINUTE_US), "open"), away(requests(9, MINUTE_US), "closed"));
    let asks = [ask(KEY, &open, ONE), ask(Scope::Global, &closed, ONE)];
    let refused = node.request(&asks).refused();
    assert_eq!((refused.away, refused.unavailable, refused.amount), (Some(Away::Open), true, 9));
    let open_too = away(requests(9, MINUTE_US), "open");
    let asks = [ask(KEY, &open, ONE), ask(Scope::Global, &open_too, ONE)];
    let held: Vec<_> = (0..2).map(|_| node.request(&asks).held()).collect();
    assert_eq!(held[0].away(), Some(Away::Open));
    let asks = [ask(KEY, &open, ONE), ask(Scope::Team("t"), &closed, ONE)];
    let refused = node.request(&asks).refused();
    assert_eq!((refused.unavailable, refused.amount), (false, 2));
}

#[test]
fn a_key_may_have_a_policy_of_its_own_over_the_default() {
    let own = away(policy(json!({})), "closed");
    let default = away(requests(10, MINUTE_US), "open");
    let layered = penstock_core::limits::Layered { own: Some(&own), default: Some(&default) };
    assert_eq!(layered.away(), Away::Closed);
    assert_eq!(penstock_core::limits::Layered { own: None, ..layered }.away(), Away::Open);
    assert_eq!(penstock_core::limits::Layered::default().away(), Away::FairShare);
}

#[test]
fn who_waits_in_vain_as_long_as_configured_is_judged_by_the_policy_and_later_ones_at_once() {
    let node = Node::new();
    let written = tokens(1_000, MINUTE_US);
    let first = node.begin(KEY, &written, of_tokens(100));
    let ask = node.ask();
    drop(first);
    let held = node.admit_in_vain(&[crate::made::ask(KEY, &written, of_tokens(400))]).unwrap();
    assert_eq!(held.away(), Some(Away::FairShare));
    node.pass(50_000);
    let refused = node.admit(KEY, &written, of_tokens(200)).unwrap_err();
    assert_eq!((refused.away, refused.unavailable), (Some(Away::FairShare), false));
    // The answer comes late, and is taken: the next one has a lease.
    node.pass(100_000);
    let args = Args::of(&ask);
    assert_eq!(node.answer(ask, &node.reply(&args).granting(150)), LeaseResult::Granted);
    assert_eq!(node.admit(KEY, &written, of_tokens(150)).unwrap().away(), None);
    let told = node.hear();
    assert_eq!(told.tells.iter().map(|tell| (tell.1, tell.2)).collect::<Vec<_>>(), [(0, 400)]);
}

#[test]
fn nobody_asks_in_the_place_of_who_cannot_and_the_wait_is_as_long_as_configured() {
    let node = Node::new();
    let written = away(requests(10, MINUTE_US), "closed");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let began = tokio::time::Instant::now();
        let asks = [ask(KEY, &written, ONE)];
        let refused = node.limits.admit(&asks, &node.clock).await.unwrap_err();
        assert!(refused.unavailable);
        assert_eq!(refused.waited_us, 0, "not for a slot");
        assert!((50..=52).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    });
}

#[test]
fn whoever_carries_asks_is_woken_by_who_waits_by_stops_and_by_redis_that_is_back_only() {
    let node = Node::new();
    let written = away(tokens(1_000, MINUTE_US), "open");
    assert!(!node.wakes_carrier(), "there is nothing");
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    assert!(node.wakes_carrier());
    node.grant(20);
    let held = waits.poll().unwrap().unwrap();
    assert!(!node.wakes_carrier(), "a lease is live");
    node.pass(SECOND);
    assert!(node.wakes_carrier(), "it has stopped");
    node.limits.set_shared(true, 2);
    assert!(!node.wakes_carrier(), "nobody can be asked");
    node.limits.set_shared(false, 2);
    assert!(node.wakes_carrier());
    node.hear();
    drop(held);
    assert!(!node.wakes_carrier(), "what is freed is told with what else is");
    node.pass(100_000);
    assert!(node.wakes_carrier());
}

#[test]
fn an_ask_that_is_not_answered_or_dropped_has_its_grant_given_back_with_the_next_one() {
    let node = Node::new();
    let written = away(tokens(1_000, MINUTE_US), "open");
    let mut ghosts = Vec::new();
    for drops in [false, true] {
        let waits = node.begin(KEY, &written, of_tokens(10));
        let ask = node.ask();
        ghosts.push(Args::of(&ask).number);
        if drops {
            drop(ask);
        } else {
            node.lose(ask);
        }
        let held = waits.held();
        assert_eq!(held.away(), Some(Away::Open));
        drop(held);
    }
    // By itself not at once, though nobody waits.
    node.pass(200_000);
    node.asks_nothing();
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let args = node.grant(10);
    let numbers: Vec<_> = args.tells.iter().map(|tell| (tell.0, tell.2)).collect();
    assert_eq!(numbers, [(ghosts[0], 0), (ghosts[1], 0)]);
    let _held = waits.poll().unwrap().unwrap();
    node.pass(SECOND);
    node.asks_nothing();
}

#[test]
fn what_was_admitted_without_a_lease_is_told_when_redis_is_back_by_its_sub_bucket_and_once() {
    let node = Node::new();
    let written = away(requests(100, MINUTE_US), "open");
    node.limits.set_shared(true, 2);
    for n in 0..70 {
        for _ in 0..=(n % 2) {
            node.admit(KEY, &written, ONE).unwrap().keep_requests();
        }
        node.pass(SECOND);
        node.asks_nothing();
    }
    node.limits.set_shared(false, 2);
    let ask = node.ask();
    let args = Args::of(&ask);
    let still: Vec<_> = (9..70u64).map(|n| 1 + n % 2).collect();
    assert_eq!(args.tells.iter().map(|tell| tell.2).collect::<Vec<_>>(), still[1..]);
    assert!(args.tells.iter().all(|tell| tell.1 == 0));
    assert_eq!(args.seen, (0, 0));
    node.lose(ask);
    node.pass(SECOND);
    let told = node.hear();
    assert_eq!(told.tells, args.tells[1..], "one has lapsed meanwhile");
    node.pass(SECOND);
    node.asks_nothing();
    // Charged after it was told: another lease.
    node.limits.set_shared(true, 2);
    node.admit(KEY, &written, ONE).unwrap().keep_requests();
    node.limits.set_shared(false, 2);
    node.pass(SECOND);
    let next = node.hear().tells;
    assert_eq!((next.len(), next[0].2), (1, 1));
    assert!(args.tells.iter().all(|tell| tell.0 != next[0].0));
}

#[test]
fn a_slot_that_is_missing_is_no_lease_and_is_refused_as_ever() {
    let node = Node::new();
    let window = json!([{"amount": 9, "window_us": MINUTE_US}]);
    let written = away(policy(json!({"requests": window, "concurrent": [{"amount": 1}]})), "open");
    let mut waits = node.begin(KEY, &written, ONE);
    node.limits.set_shared(true, 2);
    assert!(waits.poll().is_none(), "it is woken by nothing");
    let held = node.admit(KEY, &written, ONE).unwrap();
    assert_eq!(held.away(), Some(Away::Open));
    let refused = node.admit(KEY, &written, ONE).unwrap_err();
    assert_eq!((refused.kind.name(), refused.away, refused.unavailable), ("concurrent", Some(Away::Open), false));
}

#[test]
fn what_was_told_without_an_answer_and_is_given_back_whole_is_told_again() {
    let node = Node::new();
    let written = away(tokens(100, MINUTE_US), "open");
    node.limits.set_shared(true, 2);
    let held = node.admit(KEY, &written, of_tokens(5)).unwrap();
    node.limits.set_shared(false, 2);
    node.pass(100_000);
    let ask = node.ask();
    let told = Args::of(&ask).tells;
    assert_eq!((told.len(), told[0].2), (1, 5));
    // Redis has heard of it, perhaps.
    node.lose(ask);
    drop(held);
    node.pass(SECOND);
    assert_eq!(node.hear().tells, [(told[0].0, 0, 0)]);
    node.pass(SECOND);
    node.asks_nothing();
    // The same, but given back before the answer, with a sweep in between.
    node.limits.set_shared(true, 2);
    let held = node.admit(KEY, &written, of_tokens(7)).unwrap();
    node.limits.set_shared(false, 2);
    node.pass(100_000);
    let ask = node.ask();
    let args = Args::of(&ask);
    drop(held);
    (0..256).for_each(|_| node.limits.sweep(&node.clock));
    assert_eq!(node.answer(ask, &node.reply(&args)), LeaseResult::Told);
    node.pass(SECOND);
    assert_eq!(node.hear().tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>(), [(args.tells[0].0, 0)]);
}
