//! A client that takes its answer late.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::Ordering::SeqCst,
    time::Duration,
};

use penstock_core::{clock::Clock, server::Role};
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    document::bytes,
    house::{DEADLINE, House, Upstream, document, engine, until},
    keyed::request,
};

const BETWEEN_MS: u64 = 400;
/// So that the kernel holds little of what is sent.
const SMALL: usize = 4096;

/// A house whose clients have to take what is sent to them.
fn narrow_house(document: &Value) -> House {
    let listen = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener).set_send_buffer_size(SMALL).unwrap();
        let at = listener.local_addr().unwrap();
        (listener.into(), at)
    };
    let ((data_fd, data), (admin_fd, admin)) = (listen(), listen());
    let engine = engine(1, 64);
    engine.start(&bytes(document), vec![(data_fd, Role::Data), (admin_fd, Role::Admin)]).unwrap();
    House { engine, data, admin }
}

fn narrow_client(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(SMALL).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// The beginning of a stream.
fn stream_of(texts: &[&str]) -> String {
    let frame = |text: &&str| {
        let frame =
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n");
        format!("{:x}\r\n{frame}\r\n", frame.len())
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    [head.to_owned()].into_iter().chain(texts.iter().map(frame)).collect()
}

/// Asks for a stream, and takes nothing of it.
fn asks(client: &mut TcpStream, upstream: &Upstream) {
    let body = json!({"model": "fast", "messages": [], "stream": true});
    client.write_all(request("POST", "/v1/chat/completions", &[], &body).as_bytes()).unwrap();
    until("it is asked", || (upstream.asked.load(SeqCst) == 1).then_some(()));
}

#[test]
fn silence_begins_when_the_client_has_taken_what_there_was() {
    let upstream = Upstream::start();
    let long = "x".repeat(60_000);
    *upstream.answer.lock().unwrap() = stream_of(&["Hi", &long]);
    let mut document = document(upstream.port);
    document["providers"][0]["timeouts"]["between_bytes_ms"] = json!(BETWEEN_MS);
    let house = narrow_house(&document);
    let mut client = narrow_client(house.data);
    asks(&mut client, &upstream);
    let clock = Clock::System;
    let asked_us = clock.boot_us();
    until("longer than it may be silent", || (clock.boot_us() > asked_us + 3_000 * BETWEEN_MS).then_some(()));
    let taken_us = clock.boot_us();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.ends_with("\r\n0\r\n\r\n") {
        let n = client.read(&mut piece).unwrap();
        assert!(n > 0, "cut off");
        text.push_str(std::str::from_utf8(&piece[..n]).unwrap());
    }
    let passed = Duration::from_micros(clock.boot_us() - taken_us);
    assert!(text.contains(&long) && text.contains("upstream_timeout"), "{}", text.len());
    assert!(passed >= Duration::from_millis(BETWEEN_MS), "{passed:?}");
    house.stop();
}

#[test]
fn the_end_of_the_process_waits_for_no_client_that_takes_nothing_and_charges_what_it_was_sent() {
    let upstream = Upstream::start();
    *upstream.answer.lock().unwrap() = stream_of(&["word ".repeat(20_000).as_str()]);
    let mut document = document(upstream.port);
    document["limits"]["global"] = json!({"tokens": [{"amount": 1_000_000, "window_us": 3_600_000_000_u64}]});
    let house = narrow_house(&document);
    let mut client = narrow_client(house.data);
    asks(&mut client, &upstream);
    let used = || {
        let uses: Value = serde_json::from_slice(&house.engine.limits_use("global", "").unwrap()).unwrap();
        uses[0]["used"].as_u64().unwrap()
    };
    let reserved = used();
    assert!(client.read(&mut [0; 1000]).unwrap() > 0, "the rest waits for the client");
    house.stop();
    assert_eq!(house.status()["in_flight"], 0);
    assert_ne!(used(), reserved);
    assert!((1_000..40_000).contains(&used()), "{} were charged", used());
}
