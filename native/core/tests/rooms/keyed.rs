//! A house with `auth: keys`: its keys, their secrets, and Python's part in it.

use std::{fs, path::PathBuf, sync::OnceLock};

use penstock_core::{
    keys::{Digests, format::checksum},
    questions::{Kind, Question},
};
use serde_json::{Value, json};

use crate::{
    document::{bytes, model, provider},
    house::{Answer, Client, House, document, until},
};

const DIGEST_KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

/// A document with the models `fast` and `slow`, open to holders of keys.
pub(crate) fn keyed_document(port: u16) -> Value {
    let mut document = document(port);
    document["auth"] = json!("keys");
    document["providers"] = json!([provider("up", port)]);
    document["models"] = json!([model("fast", "up", None), model("slow", "up", None)]);
    document
}

/// A house whose table is known to hold every key: none yet.
pub(crate) fn keyed_house(document: &Value, workers: usize) -> House {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rooms-{}-digest.key", std::process::id()));
        fs::write(&file, DIGEST_KEY).unwrap();
        file
    });
    let house = House::start_with(document, workers, 0, &json!({"digest_key_file": file}));
    house.engine.keys_current(true);
    house
}

/// A valid key; `secret` stands for its 43 characters.
pub(crate) fn own(id: &str, secret: char) -> String {
    let text = format!("sk-pen-{id}-{}", secret.to_string().repeat(43));
    let sum = checksum(text.as_bytes());
    text + std::str::from_utf8(&sum).unwrap()
}

pub(crate) fn digest(credential: &str) -> String {
    Digests::new(DIGEST_KEY).digest(credential.as_bytes()).hex()
}

/// A row with one secret, verified if it is given.
pub(crate) fn row(id: &str, version: u64, verified: Option<&str>) -> Value {
    json!({
        "id": id, "version": version, "state": "active", "team": null, "access": 0, "limits": null, "tags": null,
        "content": true, "expires_us": null, "cut_us": null, "secrets": [{"generation": 1, "until_us": null, "digest": verified.map(digest)}],
    })
}

pub(crate) fn with(mut object: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// Puts the fields given; access 0 allows everything.
pub(crate) fn put(house: &House, fields: &Value) {
    let empty = json!({
        "format": 4, "access": [{"models": null, "paths": null, "networks": null}], "limits": [], "tags": [],
        "teams": [], "keys": [], "digests": [], "reset": false, "settled": 0,
    });
    house.engine.put_keys(&bytes(&with(empty, fields))).unwrap();
}

/// Puts one known key with what it is allowed, and returns its credential.
pub(crate) fn put_known(house: &House, id: &str, access: &Value) -> String {
    let credential = own(id, 'a');
    let all = json!({"models": null, "paths": null, "networks": null});
    put(house, &json!({"access": [with(all, access)], "keys": [row(id, 1, Some(&credential))]}));
    credential
}

/// A request with header lines of its own.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let lines = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ": " + value + "\r\n");
    format!("{method} {path} HTTP/1.1\r\nhost: any.where\r\n{lines}content-length: {}\r\n\r\n{body}", body.len())
}

/// A chat request for `fast`.
pub(crate) fn chat_with(headers: &[(&str, &str)]) -> String {
    request("POST", "/v1/chat/completions", headers, &json!({"model": "fast", "messages": []}))
}

pub(crate) fn bearer(credential: &str) -> String {
    format!("Bearer {credential}")
}

/// One chat request on a connection of its own.
pub(crate) fn ask(house: &House, credential: &str) -> Answer {
    house.client().ask(&chat_with(&[("authorization", &bearer(credential))])).unwrap()
}

pub(crate) fn get(house: &House, path: &str, credential: &str) -> Answer {
    house.client().ask(&request("GET", path, &[("authorization", &bearer(credential))], &Value::Null)).unwrap()
}

/// A client that has sent a chat request and waits.
pub(crate) fn asking(house: &House, credential: &str) -> Client {
    let mut client = house.client();
    client.send(&chat_with(&[("authorization", &bearer(credential))])).unwrap();
    client
}

/// The next question about a secret, and what it says.
pub(crate) fn question(house: &House) -> (u64, Value) {
    let asked = until("a question about a secret", || {
        house.engine.questions().into_iter().find(|question: &Question| question.kind == Kind::Verify)
    });
    (asked.id, serde_json::from_slice(&asked.payload).unwrap())
}

pub(crate) fn reply(house: &House, id: u64, answer: &Value) -> bool {
    house.engine.answer(id, bytes(answer))
}

pub(crate) fn error(answer: &Answer) -> Value {
    serde_json::from_str::<Value>(&answer.body).unwrap()["error"].clone()
}

/// Asserts an answer's status and its code in `x-penstock-error`.
pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}\n{}", answer.head, answer.body);
    assert!(answer.head.contains(&format!("x-penstock-error: {code}\r\n")), "{code}: {}", answer.head);
}
