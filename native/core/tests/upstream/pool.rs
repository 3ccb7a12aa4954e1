//! Reuse: what is kept, what is noticed before it is used again, what is closed.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use penstock_core::upstream::{Lease, NetworkOptions};
use tokio::io::AsyncWriteExt;

use crate::support::{AMPLE_MS, Rig, closed, exchange, listen, local, origin, reactor_turn, soon, until};

#[tokio::test]
async fn a_kept_connection_is_used_again_at_once_and_the_newest_first() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (mut first, mut first_peer) = rig.pair(&host, &listener).await;
    let (mut second, mut second_peer) = rig.pair(&host, &listener).await;
    exchange(&mut first, &mut first_peer).await;
    exchange(&mut second, &mut second_peer).await;
    let newest = local(&first);
    second.keep();
    first.keep();
    assert_eq!(host.stats().idle, 2);
    assert_eq!(rig.buffers.lent(), 0, "an idle connection holds a buffer");

    let connecting = pin!(rig.pool.connect(&host, false, AMPLE_MS));
    let std::task::Poll::Ready(Ok(lease)) = connecting.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("an idle connection was not given at once");
    };
    assert!(lease.reused() && lease.came_at_once());
    assert_eq!(local(&lease), newest);
    assert_eq!((host.stats().idle, host.stats().in_use, host.stats().dialled), (1, 1, 2));
}

#[tokio::test]
async fn a_reused_connection_carries_the_next_exchange() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (mut lease, mut peer) = rig.pair(&host, &listener).await;
    for _ in 0..3 {
        exchange(&mut lease, &mut peer).await;
        lease.keep();
        lease = soon(rig.pool.connect(&host, false, AMPLE_MS)).await.unwrap();
        assert!(lease.reused());
    }
    assert_eq!(host.stats().dialled, 1);
}

#[tokio::test]
async fn a_fresh_connection_is_made_when_asked_for_although_one_is_idle() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    rig.pair(&host, &listener).await.0.keep();
    let lease = soon(rig.pool.connect(&host, true, AMPLE_MS)).await.unwrap();
    assert!(!lease.reused());
    assert_eq!((host.stats().open, host.stats().idle), (2, 1));
}

#[tokio::test]
async fn a_dropped_lease_closes_its_connection() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (lease, mut peer) = rig.pair(&host, &listener).await;
    drop(lease);
    closed(&mut peer).await;
    assert_eq!((host.stats().open, host.stats().in_use), (0, 0));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used_again() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (lease, peer) = rig.pair(&host, &listener).await;
    lease.keep();
    drop(peer);
    reactor_turn().await;
    rig.pair(&host, &listener).await;
    assert_eq!(host.stats().dialled, 2);
}

#[tokio::test]
async fn a_connection_on_which_something_unasked_came_is_not_used_again() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (lease, mut peer) = rig.pair(&host, &listener).await;
    lease.keep();
    peer.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
    reactor_turn().await;
    rig.pair(&host, &listener).await;
}

#[tokio::test]
async fn a_sweep_drops_what_the_server_closed_without_any_request() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (gone, gone_peer) = rig.pair(&host, &listener).await;
    let (stays, _stays_peer) = rig.pair(&host, &listener).await;
    gone.keep();
    stays.keep();
    drop(gone_peer);
    until(|| {
        rig.pool.sweep();
        rig.pool.idle() == 1
    })
    .await;
    assert_eq!(host.stats().open, 1);
}

#[tokio::test]
async fn an_expired_connection_is_neither_used_nor_kept() {
    let options = NetworkOptions { idle_expiry: Duration::from_secs(30), ..NetworkOptions::default() };
    let (rig, listener) = (Rig::new(options), listen().await);
    let host = rig.host(&origin(&listener));
    let (first, _first_peer) = rig.pair(&host, &listener).await;
    first.keep();
    rig.pass(Duration::from_secs(29));
    rig.pool.sweep();
    assert_eq!(rig.pool.idle(), 1, "closed too early");
    rig.pass(Duration::from_secs(1));
    rig.pool.sweep();
    let (second, _second_peer) = rig.pair(&host, &listener).await;
    assert_eq!(host.stats().open, 1);
    second.keep();
    rig.pass(Duration::from_secs(30));
    rig.pool.sweep();
    assert_eq!((rig.pool.idle(), host.stats().open), (0, 0));
}

#[tokio::test]
async fn the_oldest_idle_connection_goes_when_there_are_too_many() {
    let options = NetworkOptions { idle_max: 2, ..NetworkOptions::default() };
    let (rig, listener) = (Rig::new(options), listen().await);
    let host = rig.host(&origin(&listener));
    let (first, mut oldest) = rig.pair(&host, &listener).await;
    let (second, _second_peer) = rig.pair(&host, &listener).await;
    let (third, _third_peer) = rig.pair(&host, &listener).await;
    for lease in [first, second, third] {
        lease.keep();
    }
    closed(&mut oldest).await;
    assert_eq!((rig.pool.idle(), host.stats().open), (2, 2));
}

#[tokio::test]
async fn nothing_is_kept_for_a_host_that_no_snapshot_names_any_more() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let origin = origin(&listener);
    let host = rig.host(&origin);
    let (idle, _idle_peer) = rig.pair(&host, &listener).await;
    let (in_use, mut peer) = rig.pair(&host, &listener).await;
    idle.keep();
    rig.network.retain([]);
    rig.pool.sweep();
    assert_eq!(rig.pool.idle(), 0);
    let mut in_use = in_use;
    exchange(&mut in_use, &mut peer).await;
    in_use.keep();
    assert_eq!((rig.pool.idle(), host.stats().open), (0, 0));
    assert!(!std::sync::Arc::ptr_eq(&host, &rig.host(&origin)), "a forgotten host came back");
}

#[tokio::test]
async fn a_host_named_again_keeps_its_connections_across_reloads() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let origin = origin(&listener);
    let host = rig.host(&origin);
    let (lease, _peer) = rig.pair(&host, &listener).await;
    lease.keep();
    rig.network.retain([&origin.clone()]);
    let again = soon(rig.pool.connect(&rig.host(&origin.clone()), false, AMPLE_MS)).await.unwrap();
    assert!(again.reused());
}

#[tokio::test]
async fn a_connection_with_bytes_beyond_its_answer_is_closed() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (mut lease, mut peer) = rig.pair(&host, &listener).await;
    let twice = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n";
    peer.write_all(twice).await.unwrap();
    reactor_turn().await;
    exchange(&mut lease, &mut peer).await;
    lease.keep();
    assert_eq!(rig.pool.idle(), 0);
}

#[tokio::test]
async fn an_answer_not_read_to_its_end_leaves_nothing_to_keep() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (mut lease, mut peer) = rig.pair(&host, &listener).await;
    peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok").await.unwrap();
    let mut head = penstock_core::http::ResponseHead::default();
    soon(lease.response_head(&mut head, &penstock_core::http::HeadLimits::default(), false)).await.unwrap();
    lease.finish_message();
    lease.keep();
    assert_eq!((rig.pool.idle(), host.stats().open), (0, 0));
}

#[tokio::test]
async fn closing_the_idle_ones_leaves_those_in_use_alone() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    let (idle, mut idle_peer) = rig.pair(&host, &listener).await;
    let (mut used, mut used_peer) = rig.pair(&host, &listener).await;
    idle.keep();
    rig.pool.close_idle();
    closed(&mut idle_peer).await;
    exchange(&mut used, &mut used_peer).await;
    assert_eq!(host.stats().open, 1);
}

#[tokio::test]
async fn a_lease_and_the_wait_for_one_are_small() {
    let (rig, listener) = (Rig::new(NetworkOptions::default()), listen().await);
    let host = rig.host(&origin(&listener));
    assert!(size_of::<Lease>() <= 32, "{}", size_of::<Lease>());
    let connecting = rig.pool.connect(&host, false, AMPLE_MS);
    assert!(size_of_val(&connecting) <= 128, "{}", size_of_val(&connecting));
}
