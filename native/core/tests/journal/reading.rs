//! Readers: only what is committed, from any position on, while the writer goes on.

use std::sync::Arc;

use penstock_core::journal::{Durability, Position, Reader};

use crate::made::Made;

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
