//! What a request holds of limits on its way, between real sockets: what counts, what is waited for, who is passed over.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};

use crate::{
    document::{bytes, model, price, provider},
    house::{Answer, Client, House, Upstream, chat, document, json_answer, until},
};

const HOUR: u64 = 3_600_000_000;

fn an_hour(amount: u64) -> Value {
    json!([{"amount": amount, "window_us": HOUR}])
}

fn slots(amount: u64, queue_ms: u64) -> Value {
    json!([{"amount": amount, "queue_us": queue_ms * 1_000}])
}

/// What is used of each kind, by name.
fn used(house: &House, scope: &str, name: &str) -> Value {
    let uses: Value = serde_json::from_slice(&house.engine.limits_use(scope, name).unwrap()).unwrap();
    uses.as_array().unwrap().iter().map(|of| (of["kind"].as_str().unwrap().to_owned(), of["used"].clone())).collect()
}

/// The model `fast` at `first`, then at `second`.
fn with_fallback(first: u16, second: u16) -> Value {
    let mut document = document(first);
    document["providers"] = json!([provider("first", first), provider("second", second)]);
    document["models"] = json!([model("fast", "first", Some("real"))]);
    document["models"][0]["fallback"] = json!([{"provider": "second", "model": "other", "weight": 1}]);
    document
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A request that an upstream has and does not answer yet.
fn held_by(house: &House, upstream: &Upstream) -> Client {
    upstream.open.store(false, SeqCst);
    let before = upstream.asked.load(SeqCst);
    let mut client = house.client();
    client.send(&chat("fast")).unwrap();
    until("the upstream has it", || (upstream.asked.load(SeqCst) > before).then_some(()));
    client
}

#[test]
fn whoever_leaves_what_an_upstream_works_on_has_asked_and_pays_for_the_prompt() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["limits"]["models"] =
        json!({"fast": {"requests": an_hour(2), "tokens": an_hour(1_000_000), "budget": an_hour(1_000_000_000)}});
    document["limits"]["providers"] = json!({"up": {"requests": an_hour(9), "tokens": an_hour(1_000_000)}});
    document["prices"] = json!([price(None, "real", 1_000_000, 1_000_000_000)]);
    let house = House::start(&document, 1, 0);
    for n in 1..=2 {
        held_by(&house, &upstream).leave();
        until("it is over", || house.engine.is_idle().then_some(()));
        let now = used(&house, "model", "fast");
        assert_eq!(now["requests"], n);
        let tokens = now["tokens"].as_u64().unwrap();
        assert!((10 * n..30 * n).contains(&tokens), "the prompt, and nothing of the answer: {tokens}");
        assert_eq!(now["budget"], tokens, "at the price of the target that has it");
        assert_eq!(used(&house, "provider", "up"), json!({"requests": n, "tokens": tokens}));
    }
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 429);
    assert_eq!(upstream.asked.load(SeqCst), 2);
    house.stop();
}

#[test]
fn whoever_leaves_while_it_waits_has_not_asked() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["limits"]["models"] = json!({"fast": {"requests": an_hour(9), "concurrent": slots(1, 60_000)}});
    let house = House::start(&document, 1, 0);
    let mut first = held_by(&house, &upstream);
    let mut second = house.client();
    second.send(&chat("fast")).unwrap();
    until("the second is there", || (house.status()["in_flight"] == 2).then_some(()));
    second.leave();
    until("it is gone", || (house.status()["in_flight"] == 1).then_some(()));
    assert_eq!(used(&house, "model", "fast"), json!({"concurrent": 1, "requests": 1}));
    assert_eq!(house.metric("penstock_limit_wait_seconds_count"), 1, "it has waited all the same");
    upstream.open.store(true, SeqCst);
    assert_eq!(first.answer().unwrap().status, 200);
    house.stop();
}

#[test]
fn a_request_without_a_model_is_counted_as_one_and_not_in_money() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["default_provider"] = json!("up");
    document["providers"][0]["passthrough"] = json!(["/files"]);
    document["limits"]["global"] =
        json!({"requests": an_hour(9), "tokens": an_hour(9), "budget": an_hour(9), "concurrent": slots(5, 0)});
    let house = House::start(&document, 1, 0);
    let moderation = r#"{"input":"a text that is longer than the limit of tokens would let it be"}"#;
    for ask in [
        format!(
            "POST /v1/moderations HTTP/1.1\r\nhost: penstock.test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{moderation}",
            moderation.len()
        ),
        "GET /v1/files HTTP/1.1\r\nhost: penstock.test\r\n\r\n".to_owned(),
    ] {
        let answer = house.client().ask(&ask).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(used(&house, "global", ""), json!({"concurrent": 0, "requests": 2, "tokens": 0, "budget": 0}));
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 403, "a model needs its price all the same");
    house.stop();
}

#[test]
fn only_targets_that_are_asked_count_as_attempts() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let mut document = with_fallback(first.port, second.port);
    document["max_attempts"] = json!(1);
    document["limits"]["providers"] = json!({"first": {"requests": an_hour(1)}});
    let house = House::start(&document, 1, 0);
    let target = || field(&house.client().ask(&chat("fast")).unwrap(), "x-penstock-target").map(str::to_owned);
    assert_eq!([target(), target()].map(Option::unwrap), ["first/real", "second/other"]);
    document["limits"]["global"] = json!({"budget": an_hour(1_000_000_000)});
    document["prices"] = json!([price(None, "other", 1, 1)]);
    house.engine.apply(&bytes(&document)).unwrap();
    assert_eq!(target().unwrap(), "second/other", "the first has no price");
    *second.answer.lock().unwrap() = json_answer(500, "{}");
    document["limits"] =
        json!({"default": null, "global": null, "models": {}, "providers": {}, "unpriced": "refuse", "zone": "UTC"});
    document["models"][0]["targets"][0]["provider"] = json!("second");
    document["models"][0]["fallback"][0]["provider"] = json!("first");
    house.engine.apply(&bytes(&document)).unwrap();
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 500, "whoever was asked counts");
    house.stop();
}

#[test]
fn who_waits_in_vain_is_told_how_long() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    for (place, name) in [("models", "fast"), ("providers", "up")] {
        document["limits"]["models"] = json!({});
        document["limits"][place] = json!({name: {"concurrent": slots(1, 100)}});
        let house = House::start(&document, 1, 0);
        let mut first = held_by(&house, &upstream);
        let refused = house.client().ask(&chat("fast")).unwrap();
        assert_eq!(refused.status, 429, "{}", refused.body);
        let number = |name: &str| field(&refused, name).map_or(0, |n| n.parse::<u64>().unwrap());
        assert!(number("x-penstock-queued-ms") >= 100, "{}", refused.head);
        assert!(number("x-penstock-overhead-us") < 100_000, "to wait is no work: {}", refused.head);
        assert_eq!(house.metric("penstock_limit_wait_seconds_count"), 1);
        upstream.open.store(true, SeqCst);
        assert_eq!(first.answer().unwrap().status, 200);
        house.stop();
    }
}

#[test]
fn only_at_the_last_target_a_slot_is_waited_for() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let mut document = with_fallback(first.port, second.port);
    let each = json!({"concurrent": slots(1, 60_000)});
    document["limits"]["providers"] = json!({"first": each, "second": each});
    let house = House::start(&document, 1, 0);
    let mut at_first = held_by(&house, &first);
    let mut at_second = held_by(&house, &second);
    let mut waiting = house.client();
    waiting.send(&chat("fast")).unwrap();
    until("it is there", || (house.status()["in_flight"] == 3).then_some(()));
    second.open.store(true, SeqCst);
    assert_eq!(field(&at_second.answer().unwrap(), "x-penstock-target"), Some("second/other"));
    let answer = waiting.answer().unwrap();
    assert_eq!((answer.status, field(&answer, "x-penstock-target")), (200, Some("second/other")));
    assert!(field(&answer, "x-penstock-queued-ms").is_some(), "{}", answer.head);
    assert_eq!(used(&house, "provider", "first"), json!({"concurrent": 1}));
    first.open.store(true, SeqCst);
    assert_eq!(at_first.answer().unwrap().status, 200);
    house.stop();
}

#[test]
fn what_a_provider_was_sent_counts_there_even_if_it_fails() {
    let (first, second) = (Upstream::start(), Upstream::start());
    *first.answer.lock().unwrap() = json_answer(500, "{}");
    let mut document = with_fallback(first.port, second.port);
    document["limits"]["providers"] = json!({"first": {"requests": an_hour(2), "tokens": an_hour(1_000_000)}});
    let house = House::start(&document, 1, 0);
    for n in [1, 2, 2] {
        assert_eq!(field(&house.client().ask(&chat("fast")).unwrap(), "x-penstock-target"), Some("second/other"));
        assert_eq!(used(&house, "provider", "first"), json!({"requests": n, "tokens": 0}));
    }
    assert_eq!(first.asked.load(SeqCst), 2);
    house.stop();
}

#[test]
fn whoever_leaves_while_it_waits_for_another_provider_has_not_asked_that_one() {
    let (first, second) = (Upstream::start(), Upstream::start());
    *first.answer.lock().unwrap() = json_answer(500, "{}");
    let mut document = with_fallback(first.port, second.port);
    document["providers"][1]["max_connections"] = json!(1);
    document["limits"]["global"] = json!({"requests": an_hour(9)});
    document["limits"]["providers"] =
        json!({"first": {"requests": an_hour(9)}, "second": {"requests": an_hour(9), "tokens": an_hour(1_000_000)}});
    let house = House::start(&document, 1, 0);
    let mut held = held_by(&house, &second);
    let before = used(&house, "provider", "second");
    let mut client = house.client();
    client.send(&chat("fast")).unwrap();
    until("the first has failed it", || (first.asked.load(SeqCst) == 2).then_some(()));
    until("it waits for the second", || (used(&house, "provider", "second")["requests"] == 2).then_some(()));
    client.leave();
    until("it is gone", || (house.status()["in_flight"] == 1).then_some(()));
    assert_eq!(used(&house, "provider", "second"), before);
    assert_eq!(used(&house, "provider", "first"), json!({"requests": 2}));
    assert_eq!(used(&house, "global", ""), json!({"requests": 2}));
    second.open.store(true, SeqCst);
    assert_eq!(held.answer().unwrap().status, 200);
    house.stop();
}

#[test]
fn a_zone_that_does_not_exist_changes_nothing() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    let house = House::start(&document, 1, 0);
    document["limits"]["zone"] = json!("Mars/Olympus");
    document["providers"] = json!([provider("elsewhere", upstream.port)]);
    document["models"] = json!([]);
    assert!(house.engine.apply(&bytes(&document)).unwrap_err().contains("Mars/Olympus"));
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 200);
    assert!(!Client::connect(house.admin).get("/metrics").body.contains("elsewhere"), "nothing of it took effect");
    house.stop();
}
