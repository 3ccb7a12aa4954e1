//! `auth: keys` between real sockets: who is let in, and to what.

use std::{
    env, fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::atomic::Ordering::SeqCst,
};

use penstock_core::server::{Engine, Role};
use serde_json::{Value, json};

use crate::{
    document::{bytes, minimal},
    house::{ANSWER, House, Upstream, document, until},
    keyed::{
        ask, assert_refused, bearer, chat_with, error, get, keyed_document, keyed_house, own, put, put_known, request,
        row, with,
    },
};

const ID: &str = "abcdefghijkl";
const OTHER: &str = "mnopqrstuvwx";

#[test]
fn a_known_key_is_let_in_by_any_of_four_headers_and_goes_no_further() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 2);
    let key = put_known(&house, ID, &json!({}));
    let mut client = house.client();
    for (name, value) in [
        ("x-penstock-key", key.clone()),
        ("Authorization", bearer(&key)),
        ("authorization", format!("bearer  {key}")),
        ("x-api-key", key.clone()),
        ("API-Key", key.clone()),
    ] {
        let answer = client.ask(&chat_with(&[(name, &value)])).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER), "{name}");
    }
    for seen in upstream.seen.lock().unwrap().iter() {
        let seen = seen.to_ascii_lowercase();
        let leaks = ["sk-pen-", "x-penstock-key", "authorization", "api-key"];
        assert!(!leaks.iter().any(|leak| seen.contains(leak)), "{seen}");
    }
    assert_eq!(house.metric("penstock_auth_total{result=\"known\"}"), 5);
    assert_eq!((house.metric("penstock_keys"), house.metric("penstock_keys_current")), (1, 1));
    let used: Value = serde_json::from_slice(&house.engine.used_keys()).unwrap();
    assert!(used[ID].as_u64().is_some_and(|us| us > 1_600_000_000_000_000), "{used}");
    house.stop();
}

#[test]
fn the_first_header_that_is_there_counts() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let (key, stranger) = (put_known(&house, ID, &json!({})), own(OTHER, 'b'));
    let order = ["x-penstock-key", "authorization", "x-api-key", "api-key"];
    for first in 0..order.len() {
        for second in first + 1..order.len() {
            let value = |name: &str, key: &str| if name == "authorization" { bearer(key) } else { key.to_owned() };
            let ask = |a: &str, b: &str| {
                let (a, b) = (value(order[first], a), value(order[second], b));
                let headers = [(order[second], b.as_str()), (order[first], a.as_str())];
                house.client().ask(&chat_with(&headers)).unwrap().status
            };
            assert_eq!((ask(&key, &stranger), ask(&stranger, &key)), (200, 401), "{} {}", order[first], order[second]);
        }
    }
    let empty = house.client().ask(&chat_with(&[("authorization", "Bearer "), ("x-api-key", &key)])).unwrap();
    assert_eq!(empty.status, 200, "an empty header is not there");
    house.stop();
}

#[test]
fn without_a_key_the_answer_says_where_to_put_one_in_the_dialect_of_the_caller() {
    let house = keyed_house(&keyed_document(1), 1);
    let answer = house.client().ask(&chat_with(&[])).unwrap();
    assert_refused(&answer, 401, "missing_api_key");
    assert!(answer.head.contains("www-authenticate: bearer realm=\"penstock\"\r\n"), "{}", answer.head);
    let message = error(&answer)["message"].as_str().unwrap().to_owned();
    assert!(["Authorization: Bearer", "x-penstock-key", "x-api-key", "api-key"].iter().all(|n| message.contains(n)));
    let answer = house.client().ask(&request("POST", "/v1/messages", &[], &json!({}))).unwrap();
    assert_refused(&answer, 401, "missing_api_key");
    assert_eq!(error(&answer)["type"], "authentication_error");
    let answer = house.client().ask(&request("GET", "/api/tags", &[], &Value::Null)).unwrap();
    assert_refused(&answer, 401, "missing_api_key");
    assert!(error(&answer).is_string());
    assert_eq!(house.client().get("/health/live").status, 200, "health needs none");
    assert_eq!(house.metric("penstock_auth_total{result=\"missing\"}"), 3);
    house.stop();
}

#[test]
fn a_credential_that_can_be_no_key_is_refused_without_a_look() {
    let house = keyed_house(&keyed_document(1), 1);
    house.engine.keys_current(false);
    let (key, mut broken) = (own(ID, 'a'), own(ID, 'a'));
    broken.replace_range(68.., if broken.ends_with('0') { "1" } else { "0" });
    for (headers, status, code) in [
        (vec![("authorization", "Basic dXNlcjpwYXNz")], 401, "invalid_api_key"),
        (vec![("authorization", key.as_str())], 401, "invalid_api_key"),
        (vec![("x-api-key", broken.as_str())], 401, "invalid_api_key"),
        (vec![("x-api-key", "short")], 401, "invalid_api_key"),
        (vec![("x-api-key", key.as_str()), ("X-Api-Key", key.as_str())], 400, "invalid_http"),
    ] {
        let answer = house.client().ask(&chat_with(&headers)).unwrap();
        assert_refused(&answer, status, code);
        assert_eq!(answer.head.contains("www-authenticate"), status == 401);
        assert!(!answer.body.contains("sk-pen-"), "{}", answer.body);
    }
    assert_eq!(house.metric("penstock_auth_total{result=\"malformed\"}"), 5);
    house.stop();
}

#[test]
fn an_unknown_key_is_401_while_every_key_is_known_and_503_while_not() {
    let house = keyed_house(&keyed_document(1), 1);
    let answer = ask(&house, &own(ID, 'a'));
    assert_refused(&answer, 401, "invalid_api_key");
    assert_eq!(error(&answer)["code"], "invalid_api_key");
    house.engine.keys_current(false);
    let answer = ask(&house, &own(ID, 'a'));
    assert_refused(&answer, 503, "store_unavailable");
    assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
    house.stop();
}

#[test]
fn a_key_that_is_disabled_or_over_is_told_apart_from_an_unknown_one() {
    let house = keyed_house(&keyed_document(1), 1);
    let key = own(ID, 'a');
    for (version, fields, code) in [
        (1, json!({"state": "disabled"}), "key_disabled"),
        (2, json!({"expires_us": 1}), "key_expired"),
        (3, json!({"team": "t1"}), "key_disabled"),
        (4, json!({"state": "deleted"}), "invalid_api_key"),
    ] {
        let team = json!({"id": "t1", "version": 1, "name": "T", "state": "disabled", "access": 0, "limits": null, "tags": null, "content": true});
        put(&house, &json!({"teams": [team], "keys": [with(row(ID, version, Some(&key)), &fields)]}));
        let answer = ask(&house, &key);
        assert_refused(&answer, 401, code);
        assert_eq!(error(&answer)["code"], "invalid_api_key", "OpenAI has one code for all of them");
    }
    house.stop();
}

#[test]
fn only_models_that_key_and_team_both_allow_are_served() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = own(ID, 'a');
    let access = |models: Value| json!({"models": models, "paths": null, "networks": null});
    put(
        &house,
        &json!({
            "access": [access(json!(["f*", "slow"])), access(json!(["*st", "up/*"]))],
            "teams": [{"id": "t1", "version": 1, "name": "T", "state": "active", "access": 1, "limits": null, "tags": null, "content": true}],
            "keys": [with(row(ID, 1, Some(&key)), &json!({"team": "t1"}))],
        }),
    );
    assert_eq!(ask(&house, &key).status, 200);
    let authorization = bearer(&key);
    let headers = [("authorization", authorization.as_str())];
    for model in ["slow", "up/slow", "up/fast", "nobody"] {
        let body = json!({"model": model, "messages": []});
        let answer = house.client().ask(&request("POST", "/v1/chat/completions", &headers, &body)).unwrap();
        assert_refused(&answer, 403, "model_not_allowed");
        let error = error(&answer);
        assert!(error["message"].as_str().unwrap().contains(model), "{error}");
        assert_eq!((&error["param"], &error["type"]), (&json!("model"), &json!("request_forbidden")));
    }
    let answer = house.client().ask(&request("POST", "/v1/messages", &headers, &json!({"model": "slow"}))).unwrap();
    assert_eq!((answer.status, &error(&answer)["type"]), (403, &json!("permission_error")));
    let answer = house.client().ask(&request("POST", "/v1/moderations", &headers, &json!({"input": "x"}))).unwrap();
    assert_refused(&answer, 403, "model_not_allowed");
    assert_eq!(upstream.asked.load(SeqCst), 1);
    let listed: Value = serde_json::from_str(&get(&house, "/v1/models", &key).body).unwrap();
    let names: Vec<&str> = listed["data"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(names, ["fast"]);
    assert_eq!(get(&house, "/v1/models/fast", &key).status, 200);
    for hidden in ["slow", "up%2Ffast"] {
        let answer = get(&house, &format!("/v1/models/{hidden}"), &key);
        assert_refused(&answer, 404, "model_not_found");
        assert!(!answer.body.contains("Did you mean slow"), "{}", answer.body);
    }
    let unbound = put_known(&house, OTHER, &json!({}));
    let listed: Value = serde_json::from_str(&get(&house, "/v1/models", &unbound).body).unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    house.stop();
}

#[test]
fn only_paths_that_are_allowed_are_served_with_and_without_version() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({"paths": ["/chat/*"]}));
    assert_eq!(ask(&house, &key).status, 200);
    for path in ["/v1/models", "/models", "//v1//models/", "/api/tags", "/v1/completions/x"] {
        assert_refused(&get(&house, path, &key), 403, "path_closed");
    }
    assert_eq!(get(&house, "/v1/key", &key).status, 200, "what it may do is always told");
    house.stop();
}

#[test]
fn a_key_is_served_in_its_networks_only() {
    let upstream = Upstream::start();
    let mut document = keyed_document(upstream.port);
    document["trusted_proxies"] = json!(["127.0.0.1"]);
    let house = keyed_house(&document, 1);
    let key = put_known(&house, ID, &json!({"networks": ["10.0.0.0/8", "2001:db8::/32"]}));
    for (from, status) in [("10.1.2.3", 200), ("2001:db8::5", 200), ("11.1.2.3", 403), ("127.0.0.1", 403)] {
        let authorization = bearer(&key);
        let headers = [("authorization", authorization.as_str()), ("x-forwarded-for", from)];
        let answer = house.client().ask(&chat_with(&headers)).unwrap();
        assert_eq!(answer.status, status, "{from}: {}", answer.body);
        if status == 403 {
            assert_refused(&answer, 403, "network_not_allowed");
        }
    }
    house.stop();
}

#[test]
fn on_a_unix_socket_only_a_key_without_networks_is_served() {
    let upstream = Upstream::start();
    let path = env::temp_dir().join(format!("penstock-keys-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let engine = crate::house::engine(1, 0);
    engine.start(&bytes(&keyed_document(upstream.port)), vec![(listener.into(), Role::Data)]).unwrap();
    // Its digests are keyed by a key of its own: what Python would have to verify is asked for.
    house.stop();
    let ask = |key: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        let authorization = bearer(key);
        let headers = [("authorization", authorization.as_str()), ("connection", "close")];
        stream.write_all(chat_with(&headers).as_bytes()).unwrap();
        let asked = until("a question", || engine.questions().into_iter().find(|q| !q.payload.is_empty()));
        let payload: Value = serde_json::from_slice(&asked.payload).unwrap();
        assert_eq!(payload["client"], Value::Null);
        let mut batch = json!({
            "format": 4, "access": [], "limits": [], "tags": [], "teams": [], "keys": [], "reset": false, "settled": 0,
            "digests": [{"key": payload["key"], "generation": 1, "digest": payload["digest"]}],
        });
        engine.put_keys(&bytes(&batch)).unwrap();
        batch["digests"] = json!([]);
        assert!(engine.answer(asked.id, br#"{"verdict":"right","retry_after_ms":null}"#.to_vec()));
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let access = |networks: Value| json!({"models": null, "paths": null, "networks": networks});
    let rows = [row(ID, 1, None), with(row(OTHER, 1, None), &json!({"access": 1}))];
    let batch = json!({
        "format": 4, "access": [access(Value::Null), access(json!(["0.0.0.0/0", "::/0"]))], "limits": [], "tags": [],
        "teams": [], "keys": rows, "digests": [], "reset": false, "settled": 0,
    });
    engine.put_keys(&bytes(&batch)).unwrap();
    assert!(ask(&own(ID, 'a')).starts_with("HTTP/1.1 200"));
    let text = ask(&own(OTHER, 'a'));
    assert!(text.contains("network_not_allowed") && text.contains("Unix socket"), "{text}");
    assert!(engine.stop(crate::house::DEADLINE));
    fs::remove_file(path).unwrap();
}

#[test]
fn a_key_is_told_what_it_may_do() {
    let house = keyed_house(&keyed_document(1), 1);
    let key = own(ID, 'a');
    let access = json!([
        {"models": ["fast", "gpt-*"], "paths": null, "networks": ["127.0.0.0/8"]},
        {"models": ["f*"], "paths": null, "networks": null},
    ]);
    put(
        &house,
        &json!({
            "access": access,
            "teams": [{"id": "t1", "version": 1, "name": "Lab \"1\"", "state": "active", "access": 1, "limits": 1, "tags": null, "content": true}],
            "keys": [with(row(ID, 1, Some(&key)), &json!({"team": "t1", "expires_us": 4_107_542_400_000_000_u64, "limits": 0}))],
            "limits": [
                {"requests": [{"amount": 600, "window_us": 60_000_000}], "concurrent": [{"amount": 5}]},
                {"budget": [{"amount": 1_500_000_000, "period": "month"}]},
            ],
        }),
    );
    let expected = json!({
        "id": ID, "team": {"id": "t1", "name": "Lab \"1\""}, "state": "active", "expires": "2100-03-01T00:00:00.000000Z",
        "allowed": {"models": [["fast", "gpt-*"], ["f*"]], "paths": null, "networks": [["127.0.0.0/8"]]},
        "spend": null, "content": false,
    });
    let limits = [
        ("concurrent", "5", 5, "key"),
        ("requests", "600/min", 600, "key"),
        ("budget", "1.5 usd/month", 1_500_000_000, "team"),
    ];
    for path in ["/v1/key", "/key"] {
        let mut told: Value = serde_json::from_str(&get(&house, path, &key).body).unwrap();
        let told_limits = told.as_object_mut().unwrap().remove("limits").unwrap();
        assert_eq!(told, expected);
        for (kind, limit, remaining, from) in limits {
            let told = told_limits.as_array().unwrap().iter().find(|told| told["kind"] == kind).unwrap();
            let told = (&told["limit"], &told["used"], &told["remaining"], &told["from"]);
            assert_eq!(told, (&json!(limit), &json!(0), &json!(remaining), &json!(from)));
        }
    }
    assert_refused(
        &house.client().ask(&request("POST", "/v1/key", &[("x-api-key", &key)], &Value::Null)).unwrap(),
        405,
        "method_not_allowed",
    );
    house.stop();
    let house = House::start(&minimal(), 1, 0);
    assert_eq!(house.client().get("/v1/key").body, r#"{"content":false,"id":"open","limits":[],"spend":null}"#);
    house.stop();
}

#[test]
fn with_keys_any_host_and_origin_may_ask_and_with_open_doors_none_but_our_own() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let authorization = bearer(&put_known(&house, ID, &json!({})));
    let foreign = [("authorization", authorization.as_str()), ("origin", "https://elsewhere.test")];
    assert_eq!(house.client().ask(&chat_with(&foreign)).unwrap().status, 200);
    let open = document(upstream.port);
    house.engine.apply(&bytes(&open)).unwrap();
    assert_refused(&house.client().ask(&chat_with(&foreign)).unwrap(), 403, "origin_not_allowed");
    assert_eq!(house.client().ask(&chat_with(&[])).unwrap().status, 200, "a reload opens the door");
    house.stop();
}

#[test]
fn an_engine_without_its_digest_key_is_not_made() {
    let log = json!({"level": "error", "format": "json"});
    let options =
        json!({"workers": 1, "max_connections": 0, "log": log, "instance": "x", "digest_key_file": "/no/such.key"});
    let refused = Engine::new(serde_json::from_value(options).unwrap()).err().unwrap();
    assert!(refused.contains("/no/such.key"), "{refused}");
}

#[test]
fn a_batch_that_is_refused_changes_nothing() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({}));
    let refused = json!({
        "format": 4, "access": [], "limits": [], "tags": [], "teams": [], "keys": [with(row(ID, 2, None), &json!({"access": 0}))],
        "digests": [], "reset": true, "settled": 0,
    });
    assert!(house.engine.put_keys(&bytes(&refused)).expect_err("no access 0").contains(ID));
    assert_eq!(ask(&house, &key).status, 200);
    house.stop();
}
