//! Making one connection: name, address, TCP, tunnel, TLS, all within one limit.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::{
    io::Errno,
    net::sockopt::{set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};
use tokio_rustls::client::TlsStream;

use super::{
    host::Host,
    origin::{Origin, Proxy, host_port},
    proxy::tunnel,
    stream::UpstreamStream,
    tls,
};
use crate::error::{Code, Failure, Retry};

/// Silence after which the kernel asks whether the peer is still there, and how often it asks.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long sent data may stay unacknowledged before the connection counts as broken.
const USER_TIMEOUT_MS: u32 = 60_000;
/// At most so many addresses of one name are tried for one connection.
const ADDRESSES_MAX: usize = 8;
/// An address gets at least this long, if there is so much left: a distant peer needs it.
const SHARE_MIN: Duration = Duration::from_millis(500);
/// Stands for no limit.
const LONG: Duration = Duration::from_secs(86_400);

/// A new connection, ready for a request.
pub(super) struct Dialled {
    pub(super) stream: UpstreamStream,
    pub(super) resumed: bool,
}

/// When the whole attempt has to be over.
#[derive(Clone, Copy)]
struct Limit {
    ms: u64,
    at: Instant,
}

impl Limit {
    fn new(ms: u64) -> Self {
        let span = if ms == 0 { LONG } else { Duration::from_millis(ms).min(LONG) };
        Self { ms, at: Instant::now() + span }
    }

    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    async fn hold<T>(self, code: Code, what: &str, step: impl Future<Output = T>) -> Result<T, Failure> {
        timeout_at(self.at, step).await.map_err(|_| {
            Failure::new(code, Retry::Yes, format!("{what} was not done within {} ms (timeouts.connect)", self.ms))
        })
    }
}

/// Connects to the host; `limit_ms` is for all of it, 0 for none.
pub(super) async fn dial(host: &Arc<Host>, limit_ms: u64) -> Result<Dialled, Failure> {
    let _counted = host.dialling();
    let limit = Limit::new(limit_ms);
    let result = async {
        let (tcp, address) = reach(host, limit).await?;
        let dialled = dress(host, tcp, limit).await;
        match &dialled {
            Ok(_) => host.names.prefer(address),
            Err(_) => host.names.demote(address),
        }
        dialled
    }
    .await;
    if let Err(failure) = &result {
        host.note(failure);
    }
    result
}

/// A TCP connection to the first address that answers.
async fn reach(host: &Host, limit: Limit) -> Result<(TcpStream, SocketAddr), Failure> {
    let (name, port) = host.origin().peer();
    let looking_up = limit.hold(Code::UpstreamDns, "looking up the name", host.names.addresses());
    let addresses =
        looking_up.await.and_then(|found| found.map_err(|why| Failure::new(Code::UpstreamDns, Retry::Yes, why)));
    let addresses = addresses.map_err(|failure| Failure { cause: format!("{name}: {}", failure.cause), ..failure })?;

    let mut problems = Vec::new();
    let count = addresses.len().min(ADDRESSES_MAX);
    for (tried, &address) in addresses.iter().take(count).enumerate() {
        let left = limit.left();
        let rest = u32::try_from(count - tried).unwrap_or(u32::MAX);
        let share = (left / rest).max(SHARE_MIN).min(left);
        if share.is_zero() {
            break;
        }
        let error = match timeout_at(Instant::now() + share, tcp(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) if is_ours(&error) => {
                let cause = format!("no file descriptor is left for a connection to {name}: {error}");
                return Err(Failure::new(Code::Overloaded, Retry::No, cause));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", share.as_millis()),
        };
        host.names.demote(address);
        problems.push(format!("{address}: {error}"));
    }
    host.names.doubt();
    let cause = format!("cannot connect to {}: {}", host_port(name, port), problems.join("; "));
    Err(Failure::new(Code::UpstreamConnect, Retry::Yes, cause))
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
    set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
    set_tcp_user_timeout(&socket, USER_TIMEOUT_MS)?;
    let stream = socket.connect(address).await?;
    // A port of this machine on which nobody listens can be chosen as the source port as well: TCP then connects
    // the socket to itself (RFC 9293 §3.5, simultaneous open).
    if address.ip().is_loopback() && stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Puts on top of TCP what the origin needs: a tunnel, TLS, both, or TLS inside TLS.
async fn dress(host: &Host, mut tcp: TcpStream, limit: Limit) -> Result<Dialled, Failure> {
    let origin = host.origin();
    match &origin.proxy {
        Some(proxy) if proxy.tls => {
            let mut outer = Box::new(secure(host, &proxy.host, tcp, limit).await?);
            if !origin.tls {
                return Ok(Dialled { resumed: tls::resumed(&outer), stream: UpstreamStream::Tls(outer) });
            }
            through(proxy, origin, &mut outer, limit).await?;
            let inner = Box::new(secure(host, &origin.host, outer, limit).await?);
            return Ok(Dialled { resumed: tls::resumed(&inner), stream: UpstreamStream::Nested(inner) });
        }
        Some(proxy) if origin.tls => through(proxy, origin, &mut tcp, limit).await?,
        _ => {}
    }
    if !origin.tls {
        return Ok(Dialled { resumed: false, stream: UpstreamStream::Tcp(tcp) });
    }
    let stream = Box::new(secure(host, &origin.host, tcp, limit).await?);
    Ok(Dialled { resumed: tls::resumed(&stream), stream: UpstreamStream::Tls(stream) })
}

async fn secure<S>(host: &Host, name: &str, io: S, limit: Limit) -> Result<TlsStream<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let what = format!("the TLS handshake with {name}");
    limit.hold(Code::UpstreamConnect, &what, host.tls.handshake(name, io)).await?
}

async fn through<S>(proxy: &Proxy, origin: &Origin, io: &mut S, limit: Limit) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let who = host_port(&proxy.host, proxy.port);
    let what = format!("the tunnel through the proxy {who}");
    let target = host_port(&origin.host, origin.port);
    let asked = tunnel(io, &target, proxy.authorization.as_deref());
    limit.hold(Code::UpstreamConnect, &what, asked).await?.map_err(|why| {
        Failure::new(Code::UpstreamConnect, Retry::Yes, format!("no tunnel to {target} through the proxy {who}: {why}"))
    })
}

fn is_ours(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
}
