//! Entries as bytes: what is written is read, every flipped bit is seen, what is forgotten leaves the chain whole.

use penstock_core::journal::{
    Durability, Forgotten, Kind,
    entry::{Chain, Entry, FIXED_BYTES, Fault, HASH_BYTES, HEAD_BYTES, MAX_BYTES, SALT_BYTES, Salts, forget},
    forget_before,
    pack::Pack,
    segment::{HEADER_BYTES, Header, parse_name},
};
use proptest::prelude::*;

use crate::made::Made;

proptest! {
    #[test]
    fn what_is_written_is_read(public in prop::collection::vec(any::<u8>(), 0..300), private in prop::collection::vec(any::<u8>(), 0..90)) {
        let (start, mut out) = (Chain::start("one"), Vec::new());
        let mut chain = start;
        chain.append(1, &public, &private, &mut Salts::new([1; 32]), &mut out);
        let entry = Entry::read(&out).unwrap();
        prop_assert_eq!((entry.kind, entry.sequence, entry.public, entry.bytes), (1, 1, public.as_slice(), out.len()));
        prop_assert_eq!(entry.private, (!private.is_empty()).then_some(private.as_slice()));
        prop_assert!(entry.follows(&start.hash) && !entry.follows(&chain.hash));
        prop_assert_eq!(Chain::after(&entry), chain);
        for length in 0..out.len() {
            prop_assert_eq!(Entry::read(&out[..length]), Err(Fault::Cut));
        }
    }
}

#[test]
fn no_two_entries_share_a_salt_and_what_is_written_again_is_the_same() {
    let written = |key: u8| {
        let (mut chain, mut salts, mut out) = (Chain::start("one"), Salts::new([key; 32]), Vec::new());
        (0..200).for_each(|_| chain.append(1, b"", b"private", &mut salts, &mut out));
        out
    };
    let (one, two) = (written(1), written(2));
    let entry_bytes = one.len() / 200;
    let salt_at = FIXED_BYTES + HASH_BYTES;
    let salts = [&one, &two].into_iter().flat_map(|all| all.chunks(entry_bytes));
    let distinct: std::collections::BTreeSet<_> = salts.map(|entry| &entry[salt_at..][..SALT_BYTES]).collect();
    assert_eq!(distinct.len(), 400);
    assert_eq!(written(1), one);
    // In an order that goes back, as after a write that failed.
    let (mut salts, mut again) = (Salts::new([1; 32]), Vec::new());
    for from in [100, 0] {
        again.clear();
        let mut chain = Chain::start("one");
        let mut aside = Vec::new();
        (0..from).for_each(|_| chain.append(1, b"", b"private", &mut salts, &mut aside));
        chain.append(1, b"", b"private", &mut salts, &mut again);
        assert_eq!(again, one[from * entry_bytes..][..entry_bytes]);
    }
}

#[test]
fn anybody_can_compute_the_hashes_from_the_layout() {
    let start = Chain::start("one");
    assert_eq!(start.hash, sha256(b"penstock journal one"));
    let (mut chain, mut out) = (start, Vec::new());
    chain.append(1, b"public", b"private", &mut Salts::new([1; 32]), &mut out);
    let (digest_at, salt_at) = (HEAD_BYTES + 48 + 6, HEAD_BYTES + 48 + 6 + HASH_BYTES);
    assert_eq!(out[digest_at..salt_at], sha256(&out[salt_at..]));
    assert_eq!(&out[salt_at + SALT_BYTES..], b"private");
    for is_forgotten in [false, true] {
        let mut hashed = out[HEAD_BYTES..salt_at].to_vec();
        hashed[1] = 1;
        hashed[16..48].copy_from_slice(&start.hash);
        assert_eq!(
            (chain.hash, &out[HEAD_BYTES + 16..FIXED_BYTES]),
            (sha256(&hashed), chain.hash.as_slice()),
            "{is_forgotten}"
        );
        assert_eq!(forget(&mut out), !is_forgotten);
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

#[test]
fn every_flipped_bit_of_a_segment_is_detected() {
    let mut made = Made::new(Durability::Group);
    (0..6).for_each(|_| _ = made.push());
    made.writer.end().unwrap();
    made.die();
    let whole = made.sim.bytes(&made.segment(1));
    assert_eq!(made.report(false).fault, None);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            made.sim.put(&made.segment(1), &bytes);
            let report = made.report(false);
            assert!(report.fault.is_some() && report.unfinished_bytes == 0, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn an_entry_that_was_changed_and_signed_anew_breaks_the_chain() {
    let mut made = Made::new(Durability::Group);
    (0..3).for_each(|_| _ = made.push());
    made.writer.commit().unwrap();
    made.die();
    let mut bytes = made.sim.bytes(&made.segment(1));
    let first = Entry::read(&bytes[HEADER_BYTES..]).unwrap();
    let mut forged = Vec::new();
    Chain::start("one").append(first.kind, &vec![b'y'; first.public.len()], b"", &mut Salts::new([0; 32]), &mut forged);
    bytes.splice(HEADER_BYTES..HEADER_BYTES + first.bytes, forged);
    made.sim.put(&made.segment(1), &bytes);
    assert!(made.report(false).fault.unwrap().starts_with("entry 2 was changed"));
}

#[test]
fn what_was_forgotten_is_gone_and_the_chain_holds() {
    let mut made = Made::new(Durability::Group);
    (0..4).for_each(|_| _ = made.push());
    made.writer.commit().unwrap();
    made.die();
    let mut bytes = made.sim.bytes(&made.segment(1));
    let (mut at, mut forgotten) = (HEADER_BYTES, 0);
    while at < bytes.len() {
        forgotten += u32::from(forget(&mut bytes[at..]));
        assert!(!forget(&mut bytes[at..]), "there is nothing left to forget");
        at += Entry::read(&bytes[at..]).unwrap().bytes;
    }
    assert_eq!(forgotten, 2);
    assert!(!bytes.windows(9).any(|window| window == b"192.0.2.7"));
    made.sim.put(&made.segment(1), &bytes);
    let report = made.report(false);
    assert_eq!((report.fault, report.records), (None, 4));
    assert_eq!(made.read(false), [0, 1, 2, 3]);
}

#[test]
fn private_parts_are_forgotten_up_to_a_time_and_never_in_what_is_being_written() {
    let mut made = Made::new(Durability::Group);
    for _ in 0..60 {
        made.push_of(200);
        made.writer.commit().unwrap();
        made.later(1_000);
    }
    let hidden = |made: &Made, number| made.sim.bytes(&made.segment(number)).windows(9).any(|w| w == b"192.0.2.7");
    let all_us = made.now.load(std::sync::atomic::Ordering::Relaxed);
    let forget = |made: &Made, before_us, is_live| {
        let forgotten = forget_before(&made.sim, &made.dir, before_us, is_live).unwrap();
        assert_eq!(forgotten.damaged_bytes, 0);
        forgotten.private_parts
    };
    assert_eq!(forget(&made, 0, true), 0);
    let some = forget(&made, all_us, true);
    let segments = made.report(true).segments as u64;
    assert!(segments > 3 && (1..segments).all(|number| !hidden(&made, number)) && hidden(&made, segments));
    made.die();
    assert!(forget(&made, all_us + 1, false) > 0);
    assert!(!hidden(&made, segments) && some > 10);
    assert_eq!((made.report(false).fault, made.read(false).len()), (None, 60));
    assert_eq!(forget(&made, all_us + 1, false), 0, "there is nothing left");
}

#[test]
fn of_what_is_damaged_nothing_is_left_and_it_is_still_said_to_be() {
    for cut in [0, 30] {
        let mut made = Made::new(Durability::Group);
        (0..4).for_each(|_| _ = made.push());
        made.writer.commit().unwrap();
        made.die();
        let mut bytes = made.sim.bytes(&made.segment(1));
        let second = HEADER_BYTES + Entry::read(&bytes[HEADER_BYTES..]).unwrap().bytes;
        bytes[second + 20] ^= 1;
        bytes.truncate(bytes.len() - cut);
        made.sim.put(&made.segment(1), &bytes);
        let (read, fault) = (made.read(false), made.report(false).fault);
        assert!(fault.is_some());
        let forgotten = forget_before(&made.sim, &made.dir, u64::MAX, false).unwrap();
        let bytes = made.sim.bytes(&made.segment(1));
        assert!(!bytes.windows(9).any(|window| window == b"192.0.2.7"), "{forgotten:?}");
        assert!(forgotten.damaged_bytes > 50 && forgotten.private_parts > 0, "{forgotten:?}");
        assert_eq!((made.read(false), made.report(false).fault), (read, fault));
        let again = forget_before(&made.sim, &made.dir, u64::MAX, false).unwrap();
        assert_eq!(again, Forgotten::default());
    }
}

#[test]
fn a_length_that_none_can_have_is_damage() {
    for length in [0, 1, 47, MAX_BYTES as u32, u32::MAX] {
        let mut bytes = vec![0; 128];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Entry::read(&bytes), Err(Fault::Damaged), "{length}");
    }
}

#[test]
fn a_head_is_read_as_it_was_written_and_names_are_told_apart() {
    let chain = Chain { sequence: 9, hash: [3; 32] };
    let header =
        Header { instance: "20260101T000000-0123abcd".into(), number: 2, chain, previous_bytes: 77, created_us: 5 };
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    assert_eq!((bytes.len(), Header::read(&bytes)), (HEADER_BYTES, Some(header)));
    for (name, expected) in [
        ("0000000001.segment", Some((1, false))),
        ("0000000012.damaged", Some((12, true))),
        ("12.segment", None),
        ("committed", None),
        ("lock", None),
        ("0000000001.segment.new", None),
        ("000000000x.segment", None),
    ] {
        assert_eq!(parse_name(name), expected, "{name}");
    }
    assert_eq!(Kind::Record as u8, 1);
}

#[test]
fn no_text_holds_what_an_entry_could_be_made_of() {
    let mut entry = Vec::new();
    Chain::start("one").append(1, b"public", b"", &mut Salts::new([0; 32]), &mut entry);
    entry.retain(u8::is_ascii); // what a client may send as a name
    assert!(entry.windows(6).any(|bytes| bytes == [0; 6]), "lengths and numbers have zeros");
    let (mut out, text) = (Vec::new(), String::from_utf8(entry).unwrap());
    let mut pack = Pack::new(&mut out);
    pack.word(&text, 1_000);
    assert_eq!(&out[out.len() - text.len()..], text.replace('\0', "\u{1a}").as_bytes());
}

#[test]
fn long_texts_are_cut_between_letters() {
    let mut out = Vec::new();
    let mut pack = Pack::new(&mut out);
    pack.word("äöü", 3);
    pack.word("", 3);
    pack.text(&"x".repeat(300));
    assert_eq!(&out[..4], [0xa2, 0xc3, 0xa4, 0xc0]);
    assert_eq!(&out[4..9], [0xdb, 0, 0, 1, 44]);
}
