//! Forgetting, beside whoever else changes the files of a journal.

use std::path::Path;

use penstock_core::journal::{Durability, Forgotten, disk::Disk as _, forget_before};

use crate::{
    bounds::{fill, small},
    made::{DAY_US, MS, Made, settings},
};

fn dead(records: u64) -> Made {
    let mut made = Made::new(Durability::Group);
    fill(&mut made, records);
    made.die();
    made
}

/// How many parts were forgotten, again until nothing is left.
fn forget(made: &Made) -> u64 {
    let mut parts = 0;
    for _ in 0..3 {
        let forgotten = forget_before(&made.sim, &made.dir, u64::MAX, false).unwrap();
        parts += forgotten.private_parts;
        if forgotten.left == 0 {
            return parts;
        }
    }
    panic!("something is left")
}

fn holds_private(made: &Made) -> bool {
    let mut paths = made.sim.paths().into_iter();
    paths.any(|path| made.sim.bytes(&path).windows(9).any(|bytes| bytes == b"192.0.2.7"))
}

fn has_left_some(made: &Made) -> bool {
    made.sim.paths().iter().any(|path| path.to_string_lossy().ends_with("forgotten"))
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let made = dead(60);
    let (sim, dir) = (made.sim.clone(), made.dir.clone());
    made.sim.after_reading(made.segment(2), move || _ = forget_before(&sim, &dir, u64::MAX, false).unwrap());
    assert!(forget(&made) > 0);
    assert!(!holds_private(&made) && !has_left_some(&made));
    assert_eq!((made.report(false).fault, made.read(false).len()), (None, 60));
    assert_eq!(forget(&made), 0);
}

#[test]
fn what_is_removed_meanwhile_does_not_come_back() {
    let made = dead(60);
    let (sim, third) = (made.sim.clone(), made.segment(3));
    let path = third.clone();
    made.sim.after_reading(third.clone(), move || sim.remove(&path).unwrap());
    assert!(forget(&made) > 10);
    assert!(!made.sim.paths().contains(&third) && !holds_private(&made) && !has_left_some(&made));
}

#[test]
fn what_is_taken_over_meanwhile_is_not_put_back() {
    for is_damaged in [false, true] {
        let made = dead(60);
        let last = (1..99).map(|number| made.segment(number)).take_while(|path| made.sim.paths().contains(path)).last();
        let last = last.unwrap();
        let mut bytes = made.sim.bytes(&last);
        let whole = bytes.len();
        bytes.extend([7; 100]);
        if is_damaged {
            bytes[whole - 200] ^= 1;
        }
        made.sim.put(&last, &bytes);
        if !is_damaged {
            made.sim.remove(&made.dir.join("committed")).unwrap();
        }
        let (sim, dir) = (made.sim.clone(), made.dir.clone());
        let recover = move || _ = penstock_core::journal::recover::recover(&sim, &dir).unwrap();
        made.sim.after_reading(last.clone(), recover);
        assert!(forget(&made) > 10);
        assert_eq!(made.sim.paths().contains(&last), !is_damaged);
        assert!(is_damaged || made.sim.bytes(&last).len() == whole);
        assert!(!holds_private(&made) && !has_left_some(&made));
        assert_eq!(made.report(false).fault.is_some(), is_damaged);
    }
}

#[test]
fn whoever_holds_the_journal_keeps_others_from_putting_files_in_place_but_not_from_removing() {
    let made = dead(20);
    let held = made.sim.take(&made.dir).unwrap();
    let segments = made.report(false).segments as u64;
    let forgotten = forget_before(&made.sim, &made.dir, u64::MAX, false).unwrap();
    assert_eq!(forgotten, Forgotten { left: segments, ..Forgotten::default() });
    assert!(!has_left_some(&made));
    let mut other = Made::with(small("two"), Some(&made));
    other.later(91 * DAY_US);
    other.writer.sweep().unwrap();
    assert_eq!(made.read(false).len(), 0);
    drop(held);
    assert_eq!(forget(&made), 0);
}

#[test]
fn what_takes_a_segments_place_is_as_old_from_the_beginning() {
    let made = dead(60);
    made.later(2 * DAY_US);
    let changed_us =
        || -> Vec<u64> { made.sim.list(&made.dir).unwrap().into_iter().map(|file| file.changed_us).collect() };
    let before = changed_us();
    assert!(forget(&made) > 0);
    let replaced_us = made.sim.replaced_us();
    assert!(replaced_us.len() > 2 && replaced_us.iter().all(|us| before.contains(us)), "{replaced_us:?}");
    assert_eq!((changed_us(), made.report(false).fault), (before, None));
}

#[test]
fn what_a_forgetting_left_goes_once_nobody_can_be_at_it() {
    let mut made = Made::with(settings("one", Durability::Group), None);
    let left =
        ["/data/journal/dead/0000000007.00ab.forgotten", "/data/journal/one/0000000001.forgotten"].map(Path::new);
    for path in left {
        made.sim.create(path).unwrap().append(b"half of a segment").unwrap();
    }
    let others = ["/data/journal/dead/lock", "/data/journal/dead/forgotten.txt"].map(Path::new);
    others.iter().for_each(|path| drop(made.sim.create(path).unwrap()));
    for (hours, are_there) in [(0, true), (1, true), (2, false)] {
        made.later(hours * 3_600_000 * MS);
        made.writer.sweep().unwrap();
        let paths = made.sim.paths();
        assert!(left.iter().all(|path| paths.contains(&path.to_path_buf()) == are_there), "{hours}");
        assert!(others.iter().all(|path| paths.contains(&path.to_path_buf())));
    }
}
