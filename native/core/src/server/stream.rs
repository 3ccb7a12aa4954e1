//! The byte streams that listeners hand out, as one type.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::http::{socket, stream::Stream};

macro_rules! each {
    ($self:expr, $s:ident => $do:expr) => {
        match $self {
            ClientStream::Tcp($s) => $do,
            ClientStream::Unix($s) => $do,
        }
    };
}

/// A client's connection.
pub enum ClientStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection on its way to a worker.
pub enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Registers the connection with the current runtime.
    pub fn open(self) -> io::Result<ClientStream> {
        Ok(match self {
            Self::Tcp(s) => ClientStream::Tcp(TcpStream::from_std(s)?),
            Self::Unix(s) => ClientStream::Unix(UnixStream::from_std(s)?),
        })
    }
}

impl ClientStream {
    /// Has the kernel answer with a reset when the connection closes, where a clean end would look like a whole answer.
    pub fn reset_when_closed(&self) {
        if let Self::Tcp(s) = self {
            let _ = SockRef::from(s).set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether the peer has closed its side or is gone, whatever bytes of it are still unread.
    pub fn has_left(&self) -> bool {
        let fd = each!(self, s => s.as_fd());
        let departures = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::from_borrowed_fd(fd, departures)];
        poll(&mut fds, Some(&Timespec::default())).is_ok() && fds[0].revents().intersects(departures)
    }

    /// Takes the connection out of the current runtime, so that another can have it.
    pub fn close_over(self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(s) => Accepted::Tcp(s.into_std()?),
            Self::Unix(s) => Accepted::Unix(s.into_std()?),
        })
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), s => socket::poll_read(s, cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), s => socket::poll_write(s, cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), s => Pin::new(s).poll_shutdown(cx))
    }
}

impl Stream for ClientStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_read_ready(cx))
    }
}
