//! What the codec asks of a byte stream: read, write, and whether a read may find something.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

/// A byte stream with the one question `AsyncRead` lacks.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Ready when a read may find something (bytes, end or error); consumes nothing; false positives allowed.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Stream for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

impl Stream for UnixStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (io, session) = self.get_ref();
        // The session wants no bytes while it holds decrypted ones, or once the peer said goodbye.
        if session.wants_read() { io.poll_readable(cx) } else { Poll::Ready(Ok(())) }
    }
}

impl<S: Stream> Stream for Box<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_readable(cx)
    }
}
