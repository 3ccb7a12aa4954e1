//! hyper understands what we accept as we do: method, target, version, fields, body, and what comes after.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use http_body_util::{BodyExt, Empty};
use hyper::{Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use penstock_core::http::Version;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    hostile::table,
    reading::{Request, requests},
    script::Script,
};

/// What hyper's server makes of `wire`; a request counts when its body was read to the end.
fn hyper(wire: &[u8]) -> Vec<Request> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let log = Rc::clone(&log);
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                log.borrow_mut().push(Request {
                    method: head.method.as_str().as_bytes().to_vec(),
                    target: head.uri.path_and_query().map(|p| p.as_str().as_bytes().to_vec()).unwrap_or_default(),
                    version: if head.version == hyper::Version::HTTP_10 { Version::Http10 } else { Version::Http11 },
                    fields: head.headers.iter().map(|(n, v)| (n.as_str().into(), v.as_bytes().to_vec())).collect(),
                    body: body.to_bytes().to_vec(),
                    keep_alive: true,
                    expect_continue: false,
                    upgrade: false,
                });
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(wire).await.expect("room for all");
        client.shutdown().await.expect("an end");
        let serve = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        // A refusal is an error here; what was understood before it is in the log.
        let _ = serve.await;
        let _ = client.read_to_end(&mut Vec::new()).await;
    });
    seen.take()
}

/// Field names in lower case, sorted by name: hyper's map keeps order only within a name.
fn comparable(mut request: Request) -> Request {
    request.fields.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    request.fields.sort_by(|a, b| a.0.cmp(&b.0));
    Request { keep_alive: true, expect_continue: false, upgrade: false, ..request }
}

/// Each request that we take, hyper takes alike; it may take more, where we are stricter.
fn agrees(wire: &[u8]) {
    let ours = requests(&Script::chopped(wire, &[]), 0).messages;
    let theirs = hyper(wire);
    for (n, request) in ours.into_iter().enumerate() {
        let theirs = theirs.get(n).cloned().map(comparable);
        assert_eq!(Some(comparable(request)), theirs, "request {n} of {:?}", String::from_utf8_lossy(wire));
    }
}

/// `ROUNDS` from the environment, as all random suites take it.
fn rounds() -> ProptestConfig {
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    ProptestConfig { cases: rounds, ..ProptestConfig::default() }
}

const GOOD: [&str; 8] = [
    "GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
    "GET http://gw/a?b=c HTTP/1.1\r\nhost: GW\r\nAccept:\t*/* \r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: gw\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nHost: gw:4000\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nT: u\r\n\r\n",
    "POST /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    "\r\nHEAD /%2F HTTP/1.1\r\nHost: [::1]:80\r\nX:\r\nX: \r\nX: \u{e9}\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
];

#[test]
fn hyper_reads_good_requests_as_we_do() {
    for good in GOOD {
        assert_eq!(requests(&Script::chopped(good.as_bytes(), &[]), 0).messages.len(), 1, "{good:?}");
        agrees(good.as_bytes());
    }
}

/// Bytes that parsers have disagreed about.
const ODD: &[&str] = &[
    "\r",
    "\n",
    "\r\n",
    "\r\r\n",
    " ",
    "\t",
    "\0",
    "\x0b",
    "\x7f",
    "\u{a0}",
    ":",
    ";",
    ",",
    "+",
    "-",
    "0",
    "0x",
    "00",
    "\"",
    "\\",
    "%",
    "#",
    "?",
    "/",
    "//",
    "@",
    "[",
    "]",
    "chunked",
    "identity",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: evil\r\n",
    "Connection: close\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    "http://gw",
    "Transfer-Encoding",
    "\r\n\r\n",
    "0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
    "a: b\r\n",
];

/// Good and hostile requests in a row with a few places changed.
fn arb_wire() -> impl Strategy<Value = Vec<u8>> {
    let corpus: Vec<Vec<u8>> =
        table().into_iter().map(|r| r.bytes).chain(GOOD.map(|g| g.as_bytes().to_vec())).collect();
    let good = prop::sample::select(GOOD.map(|g| g.as_bytes().to_vec()).to_vec());
    let one = prop_oneof![good, prop::sample::select(corpus)];
    let edit = (any::<prop::sample::Index>(), 0..4usize, prop::sample::select(ODD));
    (prop::collection::vec(one, 1..3), prop::collection::vec(edit, 0..3)).prop_map(|(parts, edits)| {
        let mut wire = parts.concat();
        for (at, cut, odd) in edits {
            let at = at.index(wire.len());
            let end = wire.len().min(at + cut);
            wire.splice(at..end, odd.bytes());
        }
        wire
    })
}

proptest! {
    #![proptest_config(rounds())]

    #[test]
    fn hyper_reads_whatever_we_accept_as_we_do(wire in arb_wire()) {
        agrees(&wire);
    }
}
