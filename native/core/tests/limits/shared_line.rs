//! Those who wait for leases of limits that nodes share: whoever may go on is woken.

use penstock_core::limits::{Policy, Scope};
use serde_json::json;

use crate::{
    made::{ask, need, policy},
    redis::{Args, KEY, MINUTE_US, Node, tokens},
};

const TEAM: Scope<'static> = Scope::Team("t");

fn slots() -> Policy {
    policy(json!({"concurrent": [{"amount": 1, "queue_us": MINUTE_US}]}))
}

#[test]
fn who_has_enough_here_and_waits_elsewhere_leaves_it_to_the_next_one_meanwhile() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut both = node.request(&[ask(KEY, &written, need(1, 30, 0)), ask(TEAM, &written, need(1, 30, 0))]);
    assert!(both.poll().is_none());
    let mut asks = node.asks();
    asks.sort_by_key(|ask| ask.tag.clone());
    let mut next = node.begin(KEY, &written, need(1, 5, 0));
    let args = Args::of(&asks[0]);
    node.answer(asks.remove(0), &node.reply(&args).granting(30));
    assert!(next.poll().is_none(), "it is for who came before");
    assert!(both.poll().is_none(), "the team's is not there yet");
    let _next = next.held();
}

#[test]
fn who_goes_on_to_wait_for_a_slot_leaves_its_lease_to_the_next_one_meanwhile() {
    let (node, written, slots) = (Node::new(), tokens(1_000, MINUTE_US), slots());
    let one = need(1, 0, 0);
    let mut both = node.request(&[ask(KEY, &written, need(1, 30, 0)), ask(TEAM, &slots, one)]);
    assert!(both.poll().is_none());
    let _slot = node.admit(TEAM, &slots, one).unwrap();
    let mut next = node.begin(KEY, &written, need(1, 5, 0));
    node.grant(30);
    assert!(next.poll().is_none(), "it is for who came before");
    assert!(both.poll().is_none(), "it waits for the slot");
    let _next = next.held();
}
