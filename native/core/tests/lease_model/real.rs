//! The sentence once more, with the limits that the server has: admissions, reservations that are settled, Redis away.

use proptest::prelude::*;

use crate::{
    config,
    fleet::{Event, Fleet, Limit, MIDNIGHT_US, NODES},
};

fn limit() -> impl Strategy<Value = Limit> {
    let windows = prop_oneof![
        3 => Just(Some(6_000_000)),
        2 => Just(Some(60_000_000)),
        1 => (1_000_000u64..9_000_000).prop_map(Some),
        2 => Just(None),
    ];
    (prop_oneof![3 => 1u64..12, 1 => 1u64..300], windows).prop_map(|(amount, window_us)| Limit { amount, window_us })
}

fn harmless(lease_us: u64) -> impl Strategy<Value = Event> {
    let (node, which) = (|| 0..NODES, || 0..1_000usize);
    prop_oneof![
        8 => (0..lease_us / 4).prop_map(Event::Passes),
        3 => (0..lease_us * 2).prop_map(Event::Passes),
        1 => (lease_us * 57..lease_us * 63).prop_map(Event::Passes),
        20 => (node(), 1u64..6).prop_map(|(node, need)| Event::Comes(node, need)),
        10 => node().prop_map(Event::Talks),
        4 => node().prop_map(Event::Asks),
        4 => (which(), prop::bool::weighted(0.2)).prop_map(|(which, again)| Event::Arrives(which, again)),
        4 => which().prop_map(Event::Returns),
        1 => which().prop_map(Event::Vanishes),
        1 => which().prop_map(Event::GivesUp),
        4 => (which(), 0u64..8).prop_map(|(which, used)| Event::Settles(which, used)),
        2 => which().prop_map(Event::Leaves),
        1 => (node(), any::<bool>()).prop_map(|(node, away)| Event::IsAway(node, away)),
        1 => node().prop_map(Event::IsPressed),
        1 => node().prop_map(Event::Sweeps),
        1 => node().prop_map(Event::Dies),
    ]
}

fn breaking() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::IsCopied),
        2 => (0..1_000usize).prop_map(|which| Event::IsLost(Some(which))),
        1 => Just(Event::IsLost(None)),
        1 => (0..NODES).prop_map(Event::IsReset),
    ]
}

fn history(breaks: u32) -> impl Strategy<Value = (Limit, Vec<Event>)> {
    limit().prop_flat_map(move |limit| {
        let event = prop_oneof![20 => harmless(limit.lease_us()), breaks => breaking()];
        (Just(limit), prop::collection::vec(event, 1..250))
    })
}

fn run(limit: Limit, events: &[Event]) -> Fleet {
    let mut fleet = Fleet::new(limit);
    events.iter().for_each(|event| fleet.happens(event));
    fleet
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn servers_that_share_a_limit_never_admit_more_in_any_interval((limit, events) in history(0)) {
        for (spent, _) in run(limit, &events).intervals() {
            prop_assert!(spent <= limit.amount, "{spent} of {}", limit.amount);
        }
    }

    #[test]
    fn each_loss_and_each_reset_admit_one_further_limit((limit, events) in history(2)) {
        for (spent, breaks) in run(limit, &events).intervals() {
            prop_assert!(spent <= limit.amount * (1 + breaks), "{spent} of {}, {breaks} breaks", limit.amount);
        }
    }

    /// Nobody waits for ever: each question has an end, and so has a request's patience.
    #[test]
    fn whoever_waits_is_told((limit, events) in history(2)) {
        let mut fleet = run(limit, &events);
        for _ in 0..40 {
            fleet.happens(&Event::Passes(20_000));
        }
        prop_assert_eq!(fleet.waiting(), 0);
    }
}

/// Its clock is slow: it spends as late as one may.
const SLOW: usize = 2;
const MINUTE: Limit = Limit { amount: 10, window_us: Some(60_000_000) };

/// A node that is granted all in this moment of a sub-bucket, which a request then leaves to another, so much later.
fn spent_late(phase_us: u64, later_us: u64) -> Option<Fleet> {
    let mut fleet = Fleet::new(MINUTE);
    for event in [Event::Passes(phase_us), Event::Comes(SLOW, 10), Event::Talks(SLOW), Event::Leaves(0)] {
        fleet.happens(&event);
    }
    fleet.happens(&Event::Passes(later_us));
    fleet.happens(&Event::Comes(SLOW, 10));
    (fleet.admitted() == 2).then_some(fleet)
}

#[test]
fn what_a_server_spends_as_late_as_it_can_counts_for_the_whole_window() {
    for phase_us in (0..1_000_000).step_by(170_000) {
        let later_us =
            (0..400u64).map(|n| 5_000 * n).rfind(|later_us| spent_late(phase_us, *later_us).is_some()).unwrap();
        assert!(later_us >= 490_000, "{later_us}");
        for beyond_us in (59_000_000..62_600_000).step_by(23_000) {
            let mut fleet = spent_late(phase_us, later_us).unwrap();
            for event in [Event::Passes(beyond_us), Event::Comes(0, 10), Event::Talks(0)] {
                fleet.happens(&event);
            }
            let most = fleet.intervals().map(|(spent, _)| spent).max();
            assert_eq!(most, Some(10), "granted at {phase_us}, spent {later_us} later, again {beyond_us} later");
        }
    }
}

#[test]
fn after_a_loss_a_server_tells_what_it_may_still_spend() {
    let limit = Limit { amount: 20, ..MINUTE };
    // Ten are at hand, and two are asked for: so it hears of the loss, and tells of all ten.
    let mut fleet = run(limit, &[Event::Comes(0, 10), Event::Talks(0), Event::Leaves(0), Event::IsLost(None)]);
    for event in [Event::Passes(10_000), Event::Comes(0, 12), Event::Talks(0), Event::Comes(1, 9), Event::Talks(1)] {
        fleet.happens(&event);
    }
    assert_eq!(fleet.spent(0, 1_000_000), 12);
    fleet.happens(&Event::Passes(1_000_000));
    fleet.happens(&Event::Comes(1, 8));
    fleet.happens(&Event::Talks(1));
    assert_eq!(fleet.spent(0, 2_000_000), 20);
}

#[test]
fn what_was_granted_for_yesterday_is_not_spent_today_by_a_clock_that_is_ahead() {
    let day = Limit { amount: 10, window_us: None };
    let before =
        [Event::Passes(MIDNIGHT_US - 2_000_000), Event::Comes(1, 10), Event::Asks(1), Event::Arrives(0, false)];
    let mut fleet = run(day, &before);
    for event in [Event::Passes(1_500_000), Event::Returns(0), Event::Comes(1, 10)] {
        fleet.happens(&event);
    }
    assert_eq!(fleet.admitted(), 0);
    fleet.happens(&Event::Talks(1));
    assert_eq!(fleet.admitted(), 1);
}

/// Each node has more requests than the limit allows, each of one unit; all is answered at once.
fn hammered(limit: Limit, step_us: u64, us: u64) -> Fleet {
    let mut fleet = Fleet::new(limit);
    while fleet.at_us < us {
        fleet.happens(&Event::Passes(step_us));
        for node in 0..NODES {
            fleet.happens(&Event::Comes(node, 1));
            fleet.happens(&Event::Talks(node));
        }
    }
    fleet
}

#[test]
fn nearly_all_of_a_limit_is_used_where_it_is_wanted() {
    let (window_us, amount) = (6_000_000, 600);
    let fleet = hammered(Limit { amount, window_us: Some(window_us) }, 7_000, 4 * window_us);
    for (spent, _) in fleet.intervals() {
        assert!(spent <= amount, "{spent}");
    }
    let used = fleet.spent(0, 4 * window_us);
    assert!(used * 100 >= 4 * amount * 95, "{used}");
}

#[test]
fn a_node_that_serves_a_hot_key_asks_at_most_twenty_times_a_second() {
    let (window_us, amount) = (60_000_000, 100_000);
    let fleet = hammered(Limit { amount, window_us: Some(window_us) }, 2_000, 8_000_000);
    assert!(fleet.spent(0, 8_000_000) >= NODES as u64 * 3_900);
    for node in 0..NODES {
        let asked: Vec<_> = fleet.asked.iter().filter(|(of, _)| *of == node).map(|(_, at_us)| *at_us).collect();
        let most =
            asked.iter().map(|last| asked.iter().filter(|at| (**at..**at + 1_000_000).contains(last)).count()).max();
        assert!(most <= Some(20), "{most:?}");
    }
}
