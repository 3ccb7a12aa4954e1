//! The in-use bound: shared by workers, served in turn, bounded in length and time.

use std::{
    sync::{Arc, Mutex, mpsc},
    task::{Context, Waker},
    thread,
    time::Duration,
};

use penstock_core::{
    error::Code,
    http::Buffers,
    upstream::{Host, NetworkOptions, Pool},
};
use tokio::runtime::Builder;

use crate::support::{AMPLE_MS, Rig, listen, origin, soon, until};

fn bounded(max_connections: usize) -> NetworkOptions {
    NetworkOptions { max_connections, ..NetworkOptions::default() }
}

#[tokio::test]
async fn waiters_of_all_workers_are_served_in_the_order_they_came() {
    let (rig, listener) = (Rig::new(bounded(1)), listen().await);
    let host = rig.host(&origin(&listener));
    let (held, _peer) = rig.pair(&host, &listener).await;
    let order = Arc::new(Mutex::new(Vec::new()));

    // Two workers, each with its own runtime and pool; requests arrive on them by turns.
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (orders, requests) = tokio::sync::mpsc::unbounded_channel::<usize>();
            let (network, host, order) = (Arc::clone(&rig.network), Arc::clone(&host), Arc::clone(&order));
            let worker = thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(tokio::task::LocalSet::new().run_until(serve(
                    Pool::new(network, Buffers::new(1)),
                    host,
                    order,
                    requests,
                )));
            });
            (orders, worker)
        })
        .collect();
    for number in 0..8 {
        workers[number % 2].0.send(number).unwrap();
        until(|| host.stats().queued == number + 1).await;
    }
    drop(held);
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        for (orders, worker) in workers {
            drop(orders);
            worker.join().unwrap();
        }
        ended.send(()).unwrap();
    });
    until(|| end.try_recv().is_ok()).await;
    assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
}

async fn serve(
    pool: std::rc::Rc<Pool>,
    host: Arc<Host>,
    order: Arc<Mutex<Vec<usize>>>,
    mut requests: tokio::sync::mpsc::UnboundedReceiver<usize>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(number) = requests.recv().await {
        let (pool, host, order) = (std::rc::Rc::clone(&pool), Arc::clone(&host), Arc::clone(&order));
        tasks.spawn_local(async move {
            let lease = pool.connect(&host, false, AMPLE_MS).await.unwrap();
            order.lock().unwrap().push(number);
            drop(lease);
        });
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
}

#[tokio::test]
async fn nobody_overtakes_a_waiter_to_whom_a_permit_has_been_given() {
    let (rig, listener) = (Rig::new(bounded(1)), listen().await);
    let host = rig.host(&origin(&listener));
    let (held, _peer) = rig.pair(&host, &listener).await;
    let mut first = Box::pin(rig.pool.connect(&host, false, AMPLE_MS));
    let mut noop = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut noop).is_pending());
    held.keep();
    let mut newcomer = Box::pin(rig.pool.connect(&host, false, AMPLE_MS));
    assert!(newcomer.as_mut().poll(&mut noop).is_pending(), "the newcomer took the waiter's turn");
    let lease = soon(first).await.unwrap();
    assert!(lease.reused() && !lease.came_at_once(), "the connection left behind was not used, in its turn");
    assert!(newcomer.as_mut().poll(&mut noop).is_pending());
    drop(lease);
    soon(newcomer).await.unwrap();
}

#[tokio::test]
async fn a_full_queue_is_overloaded_at_once() {
    let options = NetworkOptions { queue_max: 2, ..bounded(1) };
    let (rig, listener) = (Rig::new(options), listen().await);
    let host = rig.host(&origin(&listener));
    let _held = rig.pair(&host, &listener).await;
    let mut noop = Context::from_waker(Waker::noop());
    let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(rig.pool.connect(&host, false, AMPLE_MS))).collect();
    for waiter in &mut waiting {
        assert!(waiter.as_mut().poll(&mut noop).is_pending());
    }
    let failure = soon(rig.fail(&host, AMPLE_MS)).await;
    assert_eq!(failure.code, Code::Overloaded);
    assert!(failure.cause.contains("queue before it is full"), "{failure}");
    assert!(!host.failed_recently(), "a crowd is not a failure to connect");
    waiting.pop();
    let mut next = Box::pin(rig.pool.connect(&host, false, AMPLE_MS));
    assert!(next.as_mut().poll(&mut noop).is_pending(), "the place given up was not free again");
}

#[tokio::test(start_paused = true)]
async fn waiting_too_long_is_overloaded() {
    let options = NetworkOptions { queue_wait: Duration::from_secs(3), ..bounded(1) };
    let (rig, listener) = (Rig::new(options), listen().await);
    let host = rig.host(&origin(&listener));
    let _held = rig.pair(&host, &listener).await;
    let before = tokio::time::Instant::now();
    let failure = rig.fail(&host, AMPLE_MS).await;
    assert_eq!(failure.code, Code::Overloaded);
    assert_eq!(before.elapsed().as_secs(), 3);
    assert_eq!(host.stats().queued, 0);
}

#[tokio::test]
async fn a_raised_bound_lets_a_waiter_in_and_a_lowered_one_lets_those_in_use_finish() {
    let (rig, listener) = (Rig::new(bounded(1)), listen().await);
    let host = rig.host(&origin(&listener));
    let first = rig.pair(&host, &listener).await;
    let mut waiting = Box::pin(rig.pool.connect(&host, false, AMPLE_MS));
    let mut noop = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut noop).is_pending());
    host.set_max_connections(3);
    let second = soon(waiting).await.unwrap();
    let third = soon(rig.pool.connect(&host, true, AMPLE_MS)).await.unwrap();
    assert_eq!(host.stats().in_use, 3);

    host.set_max_connections(1);
    assert_eq!(host.stats().in_use, 3, "lowering the bound took a permit away");
    drop(first);
    drop(second);
    assert_eq!(host.stats().in_use, 1);
    let mut waiting = Box::pin(rig.pool.connect(&host, false, AMPLE_MS));
    assert!(waiting.as_mut().poll(&mut noop).is_pending(), "the lowered bound did not hold");
    drop(third);
    soon(waiting).await.unwrap();
    assert_eq!(host.stats().in_use, 0);
}
