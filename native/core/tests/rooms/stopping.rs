//! What the end of the process does to requests that are in flight.

use std::{sync::atomic::Ordering::SeqCst, thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    engine::is_quiet,
    house::{Client, House, Upstream, chat, document, until},
    keyed::{bearer, keyed_document, keyed_house, own, put, request, row},
};

#[test]
fn stopping_cuts_what_is_still_in_flight_and_says_so() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 2, 0);
    upstream.open.store(false, SeqCst);
    let mut clients: Vec<Client> = (0..4).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|c| c.send(&chat("fast")).unwrap());
    until("all are asked", || (upstream.asked.load(SeqCst) == 4).then_some(()));
    house.stop();
    for client in &mut clients {
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.head.contains("x-penstock-error: shutting_down\r\n"), "{}", answer.head);
        assert!(answer.head.contains("\r\nretry-after: 1\r\n"), "{}", answer.head);
    }
    until("all is given back", || is_quiet(&house));
    assert_eq!(house.status()["tasks"], 0);
}

/// A request that is in flight while the process ends; what its client reads then.
fn stopped(house: &House, asks: &str, wait: impl FnOnce(&mut Client), then: impl FnOnce(&mut Client)) -> String {
    let mut client = house.client();
    client.send(asks).unwrap();
    wait(&mut client);
    thread::scope(|scope| {
        let stops = scope.spawn(|| house.stop());
        then(&mut client);
        let text = client.rest();
        client.leave();
        stops.join().unwrap();
        text
    })
}

#[test]
fn a_stream_whose_end_is_that_of_its_body_is_not_taken_for_whole() {
    let upstream = Upstream::start();
    let frame = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hi\"}\n\n";
    *upstream.answer.lock().unwrap() = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{frame}\r\n",
        frame.len()
    );
    let house = House::start(&document(upstream.port), 1, 0);
    let asks = request("POST", "/v1/audio/speech", &[], &json!({"model": "fast", "input": "Hi", "voice": "v"}));
    let text = stopped(&house, &asks, |client| drop(client.read_until("Hi")), |_| ());
    assert!(text.contains("shutting_down"), "{text}");
}

#[test]
fn an_answer_of_which_nothing_was_sent_is_still_an_error_of_its_own() {
    let upstream = Upstream::start();
    *upstream.answer.lock().unwrap() =
        "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 1000\r\n\r\n".to_owned();
    let house = House::start(&document(upstream.port), 1, 0);
    let asks = request("POST", "/v1/audio/speech", &[], &json!({"model": "fast", "input": "Hi", "voice": "v"}));
    let asked = |_: &mut Client| until("it is asked", || (upstream.asked.load(SeqCst) == 1).then_some(()));
    let text = stopped(&house, &asks, asked, |_| thread::park_timeout(Duration::from_millis(50)));
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("shutting_down"), "{text}");
}

#[test]
fn who_still_sends_its_request_sees_the_answer() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 1, 0);
    let asks = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 999999\r\n\r\n{";
    let is_in = |_: &mut Client| until("it is in", || (house.status()["in_flight"] == 1).then_some(()));
    let text = stopped(&house, asks, is_in, |client| {
        for _ in 0..10 {
            client.send(&" ".repeat(10_000)).unwrap();
            thread::park_timeout(Duration::from_millis(10));
        }
        client.end();
    });
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("shutting_down"), "{text}");
}

#[test]
fn whose_key_is_being_verified_is_told_too() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    put(&house, &json!({"keys": [row("abcdefghijkl", 1, None)]}));
    let shown = bearer(&own("abcdefghijkl", 'a'));
    let asks = request("POST", "/v1/chat/completions", &[("authorization", &shown)], &Value::Null);
    let is_in = |_: &mut Client| until("it is in", || (house.status()["in_flight"] == 1).then_some(()));
    let told = stopped(&house, &asks, is_in, |_| ());
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("shutting_down"), "{told}");
}
