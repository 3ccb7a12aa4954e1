//! A request body that flows from the client to one upstream: sent once, never retried.

use std::{future::poll_fn, pin::pin, task::Poll};

use super::{
    Stop,
    attempt::{self, Answer, Failed, Sent, write_unless_answered},
    attempts::Exhausted,
    outbound::{BodyFraming, Outbound},
    read::next_bytes,
};
use crate::{
    error::{Code, Error, Failure, Retry},
    http::{
        head::Framing,
        write::{LAST_CHUNK, chunk_prefix},
    },
    observe::record::{AttemptRecord, AttemptResult},
    relay::{Watched, watch},
    route::Attempt,
    server::{connection::Client, timer},
    upstream::Lease,
};

/// Connects to the first of `targets`, sends the body as it comes, and waits for the answer.
pub async fn answer(
    client: &mut Client,
    out: &Outbound<'_>,
    targets: &[Attempt<'_>],
    total_at: Option<tokio::time::Instant>,
) -> Result<Result<Answer, Exhausted>, Stop> {
    let Some(to) = targets.first() else {
        return Err(Error::new(Code::Internal, "A plan without targets.").into());
    };
    let started_us = out.worker.clock().boot_us();
    let sent = send(client, out, to, total_at).await;
    let result = match sent {
        Ok((lease, sent)) => {
            let timeouts = out.timeouts(to);
            client.timer.set_at(timer::earlier(timer::after(timeouts.first_token_ms), total_at));
            match watch(client, pin!(attempt::receive(out, to, lease, &sent))).await {
                Watched::Done(result) => result,
                Watched::Gone => return Err(Stop::Gone),
                Watched::Late => {
                    let message = "the upstream sent no answer in time (timeouts.first_token)";
                    Err(Failure::new(Code::FirstTokenTimeout, Retry::No, message).into())
                }
            }
        }
        Err(Unsent::Stop(stop)) => return Err(stop),
        Err(Unsent::Failed(failure)) => Err(failure.into()),
    };
    let us = out.worker.clock().boot_us() - started_us;
    out.waited(us);
    let outcome = match &result {
        Ok(answer) => AttemptResult::Status(answer.head.status),
        Err(Failed::Refused(refusal)) => AttemptResult::Status(refusal.head.status),
        Err(Failed::Failure(f)) => AttemptResult::Failed(f.code),
    };
    out.note(AttemptRecord {
        provider: out.provider(to).metric.clone(),
        model: to.model.to_owned(),
        result: outcome,
        us,
    });
    Ok(result.map_err(|failed| match failed {
        Failed::Refused(refusal) => Exhausted { refusal: Some(refusal), failure: None },
        Failed::Failure(failure) => Exhausted { refusal: None, failure: Some(failure) },
    }))
}

enum Unsent {
    Stop(Stop),
    Failed(Failure),
}

impl From<Failure> for Unsent {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Stop> for Unsent {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Sends head and body. Stops early if the upstream answers before it has everything.
async fn send(
    client: &mut Client,
    out: &Outbound<'_>,
    to: &Attempt<'_>,
    total_at: Option<tokio::time::Instant>,
) -> Result<(Lease, Sent), Unsent> {
    let provider = out.provider(to);
    let Some(base) = provider.base(out.endpoint.dialect) else {
        return Err(
            Failure::new(Code::DialectNotSupported, Retry::No, "the provider does not speak this dialect").into()
        );
    };
    let connect_ms = out.timeouts(to).connect_ms;
    client.timer.set_at(total_at);
    // Fresh: what flows cannot be sent again if an idle connection turns out to be dead.
    let mut lease = match watch(client, pin!(out.worker.pool.connect(&base.host, true, connect_ms))).await {
        Watched::Done(lease) => lease?,
        Watched::Gone => return Err(Stop::Gone.into()),
        Watched::Late => return Err(Failure::new(Code::UpstreamConnect, Retry::No, "no connection in time").into()),
    };
    let (splice, _) = out.edits(to);
    let prefix = splice.apply(out.body);
    let chunked = !matches!(out.head.framing, Framing::Fixed(_));
    let framing = match out.head.framing {
        Framing::Fixed(n) => BodyFraming::Length(n + prefix.len() as u64 - out.body.len() as u64),
        _ => BodyFraming::Chunked,
    };
    let mut head = out.worker.buffers.take();
    out.write_head(to, base, framing, &mut head);
    let mut whole = write(client, &mut lease, &head, &prefix, chunked).await?;
    out.worker.buffers.give(head);
    let idle_ms = out.snapshot.timeouts.body_read_idle_ms;
    while whole && !answered_early(&mut lease).await {
        if !next_bytes(client, idle_ms).await? {
            whole = !chunked || write(client, &mut lease, LAST_CHUNK, b"", false).await?;
            return Ok((lease, Sent { whole, swallow_usage: false }));
        }
        let payload = client.conn.payload().to_vec();
        client.conn.consume(payload.len());
        whole = write(client, &mut lease, b"", &payload, chunked).await?;
    }
    Ok((lease, Sent { whole: false, swallow_usage: false }))
}

/// Writes one piece, as a chunk if need be. `false`: the upstream answers already.
async fn write(
    client: &mut Client,
    lease: &mut Lease,
    head: &[u8],
    body: &[u8],
    chunked: bool,
) -> Result<bool, Unsent> {
    let mut digits = [0; 18];
    let (prefix, tail): (&[u8], &[u8]) =
        if chunked && !body.is_empty() { (chunk_prefix(body.len(), &mut digits), b"\r\n") } else { (b"", b"") };
    client.timer.set(WRITE_MS);
    match watch(client, pin!(write_unless_answered(lease, &[head, prefix, body, tail]))).await {
        Watched::Done(whole) => Ok(whole),
        Watched::Gone => Err(Stop::Gone.into()),
        Watched::Late => {
            Err(Failure::new(Code::UpstreamTimeout, Retry::No, "the upstream takes no more of the body").into())
        }
    }
}

/// How long an upstream may take no byte of a body.
const WRITE_MS: u64 = 60_000;

/// Whether the upstream has begun to answer, or closed.
async fn answered_early(lease: &mut Lease) -> bool {
    poll_fn(|cx| Poll::Ready(lease.poll_departed(cx).is_ready())).await || lease.has_begun()
}
