//! Many requests on two workers that keep, drop, leave and hit closing servers at random: the bound holds, nothing leaks.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use penstock_core::{
    http::{Buffers, HeadLimits, ResponseHead},
    upstream::{Host, Lease, NetworkOptions, Pool},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
    task::{JoinSet, LocalSet, yield_now},
    time::timeout,
};

use crate::support::{AMPLE_MS, Rig, listen, origin, soon, until};

const BOUND: usize = 5;
const TASKS: usize = 12;

/// Requests per task; `ROUNDS` makes the storm longer.
fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60)
}

#[tokio::test]
async fn a_storm_of_requests_stays_within_the_bound_and_leaves_nothing_behind() {
    let options = NetworkOptions { max_connections: BOUND, idle_max: 3, ..NetworkOptions::default() };
    let (rig, listener) = (Rig::new(options), listen().await);
    let host = rig.host(&origin(&listener));
    let in_hand = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..2)
        .map(|seed| {
            let (network, host, in_hand) = (Arc::clone(&rig.network), Arc::clone(&host), Arc::clone(&in_hand));
            let (ended, end) = oneshot::channel();
            let worker = thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                let pool = Pool::new(network, Buffers::new(4));
                runtime.block_on(LocalSet::new().run_until(work(pool, host, in_hand, seed)));
                let _ = ended.send(());
            });
            (worker, end)
        })
        .collect();
    let ends = async {
        for (worker, end) in workers {
            let _ = end.await;
            worker.join().unwrap();
        }
    };
    tokio::select! {
        () = ends => {}
        () = serve(&listener) => {}
    }
    until(|| host.stats().open == 0).await;
    let stats = host.stats();
    assert_eq!((stats.in_use, stats.idle, stats.dialling, stats.queued), (0, 0, 0, 0));
    assert!(stats.dialled > 0);
}

async fn work(pool: Rc<Pool>, host: Arc<Host>, in_hand: Arc<AtomicUsize>, seed: u64) {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (pool, host, in_hand) = (Rc::clone(&pool), Arc::clone(&host), Arc::clone(&in_hand));
        let mut random = fastrand::Rng::with_seed(seed * 1000 + task as u64);
        tasks.spawn_local(async move {
            for _ in 0..rounds() {
                request(&pool, &host, &in_hand, &mut random).await;
            }
        });
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
    pool.sweep();
    pool.close_idle();
    assert_eq!(pool.idle(), 0);
}

async fn request(pool: &Rc<Pool>, host: &Arc<Host>, in_hand: &AtomicUsize, random: &mut fastrand::Rng) {
    let connecting = pool.connect(host, random.u8(..8) == 0, AMPLE_MS);
    // Some leave at once, some after a short while, most stay.
    let patience = match random.u8(..8) {
        0 => Duration::ZERO,
        1 => Duration::from_micros(random.u64(..300)),
        _ => Duration::from_secs(20),
    };
    let Ok(lease) = timeout(patience, connecting).await else { return };
    let mut lease = lease.unwrap();
    assert!(in_hand.fetch_add(1, Ordering::SeqCst) < BOUND, "more connections in use than allowed");
    if random.bool() {
        yield_now().await;
    }
    let whole = random.u8(..8) > 0 && exchange(&mut lease).await.is_some();
    in_hand.fetch_sub(1, Ordering::SeqCst);
    if whole {
        lease.keep();
    }
}

/// `None` when the server closed instead of answering.
async fn exchange(lease: &mut Lease) -> Option<()> {
    lease.write(&[b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"]).await.ok()?;
    let mut head = ResponseHead::default();
    lease.response_head(&mut head, &HeadLimits::default(), false).await.ok()?;
    while lease.body().await.ok()? {}
    assert_eq!(lease.payload(), b"ok");
    lease.finish_message();
    Some(())
}

async fn serve(listener: &TcpListener) {
    let mut connections = JoinSet::new();
    LocalSet::new()
        .run_until(async {
            for number in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                connections.spawn_local(answer(tcp, number));
            }
        })
        .await;
}

/// Answers a few requests, then closes: at rest, or in the middle of the next request.
async fn answer(mut tcp: TcpStream, number: usize) {
    let mut request = [0; 64];
    for _ in 0..number % 7 {
        match tcp.read(&mut request).await {
            Ok(1..) => {}
            _ => return,
        }
        if tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
    if number.is_multiple_of(2) {
        let _ = tcp.read(&mut request).await;
    }
}
