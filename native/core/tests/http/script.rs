//! A stream that plays a script: bytes in given pieces, waits, an end; and keeps what was written.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use penstock_core::http::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a read meets next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    /// One read finds nothing.
    Wait,
    Fail(io::ErrorKind),
    /// Every further read finds the end.
    End,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub steps: VecDeque<Step>,
    pub written: Vec<u8>,
    /// What one write takes at most; every second write finds no room. 0: no bound.
    pub write_room: usize,
    pub reads: usize,
    pub writes: usize,
    /// Claims to be readable although nothing is there.
    pub overpromises: bool,
    write_waits: bool,
}

/// Clones share the state, so that a test can look on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(pub(crate) Rc<RefCell<State>>);

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Self::default();
        script.0.borrow_mut().steps.extend(steps);
        script
    }

    /// `bytes` cut into pieces of the given sizes, over and over, a wait before each, then the end.
    pub(crate) fn chopped(bytes: &[u8], sizes: &[usize]) -> Self {
        let mut steps = Vec::new();
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        while !rest.is_empty() {
            let n = sizes.next().map_or(rest.len(), |n| (*n).clamp(1, rest.len()));
            steps.extend([Step::Wait, Step::Bytes(rest[..n].to_vec())]);
            rest = &rest[n..];
        }
        steps.push(Step::End);
        Self::new(steps)
    }

    pub(crate) fn push(&self, step: Step) {
        self.0.borrow_mut().steps.push_back(step);
    }

    pub(crate) fn written(&self) -> Vec<u8> {
        self.0.borrow().written.clone()
    }

    pub(crate) fn reads(&self) -> usize {
        self.0.borrow().reads
    }
}

impl Stream for Script {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        match state.steps.front() {
            _ if state.overpromises => Poll::Ready(Ok(())),
            None => Poll::Pending,
            Some(Step::Wait) => {
                state.steps.pop_front();
                Poll::Pending
            }
            Some(_) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        state.reads += 1;
        match state.steps.pop_front() {
            None | Some(Step::Wait) => Poll::Pending,
            Some(Step::Bytes(mut bytes)) => {
                let n = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..n]);
                bytes.drain(..n);
                if !bytes.is_empty() {
                    state.steps.push_front(Step::Bytes(bytes));
                }
                Poll::Ready(Ok(()))
            }
            Some(Step::Fail(kind)) => Poll::Ready(Err(kind.into())),
            Some(Step::End) => {
                state.steps.push_front(Step::End);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        state.writes += 1;
        if state.write_room == 0 {
            state.written.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        state.write_waits = !state.write_waits;
        if state.write_waits {
            return Poll::Pending;
        }
        let n = bytes.len().min(state.write_room);
        state.written.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.poll_write(cx, &all.concat())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One poll.
pub(crate) fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls until ready; a script that runs dry is a test's mistake and fails it.
pub(crate) fn drive<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    for _ in 0..1_000_000 {
        if let Poll::Ready(done) = once(&mut poll) {
            return done;
        }
    }
    panic!("still pending after a million polls");
}
