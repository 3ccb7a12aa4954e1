//! Addresses: looked up once, refreshed beside the requests, kept when a look-up fails.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use penstock_core::{
    error::Code,
    upstream::{Host, NetworkOptions, Resolve, SystemResolver},
};
use tokio::net::TcpListener;

use crate::support::{AMPLE_MS, Rig, Script, listen, named, origin, soon, until};

fn using(resolver: &Arc<Script>) -> NetworkOptions {
    NetworkOptions { resolver: Arc::clone(resolver) as Arc<dyn Resolve>, ..NetworkOptions::default() }
}

fn at(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

async fn settled(host: &Host) {
    until(|| host.stats().resolving == 0).await;
}

#[tokio::test]
async fn a_name_is_looked_up_when_its_host_is_registered() {
    let listener = listen().await;
    let script = Script::always(&[at(&listener)]);
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    settled(&host).await;
    assert_eq!(script.asked(), 1);
    rig.pair(&host, &listener).await;
    rig.pair(&host, &listener).await;
    assert_eq!(script.asked(), 1);
}

#[test]
fn a_host_registered_outside_a_runtime_is_looked_up_by_the_next_sweep() {
    let script = Script::always(&["127.0.0.1:1".parse().unwrap()]);
    let rig = Rig::new(using(&script));
    let origin = penstock_core::upstream::Origin { tls: false, host: "provider.test".into(), port: 1, proxy: None };
    let host = rig.host(&origin);
    assert_eq!(script.asked(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        rig.pool.sweep();
        settled(&host).await;
    });
    assert_eq!(script.asked(), 1);
}

#[tokio::test]
async fn an_address_needs_no_look_up() {
    let listener = listen().await;
    let script = Script::always(&[]);
    let rig = Rig::new(using(&script));
    let host = rig.host(&origin(&listener));
    rig.pair(&host, &listener).await;
    rig.pass(Duration::from_secs(3600));
    rig.pool.sweep();
    rig.pair(&host, &listener).await;
    assert_eq!(script.asked(), 0);
}

#[tokio::test]
async fn the_first_users_wait_for_one_look_up_together() {
    let listener = listen().await;
    let address = at(&listener);
    let (go, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let script = Script::new(move |_| {
        gate.lock().unwrap().recv().unwrap();
        Ok(vec![address])
    });
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    let connect = || rig.pool.connect(&host, false, AMPLE_MS);
    let answer = async {
        until(|| host.stats().dialling == 3).await;
        go.send(()).unwrap();
    };
    let (one, two, three, ()) = soon(async { tokio::join!(connect(), connect(), connect(), answer) }).await;
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(script.asked(), 1);
}

#[tokio::test]
async fn a_used_name_is_refreshed_in_the_background_and_the_new_address_taken() {
    let (old, new) = (listen().await, TcpListener::bind("127.0.0.2:0").await.unwrap());
    let addresses = [at(&old), at(&new)];
    let script = Script::new(move |call| Ok(vec![addresses[call.min(1)]]));
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&old, false));
    rig.pair(&host, &old).await;
    rig.pass(Duration::from_secs(29));
    rig.pool.sweep();
    assert_eq!((script.asked(), host.stats().resolving), (1, 0), "refreshed too early");
    rig.pass(Duration::from_secs(2));
    rig.pool.sweep();
    settled(&host).await;
    assert_eq!(script.asked(), 2);
    rig.pair(&host, &new).await;
}

#[tokio::test]
async fn a_failure_to_connect_has_the_name_looked_up_again_at_once() {
    let (old, new) = (listen().await, TcpListener::bind("127.0.0.2:0").await.unwrap());
    let addresses = [at(&old), at(&new)];
    let script = Script::new(move |call| Ok(vec![addresses[call.min(1)]]));
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&old, false));
    settled(&host).await;
    drop(old);
    rig.pass(Duration::from_secs(2));
    soon(rig.fail(&host, AMPLE_MS)).await;
    settled(&host).await;
    rig.pair(&host, &new).await;
    assert_eq!(script.asked(), 2);
}

#[tokio::test]
async fn an_unused_name_is_left_alone() {
    let listener = listen().await;
    let script = Script::always(&[at(&listener)]);
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    settled(&host).await;
    for _ in 0..5 {
        rig.pass(Duration::from_secs(60));
        rig.pool.sweep();
        settled(&host).await;
    }
    assert_eq!(script.asked(), 1);
}

#[tokio::test]
async fn an_idle_connection_in_use_keeps_its_name_fresh() {
    let listener = listen().await;
    let script = Script::always(&[at(&listener)]);
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    let (lease, _peer) = rig.pair(&host, &listener).await;
    lease.keep();
    rig.pass(Duration::from_secs(31));
    rig.pool.sweep();
    settled(&host).await;
    soon(rig.pool.connect(&host, false, AMPLE_MS)).await.unwrap().keep();
    rig.pass(Duration::from_secs(31));
    rig.pool.sweep();
    settled(&host).await;
    assert_eq!(script.asked(), 3);
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_last_good_answer() {
    let listener = listen().await;
    let address = at(&listener);
    let script = Script::new(move |call| match call {
        0 => Ok(vec![address]),
        1 => Ok(Vec::new()),
        _ => Err(io::Error::other("the name server is away")),
    });
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    // The last step is longer than any answer stays trusted without a new look-up.
    for (call, seconds) in [(1, 0), (2, 31), (3, 31), (4, 1000)] {
        rig.pass(Duration::from_secs(seconds));
        rig.pool.sweep();
        rig.pair(&host, &listener).await;
        settled(&host).await;
        assert_eq!(script.asked(), call);
    }
    assert!(!host.failed_recently());
}

#[tokio::test]
async fn a_name_without_addresses_is_upstream_dns_with_the_reason_and_asked_again() {
    let listener = listen().await;
    let address = at(&listener);
    let known = Arc::new(AtomicBool::new(false));
    let script = Script::new({
        let known = Arc::clone(&known);
        move |_| {
            if known.load(Ordering::SeqCst) {
                Ok(vec![address])
            } else {
                Err(io::Error::other("Name or service not known"))
            }
        }
    });
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    let failure = soon(rig.fail(&host, AMPLE_MS)).await;
    assert_eq!(failure.code, Code::UpstreamDns);
    assert_eq!(failure.cause, "provider.test: Name or service not known");
    assert!(host.failed_recently());
    known.store(true, Ordering::SeqCst);
    rig.pair(&host, &listener).await;
    assert!(!host.failed_recently());
}

#[tokio::test]
async fn a_look_up_that_takes_too_long_is_upstream_dns_and_its_late_answer_serves_the_next() {
    let listener = listen().await;
    let address = at(&listener);
    let (go, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let script = Script::new(move |_| {
        gate.lock().unwrap().recv().unwrap();
        Ok(vec![address])
    });
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    let failure = soon(rig.fail(&host, 20)).await;
    assert_eq!(failure.code, Code::UpstreamDns);
    assert!(failure.cause.contains("20 ms"), "{failure}");
    go.send(()).unwrap();
    rig.pair(&host, &listener).await;
    assert_eq!(script.asked(), 1);
}

#[tokio::test]
async fn a_resolver_that_panics_fails_its_users_and_is_asked_again() {
    let listener = listen().await;
    let address = at(&listener);
    let calm = Arc::new(AtomicBool::new(false));
    let script = Script::new({
        let calm = Arc::clone(&calm);
        move |_| {
            assert!(calm.load(Ordering::SeqCst), "a deliberate panic");
            Ok(vec![address])
        }
    });
    let rig = Rig::new(using(&script));
    let host = rig.host(&named(&listener, false));
    assert_eq!(soon(rig.fail(&host, AMPLE_MS)).await.code, Code::UpstreamDns);
    calm.store(true, Ordering::SeqCst);
    rig.pair(&host, &listener).await;
}

#[test]
fn the_system_knows_localhost() {
    let found = SystemResolver.resolve("localhost", 7).unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7) && !found.is_empty());
}
