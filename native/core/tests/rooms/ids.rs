//! Request ids and trace context: what is taken over, what is made.

use std::collections::HashSet;

use fastrand::Rng;
use penstock_core::request::ids::{self, Trace};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// 2026-11-28 04:00:00.123 UTC, and the digits that it is.
const NOW_US: u64 = 1_795_838_400_123_000;
const NOW: &str = "0mwzvtdvf";

fn request_id(given: Option<&[u8]>, rng: &mut Rng) -> String {
    at(NOW_US, given, rng)
}

fn at(utc_us: u64, given: Option<&[u8]>, rng: &mut Rng) -> String {
    let mut id = String::new();
    ids::request_id(given, utc_us, rng, &mut id);
    id
}

fn written(trace: Trace) -> String {
    let mut out = Vec::new();
    trace.write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_well_formed_request_id_is_kept() {
    let longest = "a".repeat(128);
    for id in ["a", "0", "req_1", "A-Z.a-z:0_9", "01890a5d-ac96-774b-bcce-b302099a8057", &longest] {
        assert_eq!(request_id(Some(id.as_bytes()), &mut Rng::with_seed(1)), id);
    }
}

#[test]
fn an_ill_formed_request_id_is_replaced() {
    let too_long = vec![b'a'; 129];
    let bad: &[&[u8]] = &[
        b"",
        b" ",
        b"a b",
        b"a,b",
        b"a\tb",
        b"a\r\nx: y",
        b"a/b",
        b"a\"b",
        b"a{b",
        b"<x>",
        b"a=b",
        b"\xc3\xa9",
        b"\xff",
        b"a\0b",
        b"a%20",
        &too_long,
    ];
    for id in bad {
        let made = request_id(Some(id), &mut Rng::with_seed(1));
        assert!(made.starts_with("req_") && made.len() == 25, "{id:?} became {made}");
        assert!(made[4..].bytes().all(|b| b.is_ascii_alphanumeric()), "{made}");
    }
}

#[test]
fn a_made_request_id_is_itself_well_formed() {
    let mut rng = Rng::with_seed(2);
    let made = request_id(None, &mut rng);
    assert_eq!(request_id(Some(made.as_bytes()), &mut rng), made);
}

#[test]
fn a_made_request_id_says_when_and_stands_behind_those_before() {
    let mut rng = Rng::with_seed(7);
    let mut before = at(NOW_US - 1_000, None, &mut rng);
    for us in 0..1_000 {
        let made = at(NOW_US + us, None, &mut rng);
        assert_eq!(&made[..13], format!("req_{NOW}"));
        assert!(before[..13] < made[..13]);
    }
    // Through all digits of each place, as bytes and by a collation that knows no case.
    for place in 0..8 {
        let step_us = 36_u64.pow(place) * 1_000;
        before = at(NOW_US, None, &mut rng);
        for count in 1..72 {
            let made = at(NOW_US + count * step_us, None, &mut rng);
            assert!(before < made && before.to_ascii_lowercase() < made.to_ascii_lowercase(), "{before} {made}");
            before = made;
        }
    }
    let far = at(u64::MAX, None, &mut rng);
    assert_eq!(far.len(), 25, "{far}");
}

#[test]
fn made_ids_do_not_repeat() {
    let mut rng = Rng::with_seed(3);
    let ids: HashSet<String> = (0..100_000).map(|_| request_id(None, &mut rng)).collect();
    assert_eq!(ids.len(), 100_000);
    let spans: HashSet<u64> = (0..100_000).map(|_| Trace::start(None, &mut rng).span_id).collect();
    assert_eq!(spans.len(), 100_000);
}

#[test]
fn workers_with_their_own_generators_make_different_ids() {
    let ids: HashSet<String> = (0..1_000).map(|_| request_id(None, &mut Rng::new())).collect();
    assert_eq!(ids.len(), 1_000);
}

#[test]
fn a_well_formed_traceparent_is_continued_with_a_span_of_our_own() {
    for (given, flags) in [
        (format!("00-{TRACE}-{SPAN}-01"), 1),
        (format!("00-{TRACE}-{SPAN}-00"), 0),
        (format!("00-{TRACE}-{SPAN}-ff"), 255),
        (format!("01-{TRACE}-{SPAN}-01"), 1),
        (format!("fe-{TRACE}-{SPAN}-01"), 1),
        (format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"), 1),
        (format!("01-{TRACE}-{SPAN}-01-"), 1),
    ] {
        let trace = Trace::start(Some(given.as_bytes()), &mut Rng::with_seed(4));
        assert_eq!(trace_id(trace), TRACE, "{given}");
        assert_eq!(trace.flags, flags, "{given}");
        assert_ne!(format!("{:016x}", trace.span_id), SPAN, "{given}");
    }
}

#[test]
fn an_ill_formed_traceparent_starts_a_new_unsampled_trace() {
    let zeros = "0".repeat(32);
    for given in [
        String::new(),
        "00".into(),
        "é".repeat(30),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("ff-{TRACE}-{SPAN}-01-more"),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        format!("00-{TRACE}-{SPAN}-0A"),
        format!("0A-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-001"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("01-{TRACE}-{SPAN}-01more"),
        format!("00-{}-{SPAN}-01", &TRACE[1..]),
        format!("00-{TRACE}0-{SPAN}-01"),
        format!("00_{TRACE}_{SPAN}_01"),
        format!("00-{TRACE}-{SPAN}_01"),
        format!("00-{TRACE}-{SPAN}-0g"),
        format!("00-{TRACE}-{SPAN}-+1"),
        format!("00-+{}-{SPAN}-01", &TRACE[1..]),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01 "),
        format!("00-{}é-{SPAN}-01", &TRACE[2..]),
    ] {
        let trace = Trace::start(Some(given.as_bytes()), &mut Rng::with_seed(5));
        assert_ne!(trace_id(trace), TRACE, "{given}");
        assert_ne!(trace.trace_id, 0, "{given}");
        assert_eq!(trace.flags, 0, "{given}");
    }
    let not_text = Trace::start(Some(&[0xff; 55]), &mut Rng::with_seed(5));
    assert_eq!(not_text.flags, 0);
}

#[test]
fn what_is_sent_upstream_is_a_well_formed_traceparent() {
    let mut rng = Rng::with_seed(6);
    for given in [None, Some(format!("00-{TRACE}-{SPAN}-01"))] {
        let trace = Trace::start(given.as_deref().map(str::as_bytes), &mut rng);
        let sent = written(trace);
        assert_eq!(sent, format!("00-{}-{:016x}-{:02x}", trace_id(trace), trace.span_id, trace.flags));
        let next = Trace::start(Some(sent.as_bytes()), &mut rng);
        assert_eq!((next.trace_id, next.flags), (trace.trace_id, trace.flags));
        assert_ne!(next.span_id, trace.span_id);
    }
    let small = Trace { trace_id: 1, span_id: 2, flags: 3 };
    assert_eq!(written(small), format!("00-{:032}-{:016}-03", 1, 2));
}

fn trace_id(trace: Trace) -> String {
    let mut text = String::new();
    trace.write_trace_id(&mut text);
    text
}
