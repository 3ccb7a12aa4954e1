//! What verification says of journals that somebody has been at.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use penstock_core::journal::{
    Durability,
    disk::Disk,
    entry::Entry,
    segment::{HEADER_BYTES, Header},
    verify::{Head, verify},
};

use crate::{
    bounds::{fill, small},
    made::Made,
    sim::Sim,
};

/// A journal of one segment and where its entries stand.
fn six() -> (Made, Vec<u8>, Vec<Range<usize>>) {
    let mut made = Made::new(Durability::Group);
    (0..6).for_each(|_| _ = made.push());
    made.writer.commit().unwrap();
    made.die();
    let bytes = made.sim.bytes(&made.segment(1));
    let (mut at, mut places) = (HEADER_BYTES, Vec::new());
    while at < bytes.len() {
        let end = at + Entry::read(&bytes[at..]).unwrap().bytes;
        places.push(at..end);
        at = end;
    }
    (made, bytes, places)
}

/// The fault once the entries stand in this order.
fn fault(order: &[usize]) -> Option<String> {
    let (made, bytes, places) = six();
    let mut changed = bytes[..HEADER_BYTES].to_vec();
    order.iter().for_each(|at| changed.extend(&bytes[places[*at].clone()]));
    made.sim.put(&made.segment(1), &changed);
    made.report(false).fault
}

#[test]
fn the_first_entry_that_is_missing_doubled_or_out_of_order_is_named() {
    assert_eq!(fault(&[0, 1, 2, 3, 4, 5]), None);
    for (order, said) in [
        (&[0, 1, 3, 4, 5][..], "entry 3 is missing"),
        (&[1, 2, 3, 4, 5], "entry 1 is missing"),
        (&[0, 1, 1, 2, 3, 4, 5], "entry 2 stands twice"),
        (&[0, 2, 1, 3, 4, 5], "entry 2 is out of order"),
        (&[5, 0, 1, 2, 3, 4], "entry 1 is out of order"),
    ] {
        let found = fault(order).unwrap_or_default();
        assert!(found.starts_with(said), "{order:?}: {found}");
        assert!(found.contains("segment 1, byte "), "{found}");
    }
}

#[test]
fn an_end_that_was_cut_off_is_seen_by_whoever_kept_the_head() {
    let (made, bytes, places) = six();
    let head = made.report(false).head.unwrap();
    assert_eq!(head.sequence, 6);
    let check = |heads: &[Head]| verify(&made.sim, Path::new("/data/journal"), heads, |_| false).unwrap();
    assert_eq!(check(std::slice::from_ref(&head))[0].fault, None);
    made.sim.put(&made.segment(1), &bytes[..places[3].end]);
    assert!(check(&[])[0].fault.as_ref().unwrap().contains("it was on disk before"));
    made.sim.remove(&made.dir.join("committed")).unwrap();
    assert_eq!(check(&[])[0].fault, None, "nothing in the journal tells");
    assert!(check(std::slice::from_ref(&head))[0].fault.as_ref().unwrap().starts_with("entries 5 to 6 are missing"));
    let other = Head { sequence: 2, ..head.clone() };
    assert!(check(&[other])[0].fault.as_ref().unwrap().starts_with("entry 2 or one before it was changed"));
    let gone = Head { instance: "gone".into(), ..head };
    assert!(
        check(&[gone]).iter().any(|report| report.fault.as_ref().is_some_and(|f| f.contains("the journal is gone")))
    );
}

#[test]
fn a_segment_that_is_missing_or_from_elsewhere_is_named() {
    let mut made = Made::new(Durability::Group);
    for _ in 0..60 {
        made.push_of(200);
        made.writer.commit().unwrap();
    }
    made.die();
    let [second, third] = [2, 3].map(|number| made.sim.bytes(&made.segment(number)));
    assert_eq!(made.report(false).fault, None);
    made.sim.put(&made.segment(2), &third);
    assert!(made.report(false).fault.unwrap().contains("renamed or copied"));
    made.sim.put(&made.segment(2), &second);
    made.sim.remove(&made.segment(2)).unwrap();
    assert!(made.report(false).fault.unwrap().contains("segment 2 is missing"));
}

#[test]
fn a_segment_of_a_number_that_none_has_is_named_at_once() {
    let (made, bytes, _) = six();
    let number = u64::MAX / 2;
    let mut head = Vec::new();
    Header { number, ..Header::read(&bytes).unwrap() }.write(&mut head);
    made.sim.put(&made.segment(number), &head);
    assert_eq!(made.report(false).fault.unwrap(), format!("segment {} is missing", number - 1));
}

#[test]
fn a_journal_that_ended_in_order_says_so() {
    let (made, ..) = six();
    assert!(!made.report(false).ended);
    let mut other = Made::new(Durability::Os);
    other.push();
    other.writer.end().unwrap();
    assert!(other.report(false).ended);
    let mut idle = Made::new(Durability::Group);
    idle.writer.end().unwrap();
    assert_eq!(idle.sim.paths(), [idle.dir.join("lock")], "who recorded nothing leaves nothing");
}

#[test]
fn what_is_written_while_a_journal_is_verified_is_no_fault() {
    for (times, entries) in [(1, 20), (2, 20), (1, 60), (2, 60)] {
        let mut made = Made::new(Durability::Group);
        made.push();
        made.writer.commit().unwrap();
        let (sim, dir) = (made.sim.clone(), made.dir.clone());
        // Behind either of its looks at what is committed; sixty begin a further segment.
        let made = Arc::new(Mutex::new(made));
        let writes = move || {
            let mut made = made.lock().unwrap();
            (0..entries).for_each(|_| _ = made.push());
            made.writer.commit().unwrap();
        };
        after(&sim, dir.join("committed"), times, writes);
        let report = verify(&sim, dir.parent().unwrap(), &[], |_| true).unwrap().remove(0);
        assert_eq!((report.fault, report.unfinished_bytes), (None, 0), "behind look {times}");
    }
}

#[test]
fn what_is_removed_while_a_journal_is_verified_is_no_fault() {
    let mut made = Made::with(small("one"), None);
    fill(&mut made, 60);
    let (sim, all, first) = (made.sim.clone(), made.dir.parent().unwrap().to_owned(), made.segment(1));
    let gone = first.clone();
    // Before a segment is read, the head of the one behind it is.
    sim.after_reading(made.segment(2), move || fill(&mut made, 120));
    assert!(sim.paths().contains(&gone));
    let report = verify(&sim, &all, &[], |_| true).unwrap().remove(0);
    assert!(!sim.paths().contains(&gone));
    assert_eq!((report.fault, report.records > 60), (None, true));
    sim.after_reading(all.join("one/committed"), {
        let sim = sim.clone();
        move || {
            sim.paths()
                .iter()
                .filter(|path| path.starts_with("/data/journal/one"))
                .for_each(|path| sim.remove(path).unwrap());
        }
    });
    assert_eq!(verify(&sim, &all, &[], |_| true).unwrap().len(), 0);
}

#[test]
fn the_only_segment_of_a_writer_that_lives_is_missed() {
    let mut made = Made::new(Durability::Group);
    made.push();
    made.writer.commit().unwrap();
    made.sim.remove(&made.segment(1)).unwrap();
    let all = made.dir.parent().unwrap();
    let (missed, gone) = [true, false].map(|lives| verify(&made.sim, all, &[], |_| lives).unwrap()).into();
    assert_eq!(missed[0].fault.as_deref(), Some("segment 1 is missing: it was on disk before"));
    assert_eq!(gone.len(), 0);
}

/// Has something happen behind so many readings of a file.
fn after(sim: &Sim, path: PathBuf, times: u32, happens: impl FnOnce() + Send + 'static) {
    let (again, of) = (sim.clone(), path.clone());
    sim.after_reading(path, move || if times == 1 { happens() } else { after(&again, of, times - 1, happens) });
}
