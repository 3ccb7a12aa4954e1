//! What counts as waiting for an upstream, and what does not.

use std::sync::atomic::Ordering::SeqCst;

use penstock_core::clock::Clock;
use serde_json::json;

use crate::{
    document::model,
    house::{House, Upstream, chat, document, until},
};

const FIRST_TOKEN_MS: u64 = 200;

#[test]
fn an_answer_is_waited_for_from_when_a_connection_came_free_not_from_when_it_was_asked_for() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["providers"][0]["max_connections"] = json!(1);
    document["providers"][0]["timeouts"]["first_token_ms"] = json!(FIRST_TOKEN_MS);
    let mut patient = model("patient", "up", Some("real"));
    patient["timeouts"] =
        json!({"connect_ms": null, "first_token_ms": 60_000, "between_bytes_ms": null, "total_ms": null});
    document["models"].as_array_mut().unwrap().push(patient);
    let house = House::start(&document, 1, 0);
    let (mut first, mut second) = (house.client(), house.client());
    upstream.open.store(false, SeqCst);
    first.send(&chat("patient")).unwrap();
    until("the first has the connection", || (upstream.asked.load(SeqCst) == 1).then_some(()));
    second.send(&chat("fast")).unwrap();
    until("the second waits for it", || (house.metric("penstock_upstream_queue") == 1).then_some(()));
    let late_us = Clock::System.boot_us() + 2_000 * FIRST_TOKEN_MS;
    until("it has waited for longer than it may for an answer", || (Clock::System.boot_us() > late_us).then_some(()));
    upstream.open.store(true, SeqCst);
    assert_eq!(first.answer().unwrap().status, 200);
    assert_eq!(second.answer().unwrap().status, 200);
    assert_eq!(house.metric("penstock_upstream_connections{state=\"idle\"}"), 1, "it was the same connection");
    house.stop();
}
