//! Credentials and rows for tests.

use penstock_core::keys::{Batch, Digests, KeyId, Table, format::checksum, table::Cut};
use serde_json::{Value, json};

pub(crate) const DIGESTS: Digests = Digests::new([7; 32]);

/// A valid key of our own; `secret` stands for its 43 characters.
pub(crate) fn own(id: &str, secret: char) -> String {
    let text = format!("sk-pen-{id}-{}", secret.to_string().repeat(43));
    let sum = checksum(text.as_bytes());
    text + std::str::from_utf8(&sum).unwrap()
}

pub(crate) fn key_id(id: &str) -> KeyId {
    KeyId::parse(id.as_bytes()).unwrap()
}

pub(crate) fn hex(credential: &str) -> String {
    DIGESTS.digest(credential.as_bytes()).hex()
}

/// A batch with nothing in it but one access that allows everything.
pub(crate) fn empty() -> Value {
    json!({
        "format": 4, "access": [{"models": null, "paths": null, "networks": null}], "limits": [], "tags": [],
        "teams": [], "keys": [], "digests": [], "reset": false, "settled": 0,
    })
}

/// An active key with one secret, not yet verified.
pub(crate) fn row(id: &str, version: u64) -> Value {
    json!({
        "id": id, "version": version, "state": "active", "team": null, "access": 0, "limits": null, "tags": null,
        "content": true, "expires_us": null, "cut_us": null, "secrets": [{"generation": 1, "until_us": null, "digest": null}],
    })
}

pub(crate) fn team(id: &str, version: u64) -> Value {
    json!({
        "id": id, "version": version, "name": format!("Team {id}"), "state": "active", "access": 0, "limits": null, "tags": null,
        "content": true,
    })
}

/// The same object with other fields.
pub(crate) fn with(mut object: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

pub(crate) fn decode(document: &Value) -> Result<Batch, String> {
    Batch::decode(&serde_json::to_vec(document).unwrap())
}

/// Puts the fields given into the table.
pub(crate) fn put(table: &Table, fields: &Value) -> Vec<Cut> {
    table.put(decode(&with(empty(), fields)).unwrap())
}
