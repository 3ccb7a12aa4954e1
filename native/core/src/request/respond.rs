//! The heads of answers: which of an upstream's headers pass, and which are ours.

use super::Reply;
use crate::{
    dialects::{Dialect, StreamKind},
    error::{Code, Error},
    http::{Names, head::ResponseHead, same},
};

/// Headers of an upstream that never reach a client: those of the hop, of its own site, and those we set.
static DROPPED: Names = Names::new(&[
    "alt-svc",
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
]);
/// Those of an upstream's stream that our own replace.
static REPLACED_ON_STREAMS: Names = Names::new(&["cache-control", "content-type", "x-accel-buffering"]);
/// What an upstream calls a request.
static IDS: Names = Names::new(&["request-id", "x-request-id"]);

/// What an answer's head tells of its way through the gateway.
pub struct Way<'a> {
    pub dialect: Dialect,
    pub request_id: &'a str,
    /// `provider/model`, empty if there is none.
    pub provider: &'a str,
    pub model: &'a str,
    pub attempts: usize,
    pub overhead_us: u64,
}

/// The request's id, under the name that the client's SDK looks for too.
pub fn ids(reply: &mut Reply, dialect: Dialect, request_id: &str) {
    // It has letters, digits and `._:-` only, whoever made it.
    reply.raw_field(b"x-request-id", request_id.as_bytes());
    if dialect == Dialect::Anthropic {
        reply.raw_field(b"request-id", request_id.as_bytes());
    }
}

/// What keeps a stream from being held up on its way.
pub fn stream_fields(reply: &mut Reply, kind: StreamKind) {
    reply.field("content-type", kind.content_type().as_bytes());
    reply.field("cache-control", b"no-cache, no-transform");
    reply.field("x-accel-buffering", b"no");
}

/// The head of an upstream's answer as the client gets it, without framing. Says what the upstream called the request.
pub fn upstream_head(
    reply: &mut Reply,
    way: &Way<'_>,
    head: &ResponseHead,
    bytes: &[u8],
    stream: Option<StreamKind>,
    upstream_id: &mut String,
) {
    reply.status(head.status);
    let names_options = head.connection_options(bytes).next().is_some();
    for field in &head.fields {
        let (name, value) = (field.name.of(bytes), field.value.of(bytes));
        if DROPPED.has(name) || stream.is_some() && REPLACED_ON_STREAMS.has(name) {
            continue;
        }
        if way.attempts > 1 && same(name, "x-should-retry") {
            continue;
        }
        if IDS.has(name) {
            if upstream_id.is_empty() {
                upstream_id.push_str(&String::from_utf8_lossy(value));
                reply.field("x-penstock-upstream-request-id", value);
            }
            continue;
        }
        let is_of_the_hop = || head.connection_options(bytes).any(|option| option.eq_ignore_ascii_case(name));
        if names_options && is_of_the_hop() || starts_with(name, "x-penstock-") || starts_with(name, "access-control-")
        {
            continue;
        }
        if let Some(rest) = strip(name, "x-ratelimit-").or_else(|| strip(name, "anthropic-ratelimit-")) {
            let name = [b"x-penstock-upstream-ratelimit-", rest.to_ascii_lowercase().as_slice()].concat();
            reply.raw_field(&name, value);
            continue;
        }
        reply.raw_field(name, value);
    }
    if let Some(kind) = stream {
        stream_fields(reply, kind);
    }
    ids(reply, way.dialect, way.request_id);
    passage(reply, way);
}

/// Where the answer comes from and what the way through the gateway took.
pub fn passage(reply: &mut Reply, way: &Way<'_>) {
    if !way.provider.is_empty() {
        let separator = if way.model.is_empty() { "" } else { "/" };
        let parts = [way.provider, separator, way.model];
        reply.parts("x-penstock-target", &parts.map(str::as_bytes));
    }
    if way.attempts > 0 {
        reply.number("x-penstock-attempts", way.attempts as u64);
    }
    reply.number("x-penstock-overhead-us", way.overhead_us);
}

/// The head of an error that we made, without framing; `type` and body come from the dialect.
pub fn error_head(reply: &mut Reply, way: &Way<'_>, error: &Error) {
    reply.status(error.code.status());
    reply.field("content-type", b"application/json");
    ids(reply, way.dialect, way.request_id);
    reply.field("x-penstock-error", error.code.name().as_bytes());
    passage(reply, way);
    if error.code.status() == 401 {
        reply.field("www-authenticate", b"Bearer realm=\"penstock\"");
    }
    if let Some(ms) = error.retry_after_ms {
        reply.number("retry-after", ms.div_ceil(1_000));
        reply.number("retry-after-ms", ms);
    }
    if let Some(allow) = error.allow {
        reply.field("allow", allow.as_bytes());
    }
    if way.attempts > 1 || error.code == Code::BudgetExceeded {
        reply.field("x-should-retry", b"false");
    }
}

fn strip<'a>(name: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    starts_with(name, prefix).then(|| &name[prefix.len()..])
}

fn starts_with(name: &[u8], prefix: &str) -> bool {
    name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
}
