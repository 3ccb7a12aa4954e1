//! What administrators see of limits: the rows of the key table over the snapshot, and beginning anew.

use std::{fs, path::PathBuf, process::Command, sync::atomic::Ordering::SeqCst};

use serde_json::{Value, json};

use crate::{
    document::bytes,
    house::{House, Upstream, chat, document, until},
    keyed::{asking, keyed_document, keyed_house, own, put, row, with},
};

const ID: &str = "abcdefghijkl";

fn per_minute(amount: u64) -> Value {
    json!({"requests": [{"amount": amount, "window_us": 60_000_000}]})
}

fn used(house: &House, scope: &str, name: &str) -> Value {
    serde_json::from_slice(&house.engine.limits_use(scope, name).unwrap()).unwrap()
}

fn requests(amount: u64, used: u64) -> Value {
    json!({"kind": "requests", "amount": amount, "used": used, "reset_us": 0, "window_us": 60_000_000})
}

#[test]
fn every_scope_tells_the_limits_that_hold_there() {
    let mut document = keyed_document(1);
    document["limits"]["default"] = with(per_minute(1), &json!({"concurrent": [{"amount": 5}]}));
    document["limits"]["global"] = json!({"budget": [{"amount": 7, "period": "day"}]});
    document["limits"]["models"] = json!({"fast": per_minute(3)});
    document["limits"]["providers"] = json!({"up": {"tokens": [{"amount": 4, "period": "month"}]}});
    let house = keyed_house(&document, 1);
    let keys = [with(row(ID, 1, None), &json!({"team": "t1", "limits": 0})), row("mnopqrstuvwx", 1, None)];
    let team = json!({"id": "t1", "version": 1, "name": "T", "state": "active", "access": 0, "limits": 1, "tags": null, "content": true});
    put(&house, &json!({"limits": [per_minute(9), per_minute(2)], "teams": [team], "keys": keys}));
    let concurrent = json!({"kind": "concurrent", "amount": 5, "used": 0, "reset_us": 0});
    for (scope, name, expected) in [
        ("key", ID, json!([concurrent, requests(9, 0)])),
        ("key", "mnopqrstuvwx", json!([concurrent, requests(1, 0)])),
        ("key", "open", json!([concurrent, requests(1, 0)])),
        ("key", "nobodynobody", json!([])),
        ("key", "no id", json!([])),
        ("team", "t1", json!([requests(2, 0)])),
        ("team", "t2", json!([])),
        ("model", "fast", json!([requests(3, 0)])),
        ("model", "slow", json!([])),
        ("provider", "up", json!([{"kind": "tokens", "amount": 4, "used": 0, "reset_us": 0, "period": "month"}])),
        ("provider", "down", json!([])),
        ("global", "", json!([{"kind": "budget", "amount": 7, "used": 0, "reset_us": 0, "period": "day"}])),
    ] {
        assert_eq!(used(&house, scope, name), expected, "{scope} {name}");
    }
    assert!(house.engine.limits_use("planet", "").unwrap_err().contains("planet"));
    assert!(house.engine.limits_reset("planet", "").is_err());
    for scope in ["key", "team", "model", "provider", "global"] {
        assert!(!house.engine.limits_reset(scope, ID).unwrap(), "nothing was counted");
    }
    house.engine.apply(&bytes(&keyed_document(1))).unwrap();
    assert_eq!(used(&house, "key", ID), json!([requests(9, 0)]), "without a default the key has its own");
    house.stop();
}

#[test]
fn what_was_counted_of_a_day_is_counted_by_the_next_process_and_a_minute_begins_anew() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rooms-{}-limits", std::process::id()));
    let mut document = document(1);
    document["limits"]["global"] = json!({"requests": [
        {"amount": 9, "window_us": 60_000_000}, {"amount": 9, "window_us": 3_600_000_000u64}, {"amount": 9, "period": "day"},
    ]});
    for earlier in 0..2u64 {
        let house = House::start_with(&document, 1, 0, &json!({"limits_file": file}));
        let counts = || -> Vec<u64> {
            let uses = used(&house, "global", "");
            uses.as_array().unwrap().iter().map(|each| each["used"].as_u64().unwrap()).collect()
        };
        assert_eq!(counts(), [0, earlier, earlier]);
        assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 502, "nobody listens there");
        assert_eq!(counts(), [1, earlier + 1, earlier + 1]);
        house.stop();
    }
    ["", "lock"].iter().for_each(|ending| fs::remove_file(file.with_extension(ending)).unwrap());
}

#[test]
fn a_disk_that_hangs_keeps_nobody_from_serving_nor_from_the_end() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rooms-{}-hangs", std::process::id()));
    // To open one takes until somebody writes to it.
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let house = House::start_with(&document(1), 1, 0, &json!({"limits_file": file}));
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 502, "nobody listens there");
    house.stop();
    ["", "lock"].iter().for_each(|ending| fs::remove_file(file.with_extension(ending)).unwrap());
}

#[test]
fn who_waits_for_a_slot_goes_on_when_the_limit_is_lifted_by_a_snapshot_or_a_row() {
    let upstream = Upstream::start();
    let one = json!({"concurrent": [{"amount": 1, "queue_us": 60_000_000}]});
    let mut document = keyed_document(upstream.port);
    document["limits"]["global"] = one.clone();
    let house = keyed_house(&document, 2);
    let key = own(ID, 'a');
    let limited = |version: u64, limits: &Value| {
        let row = with(row(ID, version, Some(&key)), &json!({"limits": 0}));
        put(&house, &json!({"limits": [limits], "keys": [row]}));
    };
    upstream.open.store(false, SeqCst);
    let asked = |n: usize| until("so many at the upstream", || (upstream.asked.load(SeqCst) == n).then_some(()));
    let in_flight = |n: u64| {
        until("so many in flight", || (house.metric("penstock_requests_in_flight") == n).then_some(()));
    };
    limited(1, &per_minute(9));
    let mut clients = vec![asking(&house, &key)];
    asked(1);
    clients.push(asking(&house, &key));
    in_flight(2);
    house.engine.apply(&bytes(&keyed_document(upstream.port))).unwrap();
    asked(2);

    limited(2, &one);
    clients.push(asking(&house, &key));
    asked(3);
    clients.push(asking(&house, &key));
    in_flight(4);
    limited(3, &json!({"concurrent": []}));
    asked(4);
    upstream.open.store(true, SeqCst);
    clients.iter_mut().for_each(|client| assert_eq!(client.answer().unwrap().status, 200));
    house.stop();
}
