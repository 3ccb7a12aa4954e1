//! Journals of which a store takes records: a segment waits until the store has it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use penstock_core::journal::{
    Durability, Event, Settings, Wanted, WhenFull, Why,
    disk::Disk,
    verify::{Head, verify},
};

use crate::made::{DAY_US, Made, settings};

const HOUR_US: u64 = 3_600_000_000;

fn pinned(instance: &str) -> Settings {
    Settings { pinned: true, max_bytes: 32 << 10, ..settings(instance, Durability::Group) }
}

fn fill(made: &mut Made, records: u64) {
    for _ in 0..records {
        made.push_of(200);
        made.writer.commit().unwrap();
        made.later(1_000);
    }
}

/// Looks after the directory, and does what came of it.
fn sweep(made: &mut Made) {
    made.writer.sweep().unwrap();
    made.writer.commit().unwrap();
}

fn why(made: &mut Made) -> Vec<Why> {
    let told = made.writer.events().into_iter();
    told.filter_map(|event| if let Event::Removed { why, .. } = event { Some(why) } else { None }).collect()
}

#[test]
fn nothing_goes_that_the_store_lacks_and_new_records_are_dropped() {
    let mut made = Made::with(pinned("one"), None);
    fill(&mut made, 400);
    let found = made.read(true);
    assert_eq!((found[0], found.len() as u64 + made.lost_on_disk()), (0, 400));
    assert!(found.len() > 50 && why(&mut made).is_empty());
    made.writer.shipped.note("one", 3);
    fill(&mut made, 40);
    let first = made.read(true)[0];
    assert!(first > 0 && !made.sim.paths().contains(&made.segment(2)) && made.sim.paths().contains(&made.segment(3)));
    assert_eq!(why(&mut made), [Why::Shipped, Why::Shipped]);
    let report = made.report(true);
    assert_eq!(report.fault, None, "the chain tells of what went, and of the gap");
    assert!(report.lost > 0);
}

#[test]
fn what_was_shipped_stays_for_an_hour() {
    let mut made = Made::with(Settings { max_bytes: 1 << 30, ..pinned("one") }, None);
    fill(&mut made, 60);
    made.writer.shipped.note("one", 3);
    made.later(HOUR_US - 1_000_000);
    sweep(&mut made);
    assert_eq!(made.read(true)[0], 0);
    made.later(2_000_000);
    sweep(&mut made);
    assert!(!made.sim.paths().contains(&made.segment(2)) && made.sim.paths().contains(&made.segment(3)));
    assert_eq!((why(&mut made), made.report(true).fault), (vec![Why::Shipped; 2], None));
}

#[test]
fn what_went_in_order_excuses_nothing_behind_it() {
    let mut dead = Made::with(Settings { max_bytes: 1 << 30, ..pinned("one") }, None);
    fill(&mut dead, 60);
    dead.die();
    let head = dead.report(false).head.unwrap();
    let mut made = Made::with(Settings { max_bytes: 1 << 30, ..pinned("two") }, Some(&dead));
    made.writer.shipped.note("one", 2);
    made.later(2 * HOUR_US);
    sweep(&mut made);
    assert_eq!(why(&mut made), [Why::Shipped]);
    let first = made.sim.paths().into_iter().filter(|path| path.starts_with(&dead.dir)).collect::<Vec<_>>();
    assert!(first.len() > 2);
    first.iter().for_each(|path| drop(Disk::remove(&made.sim, path)));
    let check = |head: &Head| {
        let reports = verify(&made.sim, Path::new("/data/journal"), std::slice::from_ref(head), |_| false).unwrap();
        reports.iter().any(|report| report.fault.as_ref().is_some_and(|fault| fault.contains("the journal is gone")))
    };
    assert!(check(&head), "only its first segment went in order");
    assert!(!check(&Head { sequence: 1, ..head }));
}

#[test]
fn what_somebody_else_is_still_to_read_stays_unless_there_is_no_other_room() {
    let is_wanted = Arc::new(AtomicBool::new(true));
    let wanted = Wanted(Arc::new({
        let is_wanted = is_wanted.clone();
        move |instance| instance == "one" && is_wanted.load(Relaxed)
    }));
    let mut made = Made::with(Settings { wanted: wanted.clone(), max_bytes: 1 << 30, ..pinned("one") }, None);
    fill(&mut made, 60);
    made.writer.shipped.note("one", 3);
    made.later(2 * HOUR_US);
    sweep(&mut made);
    assert_eq!((made.read(true)[0], why(&mut made).len()), (0, 0));
    is_wanted.store(false, Relaxed);
    sweep(&mut made);
    assert_eq!(why(&mut made), [Why::Shipped; 2]);
    is_wanted.store(true, Relaxed);
    let mut made = Made::with(Settings { wanted, ..pinned("one") }, None);
    fill(&mut made, 100);
    made.writer.shipped.note("one", 3);
    fill(&mut made, 400);
    assert_eq!(why(&mut made), [Why::Shipped; 2]);
}

#[test]
fn the_journal_of_a_process_that_is_gone_goes_once_it_was_shipped() {
    let mut dead = Made::with(Settings { max_bytes: 1 << 30, ..pinned("one") }, None);
    fill(&mut dead, 60);
    dead.die();
    let mut made = Made::with(Settings { max_bytes: 1 << 30, ..pinned("two") }, Some(&dead));
    made.later(2 * HOUR_US);
    sweep(&mut made);
    assert_eq!(dead.read(false).len(), 60);
    made.writer.shipped.note("one", u64::MAX);
    sweep(&mut made);
    assert_eq!(dead.read(false), [0; 0]);
    made.writer.sweep().unwrap();
    assert!(made.writer.shipped.has("one", 1), "its directory is still there");
}

#[test]
fn what_is_older_than_retain_goes_once_the_store_has_it() {
    let mut dead = Made::with(Settings { max_bytes: 1 << 30, ..pinned("one") }, None);
    fill(&mut dead, 60);
    dead.die();
    let mut made = Made::with(Settings { max_bytes: 1 << 30, ..pinned("two") }, Some(&dead));
    fill(&mut made, 60);
    made.later(91 * DAY_US);
    fill(&mut made, 1);
    sweep(&mut made);
    assert_eq!(
        (dead.read(false).len(), made.read(true).len(), why(&mut made)),
        (60, 61, vec![]),
        "the store lacks all"
    );
    made.writer.shipped.note("one", 2);
    made.writer.shipped.note("two", u64::MAX);
    sweep(&mut made);
    let left = dead.read(false);
    assert!(left[0] > 0 && left.ends_with(&[59]) && !made.sim.paths().contains(&dead.segment(1)));
    assert_eq!(made.read(true), [60]);
    assert!(why(&mut made).iter().all(|why| *why == Why::Age));
}

#[test]
fn that_somebody_held_a_dead_journals_lock_for_a_moment_costs_records_for_a_minute_at_most() {
    let mut dead = Made::with(pinned("one"), None);
    while dead.lost_on_disk() == 0 {
        fill(&mut dead, 1);
    }
    dead.die();
    let mut made = Made::with(pinned("two"), Some(&dead));
    made.writer.sweep().unwrap();
    made.writer.shipped.note("one", u64::MAX);
    dead.sim.set_locked(&dead.dir.join("lock"), true);
    fill(&mut made, 3);
    assert_eq!(made.lost_on_disk(), 3);
    let events = made.writer.events();
    assert!(
        matches!(events[..], [.., Event::Full(WhenFull::Drop)]),
        "once, though it is looked for thrice: {events:?}"
    );
    dead.die();
    sweep(&mut made);
    assert!(!made.facts.is_full.load(Relaxed), "though nothing comes");
    fill(&mut made, 3);
    assert_eq!((made.read(true), made.lost_on_disk()), (vec![3, 4, 5], 3));
    assert_eq!((made.report(true).lost, made.report(true).fault), (3, None));
}

#[test]
fn with_shed_requests_are_let_in_again_once_the_store_has_caught_up() {
    let mut made = Made::with(Settings { when_full: WhenFull::Shed, ..pinned("one") }, None);
    while !made.facts.is_full.load(Relaxed) {
        fill(&mut made, 1);
    }
    fill(&mut made, 3); // of requests that were in
    sweep(&mut made);
    assert!(made.facts.is_full.load(Relaxed));
    made.writer.shipped.note("one", 6);
    sweep(&mut made);
    assert!(!made.facts.is_full.load(Relaxed));
    assert_eq!((made.lost_on_disk(), made.report(true).fault), (0, None));
}
