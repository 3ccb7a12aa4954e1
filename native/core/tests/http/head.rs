//! Heads: what is read from good ones, where each bound lies, what answers may and may not say.

use penstock_core::http::{Framing, HeadError, HeadLimits, RequestHead, ResponseHead, Version};

fn request(text: &str) -> Result<RequestHead, HeadError> {
    let mut head = RequestHead::default();
    let done = head.parse(text.as_bytes(), &HeadLimits::default())?;
    assert!(done.is_some(), "a whole head: {text:?}");
    Ok(head)
}

fn with(fields: &str) -> Result<RequestHead, HeadError> {
    request(&format!("POST /x HTTP/1.1\r\nHost: gw\r\n{fields}\r\n"))
}

fn response(text: &str) -> Result<ResponseHead, HeadError> {
    let mut head = ResponseHead::default();
    let done = head.parse(text.as_bytes(), &HeadLimits::default(), false)?;
    assert!(done.is_some(), "a whole head: {text:?}");
    Ok(head)
}

#[test]
fn a_request_head_is_read_as_spans() {
    let text = "POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: gw:4000\r\nX-Empty:\r\nX-Blank: \t \r\nX-Padded: \t a b \t\r\ncontent-length: 12\r\n\r\nrest";
    let head = request(text).unwrap();
    let bytes = text.as_bytes();
    assert_eq!(head.method.of(bytes), b"POST");
    assert_eq!(head.target.of(bytes), b"/v1/chat/completions?a=b");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Fixed(12));
    assert_eq!(head.len, bytes.len() - 4);
    let fields: Vec<_> = head.fields(bytes).collect();
    let expected: [(&[u8], &[u8]); 5] = [
        (b"Host", b"gw:4000"),
        (b"X-Empty", b""),
        (b"X-Blank", b""),
        (b"X-Padded", b"a b"),
        (b"content-length", b"12"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(head.field(bytes, "x-padded"), Some(&b"a b"[..]));
    assert_eq!(head.field(bytes, "CONTENT-LENGTH"), Some(&b"12"[..]));
    assert_eq!(head.field(bytes, "x-pad"), None);
}

#[test]
fn a_part_of_a_head_is_not_a_head() {
    let text = b"\r\nGET / HTTP/1.1\r\nHost: gw\r\n\r\n";
    let mut head = RequestHead::default();
    for n in 0..text.len() {
        assert_eq!(head.parse(&text[..n], &HeadLimits::default()), Ok(None), "{n}");
    }
    assert_eq!(head.parse(text, &HeadLimits::default()), Ok(Some(())));
    assert_eq!(head.method.of(text), b"GET");
    assert_eq!(head.len, text.len());
}

#[test]
fn the_storage_of_fields_is_reused() {
    let mut head = RequestHead::default();
    let text = b"GET / HTTP/1.1\r\nHost: gw\r\nA: b\r\n\r\n";
    head.parse(text, &HeadLimits::default()).unwrap();
    let storage = head.fields.as_ptr();
    for _ in 0..3 {
        head.parse(text, &HeadLimits::default()).unwrap();
        assert_eq!((head.fields.as_ptr(), head.fields.len()), (storage, 2));
    }
}

#[test]
fn keep_alive_follows_version_and_connection() {
    let head = |version: &str, connection: &str| {
        request(&format!("GET / HTTP/{version}\r\nHost: gw\r\n{connection}\r\n")).unwrap().keep_alive
    };
    assert!(head("1.1", ""));
    assert!(!head("1.1", "Connection: close\r\n"));
    assert!(!head("1.1", "Connection: foo, CLOSE ,bar\r\n"));
    assert!(!head("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
    assert!(!head("1.1", "Connection: close, keep-alive\r\n"));
    assert!(!head("1.0", ""));
    assert!(head("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!head("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn connection_options_are_listed() {
    let text = b"GET / HTTP/1.1\r\nHost: gw\r\nConnection: x-a, ,X-B\r\nconnection:x-c\r\n\r\n";
    let mut head = RequestHead::default();
    head.parse(text, &HeadLimits::default()).unwrap();
    let options: Vec<_> = head.connection_options(text).collect();
    assert_eq!(options, [&b"x-a"[..], b"X-B", b"x-c"]);
}

#[test]
fn expect_continue_waits_only_for_a_body_to_come() {
    let expects = |fields: &str| with(&format!("Expect: 100-Continue\r\n{fields}")).unwrap().expect_continue;
    assert!(expects("Content-Length: 3\r\n"));
    assert!(expects("Transfer-Encoding: chunked\r\n"));
    assert!(!expects("Content-Length: 0\r\n"));
    assert!(!expects(""));
    let old = request("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert!(!old.expect_continue, "HTTP/1.0 knows no interim answers");
}

#[test]
fn an_upgrade_is_seen_unless_it_is_an_offer_of_h2c() {
    assert!(with("Connection: Upgrade\r\nUpgrade: websocket\r\n").unwrap().upgrade);
    assert!(with("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n").unwrap().upgrade);
    assert!(!with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n").unwrap().upgrade);
    assert!(!with("").unwrap().upgrade);
}

#[test]
fn target_forms_lead_to_the_same_path() {
    let target = |line: &str| {
        let text = format!("{line} HTTP/1.1\r\nHost: Gw:80\r\n\r\n");
        let head = request(&text)?;
        Ok::<_, HeadError>(String::from_utf8(head.target.of(text.as_bytes()).to_vec()).unwrap())
    };
    assert_eq!(target("GET /a?b=[c]&d={e}|^").unwrap(), "/a?b=[c]&d={e}|^");
    assert_eq!(target("GET http://gw:80/a?b").unwrap(), "/a?b");
    assert_eq!(target("GET HTTPS://GW:80/").unwrap(), "/");
    assert_eq!(target("GET //a//").unwrap(), "//a//");
    assert_eq!(target("GET /v1/models/a%2Fb").unwrap(), "/v1/models/a%2Fb");
    assert_eq!(target("OPTIONS *").unwrap(), "*");
}

#[test]
fn host_forms_that_name_one_place_are_taken() {
    for host in ["gw", "gw:4000", "127.0.0.1:80", "[::1]", "[::1]:80", "a_b.c-d~", "", "gw:"] {
        assert!(request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok(), "{host}");
    }
    assert!(request("GET / HTTP/1.0\r\n\r\n").is_ok(), "HTTP/1.0 needs no Host");
}

#[test]
fn bounds_lie_where_they_are_set() {
    let limits = HeadLimits { bytes: 100, fields: 3, target: 10 };
    let parse = |text: &str| RequestHead::default().parse(text.as_bytes(), &limits);
    let padded = |n: usize| {
        let start = "GET / HTTP/1.1\r\nHost: gw\r\nX: ";
        format!("{start}{}\r\n\r\n", "a".repeat(n - start.len() - 4))
    };
    assert_eq!(parse(&padded(100)), Ok(Some(())));
    assert_eq!(parse(&padded(101)), Err(HeadError::TooLarge));
    assert_eq!(parse(&padded(101)[..99]), Ok(None));
    assert_eq!(parse(&padded(101)[..100]), Err(HeadError::TooLarge));
    assert_eq!(parse("GET / HTTP/1.1\r\nHost: g\r\na:\r\nb:\r\n\r\n"), Ok(Some(())));
    assert_eq!(parse("GET / HTTP/1.1\r\nHost: g\r\na:\r\nb:\r\nc:\r\n\r\n"), Err(HeadError::TooManyFields));
    assert_eq!(parse("GET /234567890 HTTP/1.1\r\nHost: g\r\n\r\n"), Ok(Some(())));
    assert_eq!(parse("GET /2345678901 HTTP/1.1\r\nHost: g\r\n\r\n"), Err(HeadError::TargetTooLong));
    assert_eq!(parse(&format!("GET /{}", "a".repeat(200))), Err(HeadError::TargetTooLong));
}

#[test]
fn an_answer_head_is_read_as_spans() {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\n";
    let head = response(text).unwrap();
    assert_eq!((head.status, head.framing, head.keep_alive), (200, Framing::Chunked, true));
    assert_eq!(head.field(text.as_bytes(), "content-type"), Some(&b"text/event-stream"[..]));
    assert_eq!(head.len, text.len() - 3);
    for line in ["HTTP/1.1 429 ", "HTTP/1.1 429", "HTTP/1.1 429 Zu viele \u{e9}", "HTTP/1.1 429 a  b"] {
        assert_eq!(response(&format!("{line}\r\nContent-Length: 0\r\n\r\n")).unwrap().status, 429, "{line}");
    }
}

#[test]
fn the_framing_of_an_answer_follows_status_and_fields() {
    let framing = |text: &str| {
        let head = response(&format!("HTTP/1.1 {text}\r\n\r\n"))?;
        Ok::<_, HeadError>((head.framing, head.keep_alive))
    };
    assert_eq!(framing("200 OK\r\nContent-Length: 7"), Ok((Framing::Fixed(7), true)));
    assert_eq!(framing("200 OK"), Ok((Framing::UntilClose, false)));
    assert_eq!(framing("204 No Content"), Ok((Framing::Empty, true)));
    assert_eq!(framing("204 No Content\r\nContent-Length: 0"), Ok((Framing::Empty, true)));
    assert_eq!(framing("304 Not Modified\r\nContent-Length: 7"), Ok((Framing::Empty, true)));
    assert_eq!(framing("100 Continue"), Ok((Framing::Empty, true)));
    for wrong in ["204 x\r\nContent-Length: 1", "204 x\r\nTransfer-Encoding: chunked", "100 x\r\nContent-Length: 1"] {
        assert!(framing(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    let mut head = ResponseHead::default();
    for fields in ["Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &HeadLimits::default(), true).unwrap();
        assert_eq!((head.framing, head.keep_alive), (Framing::Empty, true), "{fields}");
    }
}

#[test]
fn an_answer_in_http_1_0_is_kept_alive_only_when_it_says_so() {
    let keep = |text: &str| response(&format!("HTTP/1.0 200 OK\r\n{text}\r\n")).unwrap().keep_alive;
    assert!(!keep("Content-Length: 1\r\n"));
    assert!(keep("Content-Length: 1\r\nConnection: keep-alive\r\n"));
    assert!(!keep("Connection: keep-alive\r\n"));
}

#[test]
fn ambiguous_answers_are_refused() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\n\r\n",
        "HTTP/1.1 200 OK\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200\tOK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
    ] {
        assert!(ResponseHead::default().parse(text.as_bytes(), &HeadLimits::default(), false).is_err(), "{text:?}");
    }
}
