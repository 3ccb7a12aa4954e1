//! The power is cut at any moment, the disk fails now and then: what may be lost, and what may not.

use penstock_core::journal::{Durability, Settings};

use crate::made::{MS, Made, rounds, settings};

/// What one life promised before the power was cut, and what is there after.
struct Life {
    pushed: u64,
    /// Numbers of the records that were known to last.
    promised: Vec<u64>,
    /// Those older than five milliseconds, if the disk never failed.
    old: u64,
    found: Vec<u64>,
    /// A write was going on.
    is_writing: bool,
    /// Of that the disk kept a later entry but not an earlier one.
    is_torn: bool,
}

fn live(durability: Durability, seed: u64, faults: bool, spares: bool) -> Life {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut made = Made::new(durability);
    let (mut numbers, mut last_commit, mut old, mut times) = (Vec::new(), None, 0, Vec::new());
    let steps = random.u64(1..200);
    let ends_from = if random.bool() { steps.saturating_sub(5) } else { steps };
    let mut is_writing = false;
    for step in 0..steps {
        for _ in 0..random.u64(0..4) {
            let bytes = random.usize(8..300);
            numbers.push(made.push_of(bytes).unwrap());
            times.push(step);
        }
        if faults {
            match random.u32(0..40) {
                0 => made.sim.fail_syncs(random.u32(1..4)),
                1 => made.sim.set_room(Some(random.u64(0..2_000))),
                2 => made.sim.set_room(None),
                3 => made.now.store(
                    made.now.load(std::sync::atomic::Ordering::Relaxed) - 3_600_000_000,
                    std::sync::atomic::Ordering::Relaxed,
                ),
                _ => {}
            }
        }
        old = times.iter().filter(|time| **time + 5 <= step).count() as u64;
        // With `group` the disk has a millisecond of the five: the power is cut at its end.
        let most = if durability == Durability::Group { 4 } else { 5 };
        if durability == Durability::Flush || last_commit.is_none_or(|last| step - last >= most) {
            last_commit = Some(step);
            if step < ends_from {
                let _ = made.writer.commit_untold();
            } else if made.ends_in_commit(random.u32(0..3)) {
                old = times.iter().filter(|time| **time + 5 <= step + 1).count() as u64;
                is_writing = true;
                break;
            }
        }
        made.later(MS);
    }
    let promised = (0..numbers.len()).filter(|at| made.is_durable(numbers[*at])).map(|at| at as u64).collect();
    made.sim.cut_power(&mut random, spares);
    let before = made.read(false);
    made.recover();
    let found = made.read(false);
    assert_eq!(found, before, "seed {seed}: recovery takes nothing away that could be read");
    let report = (!found.is_empty()).then(|| made.report(false));
    let is_set_aside = |fault: &String| fault.contains("was set aside as damaged");
    let is_torn = is_writing && report.as_ref().and_then(|report| report.fault.as_ref()).is_some_and(is_set_aside);
    if let Some(report) = report.filter(|_| durability != Durability::Os && !is_torn) {
        assert_eq!(report.fault, None, "seed {seed}");
        assert_eq!((report.records, report.unfinished_bytes), (found.len() as u64, 0), "seed {seed}");
    }
    Life { pushed: numbers.len() as u64, promised, old, found, is_writing, is_torn }
}

/// None twice, none out of order, none that never was, and no hole before the last but in a write that was going on.
fn is_a_beginning(life: &Life) -> bool {
    let in_order = life.found.is_sorted_by(|a, b| a < b) && life.found.iter().all(|number| *number < life.pushed);
    in_order && (life.is_torn || life.found.iter().copied().eq(0..life.found.len() as u64))
}

#[test]
fn flush_loses_nothing_that_was_answered_whatever_the_disk_does() {
    let mut cut = 0;
    for seed in 0..rounds(100) {
        let life = live(Durability::Flush, seed, seed % 2 == 1, seed % 3 == 0);
        cut += u64::from(life.is_writing);
        assert!(is_a_beginning(&life), "seed {seed}: {:?} of {}", life.found, life.pushed);
        assert!(life.promised.iter().all(|number| life.found.contains(number)), "seed {seed}");
    }
    assert!(cut >= rounds(100) / 5, "{cut} in the middle of a write");
}

#[test]
fn group_loses_at_most_the_last_five_milliseconds() {
    let (mut cut, mut torn) = (0, 0);
    for seed in 0..rounds(100) {
        let life = live(Durability::Group, seed, false, seed % 3 == 0);
        assert!(is_a_beginning(&life), "seed {seed}");
        assert!((0..life.old).all(|number| life.found.contains(&number)), "seed {seed}: of {}", life.old);
        assert!(life.promised.iter().all(|number| life.found.contains(number)), "seed {seed}");
        (cut, torn) = (cut + u64::from(life.is_writing), torn + u64::from(life.is_torn));
    }
    assert!(cut >= rounds(100) / 5 && torn > 0, "{cut} in the middle of a write, {torn} torn");
    assert!(torn <= rounds(100) / 5, "{torn}");
}

#[test]
fn group_keeps_what_it_called_kept_when_the_disk_fails() {
    for seed in 0..rounds(100) {
        let life = live(Durability::Group, seed, true, seed % 3 == 0);
        assert!(is_a_beginning(&life), "seed {seed}: {:?}", life.found);
        assert!(life.promised.iter().all(|number| life.found.contains(number)), "seed {seed}");
    }
}

#[test]
fn what_is_not_known_to_last_is_promised_to_nobody() {
    let mut made = Made::new(Durability::Group);
    let first = made.push().unwrap();
    made.writer.commit_untold().unwrap();
    assert!(made.is_durable(first) && made.read(true) == [0]);
    let second = made.push().unwrap();
    made.sim.fail_syncs(1);
    assert!(made.writer.commit_untold().is_err());
    assert!(!made.is_durable(second) && made.read(true) == [0]);
    made.writer.commit_untold().unwrap();
    let third = made.push().unwrap();
    assert!(made.ends_in_commit(0));
    assert!(made.is_durable(second) && !made.is_durable(third));
    made.sim.cut_power(&mut fastrand::Rng::with_seed(1), true);
    made.recover();
    assert_eq!(made.read(false), [0, 1]);
}

#[test]
fn readers_elsewhere_are_told_now_and_then_and_before_a_segment_is_given_up() {
    let mut made = Made::new(Durability::Group);
    let commit = |made: &mut Made| {
        made.push();
        made.writer.commit_untold().unwrap();
    };
    commit(&mut made);
    commit(&mut made);
    assert_eq!(made.read(true), [0]);
    made.later(20 * MS);
    commit(&mut made);
    assert_eq!(made.read(true), [0, 1, 2]);
    commit(&mut made);
    assert_eq!(made.read(true), [0, 1, 2]);
    made.writer.tell_readers().unwrap();
    assert_eq!(made.read(true), [0, 1, 2, 3]);
    commit(&mut made);
    made.push();
    made.sim.set_room(Some(0));
    assert!(made.writer.commit_untold().is_err());
    assert_eq!(made.read(true), [0, 1, 2, 3, 4]);
}

#[test]
fn readers_are_told_of_what_lasts_while_what_was_lost_waits_for_room() {
    let mut made =
        Made::with(Settings { max_bytes: 8 << 10, pinned: true, ..settings("one", Durability::Group) }, None);
    let commit = |made: &mut Made| {
        made.push();
        made.writer.commit_untold().unwrap();
        made.lost_on_disk()
    };
    let kept = (0..100).take_while(|_| commit(&mut made) == 0).count();
    let lost = (0..5).map(|_| commit(&mut made)).last().unwrap();
    assert!(made.read(true).len() < kept);
    made.later(20 * MS);
    made.writer.commit_untold().unwrap();
    assert_eq!(made.read(true).len(), kept);
    assert!(made.report(true).lost < lost, "gaps have taken the room that is kept for them");
}

#[test]
fn os_loses_what_the_system_had_not_written_and_still_invents_nothing() {
    let mut lost = 0;
    for seed in 0..rounds(100) {
        let life = live(Durability::Os, seed, false, seed % 3 == 0);
        let kept = life.promised.iter().filter(|number| life.found.contains(number)).count();
        lost += life.promised.len() - kept;
        assert!(life.found.is_sorted_by(|a, b| a < b), "seed {seed}");
        assert!(life.found.iter().all(|number| *number < life.pushed), "seed {seed}");
    }
    assert!(lost > 0);
}

#[test]
fn after_kill_all_that_was_written_is_there() {
    for durability in [Durability::Flush, Durability::Group, Durability::Os] {
        let mut made = Made::new(durability);
        for _ in 0..100 {
            made.push();
            made.writer.commit().unwrap();
        }
        made.die();
        made.recover();
        assert_eq!(made.read(false), (0..100).collect::<Vec<_>>());
        assert_eq!(made.report(false).fault, None);
    }
}
