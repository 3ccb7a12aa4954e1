//! Readers: only what is committed, from any position on, while the writer goes on.

use std::{path::Path, sync::Arc};

use penstock_core::journal::{
    Durability, Position, Reader, Settings,
    disk::Disk,
    entry::{FIXED_BYTES, MAX_PARTS_BYTES},
    recover::{Verdict, check, recover},
    segment::HEADER_BYTES,
    verify::verify,
    walk::{COMMITTED, Walk, write_committed},
};

use crate::made::{Made, settings};

#[test]
fn while_the_writer_lives_a_reader_sees_what_is_committed_and_no_more() {
    let mut made = Made::new(Durability::Group);
    assert_eq!(made.read(true), [0; 0], "there is no journal yet");
    made.push();
    assert_eq!(made.read(true), [0; 0]);
    made.writer.commit().unwrap();
    assert_eq!(made.read(true), [0]);
    made.sim.fail_syncs(1);
    made.push();
    assert!(made.writer.commit().is_err());
    assert_eq!(made.read(true), [0], "it is written, but the disk refused");
}

#[test]
fn a_reader_goes_on_where_it_ended_across_segments() {
    let mut made = Made::new(Durability::Group);
    let reader = Reader::new(Arc::new(made.sim.clone()), &made.dir);
    let (mut at, mut found) = (Position::default(), 0);
    for round in 1..40 {
        (0..7).for_each(|_| _ = made.push_of(150));
        made.writer.commit().unwrap();
        let batch = reader.read(at, usize::MAX, true).unwrap();
        assert!(batch.is_end);
        found += batch.entries.len();
        assert_eq!(found, round * 7);
        assert!(batch.entries.iter().all(|entry| entry.position >= at && entry.position < batch.next));
        at = batch.next;
        assert!(reader.read(at, usize::MAX, true).unwrap().entries.is_empty());
    }
    assert!(at.segment > 2);
    for entry in reader.read(Position::default(), usize::MAX, true).unwrap().entries {
        let again = reader.read(entry.position, 1, true).unwrap();
        assert_eq!(again.entries, [entry], "every position can be read from");
    }
}

#[test]
fn an_end_that_was_whole_before_is_set_aside_too() {
    let mut made = Made::new(Durability::Group);
    (0..4).for_each(|_| _ = made.push());
    made.writer.commit().unwrap();
    made.die();
    let bytes = made.sim.bytes(&made.segment(1));
    made.sim.put(&made.segment(1), &bytes[..bytes.len() - 10]);
    assert!(made.report(false).fault.unwrap().contains("it was on disk before"));
    made.recover();
    assert!(made.sim.paths().contains(&made.dir.join("0000000001.damaged")));
    assert_eq!(made.read(false), [0, 1, 2]);
    made.sim.rename(&made.dir.join("0000000001.damaged"), &made.segment(1)).unwrap();
    made.sim.put(&made.dir.join(COMMITTED), &write_committed(1, bytes.len() as u64));
    let last = Walk::new(&bytes, HEADER_BYTES).last().unwrap().0;
    made.sim.put(&made.segment(1), &bytes[..last]); // an entry less, and nothing of it left
    made.recover();
    assert!(made.report(false).fault.unwrap().contains("was set aside as damaged"));
    assert_eq!(made.read(false), [0, 1, 2]);
    let mut made = Made::new(Durability::Group);
    made.push();
    made.writer.commit().unwrap();
    made.die();
    made.sim.put(&made.segment(1), &[0; 4096]); // its first block is gone, and all that was in it
    made.recover();
    assert!(made.sim.paths().contains(&made.dir.join("0000000001.damaged")));
}

/// A segment of entries as long as any may be, and where they begin.
fn of_long_entries(count: usize) -> (Made, Vec<u8>, Vec<usize>) {
    let mut made = Made::with(Settings { segment_bytes: 1 << 20, ..settings("one", Durability::Group) }, None);
    for _ in 0..count {
        made.push_of(MAX_PARTS_BYTES - 9).unwrap(); // and a private part
        made.writer.commit().unwrap();
    }
    made.die();
    let bytes = made.sim.bytes(&made.segment(1));
    let begins = Walk::new(&bytes, HEADER_BYTES).map(|(at, _)| at).collect();
    made.sim.put(&made.dir.join("committed"), b""); // as after a cut of power
    (made, bytes, begins)
}

#[test]
fn the_longest_entries_are_cut_off_where_they_are_torn_and_passed_over_where_they_are_damaged() {
    let (made, whole, begins) = of_long_entries(4);
    assert_eq!(made.read(false), [0, 1, 2, 3]);
    let within = || (0..FIXED_BYTES + 2).chain((FIXED_BYTES..MAX_PARTS_BYTES).step_by(4_093));
    for at in within() {
        made.sim.put(&made.segment(1), &whole[..begins[3] + at]);
        assert_eq!(made.read(false), [0, 1, 2], "{at}");
        assert_eq!(check(&whole[..begins[3] + at]), if at == 0 { Verdict::Whole } else { Verdict::Cut(begins[3]) });
    }
    for at in within() {
        let mut bytes = whole.clone();
        bytes[begins[1] + at] ^= 0x10;
        made.sim.put(&made.segment(1), &bytes);
        assert_eq!(made.read(false), [0, 2, 3], "{at}");
        assert_eq!(check(&bytes), Verdict::Damaged, "{at}");
        // A sector that never came.
        let end = (begins[1] + at + 512).min(begins[2]);
        bytes[begins[1] + at..end].fill(0);
        made.sim.put(&made.segment(1), &bytes);
        assert_eq!(made.read(false), [0, 2, 3], "{at}");
    }
}

#[test]
fn room_behind_the_last_entry_that_was_never_written_is_no_unfinished_end() {
    for (entries, ends) in [(0, false), (4, false), (4, true)] {
        let mut made = Made::new(Durability::Group);
        (0..entries).for_each(|_| _ = made.push());
        made.writer.commit().unwrap();
        if ends {
            made.writer.end().unwrap();
        }
        made.die();
        let written = if entries == 0 { Vec::new() } else { made.sim.bytes(&made.segment(1)) };
        let mut bytes = written.clone();
        bytes.resize(64 << 10, 0);
        made.sim.put(&made.segment(1), &bytes);
        let report = made.report(false);
        assert_eq!((report.fault, report.unfinished_bytes, report.ended), (None, 0, ends));
        assert_eq!(made.read(false), (0..entries).collect::<Vec<_>>());
        assert_eq!(recover(&made.sim, &made.dir).unwrap().cut_bytes, 0);
        let left = made.sim.paths().contains(&made.segment(1)).then(|| made.sim.bytes(&made.segment(1)));
        assert_eq!(left, (entries > 0).then_some(written), "it has its length");
        // What stands in such room is seen.
        bytes[30 << 10] = 1;
        made.sim.put(&made.segment(1), &bytes);
        let report = made.report(false);
        assert!(report.unfinished_bytes > 20 << 10 || report.fault.is_some());
    }
}

#[test]
fn an_unfinished_end_is_cut_off_and_damage_in_the_middle_is_set_aside_and_passed_over() {
    for (from_end, expected, is_damaged) in [(10, vec![0, 1, 2], false), (160, vec![0, 1, 3], true)] {
        let mut made = Made::new(Durability::Group);
        (0..4).for_each(|_| _ = made.push());
        made.writer.commit().unwrap();
        made.die();
        let mut bytes = made.sim.bytes(&made.segment(1));
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        made.sim.put(&made.segment(1), &bytes);
        made.sim.put(&made.dir.join("committed"), b""); // as after a cut of power
        assert_eq!(made.read(false), expected);
        made.recover();
        made.recover();
        assert_eq!(made.read(false), expected);
        let aside = made.dir.join("0000000001.damaged");
        assert_eq!(made.sim.paths().contains(&aside), is_damaged);
        if is_damaged {
            assert_eq!(made.sim.bytes(&aside), bytes, "not a byte of it is lost");
            assert!(made.report(false).fault.unwrap().contains("set aside as damaged"));
        } else {
            assert_eq!(made.report(false).fault, None);
        }
    }
}

#[test]
fn a_segment_that_its_writer_takes_away_meanwhile_is_no_fault_unless_it_was_told_of() {
    let mut made = Made::new(Durability::Group);
    let committed = made.dir.join(COMMITTED);
    let mut before = Vec::new();
    while !made.sim.paths().contains(&made.segment(3)) {
        if made.sim.paths().contains(&committed) {
            before = made.sim.bytes(&committed);
        }
        made.push_of(200);
        made.writer.commit().unwrap();
    }
    let (third, after) = (made.sim.bytes(&made.segment(3)), made.sim.bytes(&committed));
    let vanishing = |told: &[u8], behind: u64| {
        made.sim.put(&committed, told);
        made.sim.put(&made.segment(3), &third);
        let (sim, path) = (made.sim.clone(), made.segment(3));
        made.sim.after_reading(made.segment(behind), move || sim.remove(&path).unwrap());
    };
    let verified = || verify(&made.sim, Path::new("/data/journal"), &[], |_| true);
    for behind in 1..3 {
        vanishing(&before, behind);
        assert!(made.read(true).len() > 10);
        vanishing(&before, behind);
        assert_eq!(verified().unwrap()[0].fault, None);
        vanishing(&after, behind);
        let fault = verified().unwrap().remove(0).fault.unwrap();
        assert_eq!(fault, "segment 3 is missing: it was on disk before");
    }
}

#[test]
fn all_at_once_is_read_in_pieces_and_damage_is_passed_over_in_each() {
    let (made, whole, begins) = of_long_entries(14);
    let reader = Reader::new(Arc::new(made.sim.clone()), &made.dir);
    for damaged in 0..14 {
        let mut bytes = whole.clone();
        bytes[begins[damaged] + FIXED_BYTES] ^= 0x10;
        made.sim.put(&made.segment(1), &bytes);
        let batch = reader.read(Position::default(), usize::MAX, false).unwrap();
        let numbers: Vec<_> =
            batch.entries.iter().map(|e| u64::from_le_bytes(e.public[..8].try_into().unwrap())).collect();
        assert_eq!(numbers, (0..14).filter(|number| *number != damaged as u64).collect::<Vec<_>>());
        assert!(batch.is_end);
    }
}
