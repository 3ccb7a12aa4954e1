//! The HTTP codec: no input breaks it, every chopping reads alike, and what was read can be written and read again.

use std::fmt::Write as _;

use penstock_core::http::{BodyDecoder, BodyLimits, Framing};

use crate::{
    reading::{Request, Response, requests, responses},
    script::Script,
};

/// The first byte says how to cut, the rest is the connection.
fn choices(data: &[u8]) -> Option<(usize, &[u8])> {
    data.split_first().map(|(first, rest)| (usize::from(*first) + 1, rest))
}

fn wire(first_line: &str, fields: &[(Vec<u8>, Vec<u8>)], body: &[u8], chunked: bool) -> Vec<u8> {
    let mut out = format!("{first_line}\r\n").into_bytes();
    for (name, value) in fields {
        for part in [name, &b": "[..], value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    if !chunked {
        out.extend_from_slice(body);
        return out;
    }
    for chunk in body.chunks(7) {
        let mut size = String::new();
        let _ = write!(size, "{:x}\r\n", chunk.len());
        for part in [size.as_bytes(), chunk, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_chunked(fields: &[(Vec<u8>, Vec<u8>)]) -> bool {
    fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding"))
}

/// Requests in a row.
pub fn http_request(data: &[u8]) {
    let Some((size, bytes)) = choices(data) else { return };
    let whole = requests(&Script::chopped(bytes, &[]), 0);
    assert_eq!(requests(&Script::chopped(bytes, &[size]), size), whole, "in pieces");
    assert_eq!(requests(&Script::chopped(bytes, &[1, size]), 1), whole, "in small pieces");
    assert_eq!(requests(&Script::unended(bytes, &[size]), 1).messages, whole.messages, "without an end");
    for request in whole.messages {
        let Request { method, target, fields, body, .. } = &request;
        let version = format!("{:?}", request.version).replace("Http1", "HTTP/1.");
        let line = format!("{} {} {version}", text(method), text(target));
        let again = wire(&line, fields, body, is_chunked(fields));
        let reading = requests(&Script::chopped(&again, &[]), 0);
        assert_eq!(reading.messages, [request], "written again");
    }
}

/// Answers in a row; the top bit of the first byte says whether all answer HEAD.
pub fn http_response(data: &[u8]) {
    let Some((size, bytes)) = choices(data) else { return };
    let to_head = [size > 128; 64];
    let whole = responses(&Script::chopped(bytes, &[]), &to_head, 0);
    assert_eq!(responses(&Script::chopped(bytes, &[size]), &to_head, size), whole, "in pieces");
    assert_eq!(responses(&Script::chopped(bytes, &[1, size]), &to_head, 1), whole, "in small pieces");
    // Those behind them answer GET.
    for response in whole.messages.into_iter().take(to_head.len()) {
        let Response { status, fields, body, .. } = &response;
        let version = format!("{:?}", response.version).replace("Http1", "HTTP/1.");
        let bodiless = to_head[0] || *status == 304;
        let again = wire(&format!("{version} {status} "), fields, body, is_chunked(fields) && !bodiless);
        let reading = responses(&Script::chopped(&again, &[]), &to_head, 0);
        assert_eq!(reading.messages, [response], "written again");
    }
}

/// A body alone; the first byte says which framing, and how to cut.
pub fn http_body(data: &[u8]) {
    let Some((size, bytes)) = choices(data) else { return };
    let framing = match size % 8 {
        0 => Framing::Empty,
        1 => Framing::UntilClose,
        2 => Framing::Fixed(size as u64),
        _ => Framing::Chunked,
    };
    let (whole, used, end) = decode(framing, bytes, 1);
    let (payload, consumed, same) = decode(framing, bytes, size);
    assert_eq!(end, same, "in pieces");
    assert!(whole.starts_with(&payload), "a failing piece shows less, never other bytes");
    if end == Ok(true) {
        assert_eq!((whole, used), (payload, consumed), "in pieces");
    }
}

fn decode(framing: Framing, bytes: &[u8], size: usize) -> (Vec<u8>, usize, Result<bool, String>) {
    let mut decoder = BodyDecoder::new(framing, &BodyLimits::default());
    let (mut payload, mut used) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        match decoder.decode(&mut piece) {
            Ok(decoded) => {
                assert!(decoded.payload <= decoded.consumed && decoded.consumed <= piece.len());
                assert!(decoder.is_done() || decoded.consumed == piece.len());
                payload.extend_from_slice(&piece[..decoded.payload]);
                used += decoded.consumed;
            }
            Err(error) => return (payload, used, Err(error.to_string())),
        }
        if decoder.is_done() {
            break;
        }
    }
    (payload, used, Ok(decoder.is_done()))
}
