//! One request from its head to its record: the order of the phases.

use std::rc::Rc;

use super::{
    Gone, Reply, Stop,
    authenticate::authenticate,
    body,
    content::Taken,
    count, credential,
    endpoint::{Api, Endpoint},
    facts::Facts,
    guard::Guard,
    ids::Trace,
    key, models,
    plan::Wanted,
    read::{Arrived, read_head},
    relayed,
    respond::{self, Way},
    standing::LimitFields,
};
use crate::{
    boxed::boxed,
    dialects::{self, Dialect, StreamKind},
    error::{Code, Error},
    http::head::{RequestHead, Span},
    journal::Admitted,
    limits::Away,
    observe::record::{Consumer, Outcome, Record},
    relay::{Watched, watch},
    server::{
        connection::{Client, Next},
        health,
        shared::Stage,
        worker::{LocalSnapshot, Scratch, Worker},
    },
    snapshot::Auth,
};

/// What stands in the log from where a path holds a key.
const MASK: &str = "********";

/// A request being served: what every phase needs and what the record will say.
pub struct Call<'a> {
    pub client: &'a mut Client,
    pub worker: &'a Rc<Worker>,
    pub snapshot: LocalSnapshot,
    pub head: &'a RequestHead,
    pub record: &'a mut Record,
    pub reply: Reply,
    pub dialect: Dialect,
    /// Set once a stream has been promised: errors are then frames.
    pub stream: Option<StreamKind>,
    pub request_id: String,
    pub trace: Trace,
    /// First byte of the head, microseconds since boot.
    pub arrived_us: u64,
    /// Time spent waiting for the client's body and for upstreams.
    pub waited_us: u64,
    /// The client's connection is of no further use.
    pub broken: bool,
    /// Where the request stands with its limits.
    pub told: LimitFields,
    /// Where the head has the key that is to let the request in.
    pub key: Option<Span>,
    /// Where it has all that may be one, for a provider too.
    pub credentials: credential::Headers,
    /// Texts of it that are recorded.
    pub content: Option<Box<Taken>>,
    /// What it holds, until it is over.
    pub guard: Option<Rc<Guard>>,
    /// Room in the journal for its record.
    admitted: Option<Admitted>,
    /// Its record was made.
    is_recorded: bool,
}

/// Serves one request and records it.
pub async fn serve(client: &mut Client, worker: &Rc<Worker>, scratch: &mut Scratch) -> Next {
    let arrived_us = worker.clock().boot_us();
    scratch.record.started_utc_us = worker.clock().utc_us();
    let read = read_head(client, worker, &mut scratch.request).await;
    match read {
        Ok(Arrived::Never) => return Next::Close,
        Ok(Arrived::AtOnce) => {}
        _ => scratch.record.phases.head_us = worker.clock().boot_us() - arrived_us,
    }
    let unread = RequestHead::default();
    let head = if read.is_ok() { &scratch.request } else { &unread };
    let reply = Reply::to(head, client.is_head_request, worker.buffers.clone());
    let facts = Facts::read(head, client.conn.head());
    let Some(snapshot) = worker.snapshot() else {
        return Next::Close;
    };
    let bytes = client.conn.head();
    let key = if snapshot.auth == Auth::Keys { credential::key(&facts, bytes).ok() } else { None };
    // The record has it again in the end.
    let mut request_id = std::mem::take(&mut scratch.record.request_id);
    let utc_us = scratch.record.started_utc_us;
    let trace = facts.ids(bytes, key, utc_us, &mut worker.rng.borrow_mut(), &mut request_id);
    let mut call = Call {
        client,
        worker,
        snapshot,
        head,
        record: &mut scratch.record,
        reply,
        dialect: Dialect::OpenAi,
        stream: None,
        request_id,
        trace,
        arrived_us,
        waited_us: 0,
        broken: false,
        told: LimitFields::default(),
        key,
        credentials: facts.credentials,
        content: None,
        guard: None,
        admitted: None,
        is_recorded: false,
    };
    let result = match read {
        Ok(_) => phases(&mut call, &facts, &mut scratch.line).await,
        Err(error) => Err(error.into()),
    };
    call.finish(result).await
}

/// All phases after the head; what they refuse is answered by the caller.
async fn phases(call: &mut Call<'_>, facts: &Facts, line: &mut Vec<u8>) -> Result<(), Stop> {
    let snapshot = call.snapshot.clone();
    let head = call.head;
    let bytes = call.client.conn.head();
    call.record.received_bytes = bytes.len() as u64;
    call.record.client = facts.client(head, bytes, call.client.peer, &snapshot);
    // Method and target are ASCII: the codec refuses anything else.
    line.clear();
    line.extend_from_slice(head.method.of(bytes));
    line.extend_from_slice(head.target.of(bytes));
    let line = std::str::from_utf8(line).unwrap_or_default();
    let (method, target) = line.split_at_checked(head.method.of(bytes).len()).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    call.record.method.push_str(method);
    let key_at = credential::find_key(target.as_bytes(), call.key.map(|k| k.of(bytes)));
    match key_at.and_then(|at| path.get(..at)).filter(|shown| shown.len() < path.len()) {
        Some(shown) => call.record.path.extend([shown, MASK]),
        None => call.record.path.push_str(path),
    }
    let takes_own = || snapshot.auth == Auth::Open && snapshot.providers.iter().any(|p| p.client_credentials);
    if let Some(name) = facts.repeated.or_else(|| facts.credentials.repeated.filter(|_| takes_own())) {
        return Err(credential::twice(name).into());
    }
    if let Some((status, body)) = health::answer(&call.worker.shared, path) {
        return call.json(status, body.as_bytes()).await;
    }
    let speaks_anthropic = facts.anthropic_version.is_some();
    call.dialect = dialect_of(path, if speaks_anthropic { Dialect::Anthropic } else { Dialect::OpenAi });
    call.record.dialect = Some(call.dialect);
    if key_at.is_some() {
        return Err(credential::in_target().into());
    }
    call.enter()?;
    let principal = authenticate(call, facts).await?;
    if head.upgrade {
        let message = "Protocol upgrades (WebSocket, HTTP/2) are not supported; send a plain HTTP/1.1 request.";
        return Err(Error::new(Code::InvalidRequest, message).at("upgrade").into());
    }
    if path == "/" && matches!(method, "GET" | "HEAD") {
        return call.json(200, br#"{"service":"penstock"}"#).await;
    }
    let endpoint = Endpoint::find(method, path, speaks_anthropic)?;
    call.dialect = endpoint.dialect;
    call.record.dialect = Some(endpoint.dialect);
    call.record.api = endpoint.api.name();
    if endpoint.api == Api::Key {
        return key::serve(call, &principal).await;
    }
    if !principal.allows_path(endpoint.rest()) {
        let message = format!("This API key may not call {}; GET /v1/key lists what it may.", endpoint.rest());
        return Err(Error::new(Code::PathClosed, message).into());
    }
    let bytes = call.client.conn.head();
    let of = |span: Option<Span>| span.map(|s| s.of(bytes));
    if of(facts.content_encoding).is_some_and(|c| !c.eq_ignore_ascii_case(b"identity")) {
        let message = "Compressed request bodies are not supported; send the body without content-encoding.";
        return Err(Error::new(Code::UnsupportedEncoding, message).at("content-encoding").into());
    }
    match endpoint.api {
        Api::Models | Api::OllamaTags => return models::serve(call, &endpoint, &principal).await,
        Api::OllamaVersion => {
            let version = concat!(r#"{"version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
            return call.json(200, version.as_bytes()).await;
        }
        _ => {}
    }
    let provider = of(facts.provider).and_then(|p| std::str::from_utf8(p).ok()).map(str::to_owned);
    let content = body::read(call, &endpoint, facts, &principal).await?;
    let wanted = Wanted { endpoint: &endpoint, method, query, provider: provider.as_deref(), principal: &principal };
    // A place of its own: requests whose key is being verified do not hold it.
    match endpoint.api {
        Api::Tokens | Api::CountTokens => boxed(|| count::serve(call, &wanted, content)).await,
        _ => boxed(|| relayed::serve(call, &wanted, content)).await,
    }
}

/// The dialect of a path that may turn out not to be served, so that the refusal has the right shape.
fn dialect_of(path: &str, otherwise: Dialect) -> Dialect {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    if path.starts_with("/api/") {
        Dialect::Ollama
    } else if path.starts_with("/messages") {
        Dialect::Anthropic
    } else {
        otherwise
    }
}

impl Call<'_> {
    /// From here on the request is recorded, whatever becomes of it; refused where its record might find no room.
    fn enter(&mut self) -> Result<(), Error> {
        let Some(journal) = self.worker.shared.journal() else { return Ok(()) };
        let Some(admitted) = journal.admit() else {
            let message = "The gateway has no room to record requests, and serves none that it cannot record.";
            return Err(Error::new(Code::JournalFull, message).after_ms(1_000));
        };
        self.admitted = Some(admitted);
        self.record.number = journal.number();
        if journal.holds_answers() {
            self.reply.hold();
        }
        Ok(())
    }

    /// Microseconds that the gateway itself has spent on the request so far.
    pub fn overhead_us(&self) -> u64 {
        (self.worker.clock().boot_us() - self.arrived_us).saturating_sub(self.waited_us)
    }

    /// It costs something, and nobody knows how much.
    pub fn unpriced(&mut self) {
        self.record.is_unpriced = true;
        self.worker.metrics().met_unpriced();
    }

    /// The request has waited so long for a slot of a limit: no work of ours, and worth telling.
    pub fn queued(&mut self, us: u64) {
        if us > 0 {
            self.waited_us += us;
            self.told.waited_us += us;
            self.record.queued_us = Some(self.record.queued_us.unwrap_or(0) + us);
            self.worker.metrics().waited_for_limit(us);
        }
    }

    /// The request has waited so long for leases, which is work of ours; or it was judged without Redis, by a policy: the
    /// first is told.
    pub fn leased(&mut self, us: u64, away: Option<Away>) {
        self.told.away = self.told.away.or(away);
        if us > 0 {
            self.record.phases.lease_us = Some(self.record.phases.lease_us.unwrap_or(0) + us);
            self.worker.metrics().waited_for_lease(us);
        }
    }

    /// While the process drains, every answer is the last of its connection.
    pub fn close_if_draining(&mut self) {
        if self.worker.shared.stage() >= Stage::Draining {
            self.reply.close();
        }
    }

    /// Answers with JSON of our own.
    pub async fn json(&mut self, status: u16, body: &[u8]) -> Result<(), Stop> {
        self.discard_body().await;
        self.reply.status(status);
        self.reply.field("content-type", b"application/json");
        respond::ids(&mut self.reply, self.dialect, &self.request_id);
        let overhead_us = self.overhead_us();
        self.reply.number("x-penstock-overhead-us", overhead_us);
        self.close_if_draining();
        self.reply.begin(Some(body.len() as u64));
        self.record.overhead_us = Some(overhead_us);
        self.record.status = Some(status);
        self.record.outcome = Outcome::Complete;
        Ok(self.reply.end(self.client, &[body]).await?)
    }

    /// Answers with an error in the caller's dialect: as a frame if the stream has begun.
    async fn refuse(&mut self, error: &Error) -> Result<(), Stop> {
        self.record.error = Some(error.code);
        self.reply.take_back();
        if self.reply.has_begun() {
            self.record.outcome = Outcome::Failed;
            let Some(kind) = self.stream.filter(|_| !self.reply.is_torn()) else {
                self.broken = true;
                return Ok(());
            };
            let mut frame = Vec::new();
            kind.error_frame(error, &self.request_id, &mut frame);
            return Ok(self.reply.end(self.client, &[&frame]).await?);
        }
        self.discard_body().await;
        let body = dialects::error_body(self.dialect, error, &self.request_id);
        let overhead_us = self.overhead_us();
        let last = self.record.tried().last();
        let way = Way {
            dialect: self.dialect,
            request_id: &self.request_id,
            provider: last.map_or("", |a| &a.provider.name),
            model: last.map_or("", |a| &a.model),
            attempts: self.record.tried().count(),
            overhead_us,
        };
        respond::error_head(&mut self.reply, &way, error);
        self.told.write(&mut self.reply, self.dialect, || self.worker.clock().utc_us());
        self.close_if_draining();
        self.reply.begin(Some(body.len() as u64));
        self.record.outcome = Outcome::Complete;
        self.record.status = Some(error.code.status());
        self.record.overhead_us = Some(overhead_us);
        Ok(self.reply.end(self.client, &[&body]).await?)
    }

    /// Takes what has come of the body; if that was not all, the connection ends with the answer.
    async fn discard_body(&mut self) {
        let conn = &mut self.client.conn;
        std::future::poll_fn(|cx| {
            while matches!(conn.poll_body(cx), std::task::Poll::Ready(Ok(true))) {
                let here = conn.payload().len();
                conn.consume(here);
            }
            std::task::Poll::Ready(())
        })
        .await;
        if !conn.body_done() {
            self.reply.close();
        }
    }

    /// Answers what is left to answer, records the request, and says what becomes of the connection.
    async fn finish(mut self, result: Result<(), Stop>) -> Next {
        self.guard = None;
        let refused = match (result, self.client.take_cut()) {
            (Err(Stop::Gone), Some(why)) => {
                self.reply.hurry();
                self.refuse(&why.error()).await
            }
            (Err(Stop::Refused(error)), _) => self.refuse(&error).await,
            (other, _) => other,
        };
        let mut gone = refused.is_err();
        if gone {
            self.record.outcome = Outcome::ClientGone;
        }
        if self.reply.has_begun() {
            self.record.status = self.record.status.or(Some(200));
        }
        if self.broken {
            self.client.conn.io().reset_when_closed();
        }
        let ticket = self.recorded();
        if self.reply.is_holding() && !gone {
            gone = self.release(ticket).await.is_err();
        }
        match self.reply.next() {
            _ if gone || self.broken => Next::Close,
            Next::Keep if !self.client.conn.body_done() => Next::Linger,
            next => next,
        }
    }

    /// Makes the record of the request, once; its ticket in the journal.
    fn recorded(&mut self) -> Option<u64> {
        self.is_recorded = true;
        self.record.sent_bytes = self.reply.sent_bytes;
        self.time_phases();
        self.record.request_id = std::mem::take(&mut self.request_id);
        let shared = &self.worker.shared;
        let logs = shared.log.is_on(shared.log.request_level());
        if logs || self.record.number > 0 {
            self.record.trace_id.clear();
            self.trace.write_trace_id(&mut self.record.trace_id);
        }
        if let Some(policy) = self.told.away {
            self.worker.metrics().judged_away(policy);
        }
        self.worker.metrics().record(self.record);
        if logs {
            shared.log.record(self.record);
        }
        self.end_content();
        self.worker.audit.record(shared, self.record)
    }

    /// How long it took, and how far into it its limits counted it.
    fn time_phases(&mut self) {
        let now_us = self.worker.clock().boot_us();
        self.client.left_us = Some(now_us);
        self.record.phases.total_us = now_us - self.arrived_us;
        let admitted_us = self.record.admitted_boottime_us;
        self.record.phases.admitted_us = admitted_us.map(|at_us| at_us.saturating_sub(self.arrived_us));
    }

    /// Its texts are recorded as far as they came.
    fn end_content(&mut self) {
        if let Some((taken, policy)) = self.content.take().zip(self.snapshot.content.as_ref()) {
            self.record.content = taken.finish(policy);
        }
    }

    /// Sends the end of the answer once its record is on disk.
    async fn release(&mut self, ticket: Option<u64>) -> Result<(), Gone> {
        if let Some((journal, ticket)) = self.worker.shared.journal().zip(ticket) {
            self.client.timer.set_at(None);
            let kept = std::pin::pin!(journal.kept(ticket));
            if let Watched::Gone = watch(self.client, kept).await {
                return Err(Gone);
            }
        }
        let released = self.reply.release(self.client).await;
        self.client.left_us = None; // it has had its answer only now
        released
    }
}

/// A request whose task ends before its answer, as at the end of the process or by a panic, is recorded too.
impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_recorded || self.record.number == 0 {
            return;
        }
        let is_panic = std::thread::panicking();
        self.record.outcome = Outcome::Failed;
        self.record.error = Some(if is_panic { Code::Internal } else { Code::ShuttingDown });
        if self.reply.has_begun() {
            self.record.status = self.record.status.or(Some(200));
        }
        if let Some(guard) = self.guard.take() {
            guard.leaves();
            guard.note(self.record);
        }
        self.record.sent_bytes = self.reply.sent_bytes;
        self.time_phases();
        self.record.request_id = std::mem::take(&mut self.request_id);
        self.end_content();
        self.worker.audit.record(&self.worker.shared, self.record);
    }
}
