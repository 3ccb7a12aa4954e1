//! One side of a connection: a stream and one buffer laid out as head, payload, raw bytes beyond.

use std::{
    future::{Future, poll_fn},
    io, mem,
    ops::Range,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use tokio::io::{AsyncReadExt, ReadBuf};

use super::{
    body::{BodyDecoder, BodyError, BodyLimits},
    buffer::{BUFFER_BYTES, Buffers, Loan},
    head::{Framing, HeadError, HeadLimits, RequestHead, ResponseHead},
    stream::Stream,
    write::Output,
};

/// Less spare room than this makes no read worth its syscall, unless less is known to come.
const MIN_ROOM: usize = 4 * 1024;
/// Pipelined bytes kept while a request is being answered.
const MAX_AHEAD: usize = 16 * 1024;
/// 1xx answers skipped before the real one.
const MAX_INTERIM: u8 = 8;

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

/// One message taken out of its connection, with the buffer that holds it.
pub struct Message {
    loan: Loan,
    head: Range<usize>,
    payload: Range<usize>,
}

impl Message {
    /// The bytes that the spans of the head index.
    pub fn head(&self) -> &[u8] {
        &self.loan.bytes[self.head.clone()]
    }

    pub fn payload(&self) -> &[u8] {
        &self.loan.bytes[self.payload.clone()]
    }
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

    /// Reads a request head; `false` when the peer closed before any byte of it.
    pub fn poll_request_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut RequestHead,
        limits: &HeadLimits,
    ) -> Poll<Result<bool, ReadError>> {
        let parse = |bytes: &[u8], head: &mut RequestHead| head.parse(bytes, limits);
        if !ready!(self.poll_head(cx, head, limits.bytes, parse))? {
            return Poll::Ready(Ok(false));
        }
        self.enter_body(head.len, head.framing);
        Poll::Ready(Ok(true))
    }

    /// Reads an answer's head, passing over a few 1xx ones. [`ReadError::Closed`] when not a byte came.
    pub fn poll_response_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
        limits: &HeadLimits,
        to_head_request: bool,
    ) -> Poll<Result<(), ReadError>> {
        loop {
            let parse = |bytes: &[u8], head: &mut ResponseHead| head.parse(bytes, limits, to_head_request);
            if !ready!(self.poll_head(cx, head, limits.bytes, parse))? {
                let error = if self.interim == 0 { ReadError::Closed } else { ReadError::Cut };
                return Poll::Ready(Err(error));
            }
            match head.status {
                101 => return Poll::Ready(Err(HeadError::SwitchingProtocols.into())),
                100..200 if self.interim == MAX_INTERIM => return Poll::Ready(Err(HeadError::TooManyInterim.into())),
                100..200 => {
                    self.interim += 1;
                    self.restart(self.begin + head.len);
                }
                _ => break,
            }
        }
        self.enter_body(head.len, head.framing);
        Poll::Ready(Ok(()))
    }

    /// `false` at an end before the first byte; `true` when `parse` found a head at `begin`.
    fn poll_head<H>(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut H,
        limit: usize,
        mut parse: impl FnMut(&[u8], &mut H) -> Result<Option<()>, HeadError>,
    ) -> Poll<Result<bool, ReadError>> {
        loop {
            let bytes = &self.loan.bytes[self.begin..];
            if bytes.len() > self.scanned || self.eof && !bytes.is_empty() {
                // The first look parses at once, as nearly every head comes whole. After that only new bytes are
                // searched for an empty line, so that a head in many pieces costs no more than twice its length.
                let from = self.scanned.saturating_sub(3);
                if self.scanned == 0 || self.eof || bytes.len() >= limit || ends_head(&bytes[from..]) {
                    if parse(bytes, head)?.is_some() {
                        return Poll::Ready(Ok(true));
                    }
                }
                self.scanned = bytes.len();
            }
            if self.eof {
                return Poll::Ready(if self.scanned == 0 { Ok(false) } else { Err(ReadError::Cut) });
            }
            self.drop_front();
            ready!(self.poll_fill(cx, BUFFER_BYTES))?;
        }
    }

    fn enter_body(&mut self, head_len: usize, framing: Framing) {
        self.head = self.begin + head_len;
        self.start = self.head;
        self.end = self.head;
        self.raw = self.head;
        self.body = BodyDecoder::new(framing, &BodyLimits::default());
    }

    /// The bytes that the spans of the head index; valid until [`Conn::finish_message`].
    pub fn head(&self) -> &[u8] {
        &self.loan.bytes[self.begin..self.head]
    }

    /// Whether any byte of the current message has come.
    pub fn has_begun(&self) -> bool {
        self.interim > 0 || self.loan.bytes.len() > self.begin
    }

    /// `true`: payload was added (the body may or may not be done now). `false`: nothing was, the body is complete.
    /// Adds what has already come before it reads; reads once for one call, unless that brought framing only.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        loop {
            if self.body.is_done() {
                return Poll::Ready(Ok(false));
            }
            if self.raw < self.loan.bytes.len() && self.decode()? {
                return Poll::Ready(Ok(true));
            }
            if self.body.is_done() {
                continue;
            }
            if self.eof {
                self.body.at_eof()?;
                continue;
            }
            let room = self.make_room();
            ready!(self.poll_fill(cx, room))?;
        }
    }

    /// Decodes all that is here; whether there was payload in it.
    fn decode(&mut self) -> Result<bool, BodyError> {
        let decoded = self.body.decode(&mut self.loan.bytes[self.raw..])?;
        self.end = self.raw + decoded.payload;
        self.raw += decoded.consumed;
        if self.raw == self.loan.bytes.len() {
            self.loan.bytes.truncate(self.end);
            self.raw = self.end;
        }
        Ok(decoded.payload > 0)
    }

    /// Payload decoded and not yet consumed.
    pub fn payload(&self) -> &[u8] {
        &self.loan.bytes[self.start..self.end]
    }

    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.loan.bytes[self.start..self.end]
    }

    /// Forgets the first `n` bytes of the payload.
    pub fn consume(&mut self, n: usize) {
        self.start += n.min(self.end - self.start);
        if self.start == self.end && self.end == self.loan.bytes.len() {
            self.loan.bytes.truncate(self.head);
            self.start = self.head;
            self.end = self.head;
            self.raw = self.head;
        }
    }

    /// Whether the whole body has been decoded; payload may still wait to be consumed.
    pub fn body_done(&self) -> bool {
        self.body.is_done()
    }

    /// Bytes of payload still to come, where the head said so.
    pub fn body_remaining(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// Forgets head and payload, keeps what came beyond; without any, the buffer goes back.
    /// A message whose body was not read to its end leaves nothing to trust: the connection then reads as closed.
    pub fn finish_message(&mut self) {
        if !self.body.is_done() {
            self.eof = true;
            self.raw = self.loan.bytes.len();
        }
        self.body = BodyDecoder::new(Framing::Empty, &BodyLimits::default());
        self.interim = 0;
        self.restart(self.raw);
    }

    /// The current message, taken out whole; what came beyond it stays. Call it once the body is done.
    pub fn take_message(&mut self) -> Message {
        let mut loan = self.loan.emptied();
        if self.has_more() {
            loan.open();
            loan.bytes.extend_from_slice(&self.loan.bytes[self.raw..]);
        }
        let (head, payload) = (self.begin..self.head, self.start..self.end);
        let message = Message { loan: mem::replace(&mut self.loan, loan), head, payload };
        self.body = BodyDecoder::new(Framing::Empty, &BodyLimits::default());
        self.interim = 0;
        self.scanned = 0;
        (self.begin, self.head, self.start, self.end, self.raw) = (0, 0, 0, 0, 0);
        message
    }

    /// A copy of the head and of the payload so far, which is consumed; the rest of the body can still be read.
    pub fn split_message(&mut self) -> Message {
        let mut loan = self.loan.emptied();
        loan.open();
        loan.bytes.extend_from_slice(self.head());
        let head = 0..loan.bytes.len();
        loan.bytes.extend_from_slice(self.payload());
        let payload = head.end..loan.bytes.len();
        self.consume(payload.len());
        Message { loan, head, payload }
    }

    /// Reads and drops whatever comes, for a peer that is to see our answer before the connection goes. Ready at its
    /// end, at an error, or when `left` bytes have been dropped.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        self.loan.bytes.clear();
        (self.begin, self.head, self.start, self.end, self.raw) = (0, 0, 0, 0, 0);
        while !self.eof && *left > 0 {
            if ready!(self.poll_fill(cx, BUFFER_BYTES)).is_err() {
                break;
            }
            *left = left.saturating_sub(self.loan.bytes.len());
            self.loan.bytes.clear();
        }
        Poll::Ready(())
    }

    /// The next head begins at `begin`.
    fn restart(&mut self, begin: usize) {
        self.begin = begin;
        if begin == self.loan.bytes.len() {
            self.loan.bytes.clear();
            self.begin = 0;
            if self.interim == 0 {
                self.loan.close();
            }
        }
        (self.head, self.start, self.end, self.raw) = (self.begin, self.begin, self.begin, self.begin);
        self.scanned = 0;
    }

    /// Bytes of memory now held.
    pub fn buffered(&self) -> usize {
        self.loan.bytes.capacity()
    }

    /// Whether bytes beyond the current message are here.
    pub fn has_more(&self) -> bool {
        self.raw < self.loan.bytes.len()
    }

    /// Ready when the peer closed. Costs no syscall while nothing happens; bytes that come are kept for the next message
    /// up to 16 KiB, beyond which it stays pending (and is not woken: something else must be waited for as well).
    pub fn poll_departed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.eof {
            if self.loan.bytes.len() - self.raw >= MAX_AHEAD {
                return Poll::Pending;
            }
            match ready!(self.io.poll_readable(cx)).and_then(|()| match self.poll_fill(cx, MIN_ROOM) {
                Poll::Ready(read) => read.map(Poll::Ready),
                Poll::Pending => Ok(Poll::Pending),
            }) {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) => return Poll::Pending,
                Err(_) => self.eof = true,
            }
        }
        Poll::Ready(())
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

    /// Moves a head that begins late to the front, so that it can grow.
    fn drop_front(&mut self) {
        if self.begin > 0 {
            self.loan.bytes.drain(..self.begin);
            (self.begin, self.head, self.start, self.end, self.raw) = (0, 0, 0, 0, 0);
        }
    }

    /// Makes the next read of a body worth it: by moving the payload over what was consumed when that is at least as
    /// long (each byte then moves once), else by growing. Returns how much to grow if there is no room at all.
    fn make_room(&mut self) -> usize {
        let bytes = &mut self.loan.bytes;
        let expected = self.body.remaining().map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        if bytes.capacity() - bytes.len() < expected.min(MIN_ROOM) {
            let (gap, live) = (self.start - self.head, bytes.len() - self.start);
            if gap >= live && gap >= MIN_ROOM {
                bytes.copy_within(self.start.., self.head);
                bytes.truncate(self.head + live);
                (self.start, self.end, self.raw) = (self.head, self.head + live, self.head + live);
            } else {
                bytes.reserve_exact(expected.min(bytes.len().max(BUFFER_BYTES)));
            }
        }
        expected.clamp(1, BUFFER_BYTES)
    }
}

/// Whether a line that may be the last of a head is complete here. Says yes to LF LF too: the parser then refuses it.
fn ends_head(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// The same as futures.
impl<S: Stream> Conn<S> {
    pub async fn parked(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_parked(cx)).await
    }

    pub async fn request_head(&mut self, head: &mut RequestHead, limits: &HeadLimits) -> Result<bool, ReadError> {
        poll_fn(|cx| self.poll_request_head(cx, head, limits)).await
    }

    pub async fn response_head(
        &mut self,
        head: &mut ResponseHead,
        limits: &HeadLimits,
        to_head_request: bool,
    ) -> Result<(), ReadError> {
        poll_fn(|cx| self.poll_response_head(cx, head, limits, to_head_request)).await
    }

    pub async fn body(&mut self) -> Result<bool, ReadError> {
        poll_fn(|cx| self.poll_body(cx)).await
    }

    pub async fn departed(&mut self) {
        poll_fn(|cx| self.poll_departed(cx)).await;
    }

    /// Writes and flushes all parts.
    pub async fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut out = Output::new(parts);
        poll_fn(|cx| self.poll_write(cx, &mut out)).await
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }
}

const _: () = assert!(mem::size_of::<Conn<tokio::net::TcpStream>>() <= 200, "a parked connection must stay small");
