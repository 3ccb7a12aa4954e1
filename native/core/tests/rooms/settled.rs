//! What is let go before it is counted what an answer used, and what is kept until then.

use std::{
    fs,
    path::PathBuf,
    process::{self, Command},
    sync::atomic::Ordering::SeqCst,
};

use serde_json::{Value, json};

use crate::{
    house::{ANSWER, Client, House, Upstream, chat, document, json_answer, until},
    keyed::{assert_refused, request},
};

/// Tokens are limited: what answers use is counted where they do not say it.
fn scene(upstream: &Upstream) -> Value {
    let mut document = document(upstream.port);
    document["limits"]["global"] = json!({"tokens": [{"amount": 1_000_000_000, "window_us": 3_600_000_000_u64}]});
    document
}

/// A stream that never ends.
fn endless() -> String {
    let frame = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{frame}\r\n",
        frame.len()
    )
}

/// A chat whose prompt has so many bytes.
fn asks(bytes: usize, stream: bool) -> String {
    let messages = json!([{"role": "user", "content": "x".repeat(bytes)}]);
    request("POST", "/v1/chat/completions", &[], &json!({"model": "fast", "stream": stream, "messages": messages}))
}

/// A client that has the beginning of such a stream.
fn streaming(house: &House, upstream: &Upstream, bytes: usize) -> Client {
    *upstream.answer.lock().unwrap() = endless();
    let mut client = house.client();
    client.send(&asks(bytes, true)).unwrap();
    client.read_until("\"Hi\"");
    *upstream.answer.lock().unwrap() = json_answer(200, ANSWER);
    client
}

#[test]
fn whoever_leaves_frees_its_slot_and_its_upstream_before_its_tokens_are_counted() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rooms-{}-slow-tables", process::id()));
    fs::create_dir_all(&directory).unwrap();
    let table = directory.join("o200k_base.table");
    // To open one takes until somebody writes to it.
    assert!(Command::new("mkfifo").arg(&table).status().unwrap().success());
    let upstream = Upstream::start();
    let mut document = scene(&upstream);
    document["providers"][0]["max_connections"] = json!(1);
    document["limits"]["global"]["concurrent"] = json!([{"amount": 1, "queue_us": 5_000_000}]);
    let house = House::start_with(&document, 1, 0, &json!({"tokens_dir": directory}));
    let client = streaming(&house, &upstream, 10);
    client.leave();
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 200, "both are free");
    assert_eq!(house.metric("penstock_requests_in_flight"), 1, "that of the client that left is counted");
    drop(fs::OpenOptions::new().write(true).open(&table).unwrap());
    until("it is counted", || house.engine.is_idle().then_some(()));
    house.stop();
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn prompts_that_are_kept_for_counting_take_at_most_half_of_the_room_for_requests() {
    let upstream = Upstream::start();
    let mut document = scene(&upstream);
    document["body"]["max_inflight_bytes"] = json!(100_000);
    let house = House::start(&document, 1, 0);
    let ask = |bytes: usize| house.client().ask(&asks(bytes, false)).unwrap();
    let first = streaming(&house, &upstream, 30_000);
    assert_refused(&ask(75_000), 503, "overloaded");
    assert_eq!(ask(65_000).status, 200);
    let second = streaming(&house, &upstream, 30_000);
    assert_eq!(ask(65_000).status, 200, "one prompt more would be too much, and is estimated");
    assert_refused(&ask(75_000), 503, "overloaded");
    [first, second].iter().for_each(Client::leave);
    until("they are counted", || house.engine.is_idle().then_some(()));
    assert_eq!(ask(75_000).status, 200, "nothing is kept");
    assert_eq!(upstream.asked.load(SeqCst), 5);
    house.stop();
}
