//! Reads what the client sends, within the limits of time and memory.

use std::{future::poll_fn, rc::Rc, task::Poll};

use super::Stop;
use crate::{
    error::{Code, Error},
    http::{
        body::BodyError,
        conn::ReadError,
        head::{HeadError, HeadLimits, RequestHead},
    },
    server::{connection::Client, worker::Worker},
    snapshot::Snapshot,
};

/// Limits that hold while there is no snapshot yet.
const HEADER_READ_MS: u64 = 10_000;
const BODY_READ_IDLE_MS: u64 = 30_000;

/// A body up to this size is part of what its connection costs: counting each would have all workers write one line of
/// memory for every request.
const UNCOUNTED_BYTES: usize = 4 * 1024;

/// Request bytes in memory, given back to the process's budget when dropped.
pub struct Held {
    worker: Rc<Worker>,
    bytes: usize,
}

impl Held {
    pub fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: worker.clone(), bytes: 0 }
    }

    /// Accounts for `bytes` in all; `false` if the process holds too much.
    pub fn grow_to(&mut self, bytes: usize, max: usize) -> bool {
        if bytes <= UNCOUNTED_BYTES {
            return true;
        }
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.worker.shared.inflight.take(more, max) {
            return false;
        }
        self.bytes = self.bytes.max(bytes);
        true
    }

    /// Whether the bytes may be kept for as long as the answer takes: half of the room is for requests that come.
    pub fn may_stay(&self) -> bool {
        let max = || self.worker.snapshot().map_or(0, |snapshot| snapshot.max_inflight_bytes);
        self.bytes == 0 || self.worker.shared.inflight.held() <= max() / 2
    }

    /// Accounts for no more than `bytes` any longer.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.worker.shared.inflight.give(less);
        self.bytes -= less;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// How a head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// The client left without sending one.
    Never,
    /// Whole with its first bytes.
    AtOnce,
    InPieces,
}

/// Reads a request head.
pub async fn read_head(client: &mut Client, worker: &Rc<Worker>, head: &mut RequestHead) -> Result<Arrived, Error> {
    let limits = HeadLimits::default();
    client.is_head_request = false;
    let mut waiting = false;
    let read = poll_fn(|cx| {
        if let Poll::Ready(read) = client.conn.poll_request_head(cx, head, &limits) {
            return Poll::Ready(Some(read));
        }
        if !waiting {
            waiting = true;
            client.timer.set(worker.snapshot().map_or(HEADER_READ_MS, |s| s.timeouts.header_read_ms));
        }
        client.timer.poll(cx).map(|()| None)
    })
    .await;
    match read {
        Some(Ok(true)) => {
            client.is_head_request = head.method.of(client.conn.head()) == b"HEAD";
            Ok(if waiting { Arrived::InPieces } else { Arrived::AtOnce })
        }
        Some(Err(ReadError::Head(e))) => Err(refused_head(&e)),
        Some(Ok(false) | Err(_)) => Ok(Arrived::Never),
        None if client.conn.buffered() == 0 => Ok(Arrived::Never),
        None => {
            Err(Error::new(Code::RequestTimeout, "The request head did not arrive in time (timeouts.header_read)."))
        }
    }
}

fn refused_head(error: &HeadError) -> Error {
    let code = match error {
        HeadError::TooLarge | HeadError::TooManyFields | HeadError::TargetTooLong => Code::HeadersTooLarge,
        _ => Code::InvalidHttp,
    };
    Error::new(code, format!("The request head is refused: {}.", error.reason()))
}

/// Refuses a body whose announced length is beyond `max`.
pub fn check_length(client: &Client, max: usize) -> Result<(), Error> {
    if client.conn.body_remaining().is_some_and(|left| left > max as u64) { Err(too_large(max)) } else { Ok(()) }
}

fn too_large(max: usize) -> Error {
    Error::new(Code::BodyTooLarge, format!("The request body is larger than {max} bytes (body.max_bytes)."))
}

/// Reads body bytes until `enough` says so or the body is complete; at most `max` bytes.
pub async fn read_body_until(
    client: &mut Client,
    snapshot: Option<&Snapshot>,
    max: usize,
    held: &mut Held,
    mut enough: impl FnMut(&[u8]) -> Result<bool, Error>,
) -> Result<(), Stop> {
    let (idle_ms, budget) =
        snapshot.map_or((BODY_READ_IDLE_MS, usize::MAX), |s| (s.timeouts.body_read_idle_ms, s.max_inflight_bytes));
    loop {
        let more = next_bytes(client, idle_ms).await?;
        let size = client.conn.payload().len();
        if size > max {
            return Err(too_large(max).into());
        }
        if !held.grow_to(size, budget) {
            return Err(overloaded("too many request bytes are held in memory (body.max_inflight_bytes)").into());
        }
        if !more || enough(client.conn.payload())? {
            return Ok(());
        }
    }
}

/// Reads a whole body of at most `max` bytes.
pub async fn read_body(client: &mut Client, worker: &Rc<Worker>, max: usize) -> Result<Held, Stop> {
    check_length(client, max)?;
    let mut held = Held::new(worker);
    let snapshot = worker.snapshot();
    read_body_until(client, snapshot.as_ref().map(|s| &***s), max, &mut held, |_| Ok(false)).await?;
    Ok(held)
}

/// Waits for more of the body, unless its request is cut meanwhile. `false`: it is complete.
async fn next_bytes(client: &mut Client, idle_ms: u64) -> Result<bool, Stop> {
    let mut waiting = false;
    poll_fn(|cx| {
        if let Poll::Ready(read) = client.conn.poll_body(cx) {
            return Poll::Ready(read.map_err(|e| body_error(&e)));
        }
        if client.poll_cut(cx) {
            return Poll::Ready(Err(Stop::Gone));
        }
        if !waiting {
            waiting = true;
            client.timer.set(idle_ms);
        }
        client.timer.poll(cx).map(|()| Err(stopped_arriving().into()))
    })
    .await
}

/// What a body that cannot be read means: it is malformed, or its client has left.
pub fn body_error(error: &ReadError) -> Stop {
    match error {
        ReadError::Body(BodyError::Cut) => Stop::Gone,
        ReadError::Body(e) => Error::new(Code::InvalidHttp, format!("The request body is refused: {e}.")).into(),
        _ => Stop::Gone,
    }
}

/// 408 for a body that came to a halt.
pub fn stopped_arriving() -> Error {
    Error::new(Code::RequestTimeout, "The request body stopped arriving (timeouts.body_read_idle).")
}

/// 503 with the moment to try again.
pub fn overloaded(why: &str) -> Error {
    Error::new(Code::Overloaded, format!("The gateway is overloaded: {why}. Try again shortly.")).after_ms(1_000)
}
