//! While Redis keeps what it acknowledged, no interval holds more than the limit; each loss can admit one further limit.

use proptest::prelude::*;

use crate::{
    config,
    node::{Limit, Span},
    world::{Event, NODES, World},
};

fn limit() -> impl Strategy<Value = Limit> {
    // Sub-buckets longer and shorter than the shortest lease, windows that 60 does not divide, and a period.
    let spans = prop_oneof![
        3 => Just(Span::Window(6_000_000)),
        1 => Just(Span::Window(60_000_000)),
        1 => Just(Span::Window(1_000_000)),
        1 => (200_000u64..9_000_000).prop_map(Span::Window),
        1 => Just(Span::Period(600_000_000)),
    ];
    (prop_oneof![4 => 1u64..10, 1 => 0u64..50], spans).prop_map(|(amount, span)| Limit { amount, span })
}

/// What goes on as it should, and the ways of the network.
fn harmless(lease_us: u64) -> impl Strategy<Value = Event> {
    let node = || 0..NODES;
    let amounts = || (0u64..6, 0u64..24);
    prop_oneof![
        6 => (0..lease_us / 4).prop_map(Event::Passes),
        3 => (0..lease_us * 2).prop_map(Event::Passes),
        2 => (lease_us * 57..lease_us * 62).prop_map(Event::Passes),
        3 => (prop_oneof![Just(0u64), Just(1), 58u64..64], -3i64..3).prop_map(|(n, us)| Event::PassesTo(n, us)),
        12 => (node(), amounts()).prop_map(|(node, amounts)| Event::Trip(node, amounts)),
        3 => (node(), amounts()).prop_map(|(node, amounts)| Event::Asks(node, amounts)),
        3 => (0..1_000usize, prop::bool::weighted(0.2)).prop_map(|(which, again)| Event::Arrives(which, again)),
        3 => (0..1_000usize).prop_map(Event::Returns),
        1 => (0..1_000usize).prop_map(Event::Vanishes),
        1 => node().prop_map(Event::GivesUp),
        14 => (node(), 1u64..20).prop_map(|(node, amount)| Event::Spends(node, amount)),
        1 => (node(), 1u64..4).prop_map(|(node, amount)| Event::Overruns(node, amount)),
        1 => node().prop_map(Event::Closes),
        1 => (0..1_000usize, 1u64..5).prop_map(|(which, amount)| Event::Frees(which, amount)),
        1 => node().prop_map(Event::Dies),
        1 => (0..lease_us).prop_map(Event::ClockGoesBack),
    ]
}

fn loss() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::IsCopied),
        2 => (0..1_000usize).prop_map(|which| Event::IsLost(Some(which))),
        1 => Just(Event::IsLost(None)),
        1 => Just(Event::IsReset),
    ]
}

fn history(losses: u32) -> impl Strategy<Value = (Limit, Vec<Event>)> {
    limit().prop_flat_map(move |limit| {
        let event = prop_oneof![20 => harmless(limit.lease_us()), losses => loss()];
        (Just(limit), prop::collection::vec(event, 1..160))
    })
}

fn run(limit: Limit, events: &[Event]) -> World {
    let mut world = World::new(limit);
    events.iter().for_each(|event| world.happens(event));
    world
}

proptest! {
    #![proptest_config(config())]

    /// Replies late, lost or twice, nodes that die, clocks that drift: and the script answers as a list of leases does.
    #[test]
    fn no_interval_of_the_windows_length_holds_more_than_the_limit((limit, events) in history(0)) {
        let world = run(limit, &events);
        for (spent, _) in world.most_spent() {
            prop_assert!(spent <= limit.amount, "{spent} of {}", limit.amount);
        }
    }

    #[test]
    fn a_loss_of_data_and_a_reset_admit_one_further_limit_each((limit, events) in history(3)) {
        let world = run(limit, &events);
        for (spent, eras) in world.most_spent() {
            prop_assert!(spent <= limit.amount * eras as u64, "{spent} of {} in {eras} eras", limit.amount);
        }
        prop_assert!(world.most_spent_of_an_era() <= limit.amount);
    }

    #[test]
    fn after_any_loss_each_node_is_served_again_once_all_have_told_what_they_hold((limit, events) in history(3)) {
        let mut world = run(limit, &events);
        let rounds: Vec<Vec<_>> = (0..6).map(|_| (0..NODES).map(|node| world.trip(node, (0, 0))).collect()).collect();
        prop_assert_eq!(rounds.last(), Some(&vec![0; NODES]), "{:?}", rounds);
    }
}
