//! The attempts of one request, one after the other, until one answers.

use std::pin::pin;

use super::{
    Gone, Reply, Stop,
    attempt::{Answer, Failed, Refusal, attempt, skipped},
    outbound::Outbound,
    respond,
};
use crate::{
    error::{Code, Error, Failure},
    limits::Refused,
    relay::{Watched, watch},
    route::Attempt,
    server::{connection::Client, timer},
};

/// Why no target answered.
pub struct Exhausted {
    /// The last answer that an upstream gave.
    pub refusal: Option<Box<Refusal>>,
    pub failure: Option<Failure>,
    /// The limit of a provider that was not asked; of several the one that opens first.
    pub limited: Option<Box<Refused>>,
}

impl Exhausted {
    /// Nobody was asked yet.
    pub fn new() -> Self {
        Self { refusal: None, failure: None, limited: None }
    }

    /// A provider is at its limit.
    pub fn skip(&mut self, refused: Refused) {
        // What can never fit waits longest.
        let wait = |refused: &Refused| (refused.exceeds, refused.retry_after_us);
        if self.limited.as_ref().is_none_or(|known| wait(&refused) < wait(known)) {
            self.limited = Some(Box::new(refused));
        }
    }
}

/// Tries the targets in their order.
async fn try_all(out: &Outbound<'_>, targets: &[Attempt<'_>]) -> Result<Answer, Exhausted> {
    let mut exhausted = Exhausted::new();
    for target in targets {
        let held = match out.admission.admit_at(target).await {
            Ok(held) => held,
            Err(refused) => {
                skipped(out, target, &refused);
                exhausted.skip(refused);
                continue;
            }
        };
        let failed = match attempt(out, target).await {
            Ok(answer) => return Ok(Answer { held, ..answer }),
            Err(failed) => failed,
        };
        let stop = !failed.is_retryable();
        match failed {
            Failed::Refused(refusal) => exhausted.refusal = Some(refusal),
            Failed::Failure(failure) => exhausted.failure = Some(failure),
        }
        if stop {
            exhausted.refusal = None;
            break;
        }
    }
    Err(exhausted)
}

/// Waits for the answer of one of `targets` while the client stays and the whole time allowed is not over; bridges the
/// silence of a stream with keep-alives.
pub async fn answer(
    client: &mut Client,
    reply: &mut Reply,
    out: &Outbound<'_>,
    targets: &[Attempt<'_>],
    total_at: Option<tokio::time::Instant>,
) -> Result<Result<Answer, Exhausted>, Stop> {
    let asked_us = out.now_us.get();
    let answered = wait(client, reply, out, targets, total_at).await;
    // An answer has just stamped its time; any other end has not.
    let now_us = if matches!(answered, Ok(Ok(_))) { out.now_us.get() } else { out.tick() };
    out.waited(now_us - asked_us);
    answered
}

async fn wait(
    client: &mut Client,
    reply: &mut Reply,
    out: &Outbound<'_>,
    targets: &[Attempt<'_>],
    total_at: Option<tokio::time::Instant>,
) -> Result<Result<Answer, Exhausted>, Stop> {
    let mut attempts = pin!(try_all(out, targets));
    loop {
        let keepalive_at = out.stream.and_then(|_| timer::after(out.snapshot.keepalive_ms));
        client.timer.set_at(timer::earlier(total_at, keepalive_at));
        match watch(client, attempts.as_mut()).await {
            Watched::Done(result) => return Ok(result),
            Watched::Gone => return Err(Stop::Gone),
            Watched::Late if timer::is_past(total_at) => {
                let message = "No upstream answered within the time for the whole request (timeouts.total).";
                return Err(Error::new(Code::UpstreamTimeout, message).into());
            }
            Watched::Late => keep_alive(client, reply, out).await?,
        }
    }
}

/// Sends a keep-alive of the dialect, with the head of the answer before the first.
async fn keep_alive(client: &mut Client, reply: &mut Reply, out: &Outbound<'_>) -> Result<(), Gone> {
    let Some(kind) = out.stream else { return Ok(()) };
    if !reply.has_begun() {
        reply.status(200);
        respond::ids(reply, out.endpoint.dialect, out.request_id);
        out.told.write(reply, out.endpoint.dialect, || out.worker.clock().utc_us());
        respond::stream_fields(reply, kind);
        reply.begin(None);
    }
    let mut frame = Vec::new();
    kind.keep_alive(out.model.unwrap_or_default(), out.worker.clock().utc_us(), &mut frame);
    reply.send(client, &[&frame]).await
}
