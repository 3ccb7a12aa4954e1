//! A request that an upstream answers: it is asked, then its answer is passed on and charged.

use std::{pin::pin, time::Duration};

use tokio::time::timeout;

use super::{
    Stop,
    asked::{Asked, ask},
    attempt::{Answer, Refusal},
    attempts::Exhausted,
    authenticate::Principal,
    body::Content,
    call::Call,
    content,
    counted::Asks,
    endpoint::Endpoint,
    estimate::answers_in_tokens,
    guard::{Guard, Said},
    limit_text::{self, Usd},
    plan::Wanted,
    respond::{self, Way},
};
use crate::{
    dialects::{StreamKind, usage::BodyTap},
    error::{Code, Error},
    http::head::ResponseHead,
    observe::record::{Outcome, StreamFacts},
    relay::{
        Passed, Watched,
        peek::{Opening, are_events},
        source::Source,
        stream,
        text::Text,
        watch,
        whole::{self, Reading},
    },
    server::timer,
    snapshot::{Cost, Overrides},
};

/// Serves a request whose body, or the beginning of it, is `content`.
pub async fn serve(call: &mut Call<'_>, wanted: &Wanted<'_>, content: Content) -> Result<(), Stop> {
    // The request is given back before the answer is passed on: a long stream does not hold it.
    let Asked { answered, guard, asks, timeouts, total_at } = ask(call, wanted, content).await?;
    let result = match answered {
        Ok(answer) => relay(call, wanted.endpoint, answer, timeouts, total_at, (&guard, &asks)).await,
        Err(exhausted) => {
            if exhausted.asked_nobody() {
                guard.withdraws();
                // As if it had not been let in: others that are refused in the same way are counted with it.
                (call.record.admitted_boottime_us, call.content) = (None, None);
            }
            guard.settle(&Said::default());
            unanswered(call, wanted.principal, exhausted).await
        }
    };
    guard.settle(&Said::default());
    guard.note(call.record);
    call.guard = None;
    result
}

/// All targets failed, or may not be asked now.
async fn unanswered(call: &mut Call<'_>, principal: &Principal, exhausted: Exhausted) -> Result<(), Stop> {
    match exhausted {
        Exhausted { refusal: Some(refusal), .. } => refused(call, &refusal).await,
        Exhausted { failure: Some(failure), .. } => Err(told(failure).into()),
        Exhausted { limited: Some(limited), .. } => {
            call.told.standing = call.told.standing.tighter(limited.standing);
            Err(limit_text::refusal(&limited, principal).into())
        }
        _ => Err(Error::new(Code::UpstreamError, "No upstream answered.").into()),
    }
}

/// What the client is told of a failure.
fn told(failure: crate::error::Failure) -> Error {
    let error = Error::from(failure);
    if error.code == Code::Overloaded { error.after_ms(1_000) } else { error }
}

/// Passes an answer on, streamed or whole, and notes how that ended.
async fn relay(
    call: &mut Call<'_>,
    endpoint: &Endpoint<'_>,
    mut answer: Answer,
    timeouts: Overrides,
    total_at: Option<tokio::time::Instant>,
    held: Holding<'_>,
) -> Result<(), Stop> {
    let provider = &call.snapshot.providers[answer.provider];
    let between_bytes_ms = provider.timeouts.with(timeouts).between_bytes_ms;
    for part in [provider.name.as_str(), "/", &answer.model] {
        call.record.target.push_str(part);
    }
    if let Some(opening) = answer.opening.take() {
        head(call, &answer, Some(opening.kind));
        answer.source.forget_head();
        call.worker.audit.begin(&call.worker.shared, call.record, &call.request_id);
        return stream(call, answer, opening, between_bytes_ms, total_at, held).await;
    }
    if call.reply.has_begun() {
        return Err(Box::pin(not_a_stream(call, answer)).await);
    }
    call.stream = None; // its refusal is no stream
    whole(call, endpoint, answer, between_bytes_ms, total_at, held).await
}

/// What the request holds, and what it asked for.
type Holding<'a> = (&'a Guard, &'a Asks);

/// Makes the head of the answer, unless the client has it. `kind`: of a stream.
fn head(call: &mut Call<'_>, answer: &Answer, kind: Option<StreamKind>) {
    let overhead_us = call.overhead_us();
    call.record.overhead_us = Some(overhead_us);
    call.record.status = Some(answer.head.status);
    if call.reply.has_begun() {
        return;
    }
    let way = Way {
        dialect: call.dialect,
        request_id: &call.request_id,
        provider: &call.snapshot.providers[answer.provider].name,
        model: &answer.model,
        attempts: call.record.tried().count(),
        overhead_us,
    };
    let upstream_id = &mut call.record.upstream_request_id;
    respond::upstream_head(&mut call.reply, &way, &answer.head, answer.source.head(), kind, upstream_id);
    if let Some(nanousd) = call.record.cost_nanousd {
        call.reply.raw_field(b"x-penstock-cost-usd", Usd::of(nanousd).bytes());
    }
    call.told.write(&mut call.reply, call.dialect, || call.worker.clock().utc_us());
    call.close_if_draining();
    let bare = matches!(answer.head.status, 204 | 304) || call.client.is_head_request;
    if bare {
        let length = answer.head.field(answer.source.head(), "content-length");
        call.reply.begin_without_body(length.filter(|_| answer.head.status != 204));
    } else {
        call.reply.begin(if kind.is_some() { None } else { answer.source.length(&answer.head) });
    }
}

/// A refusal after the client was promised a stream: it becomes an error frame.
async fn not_a_stream(call: &mut Call<'_>, mut answer: Answer) -> Stop {
    let status = answer.head.status;
    let text = pin!(timeout(Duration::from_millis(DRAIN_MS), excerpt(&mut answer.source)));
    call.client.timer.set_at(None);
    match watch(call.client, text).await {
        Watched::Done(text) => {
            let text = text.unwrap_or_default();
            Error::new(Code::UpstreamError, format!("{} answered {status}: {text}", call.record.target)).into()
        }
        Watched::Gone | Watched::Late => Stop::Gone,
    }
}

/// The beginning of an answer's body, for people.
async fn excerpt(source: &mut Source) -> String {
    while source.payload().len() < EXCERPT_BYTES && matches!(source.more().await, Ok(true)) {}
    let bytes = source.payload();
    String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]).into_owned()
}

const EXCERPT_BYTES: usize = 2_000;

async fn stream(
    call: &mut Call<'_>,
    answer: Answer,
    mut opening: Box<Opening>,
    between_bytes_ms: u64,
    total_at: Option<tokio::time::Instant>,
    (guard, asks): Holding<'_>,
) -> Result<(), Stop> {
    let passing = stream::Passing {
        clock: call.worker.clock(),
        request_id: &call.request_id,
        model: &call.record.model,
        between_bytes_ms,
        keepalive_ms: call.snapshot.keepalive_ms,
        total_at,
        guard,
        asks,
        target: &answer.model,
    };
    let passed = stream::pass(call.client, &mut call.reply, answer.source, &mut opening, &passing).await;
    passing.settle(&mut opening, false).await;
    note_usage(call, (answer.provider, &answer.model), (guard, asks));
    take_answer(call, opening.tap.text());
    call.record.stream = Some(StreamFacts {
        first_token_us: Some(opening.first_us - call.arrived_us),
        frames: opening.tap.frames(),
        longest_gap_us: passed.as_ref().map_or(0, |p| p.longest_gap_us),
    });
    conclude(call, answer.head, passed?);
    Ok(())
}

/// Takes what is here of an answer, and waits a little for the rest of a short one whose head can tell then what it cost.
async fn gather(call: &mut Call<'_>, source: &mut Source, counts: bool) -> Result<(), Stop> {
    source.gather().await.map_err(told)?;
    if counts && !source.is_done() {
        Box::pin(await_usage(call, source)).await?;
    }
    Ok(())
}

/// Waits until the answer is whole, too long or too slow.
async fn await_usage(call: &mut Call<'_>, source: &mut Source) -> Result<(), Stop> {
    let from_us = call.worker.clock().boot_us();
    let until = timer::after(HELD_MS);
    while !source.is_done() && source.payload().len() < HELD_BYTES {
        call.client.timer.set_at(until);
        match watch(call.client, pin!(source.more())).await {
            Watched::Done(more) => drop(more.map_err(told)?),
            Watched::Gone => return Err(Stop::Gone),
            Watched::Late => break,
        }
    }
    call.waited_us += call.worker.clock().boot_us() - from_us;
    Ok(())
}

/// An answer that is longer, or takes longer once it has begun, is passed on as it comes.
const HELD_BYTES: usize = 64 * 1024;
const HELD_MS: u64 = 100;

async fn whole(
    call: &mut Call<'_>,
    endpoint: &Endpoint<'_>,
    mut answer: Answer,
    between_bytes_ms: u64,
    total_at: Option<tokio::time::Instant>,
    (guard, asks): Holding<'_>,
) -> Result<(), Stop> {
    let counts = endpoint.has_usage() && (200..300).contains(&answer.head.status);
    let content_type = answer.head.field(answer.source.head(), "content-type");
    let mut reading = Reading {
        are_events: content_type.is_some_and(are_events),
        tap: counts.then(|| BodyTap::new(call.dialect, answers_in_tokens(endpoint.api))),
        text: (counts && guard.counts_text()).then(|| Text::of_body(call.dialect)),
        guard,
        asks,
        target: &answer.model,
        ahead: 0,
        is_free: false,
    };
    if let Some(text) = &mut reading.text {
        let policy = call.snapshot.content.as_ref().filter(|_| call.content.is_some());
        text.keep(content::answer(call.worker, &call.snapshot, policy));
    }
    if let Err(stop) = gather(call, &mut answer.source, counts).await {
        // The client gets none of it, and what has come is paid for.
        reading.read(answer.source.payload(), false);
        drop(answer.source);
        reading.settle(false).await;
        note_usage(call, (answer.provider, &answer.model), (guard, asks));
        return Err(stop);
    }
    let is_here = answer.source.is_done();
    if is_here {
        reading.read(answer.source.payload(), true);
        reading.settle(true).await;
        if !reading.is_free {
            note_usage(call, (answer.provider, &answer.model), (guard, asks));
        }
    } else if let Some(known) = asks.known() {
        // Only told: until its end the request holds what it holds.
        let cost = cost_of(call, (answer.provider, &answer.model), guard);
        call.record.cost_nanousd = guard.nanousd(&known, cost);
    }
    head(call, &answer, None);
    answer.source.forget_head();
    let source = answer.source;
    let passed = whole::pass(call.client, &mut call.reply, source, &mut reading, between_bytes_ms, total_at).await;
    if !is_here {
        reading.settle(false).await;
        if !reading.is_free {
            note_usage(call, (answer.provider, &answer.model), (guard, asks));
        }
    }
    take_answer(call, reading.text.as_mut());
    let is_error = reading.is_error();
    let passed = passed?;
    if let Some(code) = passed.error.filter(|_| call.reply.sent_bytes == 0) {
        return Err(Error::new(code, "The upstream began an answer and sent none of it.").into());
    }
    conclude(call, answer.head, passed);
    if is_error {
        call.record.error.get_or_insert(Code::UpstreamError);
    }
    Ok(())
}

/// Notes what the answer of a provider's model used, and what that costs.
fn note_usage(call: &mut Call<'_>, (provider, model): (usize, &str), (guard, asks): Holding<'_>) {
    let Said { usage, source, .. } = guard.settled();
    call.record.usage = usage;
    call.record.usage_source = source;
    if usage.is_none() && !asks.costs() {
        return;
    }
    let cost = cost_of(call, (provider, model), guard);
    let priced = usage.filter(|usage| !usage.has_other_model);
    call.record.cost_nanousd = priced.and_then(|usage| guard.nanousd(&usage, cost));
    if call.record.cost_nanousd.is_none() && cost != Cost::Free {
        call.unpriced();
    }
}

/// What a provider's model takes.
fn cost_of(call: &Call<'_>, (provider, model): (usize, &str), guard: &Guard) -> Cost {
    guard.price().unwrap_or_else(|| call.snapshot.price(provider, model))
}

/// Takes what was kept of the text that was passed on.
fn take_answer(call: &mut Call<'_>, text: Option<&mut Text>) {
    if let Some((taken, text)) = call.content.as_mut().zip(text) {
        taken.answer = text.take_kept();
    }
}

/// Notes how the relay ended.
fn conclude(call: &mut Call<'_>, head: ResponseHead, passed: Passed) {
    call.record.outcome = passed.outcome;
    call.record.error = passed.error;
    call.broken = passed.broken;
    if let Some(source) = passed.source {
        finish_upstream(call, source, head);
    }
}

/// Gives the upstream's connection back; if its body has not quite ended, a task of its own reads the rest.
fn finish_upstream(call: &Call<'_>, mut source: Source, head: ResponseHead) {
    if source.is_done() || !source.is_reusable() {
        source.keep();
        call.worker.give_response_head(head);
        return;
    }
    call.worker.spawn(async move {
        let rest = async {
            loop {
                let here = source.payload().len();
                source.consume(here);
                if !matches!(source.more().await, Ok(true)) {
                    break;
                }
            }
        };
        if timeout(Duration::from_millis(DRAIN_MS), rest).await.is_ok() {
            source.keep();
        }
    });
}

/// How long an upstream may take to end its body after the dialect's own end.
const DRAIN_MS: u64 = 1_000;

/// Passes on the last upstream's error: all targets failed.
async fn refused(call: &mut Call<'_>, refusal: &Refusal) -> Result<(), Stop> {
    let provider = call.snapshot.providers[refusal.provider].name.clone();
    if call.reply.has_begun() {
        let text: String = String::from_utf8_lossy(&refusal.body).chars().take(2_000).collect();
        let message = format!("{provider} answered {}: {text}", refusal.head.status);
        return Err(Error::new(Code::UpstreamError, message).into());
    }
    let attempts = call.record.tried().count();
    let overhead_us = call.overhead_us();
    let way = Way {
        dialect: call.dialect,
        request_id: &call.request_id,
        provider: &provider,
        model: &refusal.model,
        attempts,
        overhead_us,
    };
    let upstream_id = &mut call.record.upstream_request_id;
    respond::upstream_head(&mut call.reply, &way, &refusal.head, &refusal.head_bytes, None, upstream_id);
    call.told.write(&mut call.reply, call.dialect, || call.worker.clock().utc_us());
    if attempts > 1 {
        call.reply.field("x-should-retry", b"false");
    }
    call.close_if_draining();
    call.reply.begin(Some(refusal.body.len() as u64));
    call.record.target = format!("{provider}/{}", refusal.model);
    call.record.status = Some(refusal.head.status);
    call.record.overhead_us = Some(overhead_us);
    call.record.outcome = Outcome::Complete;
    Ok(call.reply.end(call.client, &[&refusal.body]).await?)
}
