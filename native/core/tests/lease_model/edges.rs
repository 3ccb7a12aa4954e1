//! The moments that matter, all of them: a lease spent as late as it can be, and the next one a window later.

use crate::{
    node::{Limit, Span},
    redis::Redis,
    world::World,
};

const SECOND: u64 = 1_000_000;
const LIMIT: Limit = Limit { amount: 10, span: Span::Window(60 * SECOND) };
/// Parts of a sub-bucket.
const PHASES: u64 = 6;
/// Its clock is slow: it stops as late as one may.
const SLOW: usize = 2;

/// Node 2 is granted all at a phase of a sub-bucket, and spends it that much later, if it still may.
fn spent_late(phase: u64, later: u64) -> Option<World> {
    let mut world = World::new(LIMIT);
    world.at_us += phase * SECOND / PHASES;
    assert_eq!(world.gets(SLOW, (10, 10)).0, 10);
    world.at_us += later * SECOND / PHASES;
    (world.spends(SLOW, 10) == 10).then_some(world)
}

#[test]
fn what_was_spent_as_late_as_can_be_counts_for_the_whole_window_and_at_most_two_and_a_half_sub_buckets_more() {
    for phase in 0..PHASES {
        for (later, beyond) in (0..2 * PHASES).flat_map(|later| (0..4 * PHASES).map(move |beyond| (later, beyond))) {
            let Some(mut world) = spent_late(phase, later) else { continue };
            // From just before the window's end on, counted from the spending.
            world.at_us += 59 * SECOND + beyond * SECOND / PHASES;
            if world.gets(0, (10, 10)).0 > 0 {
                world.spends(0, 10);
            }
            let most = world.most_spent().iter().map(|(spent, _)| *spent).max();
            assert_eq!(most, Some(10), "phase {phase}, {later} later, {beyond} beyond");
            let is_admitted = world.spendings.len() == 2;
            assert!(is_admitted || beyond < PHASES * 7 / 2, "phase {phase}, {later} later, {beyond} beyond");
        }
    }
}

#[test]
fn a_lease_lasts_between_half_and_one_and_a_half_times_as_long_as_a_sub_bucket() {
    for phase in 0..PHASES {
        let lasts = (0..2 * PHASES).filter(|later| spent_late(phase, *later).is_some()).count() as u64;
        assert!((PHASES / 2..=PHASES * 3 / 2).contains(&lasts), "phase {phase}: {lasts}");
    }
}

#[test]
fn a_refused_need_fits_at_the_moment_that_was_told_and_not_before() {
    let mut world = World::new(LIMIT);
    for (at, n) in [(1, 3), (10, 3), (20, 4)] {
        world.at_us = at * SECOND + SECOND / 3;
        assert_eq!(world.gets(0, (n, n)).0, n.cast_signed());
        world.spends(0, n);
    }
    let (granted, lapse_us) = world.gets(1, (5, 5));
    assert_eq!(granted, 0);
    let fits_us = u64::try_from(lapse_us - 1_774_000_000_000_000).unwrap();
    world.at_us = fits_us - 1;
    assert_eq!(world.gets(1, (5, 5)).0, 0);
    world.at_us = fits_us;
    assert_eq!(world.gets(1, (5, 5)).0, 5);
}

#[test]
fn however_much_is_told_the_reply_holds_only_numbers_that_are_exact() {
    let (redis, most) = (Redis::new(), (1_u64 << 53) - 1);
    redis.set_now(1_774_000_000_000_000);
    let call = |number: u64, need: u64, tells: &[u64]| {
        let args = format!("1000000 0 0 {most} 1000000 a {number} 0 0 0 0 1 {need} {need}");
        let tells = tells.iter().flat_map(|tell| [tell.to_string(), "0".to_owned(), most.to_string()]);
        redis.lease("penstock:{key:AbC:tokens}", &args.split(' ').map(str::to_owned).chain(tells).collect::<Vec<_>>())
    };
    for answer in [call(10, 0, &[1, 2]), call(11, 5, &[]), call(12, 5, &[3, 4, 5])] {
        assert!(answer.iter().all(|number| (0..=most.cast_signed()).contains(number)), "{answer:?}");
        assert_eq!((answer[5], answer[8]), (0, most.cast_signed()), "nothing is left");
    }
}
