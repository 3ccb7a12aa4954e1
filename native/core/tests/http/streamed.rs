//! Bodies that are consumed as they come: in how much memory, and for how long that is held.

use penstock_core::http::{HeadLimits, ResponseHead};

use crate::{
    conn::{bytes, conn},
    script::{Script, drive, once},
};

#[test]
fn a_stream_that_is_consumed_as_it_comes_stays_in_one_buffer() {
    let mut steps = vec![bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")];
    let chunk = [&b"400\r\n"[..], &[b'x'; 1024], b"\r\n"].concat();
    steps.extend((0..500).map(|_| bytes(&chunk)));
    steps.push(bytes(b"0\r\n\r\n"));
    let (mut conn, buffers) = conn(&Script::new(steps));
    let mut head = ResponseHead::default();
    drive(|cx| conn.poll_response_head(cx, &mut head, &HeadLimits::default(), false)).unwrap();
    let mut total = 0;
    while drive(|cx| conn.poll_body(cx)).unwrap() {
        // A frame is often left unfinished: some of the payload stays.
        let n = conn.payload().len().saturating_sub(100);
        total += n;
        conn.consume(n);
        assert_eq!(conn.buffered(), 16 * 1024);
    }
    assert_eq!(total + conn.payload().len(), 500 * 1024);
    conn.finish_message();
    assert_eq!((buffers.lent(), buffers.free()), (0, 1));
}

#[test]
fn a_buffer_that_was_used_up_goes_back_when_nothing_more_has_come() {
    let script = Script::new([bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n")]);
    let (mut conn, buffers) = conn(&script);
    let mut head = ResponseHead::default();
    drive(|cx| conn.poll_response_head(cx, &mut head, &HeadLimits::default(), false)).unwrap();
    assert!(drive(|cx| conn.poll_body(cx)).unwrap());
    conn.forget_head();
    assert_eq!(conn.payload(), b"abcdef");
    for rest in [&b"2\r\ngh\r\n"[..], b"2\r\nij\r\n"] {
        conn.consume(conn.payload().len());
        assert!(once(|cx| conn.poll_body(cx)).is_pending());
        assert_eq!((buffers.lent(), conn.buffered()), (0, 0));
        script.push(bytes(rest));
        assert!(drive(|cx| conn.poll_body(cx)).unwrap());
        assert_eq!(conn.payload(), &rest[3..5]);
    }
}

#[test]
fn a_stream_that_is_long_in_coming_holds_little_until_it_comes() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = Script::new([bytes(head)]);
    let (mut conn, buffers) = conn(&script);
    let mut parsed = ResponseHead::default();
    drive(|cx| conn.poll_response_head(cx, &mut parsed, &HeadLimits::default(), false)).unwrap();
    conn.shrink();
    assert!(once(|cx| conn.poll_body(cx)).is_pending());
    assert_eq!((conn.buffered(), conn.head(), buffers.lent()), (2 * 1024, &head[..], 1));
    let frame = vec![b'x'; 5_000];
    script.push(bytes(&[&b"1388\r\n"[..], &frame, b"\r\n0\r\n\r\n"].concat()));
    while drive(|cx| conn.poll_body(cx)).unwrap() {}
    assert_eq!((conn.payload(), conn.head(), conn.buffered()), (&frame[..], &head[..], 16 * 1024));
    conn.finish_message();
    assert_eq!((buffers.lent(), buffers.free()), (0, 1));
}

#[test]
fn a_buffer_that_grew_goes_once_it_is_used_up_and_none_is_held_for_nothing() {
    let body = vec![b'x'; 100_000];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * body.len());
    let script = Script::new([bytes(head.as_bytes())]);
    let (mut conn, buffers) = conn(&script);
    let mut parsed = ResponseHead::default();
    drive(|cx| conn.poll_response_head(cx, &mut parsed, &HeadLimits::default(), false)).unwrap();
    conn.forget_head();
    assert_eq!((buffers.lent(), conn.buffered()), (0, 0));
    script.push(bytes(&body));
    while conn.payload().len() < body.len() {
        assert!(drive(|cx| conn.poll_body(cx)).unwrap());
    }
    assert!(conn.buffered() >= body.len());
    conn.consume(body.len());
    assert_eq!((buffers.lent(), conn.buffered()), (0, 0));
    script.push(bytes(&body));
    while drive(|cx| conn.poll_body(cx)).unwrap() {
        conn.consume(conn.payload().len());
    }
    assert_eq!((buffers.lent(), conn.body_done()), (0, true));
}

#[test]
fn after_a_fault_in_a_body_nothing_more_is_read_of_it_and_what_came_is_there() {
    let head = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
    for body in [
        &b"5\r\nabcdefg"[..],
        b"5\r\nhello\r\nZZ",
        b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        b"5\r\nhello\r\n5;=\r\nhello\r\n0\r\n\r\n",
        b"7\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"5\r\n0\r\n\r\n\r\nZZ\r\n0\r\n\r\n",
    ] {
        let whole = [head, body].concat();
        for cut in 0..=whole.len() {
            let steps = [&whole[..cut], &whole[cut..]].into_iter().filter(|piece| !piece.is_empty()).map(bytes);
            let (mut conn, _) = conn(&Script::new(steps));
            let mut parsed = ResponseHead::default();
            drive(|cx| conn.poll_response_head(cx, &mut parsed, &HeadLimits::default(), false)).unwrap();
            let error = loop {
                match drive(|cx| conn.poll_body(cx)) {
                    Ok(more) => assert!(more, "{}", body.escape_ascii()),
                    Err(error) => break error.to_string(),
                }
            };
            for _ in 0..3 {
                let here = conn.payload().len();
                assert!(here <= 7);
                conn.consume(here);
                assert_eq!(drive(|cx| conn.poll_body(cx)).unwrap_err().to_string(), error, "{}", body.escape_ascii());
                assert!(!conn.body_done());
            }
        }
    }
}
