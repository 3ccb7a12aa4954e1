//! Where a request carries its key, and which of its headers are credentials of its own for a provider.

use memchr::memmem;

use super::facts::Facts;
use crate::{
    error::{Code, Error},
    http::{
        Names,
        head::{RequestHead, Span},
    },
    keys::{
        Table,
        format::{MIN_BYTES, find_own, is_own},
    },
};

/// Headers that may carry a key, in the order in which they are looked at.
const NAMES: [&str; 4] = ["x-penstock-key", "authorization", "x-api-key", "api-key"];
/// What is shorter may be a word.
const WORD_BYTES: usize = 16;
static HEADERS: Names = Names::new(&NAMES);
const PENSTOCK_KEY: usize = 0;
const AUTHORIZATION: usize = 1;

/// The headers of [`NAMES`] as a request has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers {
    values: [Option<Span>; NAMES.len()],
    /// One of them that stands twice.
    pub repeated: Option<&'static str>,
}

impl Headers {
    /// Takes a field if it is one of them; of a repeated one the last counts.
    pub fn note(&mut self, name: &[u8], value: Span) {
        let Some(index) = HEADERS.position(name) else { return };
        if self.values[index].replace(value).is_some() {
            self.repeated = Some(NAMES[index]);
        }
    }

    /// What they hold, without a scheme before it, less what may be a word, as clients send where any will do.
    pub fn all(&self, bytes: &[u8]) -> Vec<Box<[u8]>> {
        let values = self.values.iter().flatten();
        let secrets = values.filter_map(|value| value.of(bytes).rsplit(u8::is_ascii_whitespace).next());
        secrets.filter(|secret| secret.len() >= WORD_BYTES).map(Box::from).collect()
    }
}

/// The key of a request: the first header of [`NAMES`] that is there and not empty.
pub fn key(facts: &Facts, bytes: &[u8]) -> Result<Span, Error> {
    let headers = &facts.credentials;
    if let Some(name) = headers.repeated {
        return Err(twice(name));
    }
    for (index, value) in headers.values.iter().enumerate() {
        let Some(value) = value else { continue };
        let text = if index == AUTHORIZATION { bearer(*value, bytes)? } else { *value };
        if !text.of(bytes).is_empty() {
            return Ok(text);
        }
    }
    let message =
        "No API key was sent. Send one as `Authorization: Bearer KEY`, or as x-penstock-key, x-api-key or api-key.";
    Err(Error::new(Code::MissingApiKey, message))
}

/// 400 for a header of which only one can count.
pub fn twice(name: &'static str) -> Error {
    Error::new(Code::InvalidHttp, format!("The header {name} stands twice.")).at(name)
}

/// The key in an authorization header, as `Bearer KEY` (RFC 6750 §2.1; the scheme's case does not matter, RFC 9110 §11.1).
fn bearer(value: Span, bytes: &[u8]) -> Result<Span, Error> {
    let text = value.of(bytes);
    match behind_bearer(text) {
        Some(key) => Ok(Span { start: value.end - key.len() as u32, end: value.end }),
        None if text.is_empty() => Ok(value),
        None => {
            let message = "The Authorization header is not of the form `Bearer KEY`.";
            Err(Error::new(Code::InvalidApiKey, message).at("authorization"))
        }
    }
}

fn behind_bearer(text: &[u8]) -> Option<&[u8]> {
    let scheme = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    text[..scheme].eq_ignore_ascii_case(b"bearer").then(|| text[scheme..].trim_ascii_start())
}

/// Where a text holds a key: one that was made here, or `key`, that the request shows.
pub fn find_key(text: &[u8], key: Option<&[u8]>) -> Option<usize> {
    if text.len() < MIN_BYTES {
        return None;
    }
    // One of our own is found by its form.
    let foreign = key.filter(|key| (MIN_BYTES..=text.len()).contains(&key.len()) && !is_own(key));
    find_own(text).or_else(|| memmem::find(text, foreign?))
}

/// 400 for a target that holds a key: it would go upstream, and stand in the logs of all on the way.
pub fn in_target() -> Error {
    let message = "The path or query holds an API key of this gateway. Send it in a header, and have it rotated: logs may have it.";
    Error::new(Code::InvalidRequest, message)
}

/// Whether a header is one of those that carry credentials.
pub fn is_credential(name: &[u8]) -> bool {
    HEADERS.has(name)
}

/// Whether a header of [`NAMES`] holds a credential of the client's own, which a provider may see: not the key that
/// the request was let in by, nor anything else that is a key of ours or looks like one.
pub fn is_clients_own(name: &[u8], value: &[u8], key: Option<&[u8]>, keys: &Table) -> bool {
    HEADERS.position(name) != Some(PENSTOCK_KEY)
        && !value.is_empty()
        && find_key(value, key).is_none()
        && !keys.knows(behind_bearer(value).unwrap_or(value))
}

/// Whether the request has a credential for a provider that wants the client's own.
pub fn has_own(head: &RequestHead, bytes: &[u8], key: Option<Span>, keys: &Table) -> bool {
    let key = key.map(|k| k.of(bytes));
    head.fields.iter().any(|f| {
        let name = f.name.of(bytes);
        is_credential(name) && is_clients_own(name, f.value.of(bytes), key, keys)
    })
}

/// 401 for a request that brings no credential for such a provider.
pub fn no_own() -> Error {
    let message = "This model's provider is asked with your own credential, and none was sent. Send the gateway's key in \
                   x-penstock-key and the provider's own in Authorization.";
    Error::new(Code::MissingApiKey, message)
}
