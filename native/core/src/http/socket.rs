//! Reads and writes of sockets by the system call alone. libc puts two atomic exchanges around each, so that a thread may be
//! cancelled in it, which none of ours ever is.

use std::{
    io::{self, ErrorKind::WouldBlock},
    os::fd::AsFd,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::{
    io::{Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// What a runtime knows of a socket.
pub trait Socket: AsFd {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// `WouldBlock` of what is tried, or before it is: the socket is not ready until the system says so again.
    fn try_io<R>(&self, interest: Interest, tried: impl FnOnce() -> io::Result<R>) -> io::Result<R>;
}

macro_rules! socket {
    ($kind:ty) => {
        impl Socket for $kind {
            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }

            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            fn try_io<R>(&self, interest: Interest, tried: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
                self.try_io(interest, tried)
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);

/// As `AsyncRead::poll_read`.
pub fn poll_read(socket: &impl Socket, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        let (room, mut read) = (buf.remaining(), None);
        let tried = socket.try_io(Interest::READABLE, || {
            // SAFETY: nothing is written there but by the system call, which uninitializes nothing.
            let (_, count) = recv(socket, unsafe { buf.unfilled_mut() }, RecvFlags::empty())?;
            read = Some(count);
            // There was no more: to find that out would take another call.
            if (1..room).contains(&count) { Err(WouldBlock.into()) } else { Ok(()) }
        });
        match (read, tried) {
            (Some(count), _) => {
                // SAFETY: the system call has written so many bytes.
                unsafe { buf.assume_init(count) };
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
            (None, Err(error)) if error.kind() == WouldBlock => {}
            (None, tried) => return Poll::Ready(tried),
        }
    }
}

/// As `AsyncWrite::poll_write`. Tries first, as there is nearly always room: what that finds out costs less than to ask for a
/// turn.
pub fn poll_write(socket: &impl Socket, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        match socket.try_io(Interest::WRITABLE, || Ok(send(socket, buf, SendFlags::NOSIGNAL)?)) {
            Err(error) if error.kind() == WouldBlock => ready!(socket.poll_write_ready(cx))?,
            tried => return Poll::Ready(tried),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::net::UnixStream as Peer, task::Waker, time::Duration};

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn pair() -> (UnixStream, Peer) {
        let (ours, peer) = Peer::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (UnixStream::from_std(ours).unwrap(), peer)
    }

    async fn read(socket: &UnixStream, room: usize) -> Vec<u8> {
        let mut bytes = vec![0; room];
        let mut buf = ReadBuf::new(&mut bytes);
        let read = std::future::poll_fn(|cx| poll_read(socket, cx, &mut buf));
        timeout(PATIENCE, read).await.expect("it was woken").unwrap();
        buf.filled().to_vec()
    }

    #[tokio::test]
    async fn what_comes_is_read_in_pieces_of_the_room_and_then_the_end() {
        let (socket, mut peer) = pair();
        peer.write_all(b"abcdefg").unwrap();
        assert_eq!(read(&socket, 3).await, b"abc");
        assert_eq!(read(&socket, 3).await, b"def", "the room was full: there may be more, and no event tells of it");
        assert_eq!(read(&socket, 3).await, b"g");
        let mut bytes = [0; 3];
        let none = poll_read(&socket, &mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut bytes));
        assert!(none.is_pending());
        let (more, ()) = tokio::join!(read(&socket, 3), async { peer.write_all(b"hi").unwrap() });
        assert_eq!(more, b"hi", "less than the room came before: an event tells of more");
        drop(peer);
        assert_eq!(read(&socket, 3).await, b"");
        assert_eq!(read(&socket, 3).await, b"");
    }

    #[tokio::test]
    async fn the_end_is_read_where_it_came_with_the_last_bytes() {
        let (socket, mut peer) = pair();
        peer.write_all(b"ab").unwrap();
        drop(peer);
        assert_eq!(read(&socket, 3).await, b"ab");
        assert_eq!(read(&socket, 3).await, b"");
    }

    #[tokio::test]
    async fn a_writer_waits_for_room_and_is_told_that_nobody_reads() {
        let (socket, peer) = pair();
        let all = vec![7; 8 << 20];
        let write = async {
            let mut written = 0;
            while written < all.len() {
                written += std::future::poll_fn(|cx| poll_write(&socket, cx, &all[written..])).await.unwrap();
            }
            written
        };
        let reads = std::thread::spawn(move || {
            let mut peer = peer;
            std::io::copy(&mut std::io::Read::take(&mut peer, 8 << 20), &mut std::io::sink()).unwrap()
        });
        assert_eq!(timeout(PATIENCE, write).await.expect("it was woken"), all.len());
        assert_eq!(reads.join().unwrap(), all.len() as u64);
        let refused = std::future::poll_fn(|cx| poll_write(&socket, cx, b"more")).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
