//! A request that an upstream answers: scan, route, attempt, relay, in this order.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Stop,
    admit::{Admission, Candidate},
    attempt::{Answer, Refusal},
    attempts::{self, Exhausted},
    authenticate::Principal,
    body::Content,
    call::Call,
    credential::has_own,
    endpoint::{Endpoint, Form},
    guard::{Guard, Said},
    limit_text,
    outbound::Outbound,
    plan::{Wanted, plan},
    respond::{self, Way},
    scan::scan_after,
    standing::Told,
    upload,
};
use crate::{
    dialects::{StreamKind, usage::BodyTap},
    error::{Code, Error},
    observe::record::{Outcome, StreamFacts},
    relay::{
        Passed, Watched,
        peek::Opening,
        source::Source,
        stream,
        text::Text,
        watch,
        whole::{self, Reading},
    },
    route::Attempt,
    server::timer,
    snapshot::Overrides,
};

/// JSON nested deeper than this is refused.
const MAX_DEPTH: usize = 128;

/// A longer name of a model is refused.
const MAX_MODEL_BYTES: usize = 512;

/// Serves a request whose body, or the beginning of it, is `content`.
pub async fn serve(call: &mut Call<'_>, wanted: &Wanted<'_>, content: Content) -> Result<(), Stop> {
    // The request is given back before the answer is passed on: a long stream does not hold it.
    let Asked { answered, guard, timeouts, total_at } = ask(call, wanted, content).await?;
    let result = match answered {
        Ok(answer) => relay(call, wanted.endpoint, answer, timeouts, total_at, &guard).await,
        Err(exhausted) => {
            guard.settle(&Said::default());
            unanswered(call, wanted.principal, exhausted).await
        }
    };
    guard.settle(&Said::default());
    if let Some(used) = guard.used() {
        call.record.charged_tokens = Some(used.tokens);
        call.record.charged_nanousd = Some(used.nanousd);
    }
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

/// What came of asking the upstreams.
struct Asked {
    answered: Result<Answer, Exhausted>,
    guard: Guard,
    /// Limits of the model, where it has its own.
    timeouts: Overrides,
    /// When the whole request must be over.
    total_at: Option<tokio::time::Instant>,
}

/// Scans, routes, and waits for an upstream's answer.
async fn ask(call: &mut Call<'_>, wanted: &Wanted<'_>, content: Content) -> Result<Asked, Stop> {
    let snapshot = call.snapshot.clone();
    let Wanted { endpoint, method, query, principal, .. } = *wanted;
    let Content { message, flows, form, json, held: _held, read_us } = content;
    let body = message.payload();
    let scan = json.as_ref().map(|ahead| scan_after(ahead, body, MAX_DEPTH)).transpose()?;
    let model = match (&scan, &form) {
        (Some(scan), _) => scan.model.as_ref().map(|m| m.text.as_ref()),
        (None, form) => form.as_ref().map(|f| f.model.as_str()),
    };
    if model.is_none_or(str::is_empty) && scan.is_some() && endpoint.needs_model() {
        return Err(Error::new(Code::InvalidRequest, "The request names no model.").at("model").into());
    }
    let model = model.filter(|m| !m.is_empty());
    if model.is_some_and(|m| m.len() > MAX_MODEL_BYTES) {
        let message = format!("The model's name is longer than {MAX_MODEL_BYTES} bytes.");
        return Err(Error::new(Code::InvalidRequest, message).at("model").into());
    }
    call.record.model.push_str(model.unwrap_or_default());
    let head_bytes = message.head();
    allow(principal, endpoint, model)?;
    let has_own = snapshot.providers.iter().any(|p| p.client_credentials)
        && has_own(call.head, head_bytes, call.key, &call.worker.shared.keys);
    let mut plan = plan(call.worker, &snapshot, wanted, model, has_own)?;
    let candidate = Candidate { principal, endpoint, body, scan: scan.as_ref(), model };
    let admission = Admission::new(call.worker, &snapshot, &mut plan, &candidate)?;
    let now_us = call.worker.clock().boot_us();
    call.record.phases.route_us = Some(now_us - read_us);
    let guard = admit(call, &admission, principal, now_us).await?;
    let streams = scan.as_ref().is_some_and(|s| s.stream.as_ref().map_or(endpoint.streams_by_default(), |(_, on)| *on));
    let stream = endpoint.stream_kind().filter(|kind| streams && *kind != StreamKind::OtherSse);
    call.stream = stream;
    let out = Outbound {
        worker: call.worker,
        snapshot: &snapshot,
        endpoint,
        method,
        query,
        head: call.head,
        head_bytes,
        key: call.key,
        body,
        scan: scan.as_ref(),
        model,
        model_in_form: form.as_ref().map(|f| f.span.clone()),
        stream,
        request_id: &call.request_id,
        trace: call.trace,
        timeouts: plan.timeouts,
        admission: &admission,
        told: call.told,
        attempts: RefCell::default(),
        waited_us: Cell::new(0),
        flowed_bytes: Cell::new(0),
        now_us: Cell::new(call.worker.clock().boot_us()),
        connect_us: Cell::new(None),
        first_byte_us: Cell::new(None),
    };
    let first = plan.attempts.first().map_or(snapshot.timeouts, |a| snapshot.providers[a.provider].timeouts);
    let total_at = timer::after(first.with(plan.timeouts).total_ms);
    let answered = if flows {
        Box::pin(upload::answer(call.client, &out, &plan.attempts, total_at)).await
    } else {
        attempts::answer(call.client, &mut call.reply, &out, &plan.attempts, total_at).await
    };
    call.record.attempts = out.attempts.take();
    call.record.received_bytes += out.flowed_bytes.get();
    call.record.phases.connect_us = out.connect_us.get();
    call.record.phases.first_byte_us = out.first_byte_us.get();
    call.waited_us += out.waited_us.get();
    if flows && !call.client.conn.body_done() {
        call.reply.close();
    }
    let mut answered = match answered {
        Ok(answered) => answered,
        Err(stop) => {
            // Whom the gateway keeps waiting too long has asked all the same.
            if matches!(stop, Stop::Refused(_)) {
                guard.settle(&Said::default());
            }
            return Err(stop);
        }
    };
    if let Ok(answer) = &mut answered {
        let held = answer.held.take();
        if let Some(held) = &held {
            call.told.standing = call.told.standing.tighter(held.standing());
        }
        let target = Attempt { provider: answer.provider, model: &answer.model };
        guard.answered(&snapshot, &target, (200..300).contains(&answer.head.status), held);
    }
    Ok(Asked { answered, guard, timeouts: plan.timeouts, total_at })
}

/// Reserves what the request may use, or refuses it. It may wait for its turn.
async fn admit(
    call: &mut Call<'_>,
    admission: &Admission<'_>,
    principal: &Principal,
    now_us: u64,
) -> Result<Guard, Stop> {
    if !admission.is_limited {
        call.record.admitted_boottime_us = Some(now_us);
        return Ok(Guard::new(admission, call.worker, None));
    }
    call.client.timer.set_at(None);
    match watch(call.client, pin!(admission.admit())).await {
        Watched::Done(Ok(held)) => {
            call.told = Told { standing: held.standing(), waited_us: held.waited_us() };
            call.record.admitted_boottime_us = Some(held.admitted_us());
            if held.waited_us() > 0 {
                call.waited_us += held.waited_us();
                call.record.queued_us = Some(held.waited_us());
                call.worker.metrics().waited_for_limit(held.waited_us());
            }
            Ok(Guard::new(admission, call.worker, Some(held)))
        }
        Watched::Done(Err(refused)) => {
            call.told.standing = refused.standing;
            call.worker.metrics().limited(refused.scope.kind_name(), refused.kind);
            Err(limit_text::refusal(&refused, principal).into())
        }
        Watched::Gone | Watched::Late => Err(Stop::Gone),
    }
}

/// Refuses a model that the key, or its team, may not ask for.
fn allow(principal: &Principal, endpoint: &Endpoint<'_>, model: Option<&str>) -> Result<(), Error> {
    let message = match model {
        Some(model) if principal.allows_model(model) => return Ok(()),
        Some(model) => {
            format!("This API key may not use the model {model}; GET /v1/models lists those that it may.")
        }
        // What is in a body that is not ours to read is bounded by the key's paths.
        None if endpoint.form == Form::Opaque || !principal.is_bound_to_models() => return Ok(()),
        None => "This API key may use certain models only, and the request names none.".to_owned(),
    };
    Err(Error::new(Code::ModelNotAllowed, message).at("model"))
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
    guard: &Guard,
) -> Result<(), Stop> {
    let provider = &call.snapshot.providers[answer.provider];
    let between_bytes_ms = provider.timeouts.with(timeouts).between_bytes_ms;
    for part in [provider.name.as_str(), "/", &answer.model] {
        call.record.target.push_str(part);
    }
    if answer.opening.is_none() {
        if call.reply.has_begun() {
            return Err(Box::pin(not_a_stream(call, answer)).await);
        }
        answer.source.gather().await.map_err(told)?;
    }
    let overhead_us = call.overhead_us();
    call.record.overhead_us = Some(overhead_us);
    call.record.status = Some(answer.head.status);
    if !call.reply.has_begun() {
        let kind = answer.opening.as_ref().map(|o| o.kind);
        let way = Way {
            dialect: call.dialect,
            request_id: &call.request_id,
            provider: &provider.name,
            model: &answer.model,
            attempts: call.record.tried().count(),
            overhead_us,
        };
        let upstream_id = &mut call.record.upstream_request_id;
        respond::upstream_head(&mut call.reply, &way, &answer.head, answer.source.head(), kind, upstream_id);
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
    answer.source.forget_head();
    match answer.opening.take() {
        Some(opening) => stream(call, answer, opening, between_bytes_ms, total_at, guard).await,
        None => whole(call, endpoint, answer, between_bytes_ms, total_at, guard).await,
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
    mut answer: Answer,
    mut opening: Box<Opening>,
    between_bytes_ms: u64,
    total_at: Option<tokio::time::Instant>,
    guard: &Guard,
) -> Result<(), Stop> {
    let passing = stream::Passing {
        clock: call.worker.clock(),
        request_id: &call.request_id,
        model: &call.record.model,
        between_bytes_ms,
        keepalive_ms: call.snapshot.keepalive_ms,
        total_at,
        guard,
    };
    let passed = stream::pass(call.client, &mut call.reply, &mut answer.source, &mut opening, &passing).await;
    passing.settle(&opening, false);
    call.record.usage = opening.tap.usage();
    call.record.stream = Some(StreamFacts {
        first_token_us: Some(opening.first_us - call.arrived_us),
        frames: opening.tap.frames(),
        longest_gap_us: passed.as_ref().map_or(0, |p| p.longest_gap_us),
    });
    conclude(call, answer, passed?);
    Ok(())
}

async fn whole(
    call: &mut Call<'_>,
    endpoint: &Endpoint<'_>,
    mut answer: Answer,
    between_bytes_ms: u64,
    total_at: Option<tokio::time::Instant>,
    guard: &Guard,
) -> Result<(), Stop> {
    let counts = endpoint.has_usage() && (200..300).contains(&answer.head.status);
    let mut reading = Reading {
        tap: counts.then(|| BodyTap::new(call.dialect)),
        text: guard.counts_text().then(|| Text::of_body(call.dialect)),
        guard,
    };
    let source = &mut answer.source;
    let passed = whole::pass(call.client, &mut call.reply, source, &mut reading, between_bytes_ms, total_at).await;
    reading.settle(false);
    call.record.usage = reading.usage();
    conclude(call, answer, passed?);
    Ok(())
}

/// Notes how the relay ended.
fn conclude(call: &mut Call<'_>, answer: Answer, passed: Passed) {
    call.record.outcome = passed.outcome;
    call.record.error = passed.error;
    call.broken = passed.broken;
    if passed.outcome == Outcome::Complete {
        finish_upstream(call, answer);
    }
}

/// Gives the upstream's connection back; if its body has not quite ended, a task of its own reads the rest.
fn finish_upstream(call: &Call<'_>, answer: Answer) {
    let Answer { mut source, head, .. } = answer;
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
