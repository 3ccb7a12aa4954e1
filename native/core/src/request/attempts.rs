//! The attempts of one request, one after the other, until one answers.

use std::pin::pin;

use super::{
    Gone, Reply, Stop,
    attempt::{Answer, Failed, Refusal, attempt},
    outbound::Outbound,
    respond,
};
use crate::{
    error::{Code, Error, Failure},
    relay::{Watched, watch},
    route::Attempt,
    server::{connection::Client, timer},
};

/// Why no target answered.
pub struct Exhausted {
    /// The last answer that an upstream gave.
    pub refusal: Option<Box<Refusal>>,
    pub failure: Option<Failure>,
}

/// Tries the targets in their order.
async fn try_all(out: &Outbound<'_>, targets: &[Attempt<'_>]) -> Result<Answer, Exhausted> {
    let mut exhausted = Exhausted { refusal: None, failure: None };
    for target in targets {
        let failed = match attempt(out, target).await {
            Ok(answer) => return Ok(answer),
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
        respond::stream_fields(reply, kind);
        reply.begin(None);
    }
    let mut frame = Vec::new();
    kind.keep_alive(out.model.unwrap_or_default(), out.worker.clock().utc_us(), &mut frame);
    reply.send(client, &[&frame]).await
}
