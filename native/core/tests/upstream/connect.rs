//! Dialling: addresses in turn, one limit for all, failures remembered, options set.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use penstock_core::{
    error::{Code, Retry},
    upstream::{NetworkOptions, Origin, Pool, UpstreamStream},
};
use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};

use crate::support::{AMPLE_MS, Rig, Script, listen, named, origin, soon};

/// An address that takes no connection and refuses none: its queue of unaccepted ones is full.
pub(crate) struct BlackHole {
    _listener: TcpListener,
    _filling: Vec<Pin<Box<dyn Future<Output = std::io::Result<TcpStream>>>>>,
    pub(crate) address: SocketAddr,
}

impl BlackHole {
    pub(crate) fn new(address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address.parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling: Vec<Pin<Box<dyn Future<Output = _>>>> = Vec::new();
        for _ in 0..4 {
            let mut connecting: Pin<Box<dyn Future<Output = _>>> = Box::pin(TcpStream::connect(address));
            let _ = connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            filling.push(connecting);
        }
        Self { _listener: listener, _filling: filling, address }
    }
}

fn resolving_to(addresses: &[SocketAddr]) -> NetworkOptions {
    NetworkOptions { resolver: Script::always(addresses), ..NetworkOptions::default() }
}

/// A listener on the same port of another loopback address.
async fn beside(address: &str, listener: &TcpListener) -> TcpListener {
    TcpListener::bind((address, listener.local_addr().unwrap().port())).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_takes_its_share_of_the_limit_and_is_tried_last_afterwards() {
    let good = listen().await;
    let port = good.local_addr().unwrap().port();
    let hole = BlackHole::new(&format!("127.0.0.2:{port}"));
    let rig = Rig::new(resolving_to(&[hole.address, good.local_addr().unwrap()]));
    let host = rig.host(&named(&good, false));
    let start = Instant::now();
    let first = rig.pool.connect(&host, false, 4000).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2, "half of the limit is the share of each of two");
    assert!(!host.failed_recently(), "a host that was reached counts as failed");
    let start = Instant::now();
    let second = rig.pool.connect(&host, false, 4000).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "the black hole was tried first again");
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_for_all_addresses_together() {
    let hole = BlackHole::new("127.0.0.1:0");
    let port = hole.address.port();
    let others: Vec<_> = (2..8).map(|n| BlackHole::new(&format!("127.0.0.{n}:{port}"))).collect();
    let mut addresses = vec![hole.address];
    addresses.extend(others.iter().map(|hole| hole.address));
    let rig = Rig::new(resolving_to(&addresses));
    let host = rig.host(&Origin { tls: false, host: "provider.test".into(), port, proxy: None });
    let start = Instant::now();
    let failure = rig.fail(&host, 1200).await;
    assert_eq!(failure.code, Code::UpstreamConnect);
    assert_eq!(failure.retry, Retry::Yes);
    assert!((1200..1300).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert!(failure.cause.contains("no answer within 500 ms"), "{failure}");
}

#[tokio::test]
async fn a_refusal_names_every_address_and_is_remembered_for_ten_seconds() {
    let gone = listen().await;
    let port = gone.local_addr().unwrap().port();
    let addresses = ["127.0.0.1", "127.0.0.2"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
    let rig = Rig::new(resolving_to(&addresses));
    let host = rig.host(&named(&gone, false));
    drop(gone);
    let failure = soon(rig.fail(&host, AMPLE_MS)).await;
    assert_eq!(failure.code, Code::UpstreamConnect);
    for address in addresses {
        assert!(failure.cause.contains(&address.to_string()), "{failure}");
    }
    assert!(failure.cause.contains("refused"), "{failure}");
    assert!(host.failed_recently());
    rig.pass(Duration::from_millis(9_999));
    assert!(host.failed_recently());
    rig.pass(Duration::from_millis(1));
    assert!(!host.failed_recently());
}

#[tokio::test]
async fn a_success_clears_the_memory_of_a_failure() {
    let gone = listen().await;
    let address = gone.local_addr().unwrap();
    let rig = Rig::new(NetworkOptions::default());
    let host = rig.host(&origin(&gone));
    drop(gone);
    soon(rig.fail(&host, AMPLE_MS)).await;
    assert!(host.failed_recently());
    let back = TcpListener::bind(address).await.unwrap();
    rig.pair(&host, &back).await;
    assert!(!host.failed_recently());
    assert_eq!((host.stats().failed, host.stats().dialled), (1, 1));
}

#[tokio::test]
async fn the_address_that_worked_is_tried_first_also_after_a_refresh() {
    let good = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let port = good.local_addr().unwrap().port();
    let addresses = [1, 2, 3].map(|n| SocketAddr::new([127, 0, 0, n].into(), port));
    let script = Script::always(&addresses);
    let rig = Rig::new(NetworkOptions {
        resolver: Arc::clone(&script) as Arc<dyn penstock_core::upstream::Resolve>,
        ..NetworkOptions::default()
    });
    let host = rig.host(&named(&good, false));
    rig.pair(&host, &good).await;
    rig.pass(Duration::from_secs(31));
    rig.pool.sweep();
    crate::support::until(|| host.stats().resolving == 0).await;
    assert_eq!(script.asked(), 2);
    let other = beside("127.0.0.1", &good).await;
    rig.pair(&host, &good).await;
    drop(other);
}

#[tokio::test]
async fn addresses_of_the_sixth_version_work_with_and_without_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    let rig = Rig::new(NetworkOptions::default());
    for host in ["::1", "[::1]"] {
        let host = rig.host(&Origin { tls: false, host: host.into(), port, proxy: None });
        assert_eq!(host.authority(), format!("[::1]:{port}"));
        rig.pair(&host, &listener).await;
    }
}

#[tokio::test]
async fn a_connection_sends_at_once_and_notices_a_dead_peer() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (lease, _peer) = rig.pair(&host, &listener).await;
    let UpstreamStream::Tcp(io) = lease.io() else { panic!("not plain") };
    assert!(sockopt::tcp_nodelay(io).unwrap());
    assert!(sockopt::socket_keepalive(io).unwrap());
    assert_eq!(sockopt::tcp_user_timeout(io).unwrap(), 60_000);
}

#[test]
fn the_shared_half_may_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<penstock_core::upstream::Network>();
    crosses::<penstock_core::upstream::Host>();
    let _ = Pool::new;
}
