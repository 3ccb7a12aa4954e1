//! Memory, disk and time: what goes when there is too much, and that the chain tells of it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    task::{Context, Waker},
};

use penstock_core::journal::{
    Durability, Event, Position, Reader, Settings, WhenFull, Why,
    disk::Disk,
    entry::Entry,
    forget_before,
    segment::{HEADER_BYTES, Header},
    verify::{Head, verify},
};

use crate::made::{DAY_US, Made, read_all, settings};

pub(crate) fn small(instance: &str) -> Settings {
    Settings { max_bytes: 32 << 10, ..settings(instance, Durability::Group) }
}

pub(crate) fn fill(made: &mut Made, records: u64) {
    for _ in 0..records {
        made.push_of(200);
        made.writer.commit().unwrap();
        made.later(1_000);
    }
}

pub(crate) fn disk_bytes(made: &Made) -> u64 {
    let segments = made.sim.paths().into_iter().filter(|path| path.extension().is_some());
    segments.map(|path| made.sim.bytes(&path).len() as u64).sum()
}

#[test]
fn what_waits_in_memory_is_bounded_and_what_finds_no_room_is_a_gap_in_the_chain() {
    let mut made = Made::new(Durability::Group);
    let accepted = (0..1_000).filter(|_| made.push_of(200).is_some()).count() as u64;
    assert!(accepted < 1_000 && made.ring.held_bytes() <= 64 << 10);
    made.writer.commit().unwrap();
    assert_eq!(made.ring.held_bytes(), 0);
    made.die();
    let report = made.report(false);
    assert_eq!((report.records, report.lost, report.fault), (accepted, 1_000 - accepted, None));
    assert!(matches!(made.writer.events()[..], [Event::Lost { why: Why::Memory, .. }]));
}

#[test]
fn one_entry_that_is_too_long_is_lost_alone() {
    let mut made = Made::new(Durability::Group);
    assert_eq!(made.push_of((64 << 10) - 50), None);
    assert!(made.push().is_some());
    made.writer.commit().unwrap();
    assert_eq!((made.read(true), made.report(true).lost), (vec![1], 1));
}

#[test]
fn a_full_journal_lets_its_oldest_segments_go_and_says_so() {
    let mut made = Made::with(small("one"), None);
    fill(&mut made, 400);
    assert!(disk_bytes(&made) <= 32 << 10, "{}", disk_bytes(&made));
    let found = made.read(true);
    assert!(found.len() > 50 && found.last() == Some(&399), "{}", found.len());
    assert!(found.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    made.die();
    let report = made.report(false);
    assert_eq!((report.fault, report.lost), (None, 0));
    assert!(made.writer.events().iter().any(|event| matches!(event, Event::Removed { why: Why::Disk, .. })));
}

#[test]
fn a_full_journal_that_cannot_be_written_loses_nothing_that_waits() {
    let mut made = Made::with(small("one"), None);
    fill(&mut made, 400);
    made.push_of(200);
    made.sim.fail_syncs(3);
    while made.writer.commit().is_err() {
        made.push_of(200);
    }
    fill(&mut made, 1);
    let found = made.read(true);
    assert!(found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{found:?}");
    assert_eq!((made.report(true).fault, made.report(true).lost), (None, 0));
}

#[test]
fn the_beginning_may_not_go_without_a_word() {
    let mut made = Made::with(small("one"), None);
    fill(&mut made, 400);
    let first = made.sim.paths().into_iter().find(|path| path.extension().is_some_and(|end| end == "segment"));
    made.sim.remove(&first.unwrap()).unwrap();
    assert!(made.report(true).fault.unwrap().contains("are missing: the journal begins with segment"));
}

#[test]
fn journals_of_processes_that_are_gone_go_first_and_those_of_the_living_stay() {
    let mut dead = Made::with(small("one"), None);
    fill(&mut dead, 60);
    dead.die();
    let mut alive = Made::with(small("three"), Some(&dead));
    fill(&mut alive, 60);
    let mut made = Made::with(small("two"), Some(&dead));
    made.writer.sweep().unwrap();
    fill(&mut made, 400);
    assert_eq!(dead.read(false), [0; 0]);
    assert_eq!(alive.read(true).len(), 60);
    let reports = verify(&made.sim, Path::new("/data/journal"), &[], |name| name != "one").unwrap();
    assert!(reports.iter().all(|report| report.fault.is_none()), "{reports:?}");
}

#[test]
fn what_comes_while_many_journals_are_taken_over_waits_for_none_of_the_others() {
    let first = Made::with(settings("dead-0", Durability::Group), None);
    let dead: Vec<_> =
        (0..5).map(|n| Made::with(settings(&format!("dead-{n}"), Durability::Group), Some(&first))).collect();
    for mut one in dead {
        fill(&mut one, 1);
        one.die();
    }
    let mut made = Made::with(settings("new", Durability::Group), Some(&first));
    let number = made.push().unwrap();
    made.writer.sweep().unwrap();
    assert!(made.is_durable(number));
    assert_eq!(made.writer.events().len(), 5);
    made.ring.stop();
    for name in ["late-1", "late-2"] {
        let mut late = Made::with(settings(name, Durability::Group), Some(&first));
        fill(&mut late, 1);
        late.die();
    }
    made.writer.sweep().unwrap();
    assert_eq!(made.writer.events().len(), 1, "who is to end leaves the others to the next");
}

#[test]
fn where_nothing_can_go_records_are_dropped_and_the_gap_is_told_once_there_is_room() {
    let settings = Settings { max_bytes: 8 << 10, segment_bytes: 8 << 10, ..settings("one", Durability::Group) };
    let mut made = Made::with(settings, None);
    fill(&mut made, 100);
    assert!(disk_bytes(&made) <= 8 << 10);
    let found = made.read(true).len() as u64;
    assert!(found > 10 && found < 100);
    assert_eq!(found + made.lost_on_disk(), 100);
}

#[test]
fn a_segment_that_cannot_be_removed_is_told_of_once_and_goes_once_it_can() {
    for (limits, older_us) in [(small("one"), 0), (settings("one", Durability::Group), 91 * DAY_US)] {
        let mut made = Made::with(limits, None);
        made.sim.set_keeps_all(true);
        fill(&mut made, 400);
        made.later(older_us);
        let mut told = Vec::new();
        let mut hear = |made: &mut Made| {
            made.writer.sweep().unwrap();
            fill(made, 3);
            let segment = |event| if let Event::Removed { segment, .. } = event { Some(segment) } else { None };
            told.extend(made.writer.events().into_iter().filter_map(segment));
            told.clone()
        };
        let once = hear(&mut made);
        assert!(once.len() > 2 && once.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{once:?}");
        assert_eq!(hear(&mut made), once);
        made.sim.set_keeps_all(false);
        let removed = |made: &Made| made.facts.removed.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(removed(&made), 0);
        made.writer.sweep().unwrap();
        assert_eq!(removed(&made), once.len() as u64);
        assert!(once.iter().all(|segment| !made.sim.paths().contains(&made.segment(*segment))));
        fill(&mut made, 3);
        assert_eq!((made.report(true).fault, made.read(true).len() > 2), (None, true));
    }
}

#[test]
fn a_segment_that_cannot_be_read_stays_and_holds_up_no_other() {
    for (limits, older_us) in [(small("one"), 0), (settings("one", Durability::Group), 91 * DAY_US)] {
        let mut made = Made::with(limits, None);
        fill(&mut made, 20);
        let second = made.segment(2);
        made.sim.close(&second);
        fill(&mut made, 400);
        made.later(older_us);
        assert_eq!(made.writer.sweep().is_err(), older_us > 0, "and that is told");
        fill(&mut made, 3);
        let paths = made.sim.paths();
        assert_eq!([1, 2, 3].map(|number| paths.contains(&made.segment(number))), [false, true, false]);
        made.sim.open(&second);
        // What was told of the first is gone itself where there is little room.
        let is_told = older_us > 0;
        assert_eq!(made.report(true).fault.is_none(), is_told);
    }
}

/// A journal that is full, whose segments cannot be read; and these.
fn unreadable(records: u64) -> (Made, Vec<PathBuf>) {
    let mut made = Made::with(small("one"), None);
    fill(&mut made, records);
    let closed: Vec<_> = (1..50).map(|number| made.segment(number)).collect();
    closed.iter().for_each(|path| made.sim.close(path));
    (made, closed)
}

/// Pushes three records again and again; how often that could not be written. The bound holds meanwhile.
fn try_often(made: &mut Made, times: u32) -> u32 {
    let most = small("one").max_bytes;
    let mut failed = 0;
    for _ in 0..times {
        push_many(made, 3);
        failed += u32::from(made.writer.commit().is_err());
        assert!(disk_bytes(made) <= most, "{} of {most}", disk_bytes(made));
    }
    failed
}

pub(crate) fn push_many(made: &mut Made, records: u32) {
    for _ in 0..records {
        made.push_of(200);
    }
}

#[test]
fn while_no_segment_can_be_read_what_comes_waits_in_memory_and_the_bound_holds() {
    let (mut made, closed) = unreadable(200);
    assert!(try_often(&mut made, 20) > 5);
    closed.iter().for_each(|path| made.sim.open(path));
    made.writer.commit().unwrap();
    made.writer.commit().unwrap();
    assert_eq!((made.lost_on_disk(), made.report(true).fault), (0, None));
    let read = made.read(true);
    assert_eq!((read.last(), read.windows(2).all(|pair| pair[0] + 1 == pair[1])), (Some(&259), true), "{read:?}");
}

#[test]
fn room_that_is_left_is_taken_though_no_segment_can_be_read() {
    let (mut made, _) = unreadable(200);
    let before = disk_bytes(&made);
    try_often(&mut made, 20);
    let room = small("one").max_bytes - disk_bytes(&made);
    assert!(disk_bytes(&made) > before && room < 4096, "{room}");
}

#[test]
fn that_no_segment_can_be_read_is_told_once_though_there_is_room() {
    let (mut made, _) = unreadable(200);
    assert_eq!(try_often(&mut made, 3), 0);
    assert_eq!([made.writer.sweep().is_err(), made.writer.sweep().is_err()], [true, false]);
}

#[test]
fn what_still_waits_for_room_at_the_end_is_counted_as_lost() {
    let (mut made, closed) = unreadable(200);
    let failed = try_often(&mut made, 20);
    assert!(failed > 5 && made.lost_on_disk() == 0);
    made.ring.stop();
    made.writer.end().unwrap();
    closed.iter().for_each(|path| made.sim.open(path));
    let read = made.read(true).last().copied().unwrap();
    made.die();
    assert_eq!((made.lost_on_disk(), made.report(false).lost), (259 - read, 259 - read));
}

#[test]
fn what_is_too_old_goes_and_is_told_of_while_something_waits_for_room() {
    let (mut made, closed) = unreadable(200);
    push_many(&mut made, 60);
    assert!(made.writer.commit().is_err());
    closed.iter().for_each(|path| made.sim.open(path));
    made.later(91 * DAY_US);
    made.writer.sweep().unwrap();
    for _ in 0..3 {
        made.writer.commit().unwrap();
    }
    assert!(disk_bytes(&made) <= small("one").max_bytes);
    assert_eq!((made.report(true).fault, made.read(true).last()), (None, Some(&259)));
}

#[test]
fn what_makes_room_is_written_first_though_that_fails_at_first() {
    let mut made = Made::with(small("one"), None);
    fill(&mut made, 200);
    push_many(&mut made, 60);
    made.sim.fail_syncs(2);
    for fails in [true, true, false, false] {
        assert_eq!(made.writer.commit().is_err(), fails);
        let (bytes, most) = (disk_bytes(&made), small("one").max_bytes);
        assert!(bytes <= most, "{bytes} of {most}");
    }
    assert_eq!((made.report(true).fault, made.read(true).last(), made.lost_on_disk()), (None, Some(&259), 0));
}

#[test]
fn with_shed_nothing_goes_and_the_journal_says_that_it_is_full() {
    let mut made = Made::with(Settings { when_full: WhenFull::Shed, ..small("one") }, None);
    let is_full = |made: &Made| made.facts.is_full.load(std::sync::atomic::Ordering::Relaxed);
    let mut pushed = 0;
    while !is_full(&made) {
        fill(&mut made, 1);
        pushed += 1;
    }
    fill(&mut made, 3);
    assert_eq!(made.read(true).len(), pushed + 3, "who was in is recorded");
    made.later(91 * DAY_US);
    made.writer.sweep().unwrap();
    made.writer.commit().unwrap();
    made.writer.sweep().unwrap();
    assert!(!is_full(&made), "what was too old has gone");
}

#[test]
fn what_is_older_than_retain_goes_from_every_journal_that_nobody_writes() {
    let mut dead = Made::with(settings("one", Durability::Group), None);
    fill(&mut dead, 60);
    dead.die();
    let mut made = Made::with(settings("two", Durability::Group), Some(&dead));
    fill(&mut made, 60);
    made.later(91 * DAY_US);
    fill(&mut made, 1);
    made.writer.sweep().unwrap();
    made.writer.commit().unwrap();
    assert_eq!((dead.read(false), made.read(true)), (vec![], vec![60]));
    assert_eq!(made.report(true).fault, None);
}

#[test]
fn what_is_old_goes_though_nothing_comes_any_more() {
    let mut made = Made::with(settings("one", Durability::Group), None);
    fill(&mut made, 3);
    made.writer.sweep().unwrap();
    assert_eq!(made.report(true).segments, 1);
    for day in 1..=92 {
        made.later(DAY_US + 1);
        made.writer.sweep().unwrap();
        made.writer.commit().unwrap();
        assert_eq!(made.report(true).fault, None, "{day}");
        assert_eq!(made.read(true).len(), if day < 90 { 3 } else { 0 }, "{day}");
        if day == 2 {
            forget_before(&made.sim, &made.dir, u64::MAX, true).unwrap();
            let private = b"192.0.2.7";
            assert_eq!(made.report(true).segments, 2, "it is not renewed where nothing is in it");
            assert!(!made.sim.bytes(&made.segment(1)).windows(private.len()).any(|bytes| bytes == private));
        }
    }
    made.push();
    made.writer.end().unwrap();
    made.die();
    assert_eq!((made.report(false).fault, made.read(false)), (None, vec![3]));
}

#[test]
fn a_clock_that_is_set_back_removes_nothing_and_disturbs_nothing() {
    let mut made = Made::new(Durability::Group);
    fill(&mut made, 60);
    made.now.store(1_000_000, std::sync::atomic::Ordering::Relaxed);
    fill(&mut made, 60);
    made.writer.sweep().unwrap();
    made.writer.commit().unwrap();
    assert_eq!(made.read(true), (0..120).collect::<Vec<_>>());
    assert_eq!(made.report(true).fault, None);
}

#[test]
fn what_a_clock_that_was_ahead_keeps_back_is_no_fault_of_the_journal() {
    let mut made = Made::with(settings("one", Durability::Group), None);
    fill(&mut made, 20);
    made.later(300 * DAY_US);
    fill(&mut made, 40);
    made.now.fetch_sub(300 * DAY_US, std::sync::atomic::Ordering::Relaxed);
    fill(&mut made, 20);
    made.later(91 * DAY_US);
    fill(&mut made, 1);
    made.writer.sweep().unwrap();
    made.writer.commit().unwrap();
    let kept = made.read(true);
    assert!(kept.len() > 5 && kept[0] > 0 && kept[kept.len() - 2] < 65 && kept.last() == Some(&80), "{kept:?}");
    assert_eq!(made.report(true).fault, None);
    let is_there = |made: &Made, number| made.sim.paths().contains(&made.segment(number));
    let first = (1..20).find(|number| is_there(&made, *number)).unwrap();
    let last = (first..20).take_while(|number| is_there(&made, *number)).last().unwrap();
    assert!(last > first && !is_there(&made, last + 1));
    // Before what was told of nothing may be cut off either.
    let whole = made.sim.bytes(&made.segment(last));
    let ends: Vec<_> = (HEADER_BYTES..whole.len()).filter(|at| Entry::read(&whole[*at..]).is_ok()).collect();
    made.sim.put(&made.segment(last), &whole[..*ends.last().unwrap()]);
    assert!(made.report(true).fault.unwrap().contains(" are missing"));
    made.sim.put(&made.segment(last), &whole);
    assert_eq!(made.report(true).fault, None);
    let before = made.report(true).head.unwrap();
    let head = Head { sequence: kept.len() as u64, ..before };
    let held = Header::read(&whole).unwrap().chain.sequence + 1;
    made.sim.remove(&made.segment(last)).unwrap();
    assert_eq!(made.report(true).fault, None, "what was told of it may be gone");
    let fault = |sequence| {
        let head = Head { sequence, ..head.clone() };
        verify(&made.sim, Path::new("/data/journal"), &[head], |_| true).unwrap().remove(0).fault
    };
    assert!(fault(held).unwrap().contains("is missing: the head of an entry in it was kept"));
    assert!(last > first + 1);
    made.sim.put(&made.segment(last), &whole);
    made.sim.remove(&made.segment(first + 1)).unwrap();
    assert!(made.report(true).fault.unwrap().contains(" is missing"), "nobody told of that");
}

#[test]
fn what_went_from_the_end_of_a_journal_and_was_told_is_no_fault() {
    let mut dead = Made::with(settings("one", Durability::Group), None);
    dead.later(300 * DAY_US);
    fill(&mut dead, 30);
    dead.now.fetch_sub(300 * DAY_US, std::sync::atomic::Ordering::Relaxed);
    fill(&mut dead, 30);
    dead.die();
    let head = dead.report(false).head.unwrap();
    let mut made = Made::with(settings("two", Durability::Group), Some(&dead));
    made.later(91 * DAY_US);
    made.writer.sweep().unwrap();
    made.writer.commit().unwrap();
    let left = dead.read(false);
    assert!(left.len() > 20 && left.len() < 50, "{left:?}");
    let fault = |head: &Head| {
        let reports = verify(&made.sim, Path::new("/data/journal"), std::slice::from_ref(head), |_| false).unwrap();
        reports.into_iter().find(|report| report.instance == "one").unwrap().fault
    };
    assert_eq!(fault(&head), None, "its end was removed, and that told");
    assert!(fault(&Head { hash: "0".repeat(64), ..head.clone() }).is_some());
    assert!(fault(&Head { sequence: head.sequence + 1, ..head.clone() }).is_some());
    let last = (1..20).rfind(|number| made.sim.paths().contains(&dead.segment(*number))).unwrap();
    let whole = made.sim.bytes(&dead.segment(last));
    let ends: Vec<_> = (HEADER_BYTES..whole.len()).filter(|at| Entry::read(&whole[*at..]).is_ok()).collect();
    made.sim.put(&dead.segment(last), &whole[..*ends.last().unwrap()]);
    assert!(fault(&head).unwrap().contains(" are missing"));
}

#[test]
fn what_comes_while_many_segments_are_removed_waits_for_none_of_the_others() {
    let first = Made::with(settings("dead-0", Durability::Group), None);
    for number in 0..5 {
        let mut dead = Made::with(settings(&format!("dead-{number}"), Durability::Group), Some(&first));
        fill(&mut dead, 1);
        dead.die();
    }
    let mut made = Made::with(settings("new", Durability::Group), Some(&first));
    made.writer.sweep().unwrap();
    made.later(91 * DAY_US);
    let last = Path::new("/data/journal/dead-4/0000000001.segment");
    let waiting = made.push().unwrap();
    let ring = made.ring.clone();
    let is_written = move || ring.poll_durable(waiting, true, &Context::from_waker(Waker::noop())).is_ready();
    // Whether what came is written when the last of them is read.
    let written = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = written.clone();
    made.sim.after_reading(last.to_owned(), move || seen.store(is_written(), std::sync::atomic::Ordering::Relaxed));
    made.writer.sweep().unwrap();
    assert!(written.load(std::sync::atomic::Ordering::Relaxed));
    assert!(!made.sim.paths().iter().any(|path| path == last));
}

#[test]
fn a_full_disk_holds_records_back_until_there_is_room() {
    let mut made = Made::new(Durability::Flush);
    fill(&mut made, 10);
    made.sim.set_room(Some(100));
    let waiting = made.push_of(200).unwrap();
    for _ in 0..5 {
        assert_eq!(made.writer.commit().unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(!made.is_durable(waiting));
    }
    assert_eq!(made.read(true), (0..10).collect::<Vec<_>>(), "readers see none of what did not last");
    made.sim.set_room(None);
    made.writer.commit().unwrap();
    assert!(made.is_durable(waiting));
    fill(&mut made, 10);
    assert_eq!(made.read(true), (0..21).collect::<Vec<_>>());
    assert_eq!(made.report(true).fault, None);
}

#[test]
fn a_disk_that_cannot_be_written_is_an_error_and_nothing_is_lost_but_what_memory_cannot_hold() {
    let mut made = Made::new(Durability::Group);
    made.sim.set_read_only(true);
    made.push();
    assert_eq!(made.writer.commit().unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    let accepted = (0..1_000).filter(|_| made.push_of(200).is_some()).count() as u64;
    assert!(made.writer.commit().is_err());
    made.sim.set_read_only(false);
    made.writer.commit().unwrap();
    made.writer.commit().unwrap();
    let report = made.report(true);
    assert_eq!((report.records, report.lost, report.fault), (accepted + 1, 1_000 - accepted, None));
}

#[test]
fn a_failed_fsync_gives_the_segment_up_and_writes_all_of_it_again() {
    let mut made = Made::new(Durability::Flush);
    fill(&mut made, 3);
    made.sim.fail_syncs(1);
    let waiting = made.push().unwrap();
    assert!(made.writer.commit().is_err());
    assert!(!made.is_durable(waiting));
    made.writer.commit().unwrap();
    assert!(made.is_durable(waiting));
    made.sim.cut_power(&mut fastrand::Rng::with_seed(1), true);
    assert_eq!(made.read(false), [0, 1, 2, 3]);
    assert!(made.sim.paths().contains(&made.segment(2)), "a disk that forgot once is not asked again");
    assert_eq!(read_all(&made.sim, &made.dir, false).len(), 4);
}

#[test]
fn a_failed_fsync_gives_a_segment_up_that_was_begun_though_nothing_came() {
    let mut made = Made::new(Durability::Group);
    fill(&mut made, 3);
    made.writer.sweep().unwrap();
    made.later(2 * DAY_US);
    // The first is that of the new segment's head.
    made.sim.fail_syncs_after(1, 1);
    assert!(made.writer.sweep().is_err());
    let waiting = made.push().unwrap();
    made.writer.commit().unwrap();
    assert!(made.is_durable(waiting));
    made.die();
    made.sim.cut_power(&mut fastrand::Rng::with_seed(1), true);
    assert_eq!((made.read(false), made.report(false).fault), (vec![0, 1, 2, 3], None));
}

#[test]
fn a_directory_that_nobody_may_look_into_holds_up_nothing() {
    let mut made = Made::new(Durability::Group);
    let (strange, left) = (Path::new("/data/journal/lost+found"), made.dir.join("0000000009.forgotten"));
    made.sim.put(&strange.join("x"), b"");
    made.sim.close(strange);
    made.sim.put(&left, b"of somebody who is gone");
    fill(&mut made, 3);
    made.writer.sweep().unwrap();
    assert!(!made.sim.paths().contains(&left));
    assert_eq!(made.report(true).fault, None);
}

#[test]
fn what_changed_since_a_time_is_found_by_its_segment() {
    let mut made = Made::new(Durability::Group);
    let reader = Reader::new(std::sync::Arc::new(made.sim.clone()), &made.dir);
    assert_eq!(reader.since(u64::MAX).unwrap(), (Position::default(), 0));
    let now_us = |made: &Made| made.now.load(std::sync::atomic::Ordering::Relaxed);
    let begun_us = now_us(&made);
    fill(&mut made, 60);
    assert_eq!(reader.since(begun_us).unwrap(), (Position::default(), 0));
    made.later(2 * DAY_US);
    let later_us = now_us(&made);
    fill(&mut made, 2);
    let (from, count) = reader.since(later_us).unwrap();
    assert!(count > 1);
    let found =
        reader.read(from, usize::MAX, true).unwrap().entries.iter().map(|entry| entry.public[0]).collect::<Vec<_>>();
    assert_eq!(found, [60, 61]);
    let (behind, count) = reader.since(u64::MAX).unwrap();
    assert_eq!((reader.read(behind, usize::MAX, true).unwrap().entries.len(), count), (0, made.report(true).segments));
}

#[test]
fn os_never_waits_for_the_disk() {
    let mut made = Made::new(Durability::Os);
    fill(&mut made, 60);
    assert_eq!((made.sim.syncs(), made.read(true).len()), (0, 60));
}
