//! What goes out: vectored writes that can be resumed, heads, chunk prefixes.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// The last chunk with no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Up to so many bytes in several parts are put together before they are written.
const JOINED: usize = 2048;

/// How many slices go to the kernel at once.
const BATCH: usize = 16;

thread_local! {
    /// Where they are put together: at most [`JOINED`] bytes.
    static TOGETHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Slices on their way out and how far they got.
#[derive(Debug)]
pub struct Output<'a> {
    parts: &'a [&'a [u8]],
    /// Sent of the first part.
    sent: usize,
    /// Not yet sent of all.
    left: usize,
}

impl<'a> Output<'a> {
    pub fn new(parts: &'a [&'a [u8]]) -> Self {
        let left = parts.iter().map(|part| part.len()).sum();
        let mut output = Self { parts, sent: 0, left };
        output.advance(0);
        output
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes not yet sent.
    pub fn remaining(&self) -> usize {
        self.left
    }

    fn advance(&mut self, n: usize) {
        self.left -= n;
        if self.left == 0 {
            (self.parts, self.sent) = (&[], 0);
            return;
        }
        self.sent += n;
        while let [first, rest @ ..] = self.parts {
            if self.sent < first.len() {
                break;
            }
            self.sent -= first.len();
            self.parts = rest;
        }
    }

    /// One write of all that is left, put together: what is small costs less to copy than the kernel takes to gather it.
    fn poll_joined<W: AsyncWrite + Unpin>(&self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        TOGETHER.with_borrow_mut(|together| {
            together.clear();
            let mut skipped = self.sent;
            for part in self.parts {
                together.extend_from_slice(&part[skipped..]);
                skipped = 0;
            }
            Pin::new(io).poll_write(cx, together)
        })
    }

    /// Writes until all is handed over.
    pub(super) fn poll_into<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let [first, rest @ ..] = self.parts {
            let first = &first[self.sent..];
            let n = if rest.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, first))?
            } else if self.remaining() <= JOINED {
                ready!(self.poll_joined(io, cx))?
            } else {
                let mut slices = [IoSlice::new(&[]); BATCH];
                slices[0] = IoSlice::new(first);
                for (slice, part) in slices[1..].iter_mut().zip(rest) {
                    *slice = IoSlice::new(part);
                }
                let count = self.parts.len().min(BATCH);
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

/// A field that would not be one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line break or NUL inside a field")]
pub struct BrokenLine;

/// Writes a head line by line.
#[derive(Debug)]
pub struct HeadWriter<'a>(&'a mut Vec<u8>);

impl<'a> HeadWriter<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// `HTTP/1.1 status reason`; a code without a known reason gets none.
    pub fn status_line(&mut self, status: u16) {
        self.0.extend_from_slice(b"HTTP/1.1 ");
        self.decimal(u64::from(status));
        self.0.push(b' ');
        self.0.extend_from_slice(reason(status).as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    /// One field. A name or value with CR, LF or NUL is refused and nothing is written.
    pub fn field(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), BrokenLine> {
        if !name.bytes().all(super::chars::is_token) {
            return Err(BrokenLine);
        }
        self.parts(name, &[value.as_ref()])
    }

    /// One field of a name that is known to be a token; its value comes in parts. Refused as by [`HeadWriter::field`].
    pub fn parts(&mut self, name: &str, values: &[&[u8]]) -> Result<(), BrokenLine> {
        debug_assert!(name.bytes().all(super::chars::is_token), "a name that is no token");
        if values.iter().any(|value| memchr::memchr3(b'\r', b'\n', 0, value).is_some()) {
            return Err(BrokenLine);
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        values.iter().for_each(|value| self.0.extend_from_slice(value));
        self.0.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Whole lines known when compiled, as `"name: value\r\n"`.
    pub fn lines(&mut self, lines: &'static str) {
        debug_assert!(lines.is_empty() || lines.ends_with("\r\n"), "a line must end");
        self.0.extend_from_slice(lines.as_bytes());
    }

    /// A field whose value is a number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.decimal(value);
        self.0.extend_from_slice(b"\r\n");
    }

    pub fn content_length(&mut self, length: u64) {
        self.number("content-length", length);
    }

    pub fn chunked(&mut self) {
        self.lines("transfer-encoding: chunked\r\n");
    }

    /// The empty line.
    pub fn finish(self) {
        self.0.extend_from_slice(b"\r\n");
    }

    fn decimal(&mut self, value: u64) {
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

/// The size line of a chunk of `len` bytes; the payload and CR LF follow. `len` must not be 0: that ends the body.
pub fn chunk_prefix(len: usize, out: &mut [u8; 18]) -> &[u8] {
    let mut at = 16;
    let mut left = len;
    loop {
        at -= 1;
        out[at] = b"0123456789abcdef"[left & 15];
        left >>= 4;
        if left == 0 {
            break;
        }
    }
    out[16] = b'\r';
    out[17] = b'\n';
    &out[at..]
}

/// The reason phrase of a status code; empty where there is no registered one.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        529 => "Overloaded",
        _ => "",
    }
}
