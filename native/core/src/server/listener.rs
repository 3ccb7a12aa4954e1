//! Accepts connections and gives each to the worker that has the least to do.

use std::{io, net::IpAddr, os::fd::OwnedFd, rc::Rc, time::Duration};

use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, TcpKeepalive};
use tokio::net::{TcpListener, UnixListener};

use super::{
    Role,
    stream::Accepted,
    worker::{Order, Worker},
};

/// How long to wait when the process is out of descriptors or the kernel out of memory.
const BACK_OFF: Duration = Duration::from_millis(100);
/// After a connection beyond the bound was closed, the next waits this long in the kernel's queue.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// Connections of the admin port have a bound of their own, so that clients cannot shut administration out.
const MAX_ADMIN_CONNECTIONS: u64 = 256;
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long written bytes may stay unacknowledged before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A listening socket of either family.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Registers a bound, listening descriptor with the current runtime.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            return Ok(Self::Unix(UnixListener::from_std(socket.into())?));
        }
        Ok(Self::Tcp(TcpListener::from_std(socket.into())?))
    }

    async fn next(&self) -> io::Result<(Accepted, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let stream = stream.into_std()?;
                tune(&stream)?;
                Ok((Accepted::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Accepted::Unix(stream.into_std()?), None))
            }
        }
    }
}

fn tune(stream: &std::net::TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Accepts until the task is aborted.
pub async fn accept(listener: Listener, role: Role, worker: Rc<Worker>) {
    let shared = &worker.shared;
    loop {
        match listener.next().await {
            Ok((stream, peer)) => {
                let most = if role == Role::Data { shared.max_connections } else { MAX_ADMIN_CONNECTIONS };
                if shared.metrics.open_connections(role) >= most {
                    worker.metrics().refused();
                    drop(stream);
                    tokio::time::sleep(FULL_PAUSE).await;
                    continue;
                }
                let to = shared.least_loaded();
                let open = shared.metrics.shard(to).connection(role);
                // A worker that is gone takes no more: the connection closes.
                let _ = shared.workers[to].inbox.send(Order::Serve(stream, role, peer, open));
            }
            Err(e) if is_exhaustion(&e) => {
                worker.metrics().refused();
                shared.log.warn("no connection can be accepted for now", &[("error", &e.to_string())]);
                tokio::time::sleep(BACK_OFF).await;
            }
            // The peer was gone before it was accepted: nothing to do for it.
            Err(e) if is_the_peers(&e) => {}
            Err(e) => {
                shared.log.error("a listener fails", &[("error", &e.to_string())]);
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | NotConnected)
}

fn is_exhaustion(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|e| matches!(e, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}
