//! Proxies: tunnels, refusals, requests in absolute form, TLS on either leg.

use penstock_core::{
    error::{Code, Failure},
    upstream::{Host, NetworkOptions, Origin, Proxy},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use crate::support::{AMPLE_MS, Authority, Rig, Script, accept_tls, exchange, listen, reactor_turn, read_head, soon};

const SECRET: &str = "Basic dXNlcjpwYXNzd29yZA==";

fn proxied(listener: &TcpListener, tls: bool) -> Origin {
    let address = listener.local_addr().unwrap();
    let authorization = Some(SECRET.to_owned());
    let proxy = Proxy { tls: false, host: address.ip().to_string(), port: address.port(), authorization };
    Origin { tls, host: "provider.test".into(), port: if tls { 443 } else { 80 }, proxy: Some(proxy) }
}

fn with_tls_to_the_proxy(listener: &TcpListener, tls: bool) -> Origin {
    let mut origin = proxied(listener, tls);
    if let Some(proxy) = &mut origin.proxy {
        proxy.tls = true;
        proxy.host = "proxy.test".into();
    }
    origin
}

/// What comes of a tunnel when the proxy answers CONNECT with these bytes and closes.
async fn answered(answer: &[u8]) -> Failure {
    let listener = listen().await;
    let rig = Rig::new(NetworkOptions::default());
    let host = rig.host(&proxied(&listener, true));
    let server = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_head(&mut tcp).await;
        tcp.write_all(answer).await.unwrap();
        tcp.shutdown().await.unwrap();
        tcp
    };
    let (failure, _tcp) = soon(async { tokio::join!(rig.fail(&host, AMPLE_MS), server) }).await;
    assert!(!failure.cause.contains(SECRET), "the secret is in the error");
    assert!(failure.cause.contains(&listener.local_addr().unwrap().to_string()), "{failure}");
    failure
}

#[tokio::test]
async fn an_https_origin_is_reached_through_a_tunnel_and_tls_is_with_the_origin() {
    let (authority, listener) = (Authority::new(), listen().await);
    let resolver = Script::always(&[]);
    let options = NetworkOptions { ca_file: Some(authority.file.path()), resolver, ..NetworkOptions::default() };
    let rig = Rig::new(options);
    let host = rig.host(&proxied(&listener, true));
    let acceptor = authority.server("provider.test");
    let server = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let asked = read_head(&mut tcp).await;
        // A length in the answer to CONNECT means nothing (RFC 9110 §9.3.6).
        tcp.write_all(b"HTTP/1.1 200 Connection established\r\ncontent-length: 7\r\n\r\n").await.unwrap();
        (asked, acceptor.accept(tcp).await.unwrap())
    };
    let (lease, (asked, mut peer)) =
        soon(async { tokio::join!(rig.pool.connect(&host, false, AMPLE_MS), server) }).await;
    assert_eq!(
        asked,
        format!(
            "CONNECT provider.test:443 HTTP/1.1\r\nhost: provider.test:443\r\nproxy-authorization: {SECRET}\r\n\r\n"
        )
    );
    let mut lease = lease.unwrap();
    assert!(!lease.via_proxy());
    assert_eq!((host.request_prefix(), host.proxy_authorization()), ("", None));
    exchange(&mut lease, &mut peer).await;
    lease.keep();
    reactor_turn().await;
    let mut lease = soon(rig.pool.connect(&host, false, AMPLE_MS)).await.unwrap();
    assert!(lease.reused());
    exchange(&mut lease, &mut peer).await;
}

#[tokio::test]
async fn an_http_origin_is_asked_for_in_absolute_form_without_a_tunnel() {
    let listener = listen().await;
    let rig = Rig::new(NetworkOptions { resolver: Script::always(&[]), ..NetworkOptions::default() });
    let host = rig.host(&proxied(&listener, false));
    let (mut lease, mut peer) = rig.pair(&host, &listener).await;
    assert!(lease.via_proxy());
    assert_eq!(host.request_prefix(), "http://provider.test");
    assert_eq!(host.proxy_authorization(), Some(SECRET));
    assert_eq!(host.authority(), "provider.test");
    exchange(&mut lease, &mut peer).await;
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_upstream_connect_and_says_so() {
    let failure = answered(b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n").await;
    assert_eq!(failure.code, Code::UpstreamConnect);
    assert!(failure.cause.contains("407") && failure.cause.contains("user and password"), "{failure}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_upstream_connect_with_its_reason() {
    let failure = answered(b"HTTP/1.1 403 Not for you\r\n\r\nno").await;
    assert_eq!(failure.code, Code::UpstreamConnect);
    assert!(failure.cause.contains("403 Not for you"), "{failure}");
}

#[tokio::test]
async fn a_proxy_that_makes_no_sense_is_upstream_connect() {
    let long = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'a'; 9000]].concat();
    for (answer, reason) in [
        (&b""[..], "closed the connection"),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurprise", "before the tunnel was used"),
        (&long, "too large"),
    ] {
        let failure = answered(answer).await;
        assert_eq!(failure.code, Code::UpstreamConnect);
        assert!(failure.cause.contains(reason), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_proxy_is_upstream_connect_within_the_limit() {
    let listener = listen().await;
    let rig = Rig::new(NetworkOptions::default());
    let host = rig.host(&proxied(&listener, true));
    let start = Instant::now();
    let failure = rig.fail(&host, 900).await;
    assert_eq!(failure.code, Code::UpstreamConnect);
    assert!(failure.cause.contains("tunnel through the proxy"), "{failure}");
    assert!((900..1000).contains(&start.elapsed().as_millis()));
    let (mut tcp, _) = listener.accept().await.unwrap();
    read_head(&mut tcp).await;
    assert_eq!(tcp.read(&mut [0]).await.unwrap(), 0, "the connection to the proxy stayed open");
}

#[tokio::test]
async fn a_proxy_that_is_down_is_upstream_connect() {
    let listener = listen().await;
    let origin = proxied(&listener, true);
    drop(listener);
    let rig = Rig::new(NetworkOptions::default());
    let failure = soon(rig.fail(&rig.host(&origin), AMPLE_MS)).await;
    assert_eq!(failure.code, Code::UpstreamConnect);
}

#[tokio::test]
async fn credentials_that_would_break_the_request_are_not_sent() {
    let listener = listen().await;
    let mut origin = proxied(&listener, true);
    if let Some(proxy) = &mut origin.proxy {
        proxy.authorization = Some("Basic x\r\nx-injected: yes".into());
    }
    let rig = Rig::new(NetworkOptions::default());
    let host = rig.host(&origin);
    let failure = soon(rig.fail(&host, AMPLE_MS)).await;
    assert!(failure.cause.contains("control character") && !failure.cause.contains("injected"), "{failure}");
    let (mut tcp, _) = listener.accept().await.unwrap();
    assert_eq!(tcp.read(&mut [0]).await.unwrap(), 0);
}

async fn tls_proxy(inner: bool) {
    let (authority, listener) = (Authority::new(), listen().await);
    let resolver = Script::always(&[listener.local_addr().unwrap()]);
    let options = NetworkOptions { ca_file: Some(authority.file.path()), resolver, ..NetworkOptions::default() };
    let rig = Rig::new(options);
    let host = rig.host(&with_tls_to_the_proxy(&listener, inner));
    let (outer, origin) = (authority.server("proxy.test"), authority.server("provider.test"));
    let connecting = rig.pool.connect(&host, false, AMPLE_MS);
    if inner {
        let server = async {
            let mut tls = accept_tls(&listener, &outer).await.unwrap();
            read_head(&mut tls).await;
            tls.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tls.flush().await.unwrap();
            origin.accept(tls).await.unwrap()
        };
        let (lease, mut peer) = soon(async { tokio::join!(connecting, server) }).await;
        reuse_twice(&rig, &host, lease.unwrap(), &mut peer).await;
    } else {
        let (lease, peer) = soon(async { tokio::join!(connecting, accept_tls(&listener, &outer)) }).await;
        let lease = lease.unwrap();
        assert!(lease.via_proxy());
        reuse_twice(&rig, &host, lease, &mut peer.unwrap()).await;
    }
}

async fn reuse_twice(
    rig: &Rig,
    host: &std::sync::Arc<Host>,
    mut lease: penstock_core::upstream::Lease,
    peer: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
) {
    for _ in 0..2 {
        exchange(&mut lease, peer).await;
        lease.keep();
        reactor_turn().await;
        lease = soon(rig.pool.connect(host, false, AMPLE_MS)).await.unwrap();
        assert!(lease.reused());
    }
}

#[tokio::test]
async fn tls_to_the_proxy_carries_requests_for_an_http_origin() {
    tls_proxy(false).await;
}

#[tokio::test]
async fn tls_to_the_proxy_carries_tls_to_an_https_origin() {
    tls_proxy(true).await;
}

#[tokio::test]
async fn a_proxy_and_its_secret_part_origins_and_stay_out_of_debug_output() {
    let listener = listen().await;
    let with = proxied(&listener, true);
    let without = Origin { proxy: None, ..with.clone() };
    assert_ne!(with, without);
    let shown = format!("{with:?}");
    assert!(shown.contains("hidden") && !shown.contains(SECRET), "{shown}");
}
