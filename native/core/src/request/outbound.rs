//! What goes out to an upstream for one request, and the bytes of it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{
    admit::Admission, credential, endpoint::Endpoint, guard::Guard, ids::Trace, scan::Scan, splice::Splice,
    standing::LimitFields,
};
use crate::{
    content::Policy,
    dialects::StreamKind,
    http::{
        Names,
        head::{RequestHead, Span},
        write::HeadWriter,
    },
    keys::Table,
    limits::Away,
    observe::record::AttemptRecord,
    route::Attempt,
    server::worker::Worker,
    snapshot::{Base, Overrides, Provider, Snapshot, Timeouts},
};

/// Client headers that go upstream; all others stay here unless the provider's `forward_headers` names them.
static FORWARDED: Names = Names::new(&[
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "idempotency-key",
    "openai-beta",
    "tracestate",
    "user-agent",
]);

/// Everything that the attempts of one request have in common.
pub struct Outbound<'a> {
    pub worker: &'a Rc<Worker>,
    pub snapshot: &'a Snapshot,
    pub endpoint: &'a Endpoint<'a>,
    pub method: &'a str,
    pub query: &'a str,
    pub head: &'a RequestHead,
    pub head_bytes: &'a [u8],
    /// Where the head has the key that let the request in: it goes no further.
    pub key: Option<Span>,
    /// The whole body, or what is here of one that flows.
    pub body: &'a [u8],
    pub scan: Option<&'a Scan<'a>>,
    /// The name asked for and where a form has it, if it is not JSON.
    pub model: Option<&'a str>,
    pub model_in_form: Option<std::ops::Range<usize>>,
    /// The client asked for a stream of this kind.
    pub stream: Option<StreamKind>,
    pub request_id: &'a str,
    pub trace: Trace,
    /// Limits of the model, where it has its own.
    pub timeouts: Overrides,
    /// What the request may use.
    pub admission: &'a Admission<'a>,
    /// What it holds of it.
    pub guard: &'a Guard,
    /// Which of its texts are recorded.
    pub content: Option<&'a Policy>,
    /// What an early head says of its limits.
    pub told: LimitFields,
    pub attempts: RefCell<Vec<AttemptRecord>>,
    /// The place of the target that is being asked, and since when.
    pub asking: Cell<Option<(usize, u64)>>,
    /// It was given up by a client that left, and costs something all the same.
    pub is_unpriced: Cell<bool>,
    /// Time spent waiting for upstreams so far, in microseconds.
    pub waited_us: Cell<u64>,
    /// Time spent waiting for slots of providers.
    pub queued_us: Cell<u64>,
    /// Time spent waiting for leases of their limits.
    pub lease_us: Cell<u64>,
    /// A limit of theirs was judged without Redis.
    pub away: Cell<Option<Away>>,
    /// Body bytes that came after routing.
    pub flowed_bytes: Cell<u64>,
    /// When the clock was last read, microseconds since boot.
    pub now_us: Cell<u64>,
    pub connect_us: Cell<Option<u64>>,
    pub first_byte_us: Cell<Option<u64>>,
}

/// How the body of a request is framed towards the upstream.
#[derive(Clone, Copy, Debug)]
pub enum BodyFraming {
    None,
    Length(u64),
    Chunked,
}

impl Outbound<'_> {
    pub fn provider(&self, attempt: &Attempt<'_>) -> &Provider {
        &self.snapshot.providers[attempt.provider]
    }

    pub fn timeouts(&self, attempt: &Attempt<'_>) -> Timeouts {
        self.provider(attempt).timeouts.with(self.timeouts)
    }

    /// What changes in the body for this target: the model's name, and `stream_options` where usage must be asked for.
    /// The second value says whether usage frames are only for us.
    pub fn edits(&self, attempt: &Attempt<'_>) -> (Splice, bool) {
        let mut splice = Splice::new();
        if let Some(range) = &self.model_in_form {
            if self.model != Some(attempt.model) {
                splice.replace(range.clone(), attempt.model);
            }
            return (splice, false);
        }
        let Some(scan) = self.scan else { return (splice, false) };
        if self.model.is_some_and(|asked| asked != attempt.model) {
            splice.set_model(scan, attempt.model);
        }
        let wants_usage = matches!(self.stream, Some(StreamKind::Chat | StreamKind::Completions))
            && self.provider(attempt).supports_stream_usage;
        let edit = if wants_usage { super::splice::stream_usage_edit(scan) } else { None };
        let ours = edit.is_some();
        if let Some(edit) = edit {
            splice.add(edit);
        }
        (splice, ours)
    }

    /// Writes the request head for `base` into `out`.
    pub fn write_head(&self, attempt: &Attempt<'_>, base: &Base, framing: BodyFraming, out: &mut Vec<u8>) {
        let provider = self.provider(attempt);
        let (version, path) = self.endpoint.upstream_path();
        for part in [self.method, " ", &base.target_prefix, version, path] {
            out.extend_from_slice(part.as_bytes());
        }
        let mut join = b'?';
        for query in [self.query, &provider.query].into_iter().filter(|q| !q.is_empty()) {
            out.push(join);
            out.extend_from_slice(query.as_bytes());
            join = b'&';
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(&base.head);
        let key = self.key.map(|k| k.of(self.head_bytes));
        for field in &self.head.fields {
            let (name, value) = (field.name.of(self.head_bytes), field.value.of(self.head_bytes));
            if is_forwarded(name, value, provider, key, &self.worker.shared.keys) && !base.sets(name) {
                line(out, name, value);
            }
        }
        out.extend_from_slice(b"accept-encoding: identity\r\nx-request-id: ");
        out.extend_from_slice(self.request_id.as_bytes());
        out.extend_from_slice(b"\r\ntraceparent: ");
        self.trace.write(out);
        match framing {
            BodyFraming::None => out.extend_from_slice(b"\r\n\r\n"),
            BodyFraming::Chunked => out.extend_from_slice(b"\r\ntransfer-encoding: chunked\r\n\r\n"),
            BodyFraming::Length(n) => {
                out.extend_from_slice(b"\r\n");
                let mut head = HeadWriter::new(out);
                head.content_length(n);
                head.finish();
            }
        }
    }

    /// Reads the clock.
    pub fn tick(&self) -> u64 {
        self.now_us.set(self.worker.clock().boot_us());
        self.now_us.get()
    }

    /// A slot of a provider was waited for: that is no part of the attempt.
    pub fn queued(&self, us: u64) {
        if us > 0 {
            self.queued_us.set(self.queued_us.get() + us);
            self.tick();
        }
    }

    /// Leases of a provider's limit were waited for, no part of the attempt either; or it was judged without Redis, by a
    /// policy.
    pub fn leased(&self, us: u64, away: Option<Away>) {
        self.away.set(self.away.get().or(away));
        if us > 0 {
            self.lease_us.set(self.lease_us.get() + us);
            self.tick();
        }
    }

    /// All attempts are over that began at `asked_us`: what of that time was spent on neither slots nor leases, upstreams
    /// took.
    pub fn answered(&self, asked_us: u64) {
        let others_us = self.queued_us.get() + self.lease_us.get();
        self.waited_us.set((self.now_us.get() - asked_us).saturating_sub(others_us));
    }

    /// What a head says of limits before there is an answer.
    pub fn limit_fields(&self) -> LimitFields {
        LimitFields { away: self.told.away.or(self.away.get()), ..self.told }
    }
}

fn is_forwarded(name: &[u8], value: &[u8], provider: &Provider, key: Option<&[u8]>, keys: &Table) -> bool {
    if credential::is_credential(name) {
        return provider.client_credentials && credential::is_clients_own(name, value, key, keys);
    }
    let named = |list: &str| name.eq_ignore_ascii_case(list.as_bytes());
    let is_listed = FORWARDED.has(name) || provider.forward_headers.iter().any(|n| named(n));
    is_listed && credential::find_key(value, key).is_none()
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}
