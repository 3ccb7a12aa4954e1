//! The body of an upstream's answer as payload bytes, decoded if it came compressed.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use super::decompress::{Coding, Decompress, DecompressError};
use crate::{
    error::{Code, Failure, Retry},
    http::{
        body::BodyError,
        conn::ReadError,
        head::{Framing, ResponseHead},
    },
    upstream::Lease,
};

/// A compressed answer may unpack to at most this much.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;

/// An upstream connection whose answer's body is being read.
pub struct Source {
    lease: Lease,
    unpacking: Option<Box<Unpacking>>,
    reusable: bool,
}

struct Unpacking {
    decompress: Decompress,
    plain: Vec<u8>,
    start: usize,
    done: bool,
}

impl Source {
    /// The body behind `head`, which `lease` has just read. The connection can serve another request only if this one
    /// was sent whole and the answer allows it.
    pub fn new(lease: Lease, head: &ResponseHead, sent_whole: bool) -> Result<Self, Failure> {
        let coding = match head.field(lease.head(), "content-encoding").map(Coding::of).transpose() {
            Ok(coding) => coding.flatten(),
            Err(e) => return Err(Failure::new(Code::UpstreamProtocol, Retry::Yes, e.to_string())),
        };
        let unpack = |coding| {
            let decompress = Decompress::new(coding, MAX_UNPACKED_BYTES);
            Box::new(Unpacking { decompress, plain: Vec::new(), start: 0, done: false })
        };
        // Of an answer without a body the coding is that of the body that it could have had.
        let coding = coding.filter(|_| !matches!(head.framing, Framing::Empty | Framing::Fixed(0)));
        Ok(Self { lease, unpacking: coding.map(unpack), reusable: sent_whole && head.keep_alive })
    }

    /// The head's bytes.
    pub fn head(&self) -> &[u8] {
        self.lease.head()
    }

    /// The head's bytes are needed no more: while nothing of the body is here, no buffer is held.
    pub fn forget_head(&mut self) {
        self.lease.forget_head();
    }

    /// More may be long in coming: until then little memory is held.
    pub fn shrink(&mut self) {
        self.lease.shrink();
    }

    /// The whole length of the body as the client will get it, if it is known.
    pub fn length(&self, head: &ResponseHead) -> Option<u64> {
        match (&self.unpacking, head.framing) {
            (None, Framing::Fixed(n)) => Some(n),
            (None, Framing::Empty) => Some(0),
            _ if self.is_done() => Some(self.payload().len() as u64),
            _ => None,
        }
    }

    pub fn payload(&self) -> &[u8] {
        match &self.unpacking {
            None => self.lease.payload(),
            Some(u) => &u.plain[u.start..],
        }
    }

    pub fn consume(&mut self, n: usize) {
        match &mut self.unpacking {
            None => self.lease.consume(n),
            Some(u) => {
                u.start += n;
                // A byte that was left behind moves for at least as many that are gone.
                if u.start >= u.plain.len().div_ceil(2) {
                    u.plain.drain(..u.start);
                    u.start = 0;
                }
            }
        }
    }

    /// Whether nothing will come beyond the payload that is here.
    pub fn is_done(&self) -> bool {
        match &self.unpacking {
            None => self.lease.body_done(),
            Some(u) => u.done,
        }
    }

    /// Waits for more payload. `false`: the body is complete.
    pub async fn more(&mut self) -> Result<bool, Failure> {
        poll_fn(|cx| self.poll_more(cx)).await
    }

    /// The same as a poll.
    pub fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let Some(unpacking) = &mut self.unpacking else { return self.lease.poll_body(cx).map_err(|e| cut(&e)) };
        let damaged = |e: DecompressError| Failure::new(Code::UpstreamProtocol, Retry::Yes, e.to_string());
        while !unpacking.done {
            let before = unpacking.plain.len();
            if ready!(self.lease.poll_body(cx)).map_err(|e| cut(&e))? {
                unpacking.decompress.push(self.lease.payload(), &mut unpacking.plain).map_err(damaged)?;
                let used = self.lease.payload().len();
                self.lease.consume(used);
                self.lease.let_go();
            } else {
                unpacking.decompress.finish(&mut unpacking.plain).map_err(damaged)?;
                unpacking.done = true;
            }
            if unpacking.plain.len() > before {
                return Poll::Ready(Ok(true));
            }
        }
        Poll::Ready(Ok(false))
    }

    /// Takes what has already come, without waiting.
    pub async fn gather(&mut self) -> Result<(), Failure> {
        match poll_fn(|cx| Poll::Ready(self.poll_more(cx))).await {
            Poll::Ready(Err(e)) => Err(e),
            _ => Ok(()),
        }
    }

    /// Whether the connection may serve another request once the body has been read.
    pub fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// Gives the connection back for reuse if the answer allows it; else it closes.
    pub fn keep(mut self) {
        if self.reusable && self.lease.body_done() {
            self.lease.finish_message();
            self.lease.keep();
        }
    }
}

/// The failure behind a body that could not be read to its end.
fn cut(error: &ReadError) -> Failure {
    match error {
        ReadError::Body(e) if !matches!(e, BodyError::Cut) => {
            Failure::new(Code::UpstreamProtocol, Retry::Yes, format!("the upstream's body is not valid HTTP: {e}"))
        }
        _ => Failure::new(Code::UpstreamCut, Retry::Yes, "the upstream ended before its answer did"),
    }
}
