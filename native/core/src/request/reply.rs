//! What the client is sent: the head, the framing of the body, the end of the answer as a write of its own.

use std::{future::poll_fn, task::Poll};

use super::Gone;
use crate::{
    dialects::{Dialect, error_body},
    error::{Code, Error},
    http::{
        Buffers,
        head::{RequestHead, Version},
        write::{CONTINUE, HeadWriter, Output, chunk_prefix},
    },
    server::connection::{Client, Next},
};

/// Milliseconds a client may take no byte of what is sent to it.
const STALL_MS: u64 = 60_000;
/// The same for what is told of a request that was cut.
const CUT_STALL_MS: u64 = 250;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The head is still being built.
    Unset,
    Length,
    Chunked,
    /// The end of the connection is the end of the body (HTTP/1.0).
    Close,
}

/// What becomes of the end of an answer.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It is sent as it comes.
    Sent,
    /// It is kept once it comes, until [`Reply::release`].
    Due,
    /// These bytes are left to be sent; with none it is that of the connection.
    Kept(Vec<u8>),
}

/// One answer on its way out. Nothing is written before the first [`Reply::send`] or [`Reply::end`].
pub struct Reply {
    /// Head bytes not yet written, in a buffer of the worker from the status on.
    head: Vec<u8>,
    buffers: Buffers,
    framing: Framing,
    version: Version,
    keep_alive: bool,
    without_body: bool,
    /// Bytes of the answer given to the connection, head and framing included.
    pub sent_bytes: u64,
    /// What the client may take no byte for, in milliseconds.
    pub stall_ms: u64,
    /// A write stopped half way: nothing may follow.
    is_torn: bool,
    end: End,
}

impl Reply {
    /// An answer to `head`.
    pub fn to(head: &RequestHead, is_head_request: bool, buffers: Buffers) -> Self {
        Self {
            head: Vec::new(),
            buffers,
            framing: Framing::Unset,
            version: head.version,
            keep_alive: head.keep_alive,
            without_body: is_head_request,
            sent_bytes: 0,
            stall_ms: STALL_MS,
            is_torn: false,
            end: End::Sent,
        }
    }

    pub fn status(&mut self, status: u16) {
        if self.head.capacity() == 0 {
            self.head = self.buffers.take();
        }
        self.head.clear();
        HeadWriter::new(&mut self.head).status_line(status);
    }

    /// Adds a header; one whose value has bytes that no header may carry is left out.
    pub fn field(&mut self, name: &'static str, value: &[u8]) {
        self.parts(name, &[value]);
    }

    /// Adds a header of Python's; one whose name or value no header may have is left out.
    pub fn foreign_field(&mut self, name: &str, value: &[u8]) {
        let _ = HeadWriter::new(&mut self.head).field(name, value);
    }

    /// Adds a header that the codec has read from the other side: it is known to be one line.
    pub fn raw_field(&mut self, name: &[u8], value: &[u8]) {
        for part in [name, b": ", value, b"\r\n"] {
            self.head.extend_from_slice(part);
        }
    }

    /// Adds a header whose value is a number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        HeadWriter::new(&mut self.head).number(name, value);
    }

    /// Adds a header whose value comes in parts.
    pub fn parts(&mut self, name: &'static str, parts: &[&[u8]]) {
        let _ = HeadWriter::new(&mut self.head).parts(name, parts);
    }

    /// The request was cut: nobody waits long for a client to take the rest.
    pub fn hurry(&mut self) {
        self.stall_ms = self.stall_ms.min(CUT_STALL_MS);
    }

    /// The connection ends with this answer.
    pub fn close(&mut self) {
        self.keep_alive = false;
    }

    /// Whether the head is complete: the status can no longer be changed.
    pub fn has_begun(&self) -> bool {
        self.framing != Framing::Unset
    }

    /// Whether a write stopped half way.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// A head that nobody has seen yet is none.
    pub fn take_back(&mut self) {
        if self.sent_bytes == 0 {
            self.framing = Framing::Unset;
        }
    }

    /// Completes the head: a body of `length` bytes, or one of unknown length.
    pub fn begin(&mut self, length: Option<u64>) {
        self.framing = match (length, self.version) {
            (Some(_), _) => Framing::Length,
            (None, Version::Http11) => Framing::Chunked,
            (None, Version::Http10) => Framing::Close,
        };
        self.keep_alive &= self.framing != Framing::Close;
        match length {
            Some(n) => HeadWriter::new(&mut self.head).content_length(n),
            None if self.framing == Framing::Chunked => HeadWriter::new(&mut self.head).chunked(),
            None => {}
        }
        match (self.keep_alive, self.version) {
            (false, _) => self.field("connection", b"close"),
            (true, Version::Http10) => self.field("connection", b"keep-alive"),
            (true, Version::Http11) => {}
        }
        self.head.extend_from_slice(b"\r\n");
    }

    /// Completes the head of an answer that has no body by rule (RFC 9110 §6.4.1): to HEAD, 204, 304. `length` is what
    /// the upstream said of the body that it would have sent.
    pub fn begin_without_body(&mut self, length: Option<&[u8]>) {
        self.without_body = true;
        self.framing = Framing::Length;
        if let Some(length) = length {
            self.field("content-length", length);
        }
        if !self.keep_alive {
            self.field("connection", b"close");
        }
        self.head.extend_from_slice(b"\r\n");
    }

    /// Sends body bytes, with the head before the first of them; at most four pieces. Whether the client had to be waited
    /// for.
    pub async fn send(&mut self, client: &mut Client, pieces: &[&[u8]]) -> Result<bool, Gone> {
        self.write(client, pieces, false).await
    }

    /// Sends the last bytes of the body and its end, or keeps them until [`Reply::release`].
    pub async fn end(&mut self, client: &mut Client, pieces: &[&[u8]]) -> Result<(), Gone> {
        self.write(client, pieces, true).await.map(drop)
    }

    /// From now on the end of the answer is kept.
    pub fn hold(&mut self) {
        self.end = End::Due;
    }

    /// Whether an end is kept, be it only that of the connection.
    pub fn is_holding(&self) -> bool {
        matches!(self.end, End::Kept(_))
    }

    /// The last byte of the body is the end that is kept, as the connection tells no other: it may be sent only once it
    /// is known for the last.
    pub fn keeps_last_byte(&self) -> bool {
        self.end != End::Sent && self.framing == Framing::Close
    }

    /// Sends the end that was kept.
    pub async fn release(&mut self, client: &mut Client) -> Result<(), Gone> {
        let End::Kept(held) = std::mem::replace(&mut self.end, End::Sent) else { return Ok(()) };
        let written = write_all(client, &[&held], self.stall_ms).await;
        self.is_torn = written.is_err();
        written.map(drop)
    }

    /// What becomes of the connection after this answer.
    pub fn next(&self) -> Next {
        if self.keep_alive { Next::Keep } else { Next::Linger }
    }

    async fn write(&mut self, client: &mut Client, pieces: &[&[u8]], last: bool) -> Result<bool, Gone> {
        let tail: &[u8] = if last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
        let length: usize = pieces.iter().map(|p| p.len()).sum();
        let mut digits = [0; 18];
        let mut slices: [&[u8]; 8] = [b""; 8];
        let mut used = 0;
        let mut push = |slice| {
            slices[used] = slice;
            used += usize::from(!slice.is_empty());
        };
        push(&self.head);
        if !self.without_body {
            let chunked = self.framing == Framing::Chunked;
            if chunked && length > 0 {
                push(chunk_prefix(length, &mut digits));
            }
            pieces.iter().for_each(|piece| push(piece));
            if chunked {
                push(if length > 0 { tail } else { &tail[2..] });
            }
        }
        client.answered = true;
        self.sent_bytes += slices[..used].iter().map(|s| s.len() as u64).sum::<u64>();
        if last && self.end != End::Sent {
            self.end = End::Kept(slices[..used].concat());
            self.give_head();
            return Ok(false);
        }
        let written = write_all(client, &slices[..used], self.stall_ms).await;
        self.is_torn = written.is_err();
        self.give_head();
        written
    }

    /// What the head was built in goes back: a stream does not hold it.
    fn give_head(&mut self) {
        if self.head.capacity() > 0 {
            self.buffers.give(std::mem::take(&mut self.head));
        }
    }

    /// `100 Continue`.
    pub async fn go_ahead(client: &mut Client) -> Result<(), Gone> {
        write_all(client, &[CONTINUE], STALL_MS).await.map(drop)
    }

    /// The answer of a request whose task panicked, of which nothing else is known any more.
    pub async fn internal_error(client: &mut Client) {
        let error = Error::new(Code::Internal, "The gateway failed on this request; its log says why.");
        let body = error_body(Dialect::OpenAi, &error, "");
        let mut reply = Self::to(&RequestHead::default(), client.is_head_request, client.conn.buffers().clone());
        reply.close();
        reply.status(error.code.status());
        reply.field("content-type", b"application/json");
        reply.field("x-penstock-error", error.code.name().as_bytes());
        reply.begin(Some(body.len() as u64));
        let _ = reply.end(client, &[&body]).await;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.give_head();
    }
}

/// Writes everything, unless the client leaves or takes nothing for `stall_ms`; whether it had to be waited for.
async fn write_all(client: &mut Client, slices: &[&[u8]], stall_ms: u64) -> Result<bool, Gone> {
    let mut out = Output::new(slices);
    let mut left = usize::MAX;
    poll_fn(|cx| {
        match client.conn.poll_write(cx, &mut out) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(left < usize::MAX)),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone)),
            Poll::Pending => {}
        }
        if out.remaining() < left {
            left = out.remaining();
            client.timer.set(stall_ms);
        }
        if client.poll_cut(cx) || client.conn.poll_departed(cx).is_ready() || client.timer.poll(cx).is_ready() {
            return Poll::Ready(Err(Gone));
        }
        Poll::Pending
    })
    .await
}
