//! Limits that nodes share, while Redis answers: what is asked and told, and what is spent.

use penstock_core::limits::{Kind, LeaseResult, Limits, Need, Policy, Scope};
use serde_json::json;

use crate::{
    made::{SECOND, START_US, ask, clock_at, need, policy},
    redis::{Answer, Args, KEY, MINUTE_US, Node, requests, tokens},
};

const ONE: Need = Need { requests: 1, tokens: 0, nanousd: 0 };

fn of_tokens(tokens: u64) -> Need {
    need(1, tokens, 0)
}

#[test]
fn a_cold_limit_asks_once_for_what_waits_and_the_lease_is_charged() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(30));
    let args = node.grant(30);
    assert_eq!(args.tag, "key:k:tokens:60000000");
    assert_eq!((args.length_us, args.begin_us, args.until_us, args.lease_us), (SECOND, 0, 0, SECOND));
    assert_eq!((args.limit, args.nodes, args.need, args.want), (1_000, 2, 30, 30));
    assert_eq!((args.seen, args.resets, args.reposts, args.tells), ((0, 0), 0, false, Vec::new()));
    let held = waits.poll().unwrap().unwrap();
    assert_eq!((held.away(), held.waited_us()), (None, 0));
    node.asks_nothing();
    assert_eq!(node.used(KEY, &written), 30);
    node.settle(held, 30);
    // The next one has to ask again.
    drop(node.begin(KEY, &written, of_tokens(1)));
}

#[test]
fn without_shared_limits_nothing_is_asked() {
    let (limits, (clock, _)) = (Limits::new(), clock_at(START_US));
    assert!(!limits.is_shared());
    limits.set_shared(false, 2);
    limits.press("key:k:requests:60000000");
    let written = requests(1, MINUTE_US);
    let _held = crate::made::admit(&limits, &[ask(KEY, &written, ONE)], &clock).unwrap();
    assert!(limits.lease_asks(&clock).is_empty());
}

#[test]
fn one_ask_covers_all_who_wait_and_they_are_served_in_the_order_of_arrival() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut first = node.begin(KEY, &written, of_tokens(30));
    let mut second = node.begin(KEY, &written, of_tokens(5));
    let mut third = node.begin(KEY, &written, of_tokens(7));
    let args = node.grant(36);
    assert_eq!((args.need, args.want), (30, 42));
    // Whoever is woken first: what is there is for those who came before.
    assert!(third.poll().is_none());
    let mut newcomer = node.begin(KEY, &written, of_tokens(1));
    let _second = second.poll().unwrap().unwrap();
    let _first = first.poll().unwrap().unwrap();
    let args = node.grant(7);
    assert_eq!((args.need, args.want - 7), (6, 2 * 35 * 4), "one left, and what was spent at once foreseen");
    let _third = third.poll().unwrap().unwrap();
    let _newcomer = newcomer.poll().unwrap().unwrap();
}

#[test]
fn who_leaves_while_it_waits_leaves_what_was_granted_to_the_next() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let first = node.begin(KEY, &written, of_tokens(30));
    let ask = node.ask();
    let mut second = node.begin(KEY, &written, of_tokens(20));
    let answer = node.reply(&Args::of(&ask)).granting(30);
    assert_eq!(node.answer(ask, &answer), LeaseResult::Granted);
    assert!(second.poll().is_none(), "the first one may take it");
    drop(first);
    let _second = second.poll().unwrap().unwrap();
    node.asks_nothing();
}

#[test]
fn all_limits_of_a_request_are_wanted_at_once_and_nothing_is_charged_before_all_fit() {
    let node = Node::new();
    let written = policy(json!({
        "requests": [{"amount": 10, "window_us": MINUTE_US}, {"amount": 100, "period": "day"}],
        "tokens": [{"amount": 100, "window_us": MINUTE_US}], "budget": [{"amount": 5, "period": "month"}],
    }));
    let asks = [ask(KEY, &written, need(1, 10, 0)), ask(Scope::Team("t:x"), &written, need(1, 10, 0))];
    let mut waits = node.request(&asks);
    assert!(waits.poll().is_none());
    let asked = node.asks();
    let mut tags: Vec<_> = asked.iter().map(|ask| ask.tag.as_str()).collect();
    tags.sort_unstable();
    let window = |of: &str, kind: &str| format!("{of}:{kind}:{MINUTE_US}");
    assert_eq!(
        tags,
        [
            "key:k:requests:60000000".to_owned(),
            "key:k:requests:day".to_owned(),
            window("key:k", "tokens"),
            window("team:t:x", "requests"),
            "team:t:x:requests:day".to_owned(),
            window("team:t:x", "tokens"),
        ],
        "nothing is needed of the budget"
    );
    for ask in asked {
        assert!(waits.poll().is_none());
        assert_eq!(node.used(KEY, &written), 0);
        let args = Args::of(&ask);
        assert_eq!(node.answer(ask, &node.reply(&args).granting(args.want)), LeaseResult::Granted);
    }
    let held = waits.held();
    assert_eq!(node.used(KEY, &written), 1);
    drop(held);
    node.asks_nothing();
    assert!(node.fits(KEY, &written, need(1, 10, 0)), "what was given back is left of the leases");
}

#[test]
fn a_lease_is_spent_until_its_stop_and_what_is_left_of_it_is_told() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    node.pass(700_000);
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let ask = node.ask();
    let args = Args::of(&ask);
    // The answer takes 100 ms; Redis was asked at the end of that, by its own clock of another day.
    node.pass(100_000);
    let answer = Answer::of(&args, 5 * 86_400 * SECOND + 200_000).granting(100);
    assert_eq!(answer.expiry_us - answer.now_us, 800_000);
    assert_eq!(node.answer(ask, &answer), LeaseResult::Granted);
    let held = waits.poll().unwrap().unwrap();
    node.pass(800_000 - 800 - 100_000 - 1);
    let kept = node.admit(KEY, &written, of_tokens(10)).unwrap();
    node.pass(1);
    let mut late = node.begin(KEY, &written, of_tokens(5));
    let ask = node.ask();
    let told = Args::of(&ask);
    assert_eq!(told.tells, [(args.number, answer.bucket, 20)]);
    assert_eq!((told.seen, told.need), ((77, args.number), 5));
    assert_eq!(node.answer(ask, &node.reply(&told).granting(5)), LeaseResult::Granted);
    let _late = late.poll().unwrap().unwrap();
    // What settling frees of a lease that has stopped goes back under its number, more is charged as of now.
    node.settle(held, 4);
    node.pass(100_000);
    assert_eq!(node.hear().tells, [(args.number, answer.bucket, 14)]);
    node.settle(kept, 17);
    node.pass(100_000);
    let own = node.hear().tells;
    assert_eq!((own.len(), own[0].1, own[0].2), (1, 0, 7));
    assert!(own[0].0 > args.number);
    node.pass(10 * SECOND);
    node.asks_nothing();
}

#[test]
fn by_itself_a_lease_that_stops_is_told_once_and_one_that_is_used_up_is_not() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    node.grant(25);
    let _held = waits.poll().unwrap().unwrap();
    node.pass(998_999);
    node.asks_nothing();
    node.pass(1);
    assert_eq!(node.hear().tells.iter().map(|tell| tell.2).collect::<Vec<_>>(), [10]);
    node.pass(MINUTE_US / 2);
    node.asks_nothing();
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    node.grant(10);
    let _kept = waits.poll().unwrap().unwrap();
    node.pass(MINUTE_US / 4);
    node.asks_nothing();
}

#[test]
fn what_is_freed_of_a_live_lease_is_left_again_and_serves_who_waits() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    node.grant(10);
    let held = waits.poll().unwrap().unwrap();
    let mut next = node.begin(KEY, &written, of_tokens(6));
    node.settle(held, 4);
    let _next = next.poll().unwrap().unwrap();
    assert!(node.fits(KEY, &written, need(1, 0, 0)), "nothing is needed");
    drop(node.begin(KEY, &written, of_tokens(1)));
}

#[test]
fn a_charge_over_two_leases_is_given_back_to_each_the_last_one_first() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(5));
    let first = node.grant(8);
    let five = waits.poll().unwrap().unwrap();
    node.pass(600_000);
    let mut waits = node.begin(KEY, &written, of_tokens(7));
    let second = node.grant(4);
    assert_eq!((second.need, node.used(KEY, &written)), (4, 5));
    let seven = waits.poll().unwrap().unwrap();
    drop(five);
    node.settle(seven, 2);
    assert!(node.fits(KEY, &written, of_tokens(10)) && !node.fits(KEY, &written, of_tokens(11)));
    node.pass(400_000 - 1_000);
    assert_eq!(node.hear().tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>(), [(first.number, 2)]);
    node.pass(SECOND);
    assert_eq!(node.hear().tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>(), [(second.number, 0)]);
}

#[test]
fn refused_is_who_needs_as_much_and_the_earliest_lapse_is_told_until_it_is_asked_again() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let waits = node.begin(KEY, &written, of_tokens(30));
    node.refuse(20 * SECOND);
    let refused = waits.refused();
    assert_eq!((refused.kind, refused.amount, refused.need), (Kind::Tokens, 1_000, 30));
    assert_eq!((refused.retry_after_us, refused.exceeds, refused.unavailable), (20 * SECOND, false, false));
    assert_eq!(refused.away, None);
    node.pass(100_000);
    assert_eq!(node.admit(KEY, &written, of_tokens(31)).unwrap_err().retry_after_us, 20 * SECOND - 100_000);
    node.asks_nothing();
    // Less may fit, and what others were granted may come back before it lapses.
    let mut less = node.begin(KEY, &written, of_tokens(29));
    let args = node.grant(29);
    assert_eq!((args.need, args.want), (29, 29), "others lack it");
    let _less = less.poll().unwrap().unwrap();
    node.pass(400_000);
    drop(node.begin(KEY, &written, of_tokens(30)));
    // The limit was raised.
    let waits = node.begin(KEY, &written, of_tokens(40));
    node.refuse(20 * SECOND);
    assert_eq!(waits.refused().retry_after_us, 20 * SECOND);
    drop(node.begin(KEY, &tokens(2_000, MINUTE_US), of_tokens(40)));
}

#[test]
fn the_own_counter_refuses_first_and_asks_nobody() {
    let (node, written) = (Node::new(), tokens(30, MINUTE_US));
    assert!(node.admit(KEY, &written, of_tokens(31)).unwrap_err().exceeds);
    let mut waits = node.begin(KEY, &written, of_tokens(20));
    node.grant(20);
    let _held = waits.poll().unwrap().unwrap();
    let refused = node.admit(KEY, &written, of_tokens(11)).unwrap_err();
    assert_eq!((refused.retry_after_us, refused.away), (61 * SECOND, None));
    node.asks_nothing();
}

#[test]
fn a_limit_that_is_lowered_spends_nothing_granted_for_the_higher_one() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let first = node.grant(100);
    let _held = waits.poll().unwrap().unwrap();
    let lower = tokens(500, MINUTE_US);
    let mut waits = node.begin(KEY, &lower, of_tokens(20));
    let args = node.grant(20);
    assert_eq!((args.limit, args.tells.len(), args.tells[0].2), (500, 1, 10));
    assert_eq!(args.tells[0].0, first.number);
    let _next = waits.poll().unwrap().unwrap();
    // One that was asked for the higher one and comes after.
    let mut late = node.begin(KEY, &lower, of_tokens(20));
    let ask = node.ask();
    let lowest = tokens(400, MINUTE_US);
    let mut waits = node.begin(KEY, &lowest, of_tokens(5));
    let args = Args::of(&ask);
    assert_eq!(node.answer(ask, &node.reply(&args).granting(20)), LeaseResult::Granted);
    assert!(late.poll().is_none() && waits.poll().is_none());
    let next = node.grant(25);
    assert_eq!((next.limit, next.tells.last().map(|tell| (tell.0, tell.2))), (400, Some((args.number, 0))));
    let (_late, _waits) = (late.held(), waits.held());
}

/// A request each millisecond of so many; each answer comes a millisecond after its ask and grants `most` of what is
/// wanted. When there were asks, how many of them were ahead of need, and how many requests had to wait in the end.
fn flow(written: &Policy, requests: u32, most: u64) -> (Vec<u64>, usize, usize) {
    let node = Node::new();
    let (mut asked, mut ahead, mut late, mut answers, mut waiting) = (Vec::new(), 0, 0, Vec::new(), Vec::new());
    for n in 0..requests {
        for (ask, answer) in answers.drain(..) {
            node.answer(ask, &answer);
        }
        waiting.push(node.request(&[ask(KEY, written, ONE)]));
        waiting.retain_mut(|request| match request.poll() {
            None => true,
            Some(outcome) => {
                // Who is refused waited too long for others.
                let _ = outcome.map(|mut held| held.keep_requests());
                false
            }
        });
        late += usize::from(n > requests / 4 && !waiting.is_empty());
        for ask in node.asks() {
            let args = Args::of(&ask);
            ahead += usize::from(args.need == 0);
            asked.push(node.now_us());
            let answer = node.reply(&args).granting(args.want.min(most));
            answers.push((ask, answer));
        }
        node.pass(1_000);
    }
    (asked, ahead, late)
}

#[test]
fn a_hot_limit_is_asked_at_most_twenty_times_in_any_second_however_little_it_is_granted() {
    let (asked, _, late) = flow(&requests(100_000, 10 * SECOND), 3_000, 8);
    assert!(late > 0);
    let most = asked.iter().map(|from| asked.iter().filter(|at| (*from..from + SECOND).contains(at)).count()).max();
    assert!(matches!(most, Some(17..=20)), "{most:?}");
}

#[test]
fn a_steady_flow_has_leases_before_it_needs_them_and_asks_about_once_a_lease_time() {
    let (asked, ahead, late) = flow(&requests(100_000, MINUTE_US), 10_000, 4_000);
    assert_eq!(late, 0);
    assert!(asked.len() <= 30 && ahead >= 5, "{} in ten seconds, {ahead} ahead", asked.len());
}

#[test]
fn leases_of_a_period_are_of_that_period_only() {
    let node = Node::at(1_774_051_200 * SECOND - 90 * SECOND);
    let written = policy(json!({"tokens": [{"amount": 100, "period": "day"}]}));
    let mut waits = node.begin(KEY, &written, of_tokens(40));
    let args = node.grant(50);
    let (begin_us, until_us) = (1_773_964_800 * SECOND, 1_774_051_200 * SECOND);
    assert_eq!((args.length_us, args.begin_us, args.until_us, args.lease_us), (0, begin_us, until_us, 60 * SECOND));
    let held = waits.poll().unwrap().unwrap();
    node.pass(60 * SECOND);
    assert_eq!(node.hear().tells, [(args.number, begin_us, 40)]);
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    node.grant(20);
    let last = waits.poll().unwrap().unwrap();
    // One that is asked in the old period and answered in the new one.
    node.pass(30 * SECOND - 10_000);
    let late = node.begin(KEY, &written, of_tokens(15));
    let ask = node.ask();
    node.pass(10_000);
    let mut waits = node.begin(KEY, &written, of_tokens(5));
    let old = Args::of(&ask);
    assert_eq!(node.answer(ask, &node.reply(&old).granting(15)), LeaseResult::Granted);
    assert!(waits.poll().is_none(), "nothing of the old period is spent");
    drop(late);
    node.settle(held, 1);
    let args = node.grant(5);
    assert_eq!((args.begin_us, args.seen, args.need), (until_us, (0, 0), 5));
    let _waits = waits.held();
    assert_eq!(node.used(KEY, &written), 5);
    // What is used beyond what was reserved in the old period counts in the new one.
    node.settle(last, 13);
    assert_eq!(node.used(KEY, &written), 8);
    node.pass(100_000);
    assert_eq!(node.hear().tells.iter().map(|tell| (tell.1, tell.2)).collect::<Vec<_>>(), [(0, 3)]);
}

#[test]
fn under_pressure_what_is_idle_is_given_back_early() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let args = node.grant(100);
    let held = waits.poll().unwrap().unwrap();
    node.limits.press("key:k:tokens:60000000");
    node.limits.press("key:other:tokens:60000000");
    node.limits.press("nothing");
    node.asks_nothing();
    node.pass(100_000);
    assert!(node.fits(KEY, &written, of_tokens(90)));
    node.pass(249_999);
    node.asks_nothing();
    node.pass(1);
    assert_eq!(node.hear().tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>(), [(args.number, 10)]);
    node.settle(held, 4);
    node.pass(100_000);
    assert_eq!(node.hear().tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>(), [(args.number, 4)]);
    // Only what waits is wanted.
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    assert_eq!(node.grant(10).want, 10);
    let _held = waits.poll().unwrap().unwrap();
}

#[test]
fn what_others_use_is_reported_until_it_has_lapsed() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let ask = node.ask();
    let args = Args::of(&ask);
    let answer = Answer { sum: 400, ..node.reply(&args) }.granting(30);
    assert_eq!(node.answer(ask, &answer), LeaseResult::Granted);
    let held = waits.poll().unwrap().unwrap();
    assert_eq!(node.used(KEY, &written), 410);
    assert_eq!(held.standing().tokens.unwrap().remaining, 590);
    drop(held);
    node.pass(59 * SECOND);
    assert_eq!(node.used(KEY, &written), 400);
    node.pass(3 * SECOND);
    assert_eq!(node.used(KEY, &written), 0);
}

#[test]
fn a_cell_stays_while_a_lease_of_it_counts_and_numbers_are_never_used_twice() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let sweep = || (0..256).for_each(|_| node.limits.sweep(&node.clock));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let first = node.grant(30);
    node.settle(waits.poll().unwrap().unwrap(), 0);
    sweep();
    assert_eq!(node.limits.len(), 1, "it is live");
    node.pass(2 * SECOND);
    sweep();
    assert_eq!(node.limits.len(), 1, "it is to be told");
    let ask = node.ask();
    sweep();
    let args = Args::of(&ask);
    assert_eq!(args.tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>(), [(first.number, 0)]);
    node.answer(ask, &node.reply(&args));
    sweep();
    assert_eq!(node.limits.len(), 0);
    drop(waits);
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    assert!(node.grant(10).number > args.number);
    let _held = waits.poll().unwrap().unwrap();
}
