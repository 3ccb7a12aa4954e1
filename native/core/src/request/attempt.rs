//! One try at one target: connect, send, read the head of the answer, and of a stream its first model frame.
//! An attempt is a future of its own that touches nothing of the client, so that two may race one day.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use super::{
    Stop,
    estimate::is_paid,
    limit_text,
    outbound::{BodyFraming, Outbound},
};
use crate::{
    error::{Code, Failure, Retry, Side},
    http::{
        head::{HeadLimits, ResponseHead},
        write::Output,
    },
    limits::Refused,
    observe::record::{AttemptRecord, AttemptResult},
    relay::{
        peek::{self, Opening},
        source::Source,
    },
    route::Attempt,
    server::timer,
    snapshot::{Base, Cost},
    upstream::Lease,
};

/// An upstream's error is held in memory up to this size, so that it can be relayed when all targets failed.
const MAX_REFUSAL_BYTES: usize = 1 << 20;
const REFUSAL_MS: u64 = 10_000;
/// A connection that the upstream had closed already is told of by then.
const STALE_US: u64 = 1_000_000;

/// An upstream that answers: its head is read, and of a stream the frames up to the first model frame.
pub struct Answer {
    pub source: Source,
    pub head: ResponseHead,
    /// Set if the answer is a stream whose frames are looked at.
    pub opening: Option<Box<Opening>>,
    pub provider: usize,
    pub model: String,
}

/// An upstream that answered with a status that another target may better.
pub struct Refusal {
    pub head: ResponseHead,
    pub head_bytes: Vec<u8>,
    pub body: Vec<u8>,
    pub provider: usize,
    pub model: String,
}

/// How an attempt ended without an answer for the client.
pub enum Failed {
    Failure(Failure),
    Refused(Box<Refusal>),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Failed {
    /// Whether the next target may be tried.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failure(f) => f.retry != Retry::No,
            Self::Refused(_) => true,
        }
    }
}

/// Whether another target may answer better than this status.
pub fn is_retryable(status: u16) -> bool {
    matches!(status, 408 | 429) || status >= 500
}

/// Tries one target; once more on a fresh connection if a reused one turned out to be dead.
pub async fn attempt(out: &Outbound<'_>, to: &Attempt<'_>) -> Result<Answer, Failed> {
    let mut fresh = false;
    let result = loop {
        match try_once(out, to, fresh).await {
            Err(Failed::Failure(f)) if f.retry == Retry::ReusedOnly && !fresh => {
                fresh = true;
                out.guard.has_lost();
            }
            result => break result,
        }
    };
    // An answer has just stamped its time; a failure has not.
    if result.is_err() {
        out.tick();
    }
    result
}

/// Remembers what became of the attempt that has just ended.
pub fn note(out: &Outbound<'_>, targets: &[Attempt<'_>], result: &Result<Answer, Failed>) {
    let outcome = match result {
        Ok(answer) => AttemptResult::Status(answer.head.status),
        Err(Failed::Refused(refusal)) => AttemptResult::Status(refusal.head.status),
        Err(Failed::Failure(f)) => AttemptResult::Failed(f.code),
    };
    ended(out, targets, outcome);
}

/// Remembers the attempt that a request was at when it stopped, if it was at any. `is_whole`: all of its body has come.
pub fn stopped(out: &Outbound<'_>, targets: &[Attempt<'_>], stop: &Stop, is_whole: bool) {
    if let (Stop::Gone, Some((place, _)), true) = (stop, out.asking.get(), is_whole) {
        out.is_unpriced.set(costs(out, &targets[place]));
    }
    ended(
        out,
        targets,
        match stop {
            Stop::Refused(error) if error.code.side() == Side::Upstream => AttemptResult::Failed(error.code),
            Stop::Refused(_) | Stop::Gone => AttemptResult::GivenUp,
        },
    );
}

/// Whether a target that was asked takes something, though its answer is not waited for.
fn costs(out: &Outbound<'_>, to: &Attempt<'_>) -> bool {
    out.guard.has_sent() && is_paid(out.endpoint.api) && out.snapshot.price(to.provider, to.model) != Cost::Free
}

/// Nobody is being asked any more.
fn ended(out: &Outbound<'_>, targets: &[Attempt<'_>], result: AttemptResult) {
    if let Some((place, since_us)) = out.asking.take() {
        record(out, &targets[place], result, out.now_us.get() - since_us);
    }
}

/// Remembers that a target was not asked, as its provider is at a limit.
pub fn skipped(out: &Outbound<'_>, to: &Attempt<'_>, refused: &Refused) {
    out.worker.metrics().limited(refused.scope.as_scope(), refused.kind);
    record(out, to, AttemptResult::Skipped(limit_text::code(refused)), refused.waited_us + refused.lease_us);
}

fn record(out: &Outbound<'_>, to: &Attempt<'_>, result: AttemptResult, us: u64) {
    out.attempts.borrow_mut().push(AttemptRecord {
        provider: out.provider(to).metric.clone(),
        model: to.model.to_owned(),
        result,
        us,
    });
}

async fn try_once(out: &Outbound<'_>, to: &Attempt<'_>, fresh: bool) -> Result<Answer, Failed> {
    let provider = out.provider(to);
    let base = provider.base(out.endpoint.dialect).ok_or_else(|| {
        Failure::new(Code::DialectNotSupported, Retry::Yes, format!("{} does not speak this dialect", provider.name))
    })?;
    let timeouts = out.timeouts(to);
    let asked_us = out.now_us.get();
    let mut lease = out.worker.pool.connect(&base.host, fresh, timeouts.connect_ms).await?;
    let connected_us = if lease.came_at_once() { asked_us } else { out.tick() };
    out.connect_us.set(Some(connected_us - asked_us));
    out.guard.sends();
    let first_at = timer::from(out.worker.instant(connected_us), timeouts.first_token_ms);
    let answer = pin!(async {
        let sent = send(out, to, base, &mut lease).await;
        receive(out, to, lease, &sent).await
    });
    let result = out.worker.timers.until(first_at, answer).await.unwrap_or_else(|| {
        Err(Failure::new(
            Code::FirstTokenTimeout,
            Retry::Yes,
            format!("{} sent nothing within {} ms (timeouts.first_token)", provider.name, timeouts.first_token_ms),
        )
        .into())
    });
    out.first_byte_us.set(Some(out.tick() - connected_us));
    result
}

/// What was sent of a request.
pub struct Sent {
    /// When that began.
    pub since_us: u64,
    /// False if the upstream began to answer before it had everything: its connection is then of no further use.
    pub whole: bool,
    /// Usage frames were asked for by us alone.
    pub swallow_usage: bool,
}

/// Writes the whole request, unless the upstream answers before it has been taken.
async fn send(out: &Outbound<'_>, to: &Attempt<'_>, base: &Base, lease: &mut Lease) -> Sent {
    let since_us = out.now_us.get();
    let (splice, swallow_usage) = out.edits(to);
    let length = splice.len(out.body) as u64;
    let framing = if length == 0 && matches!(out.method, "GET" | "HEAD" | "DELETE") {
        BodyFraming::None
    } else {
        BodyFraming::Length(length)
    };
    let mut head = out.worker.buffers.take();
    out.write_head(to, base, framing, &mut head);
    let mut slices: [&[u8]; 8] = [b""; 8];
    slices[0] = &head;
    let mut used = 1;
    for piece in splice.pieces(out.body) {
        slices[used] = piece;
        used += 1;
    }
    let whole = write_unless_answered(lease, &slices[..used]).await;
    out.worker.buffers.give(head);
    Sent { since_us, whole, swallow_usage }
}

/// Writes `parts`. `false`: the upstream began to answer, or closed, before it had them all; its answer tells more than
/// the broken pipe.
pub async fn write_unless_answered(lease: &mut Lease, parts: &[&[u8]]) -> bool {
    let mut output = Output::new(parts);
    poll_fn(|cx| match lease.poll_write(cx, &mut output) {
        Poll::Ready(written) => Poll::Ready(written.is_ok()),
        Poll::Pending if lease.poll_departed(cx).is_ready() || lease.has_answered() => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Reads the head of the answer and decides what it is.
pub async fn receive(out: &Outbound<'_>, to: &Attempt<'_>, mut lease: Lease, sent: &Sent) -> Result<Answer, Failed> {
    let provider = out.provider(to);
    let mut head = out.worker.take_response_head();
    let read = lease.response_head(&mut head, &HeadLimits::default(), out.method == "HEAD").await;
    if let Err(e) = read {
        // Long after it began to read, it was no idle connection: the request may be worked on.
        let is_soon = out.tick() - sent.since_us < STALE_US;
        let has_spoken = lease.buffered() > 0 || lease.had_interim();
        return Err(unread(&e, lease.reused() && is_soon, has_spoken, &provider.name).into());
    }
    if (300..400).contains(&head.status) && head.status != 304 {
        let cause =
            format!("{} redirects with status {}: its base_url is not where it serves", provider.name, head.status);
        return Err(Failure::new(Code::UpstreamProtocol, Retry::Yes, cause).into());
    }
    // Of the client's own credential the client is told.
    if matches!(head.status, 401 | 403) && !provider.client_credentials {
        return Err(Failure::new(
            Code::UpstreamAuth,
            Retry::No,
            format!("{} refused the gateway's credential with status {}", provider.name, head.status),
        )
        .into());
    }
    let source = Source::new(lease, &head, sent.whole)?;
    if is_retryable(head.status) {
        return Err(Failed::Refused(Box::new(refusal(source, head, to).await?)));
    }
    let mut answer = Answer { head, opening: None, provider: to.provider, model: to.model.to_owned(), source };
    if (200..300).contains(&answer.head.status) {
        answer.opening = peek::open(out, &mut answer.source, &answer.head, sent.swallow_usage).await?;
    }
    Ok(answer)
}

/// The failure behind an answer whose head could not be read.
fn unread(error: &crate::http::conn::ReadError, reused: bool, began: bool, provider: &str) -> Failure {
    use crate::http::conn::ReadError;
    match error {
        ReadError::Head(e) => {
            Failure::new(Code::UpstreamProtocol, Retry::Yes, format!("{provider} sent no valid HTTP: {}", e.reason()))
        }
        _ if reused && !began => {
            Failure::new(Code::UpstreamCut, Retry::ReusedOnly, format!("{provider} closed an idle connection"))
        }
        _ => {
            Failure::new(Code::UpstreamCut, Retry::Yes, format!("{provider} closed the connection before it answered"))
        }
    }
}

/// Takes an error answer into memory.
async fn refusal(mut source: Source, head: ResponseHead, to: &Attempt<'_>) -> Result<Refusal, Failure> {
    let mut body = Vec::new();
    let read = async {
        loop {
            body.extend_from_slice(source.payload());
            source.consume(source.payload().len());
            if body.len() > MAX_REFUSAL_BYTES {
                return Err(Failure::new(Code::UpstreamError, Retry::Yes, "the upstream's error is too large"));
            }
            if !source.more().await? {
                return Ok(());
            }
        }
    };
    match Box::pin(tokio::time::timeout(Duration::from_millis(REFUSAL_MS), read)).await {
        Ok(read) => read?,
        Err(_) => {
            return Err(Failure::new(Code::UpstreamTimeout, Retry::Yes, "the upstream's error did not arrive in time"));
        }
    }
    let head_bytes = source.head().to_vec();
    source.keep();
    Ok(Refusal { head, head_bytes, body, provider: to.provider, model: to.model.to_owned() })
}
