//! Limits that nodes share, of a process that was there before: what its own counters know, Redis knows too.

use penstock_core::limits::{LeaseResult, Limits, Policy, Used};
use serde_json::json;

use crate::{
    checkpoint::{Dir, open},
    made::{SECOND, START_US, admit, ask, clock_at, need, now, policy},
    redis::{Answer, Args, KEY, Node},
};

fn a_day(tokens: u64) -> Policy {
    policy(json!({"tokens": [{"amount": tokens, "period": "day"}]}))
}

/// A node whose process before this one used 600 tokens.
fn restarted(name: &str) -> Node {
    let dir = Dir::new(name);
    let (before, (clock, _)) = (Limits::new(), clock_at(START_US));
    let mut checkpoint = open(&dir);
    checkpoint.load(&before, &(), now(&clock)).unwrap();
    let held = admit(&before, &[ask(KEY, &a_day(1_000), need(1, 600, 0))], &clock).unwrap();
    held.settle(Used { tokens: 600, nanousd: 0 }, now(&clock));
    checkpoint.write(&before, None, now(&clock)).unwrap();
    drop(checkpoint);
    let node = Node::new();
    open(&dir).load(&node.limits, &(), now(&node.clock)).unwrap();
    node
}

#[test]
fn what_it_used_before_is_not_reported_twice() {
    let (node, written) = (restarted("shared-twice"), a_day(1_000));
    assert_eq!(node.used(KEY, &written), 600);
    let mut waits = node.begin(KEY, &written, need(1, 10, 0));
    let ask = node.ask();
    let answer = Answer { sum: 600 + 70, ..node.reply(&Args::of(&ask)) }.granting(40);
    node.answer(ask, &answer);
    let held = waits.poll().unwrap().unwrap();
    assert_eq!((node.used(KEY, &written), held.standing().tokens.unwrap().remaining), (680, 320));
    node.settle(held, 25);
    assert_eq!(node.used(KEY, &written), 695);
}

#[test]
fn a_limit_that_it_used_up_before_is_reset_elsewhere_for_it_too() {
    let (node, written) = (restarted("shared-reset"), a_day(600));
    let sweep = || (0..256).for_each(|_| node.limits.sweep(&node.clock));
    let doubts = |resets| {
        assert!(!node.fits(KEY, &written, need(1, 10, 0)));
        let ask = node.ask();
        let answer = Answer { sum: 600, resets, ..node.reply(&Args::of(&ask)) };
        assert_eq!(node.answer(ask, &answer), LeaseResult::Told);
        sweep();
        node.pass(SECOND);
    };
    doubts(5);
    doubts(5);
    doubts(6);
    let mut waits = node.begin(KEY, &written, need(1, 10, 0));
    node.grant(10);
    assert!(waits.poll().unwrap().is_ok());
}

#[test]
fn a_process_that_stops_gives_back_what_is_left_of_its_leases_and_knows_when_others_have_heard() {
    let (node, written) = (Node::new(), a_day(1_000));
    assert!(node.limits.give_back(&node.clock), "there are none");
    let mut waits = node.begin(KEY, &written, need(1, 10, 0));
    let args = node.grant(50);
    node.settle(waits.poll().unwrap().unwrap(), 4);
    assert!(!node.limits.give_back(&node.clock));
    node.pass(100_000);
    let ask = node.ask();
    assert!(!node.limits.give_back(&node.clock), "it is on its way");
    let told = Args::of(&ask);
    assert_eq!(told.tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>(), [(args.number, 4)]);
    assert_eq!(node.answer(ask, &node.reply(&told)), LeaseResult::Told);
    assert!(node.limits.give_back(&node.clock));
    node.asks_nothing();
    drop(node.begin(KEY, &written, need(1, 1, 0)));
    node.limits.set_shared(true, 2);
    assert!(node.limits.give_back(&node.clock), "nobody hears");
}
