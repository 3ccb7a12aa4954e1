//! From a request's body to an upstream's answer: scan, route, admit, attempt, in this order.

use std::{
    cell::{Cell, RefCell},
    future::{Future as _, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};

use super::{
    Stop,
    admit::{Admission, Candidate},
    allowed::{allow, allow_others},
    attempt::Answer,
    attempts::{self, Exhausted},
    authenticate::Principal,
    body::Content,
    call::Call,
    content::{self, Taken},
    counted::Asks,
    credential::has_own,
    endpoint::{Api, Endpoint},
    guard::{Guard, Said},
    limit_text,
    outbound::Outbound,
    plan::{Wanted, plan},
    scan::{Scan, scan_after},
    upload,
};
use crate::{
    dialects::StreamKind,
    error::{Code, Error},
    observe::Record,
    relay::{Watched, watch},
    server::timer,
    snapshot::{Cost, Overrides, Snapshot},
};

/// JSON nested deeper than this is refused.
pub const MAX_DEPTH: usize = 128;

/// A longer name of a model is refused.
const MAX_MODEL_BYTES: usize = 512;

/// What came of asking the upstreams.
pub struct Asked {
    pub answered: Result<Answer, Exhausted>,
    pub guard: Rc<Guard>,
    /// What it asks for, for whoever counts what the answer used.
    pub asks: Asks,
    /// Limits of the model, where it has its own.
    pub timeouts: Overrides,
    /// When the whole request must be over.
    pub total_at: Option<tokio::time::Instant>,
}

/// Scans, routes, and waits for an upstream's answer.
pub async fn ask(call: &mut Call<'_>, wanted: &Wanted<'_>, content: Content) -> Result<Asked, Stop> {
    let snapshot = call.snapshot.clone();
    let Wanted { endpoint, method, query, principal, .. } = *wanted;
    let Content { message, flows, form, form_prompt, json, held, read_us } = content;
    let body = message.payload();
    let scan = json.as_ref().map(|ahead| scan_after(ahead, body, MAX_DEPTH)).transpose()?;
    let model = match (&scan, &form) {
        (Some(scan), _) => named(scan, endpoint)?,
        (None, form) => form.as_ref().map(|f| short(&f.model)).transpose()?,
    };
    let model = model.filter(|m| !m.is_empty());
    note(call.record, model, scan.as_ref(), body);
    let head_bytes = message.head();
    allow(principal, endpoint, model)?;
    scan.as_ref().map_or(Ok(()), |scan| allow_others(principal, scan, body, model))?;
    let has_own = snapshot.providers.iter().any(|p| p.client_credentials)
        && has_own(call.head, head_bytes, call.key, &call.worker.shared.keys);
    let mut plan = plan(call.worker, &snapshot, wanted, model, has_own)?;
    let candidate = Candidate { principal, endpoint, body, scan: scan.as_ref(), form_prompt, model };
    let admission = Admission::new(call.worker, &snapshot, &mut plan, &candidate)?;
    let (guard, now_us) = admit(call, &admission, principal, read_us).await?;
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
        guard: &guard,
        content: content::policy(call.worker, &snapshot, principal, endpoint.api).filter(|_| scan.is_some()),
        told: call.told,
        attempts: RefCell::new(std::mem::take(&mut call.record.attempts)),
        asking: Cell::new(None),
        is_unpriced: Cell::new(false),
        waited_us: Cell::new(0),
        queued_us: Cell::new(0),
        lease_us: Cell::new(0),
        away: Cell::new(None),
        flowed_bytes: Cell::new(0),
        now_us: Cell::new(now_us),
        connect_us: Cell::new(None),
        first_byte_us: Cell::new(None),
    };
    let first = plan.attempts.first().map_or(snapshot.timeouts, |a| snapshot.providers[a.provider].timeouts);
    let total_at = timer::from(call.worker.instant(now_us), first.with(plan.timeouts).total_ms);
    let answered = if flows {
        Box::pin(upload::answer(call.client, &out, &plan.attempts, total_at)).await
    } else {
        attempts::answer(call.client, &mut call.reply, &out, &plan.attempts, total_at).await
    };
    call.content = out.content.map(|policy| {
        let mut keys = call.credentials.all(head_bytes);
        keys.extend(call.key.map(|key| key.of(head_bytes).into()));
        Box::new(Taken::of(call.worker, &snapshot, policy, body, keys))
    });
    call.record.attempts = out.attempts.take();
    call.record.received_bytes += out.flowed_bytes.get();
    call.record.phases.connect_us = out.connect_us.get();
    call.record.phases.first_byte_us = out.first_byte_us.get();
    call.waited_us += out.waited_us.get();
    let (queued_us, lease_us, away) = (out.queued_us.get(), out.lease_us.get(), out.away.get());
    let is_unpriced = out.is_unpriced.get();
    call.queued(queued_us);
    call.leased(lease_us, away);
    if is_unpriced {
        call.unpriced();
    }
    if flows && !call.client.conn.body_done() {
        call.reply.close();
    }
    let answered = match answered {
        Ok(answered) => answered,
        Err(stop) => return Err(given_up(stop, &guard, call.record)),
    };
    if let Ok(answer) = &answered {
        call.told.standing = call.told.standing.tighter(guard.standing_at_provider());
        guard.answers((200..300).contains(&answer.head.status));
    }
    let scan = scan.as_ref().filter(|_| guard.counts_text());
    let timeouts = plan.timeouts;
    let mut asks = asks(&snapshot, endpoint.api, scan, body, &answered);
    let is_stream = answered.as_ref().is_ok_and(|answer| answer.opening.is_some());
    asks.keep(message, is_stream, held);
    Ok(Asked { answered, guard, asks, timeouts, total_at })
}

/// The request ends before there is an answer: what that costs.
fn given_up(stop: Stop, guard: &Guard, record: &mut Record) -> Stop {
    if matches!(stop, Stop::Gone) {
        guard.leaves();
    } else {
        // Whom the gateway keeps waiting too long has asked all the same.
        guard.fails();
        guard.settle(&Said::default());
    }
    guard.note(record);
    stop
}

/// What is to be known of the request until its answer has passed.
fn asks(
    snapshot: &Snapshot,
    api: Api,
    scan: Option<&Scan<'_>>,
    body: &[u8],
    answered: &Result<Answer, Exhausted>,
) -> Asks {
    let Ok(answer) = answered else { return Asks::nothing(api, false) };
    let is_good = (200..300).contains(&answer.head.status);
    let takes_characters = || match snapshot.price(answer.provider, &answer.model) {
        Cost::Priced(price) => snapshot.prices.get(price).takes_characters(),
        Cost::Free | Cost::Unknown => false,
    };
    match scan {
        Some(scan) => {
            let stated = answer.opening.as_ref().and_then(|opening| opening.tap.usage());
            Asks::of(api, scan, stated.is_some_and(|usage| usage.prompt_tokens > 0))
        }
        None if is_good && api == Api::Speech && takes_characters() => Asks::spoken(body),
        None => Asks::nothing(api, is_good),
    }
}

/// The model that a body in JSON names, where the path needs one or it names one.
pub fn named<'a>(scan: &'a Scan<'_>, endpoint: &Endpoint<'_>) -> Result<Option<&'a str>, Error> {
    let model = scan.model.as_ref().map(|m| short(&m.text)).transpose()?;
    if model.is_none_or(str::is_empty) && endpoint.needs_model() {
        return Err(Error::new(Code::InvalidRequest, "The request names no model.").at("model"));
    }
    Ok(model)
}

fn short(model: &str) -> Result<&str, Error> {
    if model.len() > MAX_MODEL_BYTES {
        let message = format!("The model's name is longer than {MAX_MODEL_BYTES} bytes.");
        return Err(Error::new(Code::InvalidRequest, message).at("model"));
    }
    Ok(model)
}

/// Notes what is asked for, and by whom.
pub fn note(record: &mut Record, model: Option<&str>, scan: Option<&Scan<'_>>, body: &[u8]) {
    record.model.push_str(model.unwrap_or_default());
    record.end_user.push_str(&scan.map_or_else(Default::default, |scan| scan.end_user(body)));
}

/// Reserves what the request may use, or refuses it. It may wait for its turn. `read_us`: when its body was read. The
/// moment is that from which on others work on it.
pub async fn admit(
    call: &mut Call<'_>,
    admission: &Admission<'_>,
    principal: &Principal,
    read_us: u64,
) -> Result<(Rc<Guard>, u64), Stop> {
    let admitted = let_in(call, admission, principal, read_us).await?;
    call.guard = Some(admitted.0.clone());
    Ok(admitted)
}

async fn let_in(
    call: &mut Call<'_>,
    admission: &Admission<'_>,
    principal: &Principal,
    read_us: u64,
) -> Result<(Rc<Guard>, u64), Stop> {
    let clock = call.worker.clock();
    if !admission.is_limited {
        let guard = Guard::new(admission, call.worker, &call.snapshot, None);
        let now_us = clock.boot_us();
        call.record.phases.route_us = Some(now_us - read_us);
        call.record.admitted_boottime_us = Some(now_us);
        return Ok((guard, now_us));
    }
    let mut admitting = pin!(admission.admit());
    let at_once = poll_fn(|cx| Poll::Ready(admitting.as_mut().poll(cx))).await;
    // Who is admitted at once has had the clock read for it.
    let now_us = match &at_once {
        Poll::Ready(Ok(held)) => held.admitted_us().unwrap_or_else(|| clock.boot_us()),
        Poll::Ready(Err(_)) | Poll::Pending => clock.boot_us(),
    };
    call.record.phases.route_us = Some(now_us - read_us);
    let (admitted, has_waited) = match at_once {
        Poll::Ready(admitted) => (Watched::Done(admitted), false),
        Poll::Pending => {
            call.client.timer.set_at(None);
            (watch(call.client, admitting).await, true)
        }
    };
    match admitted {
        Watched::Done(Ok(held)) => {
            call.told.standing = held.standing();
            call.queued(held.waited_us());
            call.leased(held.lease_us(), held.away());
            call.record.admitted_boottime_us = Some(held.admitted_us().unwrap_or(now_us));
            let guard = Guard::new(admission, call.worker, &call.snapshot, Some(held));
            Ok((guard, if has_waited { clock.boot_us() } else { now_us }))
        }
        Watched::Done(Err(refused)) => {
            call.told.standing = refused.standing;
            call.queued(refused.waited_us);
            call.leased(refused.lease_us, refused.away);
            call.worker.metrics().limited(refused.scope.as_scope(), refused.kind);
            Err(limit_text::refusal(&refused, principal).into())
        }
        Watched::Gone | Watched::Late => {
            let waited_us = clock.boot_us() - now_us;
            if admission.may_queue() {
                call.queued(waited_us);
            } else {
                call.leased(waited_us, None);
            }
            Err(Stop::Gone)
        }
    }
}
