//! Connections: parking, pipelining, choppings, departures, and how little is held and asked of the kernel.

use std::{io::ErrorKind, task::Poll};

use penstock_core::http::{Buffers, Conn, Field, Framing, HeadLimits, ReadError, RequestHead};
use proptest::prelude::*;

use crate::{
    reading::{requests, responses},
    script::{Script, Step, drive, once},
};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: gw\r\n\r\n";

pub(crate) fn conn(script: &Script) -> (Conn<Script>, Buffers) {
    let buffers = Buffers::new(4);
    (Conn::new(script.clone(), buffers.clone()), buffers)
}

pub(crate) fn bytes(bytes: &[u8]) -> Step {
    Step::Bytes(bytes.to_vec())
}

fn read_head(conn: &mut Conn<Script>) -> Result<Option<RequestHead>, ReadError> {
    let mut head = RequestHead::default();
    Ok(drive(|cx| conn.poll_request_head(cx, &mut head, &HeadLimits::default()))?.then_some(head))
}

#[test]
fn a_parked_connection_holds_no_buffer_and_reads_once_when_something_came() {
    let script = Script::default();
    let (mut conn, buffers) = conn(&script);
    assert!(once(|cx| conn.poll_parked(cx)).is_pending());
    assert_eq!((buffers.lent(), script.reads()), (0, 0));
    script.push(bytes(GET));
    drive(|cx| conn.poll_parked(cx)).unwrap();
    assert_eq!((buffers.lent(), script.reads()), (1, 1));
    let head = read_head(&mut conn).unwrap().unwrap();
    assert_eq!((head.target.of(conn.head()), script.reads()), (&b"/a"[..], 1));
    conn.finish_message();
    assert_eq!((buffers.lent(), conn.buffered()), (0, 0));
}

#[test]
fn a_false_alarm_leaves_no_buffer_behind() {
    let script = Script::default();
    script.0.borrow_mut().overpromises = true;
    let (mut conn, buffers) = conn(&script);
    assert!(once(|cx| conn.poll_parked(cx)).is_pending());
    assert!(once(|cx| conn.poll_departed(cx)).is_pending());
    assert!(once(|cx| conn.poll_alive(cx)));
    assert_eq!((buffers.lent(), script.reads()), (0, 3));
}

#[test]
fn an_end_before_any_byte_is_clean() {
    let (mut conn, buffers) = conn(&Script::new([Step::End]));
    drive(|cx| conn.poll_parked(cx)).unwrap();
    assert!(read_head(&mut conn).unwrap().is_none());
    assert_eq!(buffers.lent(), 0);
}

#[test]
fn pipelined_requests_are_read_in_turn_without_another_read() {
    let script = Script::new([bytes(&GET.repeat(3))]);
    let (mut conn, buffers) = conn(&script);
    for _ in 0..3 {
        drive(|cx| conn.poll_parked(cx)).unwrap();
        assert_eq!(read_head(&mut conn).unwrap().unwrap().target.of(conn.head()), b"/a");
        assert!(conn.body_done());
        conn.finish_message();
    }
    assert_eq!((script.reads(), buffers.lent()), (1, 0));
}

#[test]
fn the_body_that_came_with_the_head_needs_no_read() {
    let script = Script::new([bytes(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\nabcGET")]);
    let (mut conn, _) = conn(&script);
    let head = read_head(&mut conn).unwrap().unwrap();
    assert_eq!(head.framing, Framing::Fixed(3));
    assert!(drive(|cx| conn.poll_body(cx)).unwrap());
    assert_eq!(conn.payload(), b"abc");
    assert!(conn.body_done() && conn.has_more());
    assert!(!drive(|cx| conn.poll_body(cx)).unwrap());
    assert_eq!(script.reads(), 1);
    conn.consume(1);
    assert_eq!(conn.payload(), b"bc");
    conn.finish_message();
    assert!(conn.has_more());
}

#[test]
fn a_body_given_up_closes_the_connection_for_further_messages() {
    let script = Script::new([bytes(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 99\r\n\r\n"), bytes(GET)]);
    let (mut conn, buffers) = conn(&script);
    read_head(&mut conn).unwrap().unwrap();
    conn.finish_message();
    assert!(read_head(&mut conn).unwrap().is_none());
    assert!(!conn.is_alive());
    assert_eq!(buffers.lent(), 0);
}

#[test]
fn a_body_that_is_kept_grows_its_buffer_to_what_was_announced() {
    let body = vec![b'x'; 1_000_000];
    let head = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000\r\n\r\n";
    let (mut conn, buffers) = conn(&Script::new([bytes(head), bytes(&body)]));
    read_head(&mut conn).unwrap().unwrap();
    while drive(|cx| conn.poll_body(cx)).unwrap() {}
    assert_eq!(conn.payload(), body);
    assert_eq!(conn.buffered(), head.len() + body.len());
    conn.finish_message();
    assert_eq!((buffers.lent(), buffers.free()), (0, 0), "what grew large is freed");
}

#[test]
fn an_announced_length_reserves_nothing_before_bytes_come() {
    let head = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 999999999999\r\n\r\n";
    let (mut conn, _) = conn(&Script::new([bytes(head)]));
    read_head(&mut conn).unwrap().unwrap();
    assert!(once(|cx| conn.poll_body(cx)).is_pending());
    assert_eq!(conn.buffered(), 16 * 1024);
}

#[test]
fn a_few_interim_answers_are_passed_over_and_many_are_refused() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let real = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for sizes in [&[][..], &[1], &[7, 40]] {
        let reading = responses(&Script::chopped(&[&interim.repeat(8)[..], real].concat(), sizes), &[], 0);
        assert_eq!((reading.messages.len(), reading.end.as_str()), (1, "end"));
        assert_eq!((reading.messages[0].status, reading.messages[0].body.as_slice()), (200, &b"ok"[..]));
        let reading = responses(&Script::chopped(&[&interim.repeat(9)[..], real].concat(), sizes), &[], 0);
        assert_eq!(reading.end, "too many 1xx answers");
        let reading = responses(&Script::chopped(interim, sizes), &[], 0);
        assert_eq!(reading.end, "the connection ended inside the head");
    }
    let reading = responses(&Script::chopped(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", &[]), &[], 0);
    assert_eq!(reading.end, "a 101 answer that nobody asked for");
}

#[test]
fn a_departure_is_seen_and_silence_is_not_one() {
    for end in [Step::End, Step::Fail(ErrorKind::ConnectionReset)] {
        let script = Script::new([bytes(GET)]);
        let (mut conn, buffers) = conn(&script);
        read_head(&mut conn).unwrap().unwrap();
        conn.finish_message();
        for _ in 0..3 {
            assert!(once(|cx| conn.poll_departed(cx)).is_pending());
        }
        assert_eq!((script.reads(), buffers.lent()), (1, 0), "waiting costs neither reads nor a buffer");
        script.push(end);
        assert!(once(|cx| conn.poll_departed(cx)).is_ready());
        assert!(!conn.is_alive());
    }
}

#[test]
fn bytes_that_come_while_waiting_for_a_departure_are_the_next_request() {
    let script = Script::new([bytes(GET)]);
    let (mut conn, _) = conn(&script);
    read_head(&mut conn).unwrap().unwrap();
    script.push(bytes(&GET[..10]));
    assert!(once(|cx| conn.poll_departed(cx)).is_pending());
    script.push(bytes(&GET[10..]));
    assert!(once(|cx| conn.poll_departed(cx)).is_pending());
    assert_eq!(conn.head(), GET, "the current head is untouched");
    conn.finish_message();
    drive(|cx| conn.poll_parked(cx)).unwrap();
    assert_eq!(read_head(&mut conn).unwrap().unwrap().target.of(conn.head()), b"/a");
}

#[test]
fn bytes_ahead_are_bounded() {
    let script = Script::new([bytes(GET), bytes(&vec![b'x'; 1 << 20])]);
    let (mut conn, _) = conn(&script);
    read_head(&mut conn).unwrap().unwrap();
    for _ in 0..100 {
        assert!(once(|cx| conn.poll_departed(cx)).is_pending());
    }
    assert!(conn.buffered() <= 32 * 1024);
    assert!(script.reads() < 10);
}

#[test]
fn a_body_read_ahead_by_the_watch_for_a_departure_is_decoded_later() {
    let script = Script::new([bytes(b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")]);
    let (mut conn, _) = conn(&script);
    read_head(&mut conn).unwrap().unwrap();
    script.push(bytes(b"3\r\nabc\r\n0\r\n\r\n"));
    assert!(once(|cx| conn.poll_departed(cx)).is_pending());
    assert!(drive(|cx| conn.poll_body(cx)).unwrap());
    assert_eq!((conn.payload(), conn.body_done()), (&b"abc"[..], true));
}

#[test]
fn an_idle_connection_is_alive_until_it_ends_or_speaks_unasked() {
    for step in [Step::End, Step::Fail(ErrorKind::ConnectionReset), bytes(b"H")] {
        let script = Script::default();
        let (mut conn, _) = conn(&script);
        assert!(once(|cx| conn.poll_alive(cx)) && conn.is_alive());
        assert_eq!(script.reads(), 0, "no syscall without a readiness event");
        script.push(step);
        assert!(!conn.is_alive());
        assert!(!conn.is_alive(), "it stays so");
    }
}

#[test]
fn an_error_of_the_stream_is_passed_on() {
    let (mut conn, buffers) = conn(&Script::new([bytes(b"GET"), Step::Fail(ErrorKind::ConnectionReset)]));
    let error = read_head(&mut conn).unwrap_err();
    assert!(matches!(error, ReadError::Io(e) if e.kind() == ErrorKind::ConnectionReset));
    drop(conn);
    assert_eq!(buffers.lent(), 0);
}

#[test]
fn the_beginning_of_a_message_is_taken_out_and_the_rest_of_it_still_comes() {
    let (first, rest) =
        ("POST / HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n3\r", "\nyou\r\n0\r\n\r\nGET");
    let (mut conn, buffers) = conn(&Script::new([bytes(first.as_bytes()), bytes(rest.as_bytes())]));
    read_head(&mut conn).unwrap();
    assert!(matches!(once(|cx| conn.poll_body(cx)), Poll::Ready(Ok(true))));
    let message = conn.split_message();
    assert!(message.head().starts_with(b"POST / HTTP/1.1\r\n") && message.head().ends_with(b"\r\n\r\n"));
    assert_eq!(message.payload(), b"hello");
    assert_eq!((conn.head(), conn.payload()), (&b""[..], &b""[..]));
    while !conn.body_done() {
        assert!(matches!(once(|cx| conn.poll_body(cx)), Poll::Ready(Ok(_))));
    }
    assert_eq!(conn.payload(), b"you");
    conn.finish_message();
    assert!(conn.has_more(), "of the next one");
    drop((conn, message));
    assert_eq!(buffers.lent(), 0);
}

#[test]
fn an_answer_begins_with_its_own_head_not_with_interim_ones() {
    let many = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(9);
    for (sent, has_answered) in [
        (&b""[..], false),
        (b"HT", false),
        (b"HTTP/1.1 10", false),
        (b"HTTP/1.1 100 Continue\r\n", false),
        (b"HTTP/1.1 100 Continue\r\n\r\n", false),
        (b"HTTP/1.0 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 20", false),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", true),
        (b"HTTP/1.1 401", true),
        (b"HTTP/1.1 101", true),
        (b"HTTX", true),
        (b"x", true),
        (&many, true),
    ] {
        let (mut conn, buffers) = conn(&Script::new([bytes(sent)]));
        let _ = once(|cx| conn.poll_departed(cx));
        assert_eq!(conn.has_answered(), has_answered, "{}", sent.escape_ascii());
        assert_eq!(conn.has_answered(), has_answered, "{}, asked again", sent.escape_ascii());
        drop(conn);
        assert_eq!(buffers.lent(), 0);
    }
}

#[test]
fn a_head_in_many_pieces_is_not_parsed_again_for_each() {
    let mut head = b"GET / HTTP/1.1\r\nHost: gw\r\n".to_vec();
    while head.len() < 31 * 1024 {
        head.extend_from_slice(b"X: ");
        head.extend_from_slice(&[b'a'; 600]);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let (mut conn, _) = conn(&Script::chopped(&head, &[1]));
    let mut request = RequestHead::default();
    let (limits, mut parses) = (HeadLimits::default(), 0);
    loop {
        // A parse begins by forgetting the fields of the last one.
        request.fields.resize(1, Field::default());
        let done = once(|cx| conn.poll_request_head(cx, &mut request, &limits)).is_ready();
        parses += usize::from(request.fields.len() != 1);
        if done {
            break;
        }
    }
    assert_eq!(parses, 2, "the first piece and the whole");
    assert_eq!(conn.head().len(), head.len());
}

#[test]
fn heads_beyond_their_bound_are_refused_however_they_come() {
    let huge = [GET.strip_suffix(b"\r\n").unwrap(), b"X: ", &vec![b'a'; 40_000]].concat();
    for sizes in [&[][..], &[1], &[5000]] {
        assert_eq!(requests(&Script::chopped(&huge, sizes), 0).end, "the head is too large");
    }
    let long = [b"GET /", &vec![b'a'; 40_000][..]].concat();
    for sizes in [&[][..], &[1], &[5000]] {
        assert_eq!(requests(&Script::chopped(&long, sizes), 0).end, "the request target is too long");
    }
}

#[tokio::test]
async fn the_futures_do_what_the_polls_do() {
    let (mut conn, _) =
        conn(&Script::new([bytes(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\nok"), Step::End]));
    let mut head = RequestHead::default();
    conn.parked().await.unwrap();
    assert!(conn.request_head(&mut head, &HeadLimits::default()).await.unwrap());
    assert!(conn.body().await.unwrap());
    conn.write(&[b"HTTP/1.1 204 No Content\r\n\r\n"]).await.unwrap();
    conn.flush().await.unwrap();
    conn.finish_message();
    conn.departed().await;
    conn.shutdown().await.unwrap();
    assert_eq!(conn.io().written(), b"HTTP/1.1 204 No Content\r\n\r\n");
    assert!(conn.into_io().0.borrow().writes == 1);
}

/// Requests in a row, of every framing.
fn arb_requests() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let request = (0..4u8, "/[a-z]{0,9}", "([A-Z][a-z-]{0,8}: ?[ -~]{0,12}\r\n){0,4}", body);
    let wire = |(kind, target, fields, body): (u8, String, String, Vec<u8>)| {
        let head = format!("POST {target} HTTP/1.1\r\nHost: gw\r\n{fields}");
        match kind {
            0 => format!("{head}\r\n").into_bytes(),
            1 => [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat(),
            2 => [
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x};e=f\r\n", body.len().max(1)).as_bytes(),
                if body.is_empty() { b"x" } else { &body },
                b"\r\n0\r\nT: v\r\n\r\n",
            ]
            .concat(),
            _ => [format!("\r\n{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat(),
        }
    };
    prop::collection::vec(request.prop_map(wire), 1..5).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn every_chopping_of_requests_reads_alike(
        wire in arb_requests(),
        sizes in prop::collection::vec(1..90usize, 0..6),
        appetite in 0..50usize,
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut wire = wire;
        if let Some((at, byte)) = change {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        let whole = requests(&Script::chopped(&wire, &[]), 0);
        prop_assert_eq!(&requests(&Script::chopped(&wire, &sizes), appetite), &whole);
        prop_assert_eq!(&requests(&Script::chopped(&wire, &[1]), 1), &whole);
        let unended = requests(&Script::unended(&wire, &sizes), appetite);
        prop_assert_eq!(&unended.messages, &whole.messages, "without an end");
        if change.is_none() {
            prop_assert_eq!(whole.end, "end");
        }
    }

    #[test]
    fn every_chopping_of_answers_reads_alike(
        bodies in prop::collection::vec((0..5u8, prop::collection::vec(any::<u8>(), 1..200)), 1..5),
        sizes in prop::collection::vec(1..90usize, 0..6),
        appetite in 0..50usize,
    ) {
        let (mut wire, mut to_head) = (Vec::new(), Vec::new());
        let last = bodies.len() - 1;
        for (i, (kind, body)) in bodies.iter().enumerate() {
            to_head.push(*kind == 3);
            wire.extend(match kind {
                0 => [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(),
                1 => [format!("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat(),
                2 => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n".to_vec(),
                3 => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec(),
                _ if i == last => [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat(),
                _ => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_vec(),
            });
        }
        let whole = responses(&Script::chopped(&wire, &[]), &to_head, 0);
        prop_assert_eq!(whole.messages.len(), bodies.len());
        prop_assert_eq!(&responses(&Script::chopped(&wire, &sizes), &to_head, appetite), &whole);
    }
}

#[test]
fn a_poll_without_a_message_finds_no_body() {
    let (mut conn, _) = conn(&Script::default());
    assert!(matches!(once(|cx| conn.poll_body(cx)), Poll::Ready(Ok(false))));
    assert_eq!((conn.head(), conn.payload()), (&b""[..], &b""[..]));
}
