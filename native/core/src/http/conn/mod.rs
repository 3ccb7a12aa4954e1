//! One side of a connection: a stream and one buffer laid out as head, payload, raw bytes beyond.

mod futures;
mod message;
mod taken;

pub use taken::Message;

use std::{
    future::Future,
    io, mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use tokio::io::{AsyncReadExt, ReadBuf};

use super::{
    body::{BodyDecoder, BodyError, BodyLimits},
    buffer::{BUFFER_BYTES, Buffers, Loan},
    head::{Framing, HeadError},
    stream::Stream,
    write::Output,
};

/// Less spare room than this makes no read worth its syscall, unless less is known to come.
const MIN_ROOM: usize = 4 * 1024;
/// Pipelined bytes kept while a request is being answered.
const MAX_AHEAD: usize = 16 * 1024;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer closed before the first byte of the message.
    #[error("the connection ended before the message")]
    Closed,
    /// The peer closed inside the head.
    #[error("the connection ended inside the head")]
    Cut,
    #[error("{0}")]
    Head(#[from] HeadError),
    #[error("{0}")]
    Body(#[from] BodyError),
}

/// One side of a connection. Holds a buffer only between the first byte of a message and [`Conn::finish_message`].
///
/// The buffer: `[..begin]` forgotten, `[begin..head]` the head, `[start..end]` payload not yet consumed, `[raw..]` not
/// yet decoded. While the body is not done, `raw == end`.
pub struct Conn<S> {
    io: S,
    loan: Loan,
    begin: usize,
    head: usize,
    start: usize,
    end: usize,
    raw: usize,
    /// How far the search for the end of the head got.
    scanned: usize,
    body: BodyDecoder,
    interim: u8,
    eof: bool,
}

impl<S: Stream> Conn<S> {
    pub fn new(io: S, buffers: Buffers) -> Self {
        let body = BodyDecoder::new(Framing::Empty, &BodyLimits::default());
        let loan = Loan::new(buffers);
        Self { io, loan, begin: 0, head: 0, start: 0, end: 0, raw: 0, scanned: 0, body, interim: 0, eof: false }
    }

    pub fn io(&self) -> &S {
        &self.io
    }

    /// The free list that its buffers come from.
    pub fn buffers(&self) -> &Buffers {
        self.loan.buffers()
    }

    /// The stream alone; what was read and not yet used is lost.
    pub fn into_io(self) -> S {
        self.io
    }

    /// Ready when a message may be read: bytes are here, or the end, or an error. Holds no buffer while it waits.
    pub fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.raw == self.loan.bytes.len() && !self.eof {
            ready!(self.io.poll_readable(cx))?;
            ready!(self.poll_fill(cx, BUFFER_BYTES))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes of memory now held.
    pub fn buffered(&self) -> usize {
        self.loan.bytes.capacity()
    }

    /// Whether bytes beyond the current message are here.
    pub fn has_more(&self) -> bool {
        self.raw < self.loan.bytes.len()
    }

    /// Whether more was sent ahead than is kept: then nothing is read, and [`Conn::poll_departed`] cannot tell.
    pub fn is_full(&self) -> bool {
        self.loan.bytes.len() - self.raw >= MAX_AHEAD
    }

    /// Ready when the peer closed. Costs no syscall while nothing happens; bytes that come are kept for the next message
    /// up to 16 KiB, beyond which it stays pending (and is not woken: see [`Conn::is_full`]).
    pub fn poll_departed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.eof {
            if self.is_full() {
                return Poll::Pending;
            }
            let read = match ready!(self.io.poll_readable(cx)) {
                Ok(()) => ready!(self.poll_fill(cx, MIN_ROOM)),
                error => error,
            };
            self.eof |= read.is_err();
        }
        Poll::Ready(())
    }

    /// Whether nothing is here that was not used, neither bytes nor an end, and no buffer is held.
    pub fn is_at_rest(&self) -> bool {
        self.buffered() == 0 && !self.eof && !self.has_more()
    }

    /// For an idle connection: `false` when the peer closed it or sent what nobody asked for. No syscall unless the
    /// reactor saw something.
    pub fn poll_alive(&mut self, cx: &mut Context<'_>) -> bool {
        if self.eof || self.has_more() {
            return false;
        }
        match self.io.poll_readable(cx) {
            Poll::Pending => true,
            Poll::Ready(Err(_)) => false,
            // A TLS session may have had a ticket or a half record only: one byte of room tells.
            Poll::Ready(Ok(())) => {
                let mut byte = [0];
                let read = Pin::new(&mut self.io).poll_read(cx, &mut ReadBuf::new(&mut byte));
                self.eof = read.is_ready();
                !self.eof
            }
        }
    }

    /// [`Conn::poll_alive`] for callers who will not be woken.
    pub fn is_alive(&mut self) -> bool {
        self.poll_alive(&mut Context::from_waker(Waker::noop()))
    }

    /// Writes and flushes all of `out`, in one vectored write where the kernel takes it. Call again after pending.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Output<'_>) -> Poll<io::Result<()>> {
        ready!(out.poll_into(&mut self.io, cx))?;
        self.poll_flush(cx)
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// One read of at least one byte, or the end noted. Borrows a buffer if need be and gives an empty one back.
    fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<()>> {
        self.loan.open();
        let bytes = &mut self.loan.bytes;
        if bytes.capacity() == bytes.len() {
            bytes.reserve_exact(room);
        }
        let read = pin!(self.io.read_buf(bytes)).poll(cx);
        if bytes.is_empty() {
            self.loan.close();
        }
        self.eof |= matches!(read, Poll::Ready(Ok(0)));
        read.map_ok(drop)
    }
}

const _: () = assert!(mem::size_of::<Conn<tokio::net::TcpStream>>() <= 200, "a parked connection must stay small");
