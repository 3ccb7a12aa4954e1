//! A request body that flows from the client to one upstream: sent once, never retried after its first byte.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::time::Instant;

use super::{
    Stop,
    attempt::{self, Answer, Failed, Sent, write_unless_answered},
    attempts::{Exhausted, reserve},
    outbound::{BodyFraming, Outbound},
    read::{body_error, stopped_arriving},
};
use crate::{
    error::{Code, Error, Failure, Retry},
    http::{
        head::Framing,
        write::{LAST_CHUNK, chunk_prefix},
    },
    relay::{Watched, watch},
    route::Attempt,
    server::{connection::Client, timer},
    snapshot::Base,
    upstream::Lease,
};

/// How long an upstream may take no byte of a body, in milliseconds.
const STALL_MS: u64 = 60_000;
/// What is here of the body already goes out in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a body could not be sent.
enum Unsent {
    Stop(Stop),
    Failed(Failure),
}

impl From<Failure> for Unsent {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<S: Into<Stop>> From<S> for Unsent {
    fn from(stop: S) -> Self {
        Self::Stop(stop.into())
    }
}

/// Connects to the first of `targets` that can be reached, sends the body as it comes, and waits for the answer.
pub async fn answer(
    client: &mut Client,
    out: &Outbound<'_>,
    targets: &[Attempt<'_>],
    total_at: Option<Instant>,
) -> Result<Result<Answer, Exhausted>, Stop> {
    let asked_us = out.tick();
    let answered = try_all(client, out, targets, total_at).await;
    out.tick();
    out.answered(asked_us);
    if let Err(stop) = &answered {
        attempt::stopped(out, targets, stop, client.conn.body_done());
    }
    answered
}

async fn try_all(
    client: &mut Client,
    out: &Outbound<'_>,
    targets: &[Attempt<'_>],
    total_at: Option<Instant>,
) -> Result<Result<Answer, Exhausted>, Stop> {
    let mut exhausted = Exhausted::new();
    let mut asked = 0;
    for (place, to) in targets.iter().enumerate() {
        if asked == out.snapshot.max_attempts {
            break;
        }
        client.timer.set_at(total_at);
        match watch(client, pin!(reserve(out, targets, place, &mut exhausted))).await {
            Watched::Done(true) => asked += 1,
            Watched::Done(false) => continue,
            Watched::Gone => return Err(Stop::Gone),
            Watched::Late => return Err(too_late()),
        }
        out.asking.set(Some((place, out.tick())));
        let (result, may_go_on) = attempt(client, out, to, total_at).await?;
        out.tick();
        attempt::note(out, targets, &result);
        if result.is_err() {
            out.guard.fails();
        }
        match result {
            Ok(answer) => return Ok(Ok(answer)),
            Err(Failed::Refused(refusal)) => exhausted.refusal = Some(refusal),
            Err(Failed::Failure(failure)) => exhausted.failure = Some(failure),
        }
        if !may_go_on {
            break;
        }
    }
    Ok(Err(exhausted))
}

/// One target. The second value: nothing was sent, so another may be tried.
async fn attempt(
    client: &mut Client,
    out: &Outbound<'_>,
    to: &Attempt<'_>,
    total_at: Option<Instant>,
) -> Result<(Result<Answer, Failed>, bool), Stop> {
    let Some(base) = out.provider(to).base(out.endpoint.dialect) else {
        return Err(Error::new(Code::DialectNotSupported, "The provider does not speak this dialect.").into());
    };
    let timeouts = out.timeouts(to);
    client.timer.set_at(total_at);
    // Fresh: what flows cannot be sent again if an idle connection turns out to be dead.
    let mut lease = match watch(client, pin!(out.worker.pool.connect(&base.host, true, timeouts.connect_ms))).await {
        Watched::Done(Ok(lease)) => lease,
        Watched::Done(Err(failure)) => return Ok((Err(failure.into()), true)),
        Watched::Gone => return Err(Stop::Gone),
        Watched::Late => return Err(too_late()),
    };
    out.guard.sends();
    let sent = match send(client, out, to, base, &mut lease, total_at).await {
        Ok(sent) => sent,
        Err(Unsent::Stop(stop)) => return Err(stop),
        Err(Unsent::Failed(failure)) => return Ok((Err(failure.into()), false)),
    };
    let first_at = timer::after(timeouts.first_token_ms);
    client.timer.set_at(timer::earlier(first_at, total_at));
    match watch(client, pin!(attempt::receive(out, to, lease, &sent))).await {
        Watched::Done(result) => Ok((result, false)),
        Watched::Gone => Err(Stop::Gone),
        Watched::Late if timer::is_past(total_at) => Err(too_late()),
        Watched::Late => {
            let cause = "the upstream sent no answer in time (timeouts.first_token)";
            Ok((Err(Failure::new(Code::FirstTokenTimeout, Retry::No, cause).into()), false))
        }
    }
}

fn too_late() -> Stop {
    Error::new(Code::UpstreamTimeout, "The request took longer than it may in all (timeouts.total).").into()
}

/// Sends head and body. Stops early if the upstream answers before it has everything.
async fn send(
    client: &mut Client,
    out: &Outbound<'_>,
    to: &Attempt<'_>,
    base: &Base,
    lease: &mut Lease,
    total_at: Option<Instant>,
) -> Result<Sent, Unsent> {
    let since_us = out.now_us.get();
    let (splice, _) = out.edits(to);
    let chunked = !matches!(out.head.framing, Framing::Fixed(_));
    let framing = match out.head.framing {
        Framing::Fixed(n) => BodyFraming::Length(n + splice.len(out.body) as u64 - out.body.len() as u64),
        _ => BodyFraming::Chunked,
    };
    let mut head = out.worker.buffers.take();
    out.write_head(to, base, framing, &mut head);
    let mut whole = write(client, lease, &head, b"", false, total_at).await?;
    out.worker.buffers.give(head);
    for piece in splice.pieces(out.body).flat_map(|piece| piece.chunks(PIECE_BYTES)) {
        whole = whole && write(client, lease, b"", piece, chunked, total_at).await?;
    }
    let idle_ms = out.snapshot.timeouts.body_read_idle_ms;
    while whole {
        match next_piece(client, lease, idle_ms, total_at).await? {
            Piece::More => {
                let payload = client.conn.payload().to_vec();
                client.conn.consume(payload.len());
                out.flowed_bytes.set(out.flowed_bytes.get() + payload.len() as u64);
                whole = write(client, lease, b"", &payload, chunked, total_at).await?;
            }
            Piece::End => {
                whole = !chunked || write(client, lease, LAST_CHUNK, b"", false, total_at).await?;
                break;
            }
            Piece::Answered => whole = false,
        }
    }
    Ok(Sent { since_us, whole, swallow_usage: false })
}

enum Piece {
    More,
    End,
    /// The upstream did not wait for the rest.
    Answered,
}

/// Waits for more of the body, or for an early answer.
async fn next_piece(
    client: &mut Client,
    lease: &mut Lease,
    idle_ms: u64,
    total_at: Option<Instant>,
) -> Result<Piece, Unsent> {
    client.timer.set_at(timer::earlier(timer::after(idle_ms), total_at));
    let read = poll_fn(|cx| {
        if lease.poll_departed(cx).is_ready() || lease.has_answered() {
            return Poll::Ready(Ok(Some(Piece::Answered)));
        }
        match client.conn.poll_body(cx) {
            Poll::Ready(Ok(true)) => Poll::Ready(Ok(Some(Piece::More))),
            Poll::Ready(Ok(false)) => Poll::Ready(Ok(Some(Piece::End))),
            Poll::Ready(Err(e)) => Poll::Ready(Err(body_error(&e))),
            Poll::Pending if client.poll_cut(cx) => Poll::Ready(Err(Stop::Gone)),
            Poll::Pending => client.timer.poll(cx).map(|()| Ok(None)),
        }
    })
    .await;
    match read? {
        Some(piece) => Ok(piece),
        None if timer::is_past(total_at) => Err(Unsent::Stop(too_late())),
        None => Err(stopped_arriving().into()),
    }
}

/// Writes one piece, as a chunk if need be. `false`: the upstream answers already.
async fn write(
    client: &mut Client,
    lease: &mut Lease,
    head: &[u8],
    body: &[u8],
    chunked: bool,
    total_at: Option<Instant>,
) -> Result<bool, Unsent> {
    let mut digits = [0; 18];
    let (prefix, tail): (&[u8], &[u8]) =
        if chunked && !body.is_empty() { (chunk_prefix(body.len(), &mut digits), b"\r\n") } else { (b"", b"") };
    client.timer.set_at(timer::earlier(timer::after(STALL_MS), total_at));
    match watch(client, pin!(write_unless_answered(lease, &[head, prefix, body, tail]))).await {
        Watched::Done(whole) => Ok(whole),
        Watched::Gone => Err(Unsent::Stop(Stop::Gone)),
        Watched::Late if timer::is_past(total_at) => Err(Unsent::Stop(too_late())),
        Watched::Late => {
            Err(Failure::new(Code::UpstreamTimeout, Retry::No, "the upstream takes no more of the body").into())
        }
    }
}
