//! A secret that nobody has shown before: one question, shared by all who show it, and what its answer comes to.

use std::sync::atomic::Ordering::SeqCst;

use penstock_core::{clock::Clock, questions::Kind};
use serde_json::{Value, json};

use crate::{
    house::{Client, House, Upstream, until},
    keyed::{
        ask, asking, assert_refused, bearer, chat_with, digest, error, keyed_document, keyed_house, own, put, question,
        reply, request, row,
    },
};

const ID: &str = "abcdefghijkl";

fn right(house: &House, id: u64, credential: &str) {
    put(house, &json!({"digests": [{"key": ID, "generation": 1, "digest": digest(credential)}]}));
    assert!(reply(house, id, &json!({"verdict": "right", "retry_after_ms": null})));
}

/// A house with one key that nobody has shown yet.
fn house(upstream: &Upstream, workers: usize) -> House {
    let house = keyed_house(&keyed_document(upstream.port), workers);
    put(&house, &json!({"keys": [row(ID, 1, None)]}));
    house
}

fn verify_questions(house: &House) -> usize {
    house.engine.questions().iter().filter(|q| q.kind == Kind::Verify).count()
}

#[test]
fn the_first_request_asks_and_the_second_does_not() {
    let upstream = Upstream::start();
    let house = house(&upstream, 1);
    let key = own(ID, 'a');
    let mut client = asking(&house, &key);
    let (id, asked) = question(&house);
    assert_eq!(asked, json!({"key": ID, "secret": key, "digest": digest(&key), "client": "127.0.0.1"}));
    assert_eq!(upstream.asked.load(SeqCst), 0, "nothing goes on before the answer");
    right(&house, id, &key);
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(ask(&house, &key).status, 200);
    assert_refused(&ask(&house, &own(ID, 'b')), 401, "invalid_api_key");
    assert_eq!(verify_questions(&house), 0);
    for (result, count) in [("verified", 1), ("known", 1), ("wrong", 1)] {
        assert_eq!(house.metric(&format!("penstock_auth_total{{result=\"{result}\"}}")), count, "{result}");
    }
    house.stop();
}

#[test]
fn every_other_answer_has_its_code() {
    let upstream = Upstream::start();
    let house = house(&upstream, 1);
    for (answer, status, code, retry_after) in [
        (json!({"verdict": "wrong", "retry_after_ms": null}), 401, "invalid_api_key", None),
        (json!({"verdict": "away", "retry_after_ms": 4_000}), 503, "store_unavailable", Some("4")),
        (json!({"verdict": "away", "retry_after_ms": null}), 503, "store_unavailable", Some("1")),
        // Said to be right, and its digest is not there: the digest is what counts.
        (json!({"verdict": "right", "retry_after_ms": null}), 503, "store_unavailable", Some("1")),
        (json!({"verdict": "perhaps"}), 503, "store_unavailable", Some("1")),
        (json!(7), 503, "store_unavailable", Some("1")),
        (json!({"verdict": "slow", "retry_after_ms": 2_500}), 429, "rate_limit_requests", Some("3")),
    ] {
        let mut client = asking(&house, &own(ID, 'a'));
        assert!(reply(&house, question(&house).0, &answer));
        let refused = client.answer().unwrap();
        assert_refused(&refused, status, code);
        let waits = retry_after.map(|s| format!("retry-after: {s}\r\n"));
        assert!(waits.is_none_or(|w| refused.head.contains(&w)), "{answer}: {}", refused.head);
        if status == 429 {
            assert_eq!(
                (&error(&refused)["type"], &error(&refused)["code"]),
                (&json!("requests"), &json!("rate_limit_exceeded"))
            );
        }
    }
    // From then on whoever has to wait is told so without a question.
    assert_refused(&asking(&house, &own(ID, 'b')).answer().unwrap(), 429, "rate_limit_requests");
    assert_eq!(upstream.asked.load(SeqCst), 0);
    assert_eq!(house.metric("penstock_auth_total{result=\"slow\"}"), 2);
    house.stop();
}

#[test]
fn a_digest_of_another_secret_does_not_let_this_one_in() {
    let upstream = Upstream::start();
    let house = house(&upstream, 1);
    let mut client = asking(&house, &own(ID, 'a'));
    let (id, _) = question(&house);
    right(&house, id, &own(ID, 'b'));
    assert_refused(&client.answer().unwrap(), 401, "invalid_api_key");
    house.stop();
}

#[test]
fn a_key_disabled_while_it_is_verified_is_not_let_in() {
    let upstream = Upstream::start();
    let house = house(&upstream, 1);
    let key = own(ID, 'a');
    let mut client = asking(&house, &key);
    let (id, _) = question(&house);
    put(&house, &json!({"keys": [crate::keyed::with(row(ID, 2, None), &json!({"state": "disabled"}))]}));
    right(&house, id, &key);
    assert_refused(&client.answer().unwrap(), 401, "key_disabled");
    house.stop();
}

#[test]
fn all_who_show_the_same_secret_share_one_question_whichever_worker_serves_them() {
    let upstream = Upstream::start();
    let house = house(&upstream, 3);
    let key = own(ID, 'a');
    let mut clients: Vec<Client> = (0..12).map(|_| asking(&house, &key)).collect();
    let (id, _) = question(&house);
    until("all wait", || (house.metric("penstock_requests_in_flight") == 12).then_some(()));
    assert_eq!(verify_questions(&house), 0, "no second question");
    right(&house, id, &key);
    assert!(clients.iter_mut().all(|c| c.answer().unwrap().status == 200));
    assert_eq!(house.metric("penstock_questions_total{kind=\"verify\",result=\"answered\"}"), 1);
    house.stop();
}

#[test]
fn whoever_leaves_first_takes_nothing_from_the_others() {
    let upstream = Upstream::start();
    let house = house(&upstream, 2);
    let key = own(ID, 'a');
    let first = asking(&house, &key);
    let (id, _) = question(&house);
    let mut others: Vec<Client> = (0..4).map(|_| asking(&house, &key)).collect();
    until("all wait", || (house.metric("penstock_requests_in_flight") == 5).then_some(()));
    first.leave();
    until("the first is gone", || (house.metric("penstock_requests_in_flight") == 4).then_some(()));
    right(&house, id, &key);
    assert!(others.iter_mut().all(|c| c.answer().unwrap().status == 200));
    house.stop();
}

#[test]
fn when_all_have_left_the_question_is_taken_back_and_the_next_asks_anew() {
    let upstream = Upstream::start();
    let house = house(&upstream, 2);
    let key = own(ID, 'a');
    let clients: Vec<Client> = (0..4).map(|_| asking(&house, &key)).collect();
    let (id, _) = question(&house);
    until("all wait", || (house.metric("penstock_requests_in_flight") == 4).then_some(()));
    clients.iter().for_each(Client::leave);
    let cancelled = "penstock_questions_total{kind=\"verify\",result=\"cancelled\"}";
    until("it is taken back", || (house.metric(cancelled) == 1).then_some(()));
    assert!(!reply(&house, id, &json!({"verdict": "right"})), "nobody waits for it");
    let mut client = asking(&house, &key);
    let (id, _) = question(&house);
    right(&house, id, &key);
    assert_eq!(client.answer().unwrap().status, 200);
    house.stop();
}

#[test]
fn who_must_wait_for_wrong_secrets_makes_nobody_else_wait() {
    let upstream = Upstream::start();
    let mut document = keyed_document(upstream.port);
    document["trusted_proxies"] = json!(["127.0.0.1/32"]);
    let house = keyed_house(&document, 1);
    put(&house, &json!({"keys": [row(ID, 1, None)]}));
    let (key, authorization) = (own(ID, 'a'), bearer(&own(ID, 'a')));
    let asking = |from: &str| {
        let mut client = house.client();
        client.send(&chat_with(&[("authorization", &authorization), ("x-forwarded-for", from)])).unwrap();
        client
    };
    let mut slow = asking("192.0.2.1");
    let (id, asked) = question(&house);
    assert_eq!(asked["client"], "192.0.2.1");
    let mut others: Vec<Client> = ["192.0.2.2", "192.0.2.2", "192.0.2.3"].map(asking).into();
    until("all wait", || (house.metric("penstock_requests_in_flight") == 4).then_some(()));
    assert!(reply(&house, id, &json!({"verdict": "slow", "retry_after_ms": 30_000})));
    assert_refused(&slow.answer().unwrap(), 429, "rate_limit_requests");
    let mut asked = Vec::new();
    until("one question for each address", || {
        asked.extend(house.engine.questions().into_iter().filter(|q| q.kind == Kind::Verify));
        (asked.len() == 2).then_some(())
    });
    for question in asked {
        let payload: Value = serde_json::from_slice(&question.payload).unwrap();
        if payload["client"] == "192.0.2.3" {
            assert!(reply(&house, question.id, &json!({"verdict": "slow", "retry_after_ms": 30_000})));
        } else {
            assert_eq!(payload["client"], "192.0.2.2");
            right(&house, question.id, &key);
        }
    }
    assert_eq!(others.iter_mut().map(|c| c.answer().unwrap().status).collect::<Vec<_>>(), [200, 200, 429]);
    assert_eq!(verify_questions(&house), 0, "nobody asks for ever");
    house.stop();
}

#[test]
fn the_time_of_a_verification_is_the_gateways_own_however_large_the_body_is() {
    let upstream = Upstream::start();
    let house = house(&upstream, 1);
    for (size, secret) in [(10, 'a'), (300_000, 'b')] {
        let (id, key) = (format!("abcdefghijk{secret}"), own(&format!("abcdefghijk{secret}"), secret));
        put(&house, &json!({"keys": [row(&id, 1, None)]}));
        let body = json!({"model": "fast", "messages": [], "pad": "x".repeat(size)});
        let mut client = house.client();
        client.send(&request("POST", "/v1/chat/completions", &[("authorization", &bearer(&key))], &body)).unwrap();
        let (question, _) = question(&house);
        let enough_us = Clock::System.boot_us() + 50_000;
        until("a while has passed", || (Clock::System.boot_us() >= enough_us).then_some(()));
        put(&house, &json!({"digests": [{"key": id, "generation": 1, "digest": digest(&key)}]}));
        assert!(reply(&house, question, &json!({"verdict": "right", "retry_after_ms": null})));
        let answer = client.answer().unwrap();
        let overhead = answer.head.lines().find_map(|l| l.strip_prefix("x-penstock-overhead-us: ")).unwrap();
        assert!(overhead.parse::<u64>().unwrap() >= 50_000, "{size}: {overhead}");
    }
    house.stop();
}

#[test]
fn two_secrets_of_one_key_at_once_each_have_their_own_verdict() {
    let upstream = Upstream::start();
    let house = house(&upstream, 2);
    let (good, bad) = (own(ID, 'a'), own(ID, 'b'));
    let mut good_clients: Vec<Client> = (0..3).map(|_| asking(&house, &good)).collect();
    let mut bad_clients: Vec<Client> = (0..3).map(|_| asking(&house, &bad)).collect();
    let mut asked = Vec::new();
    until("both questions", || {
        asked.extend(house.engine.questions().into_iter().filter(|q| q.kind == Kind::Verify));
        (asked.len() == 2).then_some(())
    });
    until("all wait", || (house.metric("penstock_requests_in_flight") == 6).then_some(()));
    for question in asked {
        let payload: Value = serde_json::from_slice(&question.payload).unwrap();
        if payload["secret"] == json!(good) {
            right(&house, question.id, &good);
        } else {
            assert!(reply(&house, question.id, &json!({"verdict": "wrong", "retry_after_ms": null})));
        }
    }
    assert!(good_clients.iter_mut().all(|c| c.answer().unwrap().status == 200));
    assert!(bad_clients.iter_mut().all(|c| c.answer().unwrap().status == 401));
    house.stop();
}

#[test]
fn a_stop_ends_the_wait_for_a_verdict() {
    let upstream = Upstream::start();
    let house = house(&upstream, 2);
    let mut clients: Vec<Client> = (0..3).map(|_| asking(&house, &own(ID, 'a'))).collect();
    question(&house);
    house.stop();
    assert!(clients.iter_mut().all(|c| c.answer().is_ok_and(|a| a.status == 503) || c.is_ended()));
    assert_eq!(house.status()["tasks"], 0);
}
