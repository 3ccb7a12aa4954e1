//! What one loss of data can do, shown; and what is done so that it does no more.

use crate::{
    node::{Limit, Span},
    world::{Event, World},
};

const SECOND: u64 = 1_000_000;
const LIMIT: Limit = Limit { amount: 10, span: Span::Window(60 * SECOND) };

fn most_spent(world: &World) -> u64 {
    world.most_spent().iter().map(|(spent, _)| *spent).max().unwrap()
}

/// Has all of the limit spent by one node.
fn spent_by(node: usize) -> World {
    let mut world = World::new(LIMIT);
    assert_eq!(world.gets(node, (10, 10)).0, 10);
    assert_eq!(world.spends(node, 10), 10);
    world
}

#[test]
fn a_redis_that_restarts_empty_admits_one_further_limit_before_the_others_have_told_and_no_more() {
    let mut world = spent_by(0);
    world.happens(&Event::IsLost(None));
    world.at_us += SECOND / 100;
    assert_eq!(world.gets(1, (10, 10)).0, 10);
    world.spends(1, 10);
    assert_eq!(most_spent(&world), 20);
    // Who held something is not served before it has told, and then all of it counts.
    assert_eq!(world.trip(0, (1, 1)), 1);
    assert_eq!(world.gets(0, (1, 1)).0, 0);
    assert_eq!(world.gets(2, (1, 1)).0, 0);
    assert_eq!(most_spent(&world), 20);
}

#[test]
fn a_redis_that_restarts_empty_admits_nothing_to_who_held_all() {
    let mut world = spent_by(0);
    world.happens(&Event::IsLost(None));
    world.at_us += SECOND / 100;
    assert_eq!(world.trip(0, (1, 1)), 1);
    assert_eq!(world.gets(0, (1, 1)).0, 0);
    assert_eq!(world.gets(1, (1, 1)).0, 0);
}

#[test]
fn a_replica_that_was_behind_admits_one_further_limit_and_no_more() {
    let mut world = World::new(LIMIT);
    world.gets(1, (0, 0));
    world.happens(&Event::IsCopied);
    assert_eq!(world.gets(0, (10, 10)).0, 10);
    world.spends(0, 10);
    world.happens(&Event::IsLost(Some(0)));
    assert_eq!(world.gets(1, (10, 10)).0, 10);
    world.spends(1, 10);
    assert_eq!(most_spent(&world), 20);
    // Even though the sequence has passed what it saw, it may be told nothing new; the sum says no.
    world.trip(0, (1, 1));
    assert_eq!(world.gets(0, (1, 1)).0, 0);
}

#[test]
fn one_node_that_sees_an_older_copy_has_all_others_tell_too() {
    let mut world = World::new(LIMIT);
    world.trip(0, (1, 1));
    world.happens(&Event::IsCopied);
    world.trip(1, (4, 4));
    world.trip(0, (2, 2));
    world.happens(&Event::IsLost(Some(0)));
    assert_eq!(world.trip(0, (0, 0)), 1);
    // By its calls the sequence passes what node 1 saw: that alone would hide the loss from it.
    (0..5).for_each(|_| assert_eq!(world.trip(0, (0, 0)), 0));
    assert_eq!(world.trip(1, (0, 0)), 1);
    assert_eq!(world.trip(1, (0, 0)), 0);
    // 1, 4 and 2 are counted again.
    assert_eq!(world.gets(2, (4, 4)).0, 0);
    assert_eq!(world.gets(2, (3, 3)).0, 3);
}

#[test]
fn what_is_told_again_after_an_older_copy_counts_once() {
    let mut world = World::new(LIMIT);
    world.trip(0, (6, 6));
    world.happens(&Event::IsCopied);
    world.trip(0, (1, 1));
    world.happens(&Event::IsLost(Some(0)));
    assert_eq!(world.trip(0, (0, 0)), 1);
    assert_eq!(world.gets(0, (3, 3)).0, 3);
    assert_eq!(world.gets(1, (1, 1)).0, 0);
}

#[test]
fn a_question_that_was_lost_before_a_reset_takes_nothing_from_what_counts_after_it() {
    let mut world = World::new(LIMIT);
    world.happens(&Event::Asks(0, (10, 10)));
    world.happens(&Event::Arrives(0, false));
    world.happens(&Event::GivesUp(0));
    world.happens(&Event::IsReset);
    assert_eq!(world.gets(1, (4, 4)).0, 4);
    // It tells that of the ten it has heard nothing.
    world.trip(0, (0, 0));
    assert_eq!(world.gets(0, (7, 7)).0, 0);
    assert_eq!(world.gets(0, (6, 6)).0, 6);
}

#[test]
fn what_is_kept_of_one_limit_is_bounded_and_expires_by_itself() {
    let limit = Limit { amount: 1_000_000, span: Span::Window(60 * SECOND) };
    let mut world = World::new(limit);
    let mut most = 0;
    for _ in 0..2_000 {
        world.at_us += SECOND / 20;
        world.trip(0, (1, 1));
        world.spends(0, 1);
        assert!(world.redis.commands() <= 12);
        most = most.max(world.redis.fields());
    }
    assert!(most <= 7 + 63 + 258, "{most}");
    world.redis.set_now(1_774_000_000_000_000 + world.at_us + 120 * SECOND);
    assert_eq!(world.redis.keys(), 2);
    world.redis.set_now(1_774_000_000_000_000 + world.at_us + 125 * SECOND);
    assert_eq!(world.redis.keys(), 0);
}
