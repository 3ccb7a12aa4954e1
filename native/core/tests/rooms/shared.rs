//! Limits that nodes share, between real sockets: leases are asked for by questions, and what is judged without them.

use std::sync::atomic::Ordering::SeqCst;

use penstock_core::questions::Kind;
use serde_json::{Value, json};

use crate::{
    document::{bytes, model, provider},
    house::{Answer, Client, House, Upstream, chat, document, until},
    keyed::assert_refused,
};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
/// Of Redis, in the middle of a sub-bucket.
const NOW_US: u64 = 1_800_000_000 * SECOND + 500_000;

fn per_minute(amount: u64, away: &str) -> Value {
    json!({"requests": [{"amount": amount, "window_us": MINUTE}], "away": away})
}

/// A house that waits for leases as long as it takes.
fn shared_house(document: &Value) -> House {
    let house = House::start_with(document, 2, 0, &json!({"shared": {"timeout_us": 30 * SECOND}}));
    house.engine.shared_state(false, 2);
    house
}

/// The next question for leases: its id, and the calls.
fn question(house: &House) -> (u64, Vec<Value>) {
    let asked =
        until("a question for leases", || house.engine.questions().into_iter().find(|asked| asked.kind == Kind::Lease));
    (asked.id, serde_json::from_slice(&asked.payload).unwrap())
}

/// What the script answers to a call: so much is granted, or refused until a second later.
fn reply(granted: u64) -> Value {
    let (expiry, lapse) = if granted == 0 { (0, NOW_US + SECOND) } else { (NOW_US + 1_500_000, 0) };
    let bucket = expiry.saturating_sub(1) / SECOND;
    json!([0, NOW_US, NOW_US - MINUTE, 1, 0, granted, bucket, expiry, granted, lapse, 0, NOW_US / SECOND])
}

/// Answers every question for leases by `answer` while something is awaited.
fn answering<T>(house: &House, answer: &Value, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until(what, || {
        for asked in house.engine.questions().iter().filter(|asked| asked.kind == Kind::Lease) {
            let calls: Vec<Value> = serde_json::from_slice(&asked.payload).unwrap();
            house.engine.answer(asked.id, bytes(&Value::from(vec![answer.clone(); calls.len()])));
        }
        look()
    })
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn asking(house: &House) -> Client {
    let mut client = house.client();
    client.send(&chat("fast")).unwrap();
    client
}

#[test]
fn a_request_is_served_from_a_lease_that_python_fetched_and_the_next_one_from_what_it_left() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["limits"]["models"] = json!({"fast": per_minute(600, "closed")});
    let house = shared_house(&document);
    let mut first = asking(&house);
    let (id, calls) = question(&house);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["tag"], format!("model:fast:requests:{MINUTE}"));
    let args: Vec<&str> = calls[0]["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    assert_eq!(args[..5], ["1000000", "0", "0", "600", "1000000"], "sub-bucket, period, limit, time of a lease");
    assert_eq!(args[11..13], ["2", "1"], "the nodes known, and what the request needs");
    assert_eq!(upstream.asked.load(SeqCst), 0, "nobody is let through without a lease");
    assert!(house.engine.answer(id, bytes(&json!([reply(50)]))));
    let answer = first.answer().unwrap();
    assert_eq!((answer.status, field(&answer, "x-penstock-limits-away")), (200, None));
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 200);
    for (name, count) in [
        ("penstock_lease_asks_total{result=\"granted\"}", 1),
        ("penstock_lease_wait_seconds_count", 1),
        ("penstock_away_requests_total{policy=\"closed\"}", 0),
        ("penstock_shared_up", 1),
        ("penstock_shared_nodes", 2),
        ("penstock_questions_total{kind=\"lease\",result=\"answered\"}", 1),
    ] {
        assert_eq!(house.metric(name), count, "{name}");
    }
    house.stop();
}

#[test]
fn what_redis_refuses_is_a_429_until_it_lapses_there() {
    let mut document = document(1);
    document["limits"]["global"] = per_minute(600, "open");
    let house = shared_house(&document);
    let mut client = asking(&house);
    let (id, _) = question(&house);
    assert!(house.engine.answer(id, bytes(&json!([reply(0)]))));
    let answer = client.answer().unwrap();
    assert_refused(&answer, 429, "rate_limit_requests");
    let wait_ms: u64 = field(&answer, "retry-after-ms").unwrap().parse().unwrap();
    assert!((500..=3_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(field(&answer, "x-penstock-limits-away"), None);
    house.stop();
}

#[test]
fn while_redis_is_away_each_limit_goes_by_its_policy_and_the_client_is_told() {
    let upstream = Upstream::start();
    for (policy, nodes, statuses) in [
        ("fair_share", 2, [200, 200, 429]),
        ("fair_share", 0, [503; 3]),
        ("closed", 2, [503; 3]),
        ("open", 2, [200; 3]),
    ] {
        let mut document = document(upstream.port);
        document["limits"]["models"] = json!({"fast": per_minute(4, policy)});
        let house = shared_house(&document);
        house.engine.shared_state(true, nodes);
        for status in statuses {
            let answer = house.client().ask(&chat("fast")).unwrap();
            assert_eq!(answer.status, status, "{policy} {nodes}: {}", answer.body);
            assert_eq!(field(&answer, "x-penstock-limits-away"), Some(policy));
            if status == 503 {
                assert_refused(&answer, 503, "store_unavailable");
                assert_eq!(field(&answer, "retry-after"), Some("1"));
                let message = "The limit of 4 requests per minute of the model fast is shared between nodes and cannot be \
                               asked for now; try again in 1 s.";
                assert!(answer.body.contains(message), "{}", answer.body);
            }
        }
        let judged = format!("penstock_away_requests_total{{policy=\"{policy}\"}}");
        until("all three are counted", || (house.metric(&judged) == 3).then_some(()));
        assert_eq!(house.metric("penstock_shared_up"), 0);
        assert!(house.engine.questions().iter().all(|asked| asked.kind != Kind::Lease), "nobody is asked");
        house.stop();
    }
}

#[test]
fn an_answer_without_numbers_is_none_and_leaves_the_policy() {
    for nothing in [json!([null]), json!([]), json!({"no": "list"})] {
        let upstream = Upstream::start();
        let mut document = document(upstream.port);
        document["limits"]["global"] = per_minute(9, "open");
        let house = House::start_with(&document, 1, 0, &json!({"shared": {"timeout_us": 50_000}}));
        house.engine.shared_state(false, 2);
        let mut client = asking(&house);
        let (id, _) = question(&house);
        assert!(house.engine.answer(id, bytes(&nothing)));
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, field(&answer, "x-penstock-limits-away")), (200, Some("open")), "{nothing}");
        assert!(house.metric("penstock_lease_asks_total{result=\"unanswered\"}") >= 1);
        house.stop();
    }
}

#[test]
fn a_provider_whose_limit_cannot_be_asked_for_is_passed_over() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["providers"] = json!([provider("tight", upstream.port), provider("up", upstream.port)]);
    document["models"] = json!([model("fast", "tight", Some("real"))]);
    document["models"][0]["fallback"] = json!([{"provider": "up", "model": "other", "weight": 1}]);
    document["limits"]["providers"] = json!({"tight": per_minute(9, "closed")});
    let house = shared_house(&document);
    house.engine.shared_state(true, 2);
    let answer = house.client().ask(&chat("fast")).unwrap();
    assert_eq!((answer.status, field(&answer, "x-penstock-target")), (200, Some("up/other")));
    assert_eq!(field(&answer, "x-penstock-limits-away"), Some("closed"));
    house.engine.shared_state(false, 2);
    let mut client = asking(&house);
    let asked = upstream.asked.load(SeqCst);
    let has_asked = || (upstream.asked.load(SeqCst) > asked).then_some(());
    answering(&house, &reply(5), "it is asked again", has_asked);
    assert_eq!(field(&client.answer().unwrap(), "x-penstock-target"), Some("tight/real"));
    house.stop();
}

#[test]
fn whoever_leaves_while_it_waits_for_a_lease_has_not_asked_and_the_lease_is_there_for_the_next() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["limits"]["models"] = json!({"fast": per_minute(600, "closed")});
    let house = shared_house(&document);
    let first = asking(&house);
    let (id, _) = question(&house);
    first.leave();
    until("it is over", || house.engine.is_idle().then_some(()));
    assert!(house.engine.answer(id, bytes(&json!([reply(5)]))));
    let granted = || (house.metric("penstock_lease_asks_total{result=\"granted\"}") == 1).then_some(());
    until("the lease is there", granted);
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 200);
    assert_eq!(upstream.asked.load(SeqCst), 1);
    assert_eq!(house.metric("penstock_lease_wait_seconds_count"), 1, "it has waited all the same");
    assert_eq!(house.metric("penstock_limit_wait_seconds_count"), 0);
    house.stop();
}

#[test]
fn the_end_of_an_engine_ends_every_wait_for_a_lease() {
    let mut document = document(1);
    document["limits"]["global"] = per_minute(600, "closed");
    let house = shared_house(&document);
    let _waiting = asking(&house);
    question(&house);
    house.stop();
}

#[test]
fn what_is_not_shared_is_asked_of_nobody_and_has_no_metrics() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["limits"]["global"] = per_minute(2, "closed");
    let house = House::start(&document, 1, 0);
    let statuses = [(); 3].map(|()| house.client().ask(&chat("fast")).unwrap().status);
    assert_eq!(statuses, [200, 200, 429]);
    assert!(house.engine.questions().iter().all(|asked| asked.kind != Kind::Lease));
    let page = Client::connect(house.admin).get("/metrics").body;
    assert!(
        !["penstock_shared", "penstock_lease", "penstock_away"].iter().any(|name| page.contains(&format!("\n{name}")))
    );
    house.stop();
}

#[test]
fn an_engine_that_closes_is_idle_once_what_is_left_of_its_leases_is_given_back_or_nobody_answers_to_that() {
    for answers in [true, false] {
        let upstream = Upstream::start();
        let mut document = document(upstream.port);
        document["limits"]["models"] = json!({"fast": per_minute(600, "closed")});
        let house = shared_house(&document);
        let mut client = asking(&house);
        let (id, _) = question(&house);
        assert!(house.engine.answer(id, bytes(&json!([reply(50)]))));
        assert_eq!(client.answer().unwrap().status, 200);
        until("it is over", || house.engine.is_idle().then_some(()));
        house.engine.drain();
        house.engine.close_listeners();
        assert!(!house.engine.is_idle());
        let (id, calls) = question(&house);
        assert_eq!(calls[0]["args"].as_array().unwrap().last(), Some(&json!("1")), "of fifty");
        assert!(!house.engine.is_idle());
        if answers {
            assert!(house.engine.answer(id, bytes(&json!([reply(0)]))));
        }
        until("it is given back, or given up", || house.engine.is_idle().then_some(()));
        house.stop();
    }
}
