//! Segments that anybody may have been at: recovery never takes away what a reader could read, and a second one finds
//! nothing left to do. Whatever an entry holds, it makes one whole row.

use penstock_core::{
    journal::{
        entry::{Chain, Entry, MAX_PARTS_BYTES, Salts, forget},
        recover::{Verdict, check},
        segment::{HEADER_BYTES, Header},
        walk::Walk,
    },
    observe::{record_read::columns, record_settled::settled, row_form},
};

/// The bytes of a segment.
pub fn journal(data: &[u8]) {
    let whole: Vec<_> = entries(data);
    match check(data) {
        Verdict::Whole => assert!(Header::read(data).is_some()),
        Verdict::Empty => assert!(whole.is_empty()),
        Verdict::Cut(at) => {
            assert_eq!(entries(&data[..at]), whole);
            assert_eq!(check(&data[..at]), Verdict::Whole);
        }
        Verdict::Damaged => assert!(!whole.is_empty() || Header::read(data).is_none()),
    }
    row(data);
    let mut bytes = data.to_vec();
    for (at, sequence) in whole {
        forget(&mut bytes[at..]);
        assert_eq!(Entry::read(&bytes[at..]).map(|entry| (entry.sequence, entry.private)), Ok((sequence, None)));
    }
}

/// Place and sequence number of each whole entry, those behind damage too.
fn entries(data: &[u8]) -> Vec<(usize, u64)> {
    let (mut walk, mut found) = (Walk::new(data, HEADER_BYTES), Vec::new());
    loop {
        found.extend(walk.by_ref().map(|(at, entry)| (at, entry.sequence)));
        if walk.fault.is_none() || !walk.resume() {
            return found;
        }
    }
}

/// An entry with these bytes as its kind and public part, whole as no checksum would let a changed one be.
fn row(data: &[u8]) {
    let Some((kind, public)) = data.split_first() else { return };
    let (kind, public) = (kind % 6, &public[..public.len().min(MAX_PARTS_BYTES)]);
    settled(public, &mut |_| {}); // whatever it says, it says it
    let mut bytes = Vec::new();
    Chain::start("one").append(kind, public, b"private", &mut Salts::new([0; 32]), &mut bytes);
    let mut out = Vec::new();
    let made = Entry::read(&bytes).map(|entry| row_form::write(1, "one", &entry, &columns(kind, public), &mut out));
    assert!(made.is_ok(), "an entry that was just made");
    assert!(row_form::read(&out).is_some_and(|(_, rest)| rest.is_empty()));
}
