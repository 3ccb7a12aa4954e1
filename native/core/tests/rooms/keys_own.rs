//! `credentials: client`: the caller's own credential goes to the provider, and the gateway's key never does.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};

use crate::{
    document::{model, provider},
    house::{ANSWER, House, Upstream, document, json_answer},
    keyed::{assert_refused, bearer, chat_with, error, keyed_document, keyed_house, put_known},
};

const ID: &str = "abcdefghijkl";
const THEIRS: &str = "Bearer sk-ant-their-own-secret";

fn clients(mut document: Value) -> Value {
    document["providers"][0]["client_credentials"] = json!(true);
    document
}

/// What the upstream was sent last.
fn last(upstream: &Upstream) -> String {
    upstream.seen.lock().unwrap().last().unwrap().to_ascii_lowercase()
}

#[test]
fn the_callers_own_credential_goes_upstream_untouched() {
    let upstream = Upstream::start();
    let house = keyed_house(&clients(keyed_document(upstream.port)), 1);
    let key = put_known(&house, ID, &json!({}));
    let authorization = bearer(&key);
    for (headers, sent) in [
        (
            vec![("x-penstock-key", key.as_str()), ("authorization", THEIRS)],
            "authorization: bearer sk-ant-their-own-secret\r\n",
        ),
        (vec![("x-penstock-key", key.as_str()), ("x-api-key", "theirs")], "x-api-key: theirs\r\n"),
        (vec![("authorization", authorization.as_str()), ("api-key", "theirs")], "api-key: theirs\r\n"),
        (
            vec![("x-penstock-key", key.as_str()), ("authorization", "Basic dXNlcg==")],
            "authorization: basic dxnlcg==\r\n",
        ),
    ] {
        assert_eq!(house.client().ask(&chat_with(&headers)).unwrap().status, 200);
        let seen = last(&upstream);
        assert!(seen.contains(sent) && !seen.contains("sk-pen-") && !seen.contains("x-penstock"), "{seen}");
    }
    house.stop();
}

#[test]
fn without_a_credential_of_ones_own_the_answer_says_how_to_send_both() {
    let upstream = Upstream::start();
    let house = keyed_house(&clients(keyed_document(upstream.port)), 1);
    let key = put_known(&house, ID, &json!({}));
    let authorization = bearer(&key);
    for headers in [
        vec![("authorization", authorization.as_str())],
        vec![("x-penstock-key", &key), ("authorization", &authorization)],
    ] {
        let answer = house.client().ask(&chat_with(&headers)).unwrap();
        assert_refused(&answer, 401, "missing_api_key");
        let message = error(&answer)["message"].as_str().unwrap().to_owned();
        assert!(message.contains("x-penstock-key") && message.contains("Authorization"), "{message}");
    }
    assert_eq!(upstream.asked.load(SeqCst), 0);
    house.stop();
}

#[test]
fn a_target_that_wants_the_callers_own_credential_is_passed_over_without_one() {
    let upstream = Upstream::start();
    let mut document = keyed_document(upstream.port);
    document["providers"] = json!([provider("own", upstream.port), provider("up", upstream.port)]);
    document["providers"][0]["client_credentials"] = json!(true);
    document["models"][0]["targets"][0]["provider"] = json!("own");
    document["models"][0]["fallback"] = json!([{"provider": "up", "model": null, "weight": 1}]);
    let house = keyed_house(&document, 1);
    let authorization = bearer(&put_known(&house, ID, &json!({})));
    for (headers, target) in [
        (vec![("authorization", authorization.as_str())], "up/fast"),
        (vec![("authorization", authorization.as_str()), ("x-api-key", "theirs")], "own/fast"),
    ] {
        let answer = house.client().ask(&chat_with(&headers)).unwrap();
        assert!(answer.head.contains(&format!("x-penstock-target: {target}\r\n")), "{}", answer.head);
        assert_eq!(last(&upstream).contains("theirs"), target == "own/fast");
    }
    house.stop();
}

/// Two providers that are asked with the caller's credential and one that is not, and a model that all of them serve.
fn two_clients(one: &Upstream, two: &Upstream, ours: &Upstream) -> Value {
    let mut document = keyed_document(one.port);
    document["providers"] = json!([provider("one", one.port), provider("two", two.port), provider("ours", ours.port)]);
    document["providers"][0]["client_credentials"] = json!(true);
    document["providers"][1]["client_credentials"] = json!(true);
    document["models"] = json!([model("fast", "one", None)]);
    let target = |name: &str| json!({"provider": name, "model": null, "weight": 1});
    document["models"][0]["fallback"] = json!([target("two"), target("ours")]);
    document
}

#[test]
fn the_callers_credential_goes_to_one_provider_and_to_no_fallback() {
    let (one, two, ours) = (Upstream::start(), Upstream::start(), Upstream::start());
    *one.answer.lock().unwrap() = json_answer(503, "{}");
    let house = keyed_house(&two_clients(&one, &two, &ours), 1);
    let key = put_known(&house, ID, &json!({}));
    let answer = house.client().ask(&chat_with(&[("x-penstock-key", &key), ("authorization", THEIRS)])).unwrap();
    assert!(answer.head.contains("x-penstock-target: ours/fast\r\n"), "{}", answer.head);
    assert!(last(&one).contains("sk-ant-their-own-secret") && !last(&ours).contains("sk-ant-"));
    assert_eq!(two.asked.load(SeqCst), 0, "it was meant for the first");
    house.stop();
}

#[test]
fn two_credentials_in_one_header_are_refused_where_they_would_go_to_a_provider() {
    let upstream = Upstream::start();
    let twice = chat_with(&[("authorization", "Bearer one"), ("Authorization", "Bearer two")]);
    let house = House::start(&clients(document(upstream.port)), 1, 0);
    assert_refused(&house.client().ask(&twice).unwrap(), 400, "invalid_http");
    assert_eq!(upstream.asked.load(SeqCst), 0);
    house.stop();
    let house = House::start(&document(upstream.port), 1, 0);
    assert_eq!(house.client().ask(&twice).unwrap().status, 200, "they go nowhere");
    house.stop();
}

#[test]
fn the_providers_refusal_of_the_callers_credential_is_passed_on_as_it_came() {
    let upstream = Upstream::start();
    let house = keyed_house(&clients(keyed_document(upstream.port)), 1);
    let key = put_known(&house, ID, &json!({}));
    for status in [401, 403] {
        *upstream.answer.lock().unwrap() = json_answer(status, r#"{"error":{"message":"theirs is wrong"}}"#);
        let headers = [("x-penstock-key", key.as_str()), ("authorization", THEIRS)];
        let answer = house.client().ask(&chat_with(&headers)).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (status, r#"{"error":{"message":"theirs is wrong"}}"#));
        assert!(!answer.head.contains("x-penstock-error"), "{}", answer.head);
    }
    house.stop();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({}));
    let answer = house.client().ask(&chat_with(&[("x-penstock-key", &key)])).unwrap();
    assert_refused(&answer, 502, "upstream_auth");
    house.stop();
}

#[test]
fn with_open_doors_the_callers_credential_goes_to_such_providers_and_to_no_other() {
    let upstream = Upstream::start();
    let house = House::start(&clients(document(upstream.port)), 1, 0);
    let answer = house.client().ask(&chat_with(&[("authorization", THEIRS)])).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
    assert!(last(&upstream).contains("sk-ant-their-own-secret"));
    assert_refused(&house.client().ask(&chat_with(&[])).unwrap(), 401, "missing_api_key");
    house.stop();
    let house = House::start(&document(upstream.port), 1, 0);
    assert_eq!(house.client().ask(&chat_with(&[("authorization", THEIRS)])).unwrap().status, 200);
    assert!(!last(&upstream).contains("authorization"));
    house.stop();
}
