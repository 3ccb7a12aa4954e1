//! The power is cut at any moment, the disk fails now and then: what may be lost, and what may not.

use penstock_core::journal::Durability;

use crate::made::{MS, Made, rounds};

/// What one life promised before the power was cut, and what is there after.
struct Life {
    pushed: u64,
    /// Numbers of the records that were known to last.
    promised: Vec<u64>,
    /// Those older than five milliseconds, if the disk never failed.
    old: u64,
    found: Vec<u64>,
    /// A write was going on, and of that the disk kept a later entry but not an earlier one.
    is_torn: bool,
}

fn live(durability: Durability, seed: u64, faults: bool, spares: bool) -> Life {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut made = Made::new(durability);
    let (mut numbers, mut last_commit, mut old, mut times) = (Vec::new(), 0, 0, Vec::new());
    for step in 0..random.u64(1..200) {
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
        // With `group` the disk has a millisecond of the five, and is not waited for.
        let is_due = step - last_commit >= if durability == Durability::Group { 4 } else { 5 };
        if durability == Durability::Flush || durability == Durability::Os && is_due {
            last_commit = step;
            let _ = made.writer.commit();
        } else if is_due {
            last_commit = step;
            let _ = made.writer.begin_commit();
        } else {
            let _ = made.writer.finish_commit();
        }
        made.later(MS);
        old = times.iter().filter(|time| **time + 5 <= step).count() as u64;
    }
    let promised = (0..numbers.len()).filter(|at| made.is_durable(numbers[*at])).map(|at| at as u64).collect();
    let is_writing = made.writer.is_writing();
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
    Life { pushed: numbers.len() as u64, promised, old, found, is_torn }
}

/// None twice, none out of order, none that never was, and no hole before the last but in a write that was going on.
fn is_a_beginning(life: &Life) -> bool {
    let in_order = life.found.is_sorted_by(|a, b| a < b) && life.found.iter().all(|number| *number < life.pushed);
    in_order && (life.is_torn || life.found.iter().copied().eq(0..life.found.len() as u64))
}

#[test]
fn flush_loses_nothing_that_was_answered_whatever_the_disk_does() {
    for seed in 0..rounds(100) {
        let life = live(Durability::Flush, seed, seed % 2 == 1, seed % 3 == 0);
        assert!(is_a_beginning(&life), "seed {seed}: {:?} of {}", life.found, life.pushed);
        assert!(life.promised.iter().all(|number| life.found.contains(number)), "seed {seed}");
    }
}

#[test]
fn group_loses_at_most_the_last_five_milliseconds() {
    let mut torn = 0;
    for seed in 0..rounds(100) {
        let life = live(Durability::Group, seed, false, seed % 3 == 0);
        assert!(is_a_beginning(&life), "seed {seed}");
        assert!((0..life.old).all(|number| life.found.contains(&number)), "seed {seed}: of {}", life.old);
        torn += u64::from(life.is_torn);
    }
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
fn what_was_begun_and_is_not_over_is_promised_to_nobody() {
    let mut made = Made::new(Durability::Group);
    made.push();
    made.writer.begin_commit().unwrap();
    assert!(!made.writer.is_writing() && made.read(true) == [0], "now and then the disk is waited for and measured");
    let first = made.push().unwrap();
    made.writer.begin_commit().unwrap();
    assert!(made.writer.is_writing() && !made.is_durable(first) && made.read(true) == [0]);
    let second = made.push().unwrap();
    made.writer.begin_commit().unwrap();
    assert!(made.is_durable(first) && !made.is_durable(second), "what was begun before is waited for");
    made.sim.fail_syncs(1);
    assert!(made.writer.finish_commit().is_err());
    assert!(!made.writer.is_writing() && !made.is_durable(second));
    made.writer.begin_commit().unwrap();
    made.sim.cut_power(&mut fastrand::Rng::with_seed(1), true);
    assert!(!made.is_durable(second));
    made.recover();
    assert_eq!(made.read(false), [0, 1]);
}

#[test]
fn readers_elsewhere_are_told_now_and_then_and_before_a_segment_is_given_up() {
    let mut made = Made::new(Durability::Group);
    let commit = |made: &mut Made| {
        made.push();
        made.writer.begin_commit().unwrap();
        made.writer.finish_commit().unwrap();
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
    assert!(made.writer.begin_commit().is_err());
    assert_eq!(made.read(true), [0, 1, 2, 3, 4]);
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
