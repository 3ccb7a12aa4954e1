//! A key that is cut: its requests that began before are ended at once, all others go on.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use crate::{
    house::{Client, House, Upstream, until},
    keyed::{
        ask, asking, assert_refused, bearer, keyed_document, keyed_house, own, put, put_known, request, row, with,
    },
};

const ID: &str = "abcdefghijkl";
const OTHER: &str = "mnopqrstuvwx";
/// Later than every request of these tests.
const LATER_US: u64 = 4_000_000_000_000_000;

/// Disables the key and ends its requests.
fn cut(house: &House, version: u64, cut_us: u64) {
    let fields = json!({"state": "disabled", "cut_us": cut_us});
    put(house, &json!({"keys": [with(row(ID, version, Some(&own(ID, 'a'))), &fields)]}));
}

#[test]
fn requests_that_wait_for_their_answer_are_ended_and_those_of_another_key_are_not() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 3);
    let (key, other) = (put_known(&house, ID, &json!({})), put_known(&house, OTHER, &json!({})));
    upstream.open.store(false, SeqCst);
    let mut cut_ones: Vec<Client> = (0..6).map(|_| asking(&house, &key)).collect();
    let mut others: Vec<Client> = (0..6).map(|_| asking(&house, &other)).collect();
    until("all are asked", || (upstream.asked.load(SeqCst) == 12).then_some(()));
    cut(&house, 2, 1);
    cut(&house, 3, LATER_US);
    for client in &mut cut_ones {
        let answer = client.answer().unwrap();
        assert_refused(&answer, 401, "key_disabled");
    }
    until("their upstreams are let go", || (house.metric("penstock_requests_in_flight") == 6).then_some(()));
    upstream.open.store(true, SeqCst);
    assert!(others.iter_mut().all(|c| c.answer().unwrap().status == 200));
    assert_refused(&ask(&house, &key), 401, "key_disabled");
    house.stop();
}

/// Puts an active row with a cut, as a node has it that missed what came between.
fn enabled_again(house: &House, version: u64, cut_us: u64) {
    put(house, &json!({"keys": [with(row(ID, version, Some(&own(ID, 'a'))), &json!({"cut_us": cut_us}))]}));
}

fn waiting(house: &House, upstream: &Upstream, key: &str) -> Client {
    let before = upstream.asked.load(SeqCst);
    let client = asking(house, key);
    until("it is asked", || (upstream.asked.load(SeqCst) > before).then_some(()));
    client
}

#[test]
fn a_request_that_began_before_the_news_came_is_ended_whatever_the_clocks_say() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({}));
    upstream.open.store(false, SeqCst);
    let mut client = waiting(&house, &upstream, &key);
    cut(&house, 2, 1);
    assert_refused(&client.answer().unwrap(), 401, "key_disabled");
    house.stop();
}

#[test]
fn a_request_that_began_on_a_newer_row_goes_on() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({}));
    upstream.open.store(false, SeqCst);
    let mut first = waiting(&house, &upstream, &key);
    put(&house, &json!({"keys": [row(ID, 3, Some(&key))]}));
    let mut second = waiting(&house, &upstream, &key);
    cut(&house, 2, LATER_US);
    enabled_again(&house, 5, 1);
    for client in [&mut first, &mut second] {
        assert_refused(&client.answer().unwrap(), 401, "key_disabled");
    }
    let mut third = waiting(&house, &upstream, &key);
    enabled_again(&house, 6, 1);
    cut(&house, 4, LATER_US);
    upstream.open.store(true, SeqCst);
    assert_eq!(third.answer().unwrap().status, 200);
    house.stop();
}

#[test]
fn after_a_reset_a_cut_ends_what_began_before_it_however_its_versions_count() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = own(ID, 'a');
    put(&house, &json!({"keys": [row(ID, 90, Some(&key))]}));
    upstream.open.store(false, SeqCst);
    let mut client = waiting(&house, &upstream, &key);
    put(&house, &json!({"reset": true}));
    put(&house, &json!({"keys": [row(ID, 40, Some(&key))]}));
    cut(&house, 51, LATER_US);
    assert_refused(&client.answer().unwrap(), 401, "key_disabled");
    put(&house, &json!({"keys": [row(ID, 52, Some(&key))]}));
    let mut client = waiting(&house, &upstream, &key);
    put(&house, &json!({"reset": true}));
    cut(&house, 53, LATER_US);
    assert_refused(&client.answer().unwrap(), 401, "key_disabled");
    upstream.open.store(true, SeqCst);
    house.stop();
}

#[test]
fn a_reset_that_tells_of_an_old_cut_leaves_the_requests_of_a_key_enabled_since() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = own(ID, 'a');
    enabled_again(&house, 3, LATER_US);
    upstream.open.store(false, SeqCst);
    let mut client = waiting(&house, &upstream, &key);
    put(&house, &json!({"reset": true}));
    enabled_again(&house, 3, LATER_US);
    assert_refused(&ask(&house, "nobody"), 401, "invalid_api_key");
    upstream.open.store(true, SeqCst);
    assert_eq!(client.answer().unwrap().status, 200);
    house.stop();
}

#[test]
fn a_request_whose_body_still_comes_is_ended() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({}));
    let authorization = bearer(&key);
    let head = |path: &str, content_type: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: {authorization}\r\ncontent-type: {content_type}\r\n\
             content-length: 200000\r\n\r\n"
        )
    };
    let mut json = house.client();
    json.send(&(head("/v1/chat/completions", "application/json") + "{\"model\":\"fast\",")).unwrap();
    let mut form = house.client();
    let part = |name: &str| format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
    let beginning = part("model") + "fast\r\n" + &part("file") + &"x".repeat(100_000);
    form.send(&(head("/v1/audio/transcriptions", "multipart/form-data; boundary=B") + &beginning)).unwrap();
    until("both are let in", || (house.metric("penstock_auth_total{result=\"known\"}") == 2).then_some(()));
    until("the form flows", || (house.status()["upstream_connections"] == 1).then_some(()));
    cut(&house, 2, LATER_US);
    for client in [&mut json, &mut form] {
        assert_refused(&client.answer().unwrap(), 401, "key_disabled");
    }
    assert_eq!(upstream.asked.load(SeqCst), 0);
    house.stop();
}

const FRAME: &str = "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// A stream that stops after its first bytes and goes on for ever.
fn endless(content: &str) -> String {
    let length = content.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{content}\r\n"
    )
}

fn streaming(house: &House, key: &str) -> Client {
    let mut client = house.client();
    let body = json!({"model": "fast", "messages": [], "stream": true});
    let authorization = bearer(key);
    let headers = [("authorization", authorization.as_str())];
    client.send(&request("POST", "/v1/chat/completions", &headers, &body)).unwrap();
    client
}

#[test]
fn a_stream_is_ended_by_an_error_frame() {
    let upstream = Upstream::start();
    *upstream.answer.lock().unwrap() = endless(FRAME);
    let house = keyed_house(&keyed_document(upstream.port), 2);
    let key = put_known(&house, ID, &json!({}));
    let mut clients: Vec<Client> = (0..4).map(|_| streaming(&house, &key)).collect();
    clients.iter_mut().for_each(|c| drop(c.read_until("\"Hi\"")));
    cut(&house, 2, LATER_US);
    for client in &mut clients {
        let end = client.read_until("\r\n0\r\n\r\n");
        assert!(end.contains("data: {\"error\":{") && end.contains("invalid_api_key"), "{end}");
    }
    until("nothing is in flight", || house.engine.is_idle().then_some(()));
    assert_eq!(house.metric("penstock_answers_total{outcome=\"failed\"}"), 4);
    until("their upstreams are let go", || (house.status()["upstream_connections"] == 0).then_some(()));
    house.stop();
}

#[test]
fn an_unstreamed_answer_that_has_begun_breaks_off() {
    let upstream = Upstream::start();
    *upstream.answer.lock().unwrap() =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"id\":".to_owned();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({}));
    let mut client = asking(&house, &key);
    client.read_until("{\"id\":");
    cut(&house, 2, LATER_US);
    assert!(client.is_ended());
    until("nothing is in flight", || house.engine.is_idle().then_some(()));
    assert_eq!(house.metric("penstock_answers_total{outcome=\"failed\"}"), 1);
    house.stop();
}

#[test]
fn a_connection_whose_request_was_cut_serves_the_next_key() {
    let upstream = Upstream::start();
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let (key, other) = (put_known(&house, ID, &json!({})), put_known(&house, OTHER, &json!({})));
    upstream.open.store(false, SeqCst);
    let mut client = asking(&house, &key);
    until("it is asked", || (upstream.asked.load(SeqCst) == 1).then_some(()));
    cut(&house, 2, LATER_US);
    assert_eq!(client.answer().unwrap().status, 401);
    upstream.open.store(true, SeqCst);
    let authorization = bearer(&other);
    let next = crate::keyed::chat_with(&[("authorization", authorization.as_str())]);
    assert_eq!(client.ask(&next).unwrap().status, 200);
    house.stop();
}
