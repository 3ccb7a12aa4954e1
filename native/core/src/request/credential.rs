//! Where a request carries its key, and which of its headers are credentials of its own for a provider.

use memchr::memmem;

use super::facts::Facts;
use crate::{
    error::{Code, Error},
    http::head::{RequestHead, Span},
    keys::format::PREFIX,
};

/// Headers that may carry a key, in the order in which they are looked at.
pub const HEADERS: [&str; 4] = ["x-penstock-key", "authorization", "x-api-key", "api-key"];
const AUTHORIZATION: usize = 1;

/// The headers of [`HEADERS`] as a request has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers {
    values: [Option<Span>; HEADERS.len()],
    repeated: Option<&'static str>,
}

impl Headers {
    /// Takes a field if it is one of them; of a repeated one the last counts.
    pub fn note(&mut self, name: &[u8], value: Span) {
        let Some(index) = HEADERS.iter().position(|h| name.eq_ignore_ascii_case(h.as_bytes())) else { return };
        if self.values[index].replace(value).is_some() {
            self.repeated = Some(HEADERS[index]);
        }
    }
}

/// The key of a request: the first header of [`HEADERS`] that is there and not empty.
pub fn key(facts: &Facts, bytes: &[u8]) -> Result<Span, Error> {
    let headers = &facts.credentials;
    if let Some(name) = headers.repeated {
        return Err(Error::new(Code::InvalidHttp, format!("The header {name} stands twice.")).at(name));
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

/// What stands behind `Bearer` (RFC 6750 §2.1; the scheme's case does not matter, RFC 9110 §11.1).
fn bearer(value: Span, bytes: &[u8]) -> Result<Span, Error> {
    let text = value.of(bytes);
    let scheme = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    if !text.is_empty() && !text[..scheme].eq_ignore_ascii_case(b"bearer") {
        let message = "The Authorization header is not of the form `Bearer KEY`.";
        return Err(Error::new(Code::InvalidApiKey, message).at("authorization"));
    }
    let rest = text[scheme..].trim_ascii_start().len() as u32;
    Ok(Span { start: value.end - rest, end: value.end })
}

/// Refuses a query that holds a key of ours: it would go upstream, and stand in the logs of all on the way.
pub fn check_query(query: &str) -> Result<(), Error> {
    if memmem::find(query.as_bytes(), PREFIX).is_none() {
        return Ok(());
    }
    let message =
        "The query holds an API key of this gateway. Send it in a header, and have it rotated: logs may have it.";
    Err(Error::new(Code::InvalidRequest, message))
}

/// Whether a header is one of those that carry credentials.
pub fn is_credential(name: &[u8]) -> bool {
    HEADERS.iter().any(|h| name.eq_ignore_ascii_case(h.as_bytes()))
}

/// Whether a header of [`HEADERS`] holds a credential of the client's own, which a provider may see: not the key that
/// the request was let in by, nor anything else that is or looks like a key of ours.
pub fn is_clients_own(name: &[u8], value: &[u8], key: Option<&[u8]>) -> bool {
    let holds = |what: &[u8]| memmem::find(value, what).is_some();
    !name.eq_ignore_ascii_case(HEADERS[0].as_bytes()) && !value.is_empty() && !holds(PREFIX) && !key.is_some_and(holds)
}

/// Whether the request has a credential for a provider that wants the client's own.
pub fn has_own(head: &RequestHead, bytes: &[u8], key: Option<Span>) -> bool {
    let key = key.map(|k| k.of(bytes));
    head.fields.iter().any(|f| {
        let name = f.name.of(bytes);
        is_credential(name) && is_clients_own(name, f.value.of(bytes), key)
    })
}

/// 401 for a request that brings no credential for such a provider.
pub fn no_own() -> Error {
    let message = "This model's provider is asked with your own credential, and none was sent. Send the gateway's key in \
                   x-penstock-key and the provider's own in Authorization.";
    Error::new(Code::MissingApiKey, message)
}
