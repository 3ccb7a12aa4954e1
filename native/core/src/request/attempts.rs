//! The attempts of one request, one after the other, until one answers.

use std::pin::pin;

use super::{
    Gone, Reply, Stop,
    attempt::{Answer, Failed, Refusal, attempt, note, skipped, stopped},
    outbound::Outbound,
    respond,
};
use crate::{
    error::{Code, Error, Failure},
    limits::{Held, Refused},
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

    /// All targets were passed over, as their providers are at their limits.
    pub fn asked_nobody(&self) -> bool {
        self.limited.is_some() && self.refusal.is_none() && self.failure.is_none()
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

/// Reserves what the provider of a target is limited to. `false`: it is at its limit, and passed over.
pub async fn reserve(out: &Outbound<'_>, targets: &[Attempt<'_>], place: usize, exhausted: &mut Exhausted) -> bool {
    match out.admission.admit_at(targets, place).await {
        Ok(held) => {
            out.queued(held.as_ref().map_or(0, Held::waited_us));
            out.leased(held.as_ref().map_or(0, Held::lease_us), held.as_ref().and_then(Held::away));
            out.guard.tries(held, out.admission.met_at(&targets[place]), targets[place].price);
            true
        }
        Err(refused) => {
            out.queued(refused.waited_us);
            out.leased(refused.lease_us, refused.away);
            skipped(out, &targets[place], &refused);
            exhausted.skip(refused);
            false
        }
    }
}

/// Tries the targets in their order, until as many as may be have been asked.
async fn try_all(out: &Outbound<'_>, targets: &[Attempt<'_>]) -> Result<Answer, Exhausted> {
    let mut exhausted = Exhausted::new();
    let mut asked = 0;
    for (place, target) in targets.iter().enumerate() {
        if asked == out.snapshot.max_attempts {
            break;
        }
        if !reserve(out, targets, place, &mut exhausted).await {
            continue;
        }
        asked += 1;
        out.asking.set(Some((place, out.now_us.get())));
        let result = attempt(out, target).await;
        note(out, targets, &result);
        let failed = match result {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        out.guard.fails();
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
    if !matches!(answered, Ok(Ok(_))) {
        out.tick();
    }
    out.answered(asked_us);
    if let Err(stop) = &answered {
        stopped(out, targets, stop, true);
    }
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
        out.limit_fields().write(reply, out.endpoint.dialect, || out.worker.clock().utc_us());
        respond::stream_fields(reply, kind);
        reply.begin(None);
    }
    let mut frame = Vec::new();
    kind.keep_alive(out.model.unwrap_or_default(), out.worker.clock().utc_us(), &mut frame);
    reply.send(client, &[&frame]).await.map(drop)
}
