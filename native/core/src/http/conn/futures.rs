//! The polls of a connection as futures.

use std::{future::poll_fn, io};

use super::{
    super::{
        head::{HeadLimits, RequestHead, ResponseHead},
        stream::Stream,
        write::Output,
    },
    Conn, ReadError,
};

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
