//! Reading one message: its head, its body, and what to do with the room between.

use std::task::{Context, Poll, ready};

use super::{
    super::{
        body::{BodyDecoder, BodyError, BodyLimits},
        buffer::BUFFER_BYTES,
        head::{Framing, HeadError, HeadLimits, RequestHead, ResponseHead},
        stream::Stream,
    },
    Conn, MIN_ROOM, ReadError,
};

/// Towards a known length a buffer grows by so many times what it holds. Room that is never written to takes no memory.
const GROW: usize = 8;
/// 1xx answers skipped before the real one.
const MAX_INTERIM: u8 = 8;
/// What every head of an answer begins with, up to the second digit of the version.
const HTTP: &[u8] = b"HTTP/1.";
const HEAD_END: &[u8] = b"\r\n\r\n";

impl<S: Stream> Conn<S> {
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
                let look = self.scanned == 0 || self.eof || bytes.len() >= limit || ends_head(&bytes[from..]);
                if look && parse(bytes, head)?.is_some() {
                    return Poll::Ready(Ok(true));
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

    /// The head is needed no more, and [`Conn::head`] is empty from now on: a body of which nothing waits to be consumed
    /// then holds no buffer.
    pub fn forget_head(&mut self) {
        self.begin = self.head;
        self.consume(0);
        self.loan.close_empty();
    }

    /// While nothing is here no buffer is held.
    pub fn let_go(&mut self) {
        self.loan.close_empty();
    }

    /// The rest of the body may be long in coming: until there is more of it, no more memory is held than what is here takes.
    pub fn shrink(&mut self) {
        self.loan.shrink();
    }

    /// Whether interim answers came before the one that is waited for.
    pub fn had_interim(&self) -> bool {
        self.interim > 0
    }

    /// Whether the answer has begun, as far as its status tells: interim ones before it are passed over (RFC 9110, 15.2).
    pub fn has_answered(&mut self) -> bool {
        // Of so much before an answer whoever reads it makes what can be made.
        if self.is_full() {
            return true;
        }
        loop {
            let bytes = &self.loan.bytes[self.begin..];
            if !bytes.starts_with(&HTTP[..bytes.len().min(HTTP.len())]) {
                return true;
            }
            let Some(status) = bytes.get(HTTP.len() + 2..HTTP.len() + 5) else { return false };
            if status[0] != b'1' || status == b"101" || self.interim == MAX_INTERIM {
                return true;
            }
            let Some(end) = memchr::memmem::find(bytes, HEAD_END) else { return false };
            self.interim += 1;
            self.restart(self.begin + end + HEAD_END.len());
        }
    }

    /// `true`: payload was added (the body may or may not be done now). `false`: nothing was, the body is complete.
    /// Adds what has already come before it reads; reads once for one call, unless that brought framing only.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        loop {
            if self.body.is_done() {
                self.loan.close_empty();
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
            if self.loan.is_small() {
                ready!(self.io.poll_readable(cx))?;
                self.loan.widen();
            }
            let room = self.make_room();
            ready!(self.poll_fill(cx, room))?;
        }
    }

    /// Decodes all that is here; whether there was payload in it.
    fn decode(&mut self) -> Result<bool, BodyError> {
        let is_first = self.start == self.raw;
        // Where nothing waits before it the payload need not be moved over the line of its chunk.
        let line = if is_first { self.body.enter_chunk(&self.loan.bytes[self.raw..]) } else { 0 };
        let decoded = self.body.decode(&mut self.loan.bytes[self.raw + line..])?;
        self.start += line;
        self.raw += line;
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

    /// Forgets the first `n` bytes of the payload.
    pub fn consume(&mut self, n: usize) {
        self.start += n.min(self.end - self.start);
        if self.start == self.end && self.end == self.loan.bytes.len() {
            if self.begin == self.head {
                // One of the usual size stays for the next read, which gives it back when nothing has come.
                if !self.loan.is_usual() {
                    self.loan.close();
                }
                (self.begin, self.head) = (0, 0);
            }
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

    /// Whether all of the body has come with its head: reading it waits for nobody.
    pub fn has_whole_body(&self) -> bool {
        self.body.remaining().is_some_and(|n| n <= (self.loan.bytes.len() - self.raw) as u64)
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
        self.loan.open();
        let bytes = &mut self.loan.bytes;
        let known = self.body.remaining();
        let expected = known.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        if bytes.capacity() - bytes.len() < expected.min(MIN_ROOM) {
            let (gap, live) = (self.start - self.head, bytes.len() - self.start);
            if gap >= live && gap >= MIN_ROOM {
                bytes.copy_within(self.start.., self.head);
                bytes.truncate(self.head + live);
                (self.start, self.end, self.raw) = (self.head, self.head + live, self.head + live);
            } else {
                let grow = if known.is_some() { GROW } else { 1 };
                bytes.reserve_exact(expected.min(grow * bytes.len().max(BUFFER_BYTES)));
            }
        }
        expected.clamp(1, BUFFER_BYTES)
    }
}

/// Whether a line that may be the last of a head is complete here. Says yes to LF LF too: the parser then refuses it.
fn ends_head(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}
