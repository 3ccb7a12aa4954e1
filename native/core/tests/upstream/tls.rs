//! TLS towards providers: whom we trust, what a failure says, sessions taken up again.

use std::time::Duration;

use penstock_core::{
    error::{Code, Retry},
    upstream::{Lease, Network, NetworkOptions, Origin},
};
use rcgen::date_time_ymd;
use rustls::{HandshakeKind, SupportedProtocolVersion, version};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::{
    AMPLE_MS, Authority, Rig, TempFile, accept_tls, exchange, knows, listen, named, origin, reactor_turn, soon,
};

async fn connected(
    rig: &Rig,
    origin: &Origin,
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
) -> (Lease, TlsStream<TcpStream>) {
    let host = rig.host(origin);
    let (lease, peer) =
        soon(async { tokio::join!(rig.pool.connect(&host, false, AMPLE_MS), accept_tls(listener, acceptor)) }).await;
    (lease.unwrap(), peer.unwrap())
}

async fn refused(rig: &Rig, origin: &Origin, listener: &TcpListener, acceptor: &TlsAcceptor) -> String {
    let host = rig.host(origin);
    let (failure, _) = soon(async { tokio::join!(rig.fail(&host, AMPLE_MS), accept_tls(listener, acceptor)) }).await;
    assert_eq!((failure.code, failure.retry), (Code::UpstreamTls, Retry::Yes), "{failure}");
    assert!(host.failed_recently());
    failure.cause
}

#[tokio::test]
async fn a_server_of_the_configured_authority_is_trusted_and_http_1_1_agreed() {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let acceptor = authority.server("provider.test");
    let (mut lease, mut peer) = connected(&rig, &named(&listener, true), &listener, &acceptor).await;
    assert_eq!(peer.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(peer.get_ref().1.server_name(), Some("provider.test"));
    exchange(&mut lease, &mut peer).await;
    lease.keep();
    let host = rig.host(&named(&listener, true));
    let mut lease = soon(rig.pool.connect(&host, false, AMPLE_MS)).await.unwrap();
    assert!(lease.reused());
    exchange(&mut lease, &mut peer).await;
}

#[tokio::test]
async fn a_certificate_for_an_address_is_good_for_that_address() {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let origin = Origin { tls: true, ..origin(&listener) };
    connected(&rig, &origin, &listener, &authority.server("127.0.0.1")).await;
}

#[tokio::test]
async fn a_certificate_for_another_host_is_upstream_tls() {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let acceptor = authority.server("elsewhere.test");
    let cause = refused(&rig, &named(&listener, true), &listener, &acceptor).await;
    assert!(cause.contains("not valid for name") && cause.contains("provider.test"), "{cause}");
}

#[tokio::test]
async fn an_unknown_authority_is_upstream_tls_and_names_the_setting() {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(knows(&listener));
    let acceptor = authority.server("provider.test");
    let cause = refused(&rig, &named(&listener, true), &listener, &acceptor).await;
    assert!(cause.contains("UnknownIssuer") && cause.contains("tls.ca_file"), "{cause}");
}

#[tokio::test]
async fn an_expired_certificate_is_upstream_tls() {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let acceptor = authority.server_with("provider.test", rustls::ALL_VERSIONS, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let cause = refused(&rig, &named(&listener, true), &listener, &acceptor).await;
    assert!(cause.contains("expired"), "{cause}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_upstream_tls() {
    let listener = listen().await;
    let rig = Rig::new(knows(&listener));
    let host = rig.host(&named(&listener, true));
    let server = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        tcp
    };
    let (failure, _tcp) = soon(async { tokio::join!(rig.fail(&host, AMPLE_MS), server) }).await;
    assert_eq!(failure.code, Code::UpstreamTls, "{failure}");
}

#[tokio::test]
async fn a_server_that_leaves_during_the_handshake_is_upstream_tls() {
    let listener = listen().await;
    let rig = Rig::new(knows(&listener));
    let host = rig.host(&named(&listener, true));
    let server = async { drop(listener.accept().await.unwrap()) };
    let (failure, ()) = soon(async { tokio::join!(rig.fail(&host, AMPLE_MS), server) }).await;
    assert_eq!(failure.code, Code::UpstreamTls, "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_takes_too_long_is_upstream_connect() {
    let listener = listen().await;
    let rig = Rig::new(knows(&listener));
    let host = rig.host(&named(&listener, true));
    let start = Instant::now();
    let failure = rig.fail(&host, 700).await;
    assert_eq!(failure.code, Code::UpstreamConnect);
    assert!(failure.cause.contains("TLS handshake with provider.test"), "{failure}");
    assert!((700..800).contains(&start.elapsed().as_millis()));
}

async fn second_handshake(version: &'static SupportedProtocolVersion) {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let acceptor = authority.server_with("provider.test", &[version], |_| {});
    let origin = named(&listener, true);
    let (mut lease, mut peer) = connected(&rig, &origin, &listener, &acceptor).await;
    assert_eq!(peer.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    exchange(&mut lease, &mut peer).await;
    drop(lease);
    let (_lease, peer) = connected(&rig, &origin, &listener, &acceptor).await;
    assert_eq!(peer.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(rig.network.stats().resumed, 1);
}

#[tokio::test]
async fn the_second_handshake_takes_up_the_session_of_the_first_in_tls_1_3() {
    second_handshake(&version::TLS13).await;
}

#[tokio::test]
async fn the_second_handshake_takes_up_the_session_of_the_first_in_tls_1_2() {
    second_handshake(&version::TLS12).await;
}

#[tokio::test]
async fn session_tickets_that_come_late_do_not_cost_an_idle_connection_its_life() {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let acceptor = authority.server_with("provider.test", &[&version::TLS13], |_| {});
    let origin = named(&listener, true);
    let (lease, mut peer) = connected(&rig, &origin, &listener, &acceptor).await;
    // Nothing was read since the handshake, so the tickets are still on their way.
    lease.keep();
    reactor_turn().await;
    rig.pool.sweep();
    assert_eq!(rig.pool.idle(), 1);
    let mut lease = soon(rig.pool.connect(&rig.host(&origin), false, AMPLE_MS)).await.unwrap();
    assert!(lease.reused());
    exchange(&mut lease, &mut peer).await;
}

#[tokio::test]
async fn a_farewell_on_an_idle_connection_is_noticed() {
    let (authority, listener) = (Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let acceptor = authority.server("provider.test");
    let origin = named(&listener, true);
    let (mut lease, mut peer) = connected(&rig, &origin, &listener, &acceptor).await;
    exchange(&mut lease, &mut peer).await;
    lease.keep();
    peer.shutdown().await.unwrap();
    reactor_turn().await;
    let (lease, _peer) = connected(&rig, &origin, &listener, &acceptor).await;
    assert!(!lease.reused());
}

#[tokio::test]
async fn a_connection_made_under_an_older_trust_is_not_used_again() {
    let (authority, other, listener) = (Authority::new(), Authority::new(), listen().await);
    let rig = Rig::new(authority.trusted(&listener));
    let acceptor = authority.server("provider.test");
    let origin = named(&listener, true);
    let (mut lease, mut peer) = connected(&rig, &origin, &listener, &acceptor).await;
    exchange(&mut lease, &mut peer).await;
    lease.keep();
    rig.network.set_ca_file(Some(&authority.file.path())).unwrap();
    assert!(soon(rig.pool.connect(&rig.host(&origin), false, AMPLE_MS)).await.is_ok_and(|lease| {
        let reused = lease.reused();
        lease.keep();
        reused
    }));
    rig.network.set_ca_file(Some(&other.file.path())).unwrap();
    let cause = refused(&rig, &origin, &listener, &acceptor).await;
    assert!(cause.contains("UnknownIssuer"), "{cause}");
    connected(&rig, &origin, &listener, &other.server("provider.test")).await;
}

#[test]
fn a_bad_ca_file_is_refused_with_its_name_and_the_reason() {
    let authority = Authority::new();
    assert_eq!(Network::check_tls(None), Ok(()));
    assert_eq!(Network::check_tls(Some(&authority.file.path())), Ok(()));
    let garbage = TempFile::new("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let empty = TempFile::new("# nothing here\n");
    let missing = "/nonexistent/ca.pem".to_owned();
    for (path, reason) in
        [(missing, "cannot read"), (empty.path(), "holds no certificate"), (garbage.path(), "certificate 1 is not")]
    {
        let error = Network::check_tls(Some(&path)).unwrap_err();
        assert!(error.contains(reason) && error.contains(&path), "{error}");
        let network = Network::new(NetworkOptions::default(), penstock_core::clock::Clock::System);
        assert_eq!(network.set_ca_file(Some(&path)), Err(error));
    }
}

#[tokio::test]
async fn a_ca_file_that_went_bad_is_upstream_tls_with_the_reason() {
    let listener = listen().await;
    let options = NetworkOptions { ca_file: Some("/nonexistent/ca.pem".into()), ..knows(&listener) };
    let rig = Rig::new(options);
    let failure = soon(rig.fail(&rig.host(&named(&listener, true)), AMPLE_MS)).await;
    assert_eq!(failure.code, Code::UpstreamTls);
    assert!(failure.cause.contains("/nonexistent/ca.pem"), "{failure}");
    rig.pass(Duration::from_secs(1));
}
