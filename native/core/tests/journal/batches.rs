//! Batches that are long for the room there is, and what becomes of them where a journal ends.

use penstock_core::journal::{Durability, Event, Settings, WhenFull, Why};

use crate::{
    bounds::{disk_bytes, fill, push_many, small},
    made::{Made, settings},
};

#[test]
fn a_batch_that_is_larger_than_a_segment_finds_the_room_that_older_ones_give() {
    let mut made = Made::with(small("one"), None);
    for _ in 0..20 {
        for _ in 0..60 {
            made.push_of(200).unwrap();
        }
        made.writer.commit().unwrap();
        assert!(disk_bytes(&made) <= 32 << 10, "{}", disk_bytes(&made));
        made.later(1_000);
    }
    let report = made.report(true);
    assert_eq!((report.fault, report.lost), (None, 0));
    assert_eq!(made.read(true).last(), Some(&1_199));
}

#[test]
fn of_a_batch_that_is_larger_than_the_journal_the_latest_stay_and_the_oldest_go_with_a_word() {
    let limits = Settings { max_bytes: 16 << 10, segment_bytes: 2 << 10, ..settings("one", Durability::Group) };
    let mut made = Made::with(limits, None);
    fill(&mut made, 10);
    made.sim.fail_syncs(1);
    push_many(&mut made, 1);
    assert!(made.writer.commit().is_err());
    push_many(&mut made, 150);
    made.writer.commit().unwrap();
    made.writer.commit().unwrap();
    assert!(disk_bytes(&made) <= 16 << 10, "{}", disk_bytes(&made));
    assert_eq!((made.ring.held_bytes(), made.lost_on_disk(), made.report(true).fault), (0, 0, None));
    let found = made.read(true);
    assert!(found.len() > 30 && found.last() == Some(&160), "{found:?}");
    assert!(found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{found:?}");
}

#[test]
fn of_a_batch_that_a_store_lacks_as_much_is_kept_as_has_room() {
    let limits =
        Settings { pinned: true, max_bytes: 16 << 10, segment_bytes: 2 << 10, ..settings("one", Durability::Group) };
    let mut made = Made::with(limits, None);
    push_many(&mut made, 150);
    let last = made.push_of(200).unwrap();
    made.writer.commit().unwrap();
    assert!(made.is_durable(last) && made.ring.held_bytes() == 0);
    let found = made.read(true);
    assert!(found.starts_with(&(0..40).collect::<Vec<_>>()), "{found:?}");
    assert_eq!(found.len() as u64 + made.lost_on_disk(), 151);
    made.writer.shipped.note("one", u64::MAX);
    fill(&mut made, 1);
    let report = made.report(true);
    assert_eq!((made.read(true).last(), report.lost, report.fault), (Some(&151), made.lost_on_disk(), None));
}

#[test]
fn a_long_batch_whose_writing_fails_half_way_goes_on_where_it_was() {
    let mut halves = 0;
    for (durability, syncs) in
        [Durability::Group, Durability::Flush].into_iter().flat_map(|d| (0..12).map(move |n| (d, n)))
    {
        let mut made = Made::with(Settings { durability, ..small("one") }, None);
        fill(&mut made, 3);
        let numbers: Vec<_> = (0..60).map(|_| made.push_of(200).unwrap()).collect();
        let held = made.ring.held_bytes();
        made.sim.fail_syncs_after(syncs, 2);
        while made.writer.commit().is_err() {
            let durable = numbers.iter().filter(|number| made.is_durable(**number)).count();
            let read = made.read(true);
            assert_eq!((durable + 3, made.ring.held_bytes()), (read.len(), held), "{syncs}");
            halves += u32::from(durable > 0);
        }
        assert!(numbers.iter().all(|number| made.is_durable(*number)));
        assert_eq!((made.read(true), made.report(true).fault), ((0..63).collect(), None), "{syncs}");
        assert_eq!(made.ring.held_bytes(), 0);
    }
    assert!(halves > 10, "{halves}");
}

#[test]
fn a_journal_that_ends_full_tells_what_it_lost() {
    for bytes in 40..140 {
        let mut made = Made::with(Settings { pinned: true, ..small("one") }, None);
        while made.lost_on_disk() < 3 {
            made.push_of(bytes);
            made.writer.commit().unwrap();
        }
        made.ring.stop();
        made.writer.end().unwrap();
        assert!(disk_bytes(&made) <= small("one").max_bytes, "{bytes}: {}", disk_bytes(&made));
        made.die();
        let report = made.report(false);
        assert_eq!((report.lost, report.fault), (made.lost_on_disk(), None), "{bytes}");
    }
}

#[test]
fn a_full_journal_that_ends_on_a_disk_that_fails_at_first_tells_of_all_that_is_gone() {
    for (more, syncs, fails) in (1..80).flat_map(|n| (0..6).flat_map(move |s| (1..4).map(move |f| (n, s, f)))) {
        let mut made = Made::with(small("one"), None);
        fill(&mut made, 120);
        push_many(&mut made, more);
        made.sim.fail_syncs_after(syncs, fails);
        made.ring.stop();
        let ended = made.writer.end();
        assert!(ended.is_ok() || fails > 1, "{more} {syncs}: whatever fails is tried once more");
        made.sim.fail_syncs(0);
        made.die();
        made.recover();
        let report = made.report(false);
        assert_eq!(report.fault, None, "{more} {syncs} {fails}");
        if ended.is_ok() {
            assert_eq!(report.lost, made.lost_on_disk(), "{more} {syncs} {fails}");
            let read = made.read(false);
            let pushed = 120 + u64::from(more);
            assert_eq!(read[0] + read.len() as u64 + report.lost, pushed, "{more} {syncs} {fails}");
        }
    }
}

#[test]
fn what_came_while_the_disk_failed_is_written_at_the_end_or_the_end_fails() {
    for (fails, ends_well) in [(1, true), (2, true), (3, false), (4, false)] {
        let mut made = Made::new(Durability::Group);
        fill(&mut made, 1);
        push_many(&mut made, 2);
        made.sim.fail_syncs(fails);
        assert!(made.writer.commit().is_err());
        push_many(&mut made, 3);
        made.ring.stop();
        assert_eq!(made.writer.end().is_ok(), ends_well, "{fails}");
        if ends_well {
            assert_eq!((made.read(false).len(), made.ring.held_bytes()), (6, 0));
            assert_eq!((made.report(false).lost, made.report(false).fault), (0, None));
        }
    }
}

#[test]
fn at_the_end_a_second_failure_is_tried_once_more_as_the_first_was() {
    for which in (0..256).filter(|which| which & (which << 1) == 0) {
        let mut made = Made::new(Durability::Group);
        fill(&mut made, 1);
        push_many(&mut made, 2);
        made.sim.fail_syncs(1);
        assert!(made.writer.commit().is_err());
        push_many(&mut made, 3);
        made.ring.stop();
        made.sim.fail_syncs_at(which);
        // What was begun again stands in a new segment, whose head is a sync of its own.
        if made.writer.end().is_ok() {
            assert_eq!((made.read(false).len(), made.report(false).fault), (6, None), "{which:b}");
        } else {
            assert!(which.count_ones() > 1, "{which:b}");
            assert!(made.ring.unwritten() > 0 || !made.report(false).ended, "{which:b}");
        }
    }
}

#[test]
fn a_journal_that_never_had_room_tells_of_it_and_does_not_end_well() {
    for (most_bytes, ends_well) in [(31 << 10, false), (35 << 10, true)] {
        let mut dead = Made::with(Settings { pinned: true, ..small("one") }, None);
        while dead.lost_on_disk() == 0 {
            fill(&mut dead, 1);
        }
        dead.die();
        let limits = Settings { pinned: true, max_bytes: most_bytes, ..small("two") };
        let mut made = Made::with(limits, Some(&dead));
        made.writer.sweep().unwrap();
        made.writer.events();
        for _ in 0..3 {
            made.push_of(3_500).unwrap();
            let _ = made.writer.commit();
        }
        made.ring.stop();
        assert_eq!(made.writer.end().is_ok(), ends_well);
        let events = made.writer.events();
        let lost = |event: &Event| if let Event::Lost { entries, why: Why::Disk } = event { *entries } else { 0 };
        let told = events.iter().map(lost).sum::<u64>();
        assert_eq!((told, made.lost_on_disk()), (if ends_well { 3 } else { 0 }, 3), "{events:?}");
        assert!(matches!(events[0], Event::Full(WhenFull::Drop)), "{events:?}");
        assert!(!events.iter().any(|event| matches!(event, Event::HasRoom)), "{events:?}");
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Full(_))).count(), 1);
        assert_eq!((made.facts.tell_lost(), made.facts.tell_lost()), (3, 0));
        made.die();
        assert_eq!(made.sim.paths().contains(&made.segment(1)), ends_well);
        if ends_well {
            assert_eq!((made.report(false).lost, made.report(false).ended), (3, true));
        }
    }
}

#[test]
fn room_that_many_segments_give_is_made_within_the_bound() {
    let limits = Settings { segment_bytes: 600, ..small("one") };
    let mut dead = Made::with(limits, None);
    fill(&mut dead, 60);
    dead.die();
    let before = disk_bytes(&dead);
    let mut made = Made::with(Settings { max_bytes: before + 9_000, ..small("two") }, Some(&dead));
    made.writer.sweep().unwrap();
    push_many(&mut made, 40);
    while made.ring.held_bytes() > 0 {
        made.writer.commit().unwrap();
        assert!(disk_bytes(&made) <= before + 9_000, "{}", disk_bytes(&made));
    }
    let removed = made.facts.removed.load(std::sync::atomic::Ordering::Relaxed);
    assert!(removed > 8, "{removed}");
    assert_eq!((made.read(true).len(), made.lost_on_disk(), made.report(true).fault), (40, 0, None));
}

#[test]
fn a_disk_that_takes_no_more_than_heads_is_not_filled_with_them() {
    let mut made = Made::new(Durability::Group);
    fill(&mut made, 3);
    push_many(&mut made, 2);
    // Of each segment the head does well, and what follows does not.
    made.sim.fail_syncs_at(0x5555_5555);
    let mut failed = 0;
    while made.writer.commit().is_err() {
        failed += 1;
        let segments = made.sim.paths().iter().filter(|path| path.extension().is_some()).count();
        assert!(segments <= 2, "{segments}");
    }
    assert_eq!(failed, 16);
    assert_eq!((made.read(true), made.report(true).fault), ((0..5).collect(), None));
    let records = made.facts.records.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(records, 5, "what is written again counts once");
    made.die();
    made.sim.cut_power(&mut fastrand::Rng::with_seed(1), true);
    assert_eq!((made.read(false).len(), made.report(false).fault), (5, None));
}

#[test]
fn a_journal_that_never_could_be_written_does_not_end_well() {
    let mut made = Made::new(Durability::Group);
    made.sim.set_read_only(true);
    push_many(&mut made, 3);
    made.ring.stop();
    assert!(made.writer.end().is_err());
    assert_eq!(made.ring.unwritten(), 3);
}
