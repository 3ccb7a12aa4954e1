//! A key that is bound to models asks for no other, whatever way the body names one.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use crate::{
    house::{Client, House, Upstream, until},
    keyed::{assert_refused, bearer, error, keyed_document, keyed_house, put_known},
};

const ID: &str = "abcdefghijkl";

/// A house, and a key of it that may ask for `fast` alone.
fn bound(upstream: &Upstream) -> (House, String) {
    let house = keyed_house(&keyed_document(upstream.port), 1);
    let key = put_known(&house, ID, &json!({"models": ["fast"]}));
    (house, key)
}

fn head(key: &str, path: &str, content_type: &str, length: usize) -> String {
    let authorization = bearer(key);
    format!(
        "POST {path} HTTP/1.1\r\nhost: any.where\r\nauthorization: {authorization}\r\ncontent-type: {content_type}\r\n\
         content-length: {length}\r\n\r\n"
    )
}

#[test]
fn a_second_name_of_the_model_in_another_case_is_refused() {
    let upstream = Upstream::start();
    let (house, key) = bound(&upstream);
    for body in [
        r#"{"model":"fast","Model":"slow","messages":[]}"#,
        r#"{"MODEL":"slow","model":"fast","messages":[]}"#,
        r#"{"model":"fast","\u004dodel":"slow","messages":[]}"#,
        r#"{"Model":"slow","messages":[]}"#,
    ] {
        let head = head(&key, "/v1/chat/completions", "application/json", body.len());
        let answer = house.client().ask(&(head + body)).unwrap();
        assert_refused(&answer, 400, "unsupported_field");
        assert_eq!(error(&answer)["code"], "unsupported_parameter");
    }
    assert_eq!(upstream.asked.load(SeqCst), 0);
    house.stop();
}

fn part(name: &str, value: &str) -> String {
    format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// Sends the head of a form and its pieces, each once all before it have been read.
fn send_form(house: &House, key: &str, pieces: &[&str]) -> Client {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let mut client = house.client();
    client.send(&head(key, "/v1/audio/transcriptions", "multipart/form-data; boundary=B", length)).unwrap();
    let mut sent = 0;
    for piece in pieces {
        client.send(piece).unwrap();
        sent += piece.len() as u64;
        // A request that is refused is over, and holds nothing.
        until("it is read", || {
            let held = house.metric("penstock_buffered_bytes");
            (held >= sent || house.engine.is_idle()).then_some(())
        });
    }
    client
}

#[test]
fn a_second_model_of_a_form_is_refused_however_late_it_comes() {
    let upstream = Upstream::start();
    let (house, key) = bound(&upstream);
    let (first, second) = (part("model", "fast"), part("model", "slow") + "--B--\r\n");
    let file = part("file", &"x".repeat(200_000));
    let (boundary, rest) = second.split_at(5);
    let small = part("file", &"x".repeat(60_000));
    for pieces in [
        vec![first.clone() + &second],
        vec![small.clone() + &first + boundary, rest.to_owned()],
        vec![first.clone() + &file + &second],
        vec![first.clone() + &file, second.clone()],
        vec![first.clone() + &file + boundary, rest.to_owned()],
    ] {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let answer = send_form(&house, &key, &pieces).answer().unwrap();
        assert_refused(&answer, 400, "duplicate_field");
    }
    assert_eq!(upstream.asked.load(SeqCst), 0);
    let whole = first + &file + "--B--\r\n";
    assert_eq!(send_form(&house, &key, &[&whole]).answer().unwrap().status, 200, "one model and a large file");
    house.stop();
}

#[test]
fn a_form_of_a_bound_key_is_kept_whole_within_the_bound_of_bodies() {
    let upstream = Upstream::start();
    let (house, key) = bound(&upstream);
    let head = head(&key, "/v1/audio/transcriptions", "multipart/form-data; boundary=B", 1_048_577);
    assert_refused(&house.client().ask(&(head + &part("model", "fast"))).unwrap(), 413, "body_too_large");
    assert_eq!(upstream.asked.load(SeqCst), 0);
    house.stop();
}
