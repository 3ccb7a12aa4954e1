//! What is written: heads line by line, chunk prefixes, vectored output in any pieces the kernel takes.

use penstock_core::http::{Buffers, Conn, HeadWriter, LAST_CHUNK, Output, chunk_prefix};
use proptest::prelude::*;

use crate::script::{Script, drive};

fn head(write: impl FnOnce(&mut HeadWriter<'_>)) -> String {
    let mut out = Vec::new();
    let mut head = HeadWriter::new(&mut out);
    write(&mut head);
    head.finish();
    String::from_utf8(out).expect("text")
}

#[test]
fn heads_are_written_line_by_line() {
    let text = head(|h| {
        h.field("host", "api.example").unwrap();
        h.content_length(18_446_744_073_709_551_615);
    });
    assert_eq!(text, "host: api.example\r\ncontent-length: 18446744073709551615\r\n\r\n");
    let text = head(|h| {
        h.status_line(200);
        h.lines("x-a: b\r\n");
        h.chunked();
    });
    assert_eq!(text, "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(head(|h| h.status_line(599)), "HTTP/1.1 599 \r\n\r\n");
    assert_eq!(head(|h| h.content_length(0)), "content-length: 0\r\n\r\n");
}

#[test]
fn a_field_that_would_break_the_line_is_refused_and_nothing_is_written() {
    for (name, value) in [("a", "b\r\nc: d"), ("a", "b\nc"), ("a", "b\rc"), ("a", "\0"), ("a b", "c"), ("a:", "c")] {
        let mut out = Vec::new();
        assert!(HeadWriter::new(&mut out).field(name, value).is_err(), "{name:?} {value:?}");
        assert!(out.is_empty());
    }
}

#[test]
fn chunk_prefixes_are_plain_hexadecimal() {
    for (len, text) in [(1, "1"), (15, "f"), (16, "10"), (0x1a2b, "1a2b"), (usize::MAX, "ffffffffffffffff")] {
        assert_eq!(chunk_prefix(len, &mut [0; 18]), format!("{text}\r\n").as_bytes());
    }
    assert_eq!(LAST_CHUNK, b"0\r\n\r\n");
}

#[test]
fn head_and_body_leave_in_one_write() {
    let script = Script::default();
    let mut conn = Conn::new(script.clone(), Buffers::new(1));
    let parts: [&[u8]; 4] = [b"head", b"", b"body", b"\r\n"];
    let mut out = Output::new(&parts);
    drive(|cx| conn.poll_write(cx, &mut out)).unwrap();
    assert_eq!((script.written().as_slice(), script.0.borrow().writes), (&b"headbody\r\n"[..], 1));
}

proptest! {
    #[test]
    fn every_part_arrives_once_and_in_order(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..40),
        room in 1..60usize,
    ) {
        let script = Script::default();
        script.0.borrow_mut().write_room = room;
        let mut conn = Conn::new(script.clone(), Buffers::new(1));
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut out = Output::new(&slices);
        prop_assert_eq!(out.remaining(), parts.concat().len());
        drive(|cx| conn.poll_write(cx, &mut out)).unwrap();
        prop_assert!(out.is_empty());
        prop_assert_eq!(script.written(), parts.concat());
    }
}
