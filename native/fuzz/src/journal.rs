//! Segments that anybody may have been at: recovery never takes away what a reader could read, and a second one finds
//! nothing left to do.

use penstock_core::journal::{
    entry::{Entry, forget},
    recover::{Verdict, check},
    segment::{HEADER_BYTES, Header},
    walk::Walk,
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
