//! A message taken out of its connection, so that the connection can be watched while the message is worked on.

use std::{
    mem,
    ops::Range,
    task::{Context, Poll, ready},
};

use super::{
    super::{
        body::{BodyDecoder, BodyLimits},
        buffer::{BUFFER_BYTES, Loan},
        head::Framing,
        stream::Stream,
    },
    Conn,
};

/// One message, or the beginning of one, with the buffer that holds it.
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

    /// Whether it takes little more memory than it has bytes, and those are few.
    pub fn is_small(&self) -> bool {
        self.loan.is_small()
    }

    /// The buffer itself, for another thread, and where the payload stands in it; the worker gets it back no more.
    pub fn into_bytes(mut self) -> (Vec<u8>, Range<usize>) {
        (self.loan.part(), self.payload.clone())
    }
}

impl<S: Stream> Conn<S> {
    /// The current message, taken out whole; what came beyond it stays. Call it once the body is done.
    pub fn take_message(&mut self) -> Message {
        let message = self.split_message();
        self.body = BodyDecoder::new(Framing::Empty, &BodyLimits::default());
        self.interim = 0;
        self.scanned = 0;
        message
    }

    /// The head and the payload so far, taken out; the rest of the body can still be read.
    pub fn split_message(&mut self) -> Message {
        let mut loan = self.loan.emptied();
        if self.has_more() {
            loan.open();
            loan.bytes.extend_from_slice(&self.loan.bytes[self.raw..]);
        }
        let (head, payload) = (self.begin..self.head, self.start..self.end);
        let mut message = Message { loan: mem::replace(&mut self.loan, loan), head, payload };
        message.loan.bytes.truncate(self.raw);
        // It waits for the model as long as that thinks: a small one does not keep a large buffer from others.
        message.loan.shrink();
        (self.begin, self.head, self.start, self.end, self.raw) = (0, 0, 0, 0, 0);
        message
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
}
