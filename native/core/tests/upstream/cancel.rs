//! Dropping the wait for a connection, anywhere: nothing stays behind and the next in the queue is served.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use penstock_core::upstream::{Host, NetworkOptions, Origin, Proxy};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    connect::BlackHole,
    support::{AMPLE_MS, Authority, Rig, Script, accept_tls, listen, named, origin, soon, until},
};

fn one_at_a_time(options: NetworkOptions) -> Rig {
    Rig::new(NetworkOptions { max_connections: 1, ..options })
}

/// Begins to connect, drops that when `reached` holds, and expects every count at zero.
async fn dropped_when(rig: &Rig, host: &Arc<Host>, mut reached: impl FnMut() -> bool) {
    {
        let mut connecting = pin!(rig.pool.connect(host, false, AMPLE_MS));
        soon(poll_fn(|cx| {
            assert!(connecting.as_mut().poll(cx).is_pending(), "it went too far");
            cx.waker().wake_by_ref();
            if reached() { Poll::Ready(()) } else { Poll::Pending }
        }))
        .await;
        assert_eq!(host.stats().in_use, 1);
    }
    let stats = host.stats();
    assert_eq!((stats.open, stats.in_use, stats.dialling, stats.queued), (0, 0, 0, 0));
    assert!(!host.failed_recently(), "leaving is not a failure");
}

#[tokio::test]
async fn while_the_name_is_looked_up() {
    let listener = listen().await;
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let address = listener.local_addr().unwrap();
    let resolver = Script::new(move |_| {
        let _ = gate.lock().unwrap().recv();
        Ok(vec![address])
    });
    let rig = one_at_a_time(NetworkOptions { resolver, ..NetworkOptions::default() });
    let host = rig.host(&named(&listener, false));
    dropped_when(&rig, &host, || host.stats().dialling == 1).await;
    drop(go);
    until(|| host.stats().resolving == 0).await;
    rig.pair(&host, &listener).await;
}

#[tokio::test]
async fn while_the_address_does_not_answer() {
    let hole = BlackHole::new("127.0.0.1:0");
    let rig = one_at_a_time(NetworkOptions::default());
    let address = hole.address;
    let host = rig.host(&Origin { tls: false, host: address.ip().to_string(), port: address.port(), proxy: None });
    dropped_when(&rig, &host, || host.stats().dialling == 1).await;
}

#[tokio::test]
async fn while_the_proxy_thinks_or_tls_is_negotiated() {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let proxy = Proxy { tls: false, host: address.ip().to_string(), port: address.port(), authorization: None };
    for proxy in [None, Some(proxy)] {
        let rig = one_at_a_time(crate::support::knows(&listener));
        let host = rig.host(&Origin { proxy, ..named(&listener, true) });
        let mut accepted = None;
        let mut accepting = Box::pin(listener.accept());
        dropped_when(&rig, &host, || {
            if accepted.is_none()
                && let Poll::Ready(peer) =
                    accepting.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            {
                accepted = Some(peer.unwrap().0);
            }
            accepted.is_some()
        })
        .await;
        crate::support::closed(&mut accepted.unwrap()).await;
    }
}

#[tokio::test]
async fn while_waiting_in_the_queue() {
    let listener = listen().await;
    let rig = one_at_a_time(NetworkOptions::default());
    let host = rig.host(&origin(&listener));
    let (held, _peer) = rig.pair(&host, &listener).await;
    let mut leaves = Box::pin(rig.pool.connect(&host, false, AMPLE_MS));
    let mut stays = Box::pin(rig.pool.connect(&host, false, AMPLE_MS));
    let mut noop = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(leaves.as_mut().poll(&mut noop).is_pending());
    assert!(stays.as_mut().poll(&mut noop).is_pending());
    assert_eq!(host.stats().queued, 2);
    // The permit is handed to the first, who leaves without having looked at it.
    drop(held);
    drop(leaves);
    soon(stays).await.unwrap();
    assert_eq!((host.stats().queued, host.stats().in_use), (0, 0));
}

#[tokio::test]
async fn after_any_number_of_steps() {
    let authority = Authority::new();
    let acceptor = authority.server("provider.test");
    for steps in 0.. {
        let listener = listen().await;
        let rig = one_at_a_time(authority.trusted(&listener));
        let host = rig.host(&named(&listener, true));
        let finished = stepped(&rig, &host, &listener, &acceptor, steps).await;
        until(|| host.stats().resolving == 0).await;
        let stats = host.stats();
        assert_eq!((stats.open, stats.in_use, stats.dialling, stats.queued), (0, 0, 0, 0), "after {steps} steps");
        if finished {
            assert!(steps > 1, "connecting took {steps} steps only");
            return;
        }
    }
}

/// Polls at most so many times; whether a connection was made by then.
async fn stepped(
    rig: &Rig,
    host: &Arc<Host>,
    listener: &TcpListener,
    acceptor: &tokio_rustls::TlsAcceptor,
    steps: usize,
) -> bool {
    let mut left = steps;
    let mut connecting = Box::pin(rig.pool.connect(host, false, AMPLE_MS));
    let client = poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        connecting.as_mut().poll(cx).map(|lease| {
            drop(lease.unwrap());
            true
        })
    });
    let server = async {
        if let Ok(mut stream) = accept_tls(listener, acceptor).await {
            let _ = stream.flush().await;
        }
        std::future::pending::<()>().await;
    };
    soon(async {
        tokio::select! {
            finished = client => finished,
            () = server => false,
        }
    })
    .await
}
