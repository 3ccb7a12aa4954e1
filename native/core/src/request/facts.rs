//! What the head of a request says: one pass over its fields.

use std::net::IpAddr;

use super::{client_address::client_address, credential, ids};
use crate::{
    http::{
        head::{RequestHead, Span},
        same,
    },
    snapshot::Snapshot,
};

/// The fields that a phase looks at, as spans of the head's bytes, and what was made of them.
#[derive(Debug, Default)]
pub struct Facts {
    pub host: Option<Span>,
    pub origin: Option<Span>,
    pub content_type: Option<Span>,
    pub content_encoding: Option<Span>,
    pub anthropic_version: Option<Span>,
    pub traceparent: Option<Span>,
    pub request_id: Option<Span>,
    /// `x-penstock-provider`: who answers on paths without a model.
    pub provider: Option<Span>,
    pub credentials: credential::Headers,
    /// A field that must stand once, and stands twice.
    pub repeated: Option<&'static str>,
    has_forwarded: bool,
}

impl Facts {
    /// Reads the fields; of a repeated one the last counts.
    pub fn read(head: &RequestHead, bytes: &[u8]) -> Self {
        let mut facts = Self::default();
        for field in &head.fields {
            let name = field.name.of(bytes);
            let place = match name.len() {
                4 if same(name, "host") => &mut facts.host,
                6 if same(name, "origin") => &mut facts.origin,
                7 | 9 | 13 | 14 => {
                    facts.credentials.note(name, field.value);
                    continue;
                }
                11 if same(name, "traceparent") => &mut facts.traceparent,
                12 if same(name, "content-type") => &mut facts.content_type,
                12 if same(name, "x-request-id") => &mut facts.request_id,
                15 if same(name, "x-forwarded-for") => {
                    facts.has_forwarded = true;
                    continue;
                }
                16 if same(name, "content-encoding") => &mut facts.content_encoding,
                17 if same(name, "anthropic-version") => &mut facts.anthropic_version,
                19 if same(name, "x-penstock-provider") => &mut facts.provider,
                _ => continue,
            };
            if place.replace(field.value).is_some() {
                facts.repeated = facts.repeated.or_else(|| single(name));
            }
        }
        facts
    }

    /// The client's address as far as it can be trusted.
    pub fn client(
        &self,
        head: &RequestHead,
        bytes: &[u8],
        peer: Option<IpAddr>,
        snapshot: &Snapshot,
    ) -> Option<IpAddr> {
        if !self.has_forwarded {
            return peer;
        }
        let values =
            head.fields.iter().filter(|f| same(f.name.of(bytes), "x-forwarded-for")).map(|f| f.value.of(bytes));
        client_address(peer, values, &snapshot.trusted_proxies)
    }

    /// The request's id, put into `id`, and its trace, taken over or made; an id that holds a key, as that of the request,
    /// is not taken over. `utc_us`: when the request began.
    pub fn ids(
        &self,
        bytes: &[u8],
        key: Option<Span>,
        utc_us: u64,
        rng: &mut fastrand::Rng,
        id: &mut String,
    ) -> ids::Trace {
        let of = |span: Option<Span>| span.map(|s| s.of(bytes));
        let given = of(self.request_id).filter(|id| credential::find_key(id, of(key)).is_none());
        ids::request_id(given, utc_us, rng, id);
        ids::Trace::start(of(self.traceparent), rng)
    }
}

/// The name, if two lines of it would let an upstream read another request than we do.
fn single(name: &[u8]) -> Option<&'static str> {
    ["content-type", "content-encoding", "origin", "anthropic-version"].into_iter().find(|n| same(name, n))
}
