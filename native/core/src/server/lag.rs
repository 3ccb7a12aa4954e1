//! How long the Python loop takes to answer: a question without content, once a second.

use std::{rc::Rc, sync::Arc, time::Duration};

use super::{
    shared::Shared,
    worker::{Order, Worker},
};
use crate::questions::Kind;

const PERIOD: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(10);

/// Has the first worker measure.
pub fn watch(shared: &Arc<Shared>) {
    let _ = shared.workers[0].inbox.send(Order::WatchLag);
}

/// Asks for ever.
pub async fn measure(worker: Rc<Worker>) {
    let mut every = tokio::time::interval(PERIOD);
    loop {
        every.tick().await;
        let asked_us = worker.clock().boot_us();
        let _ = worker.shared.questions.ask(Kind::Noop, Vec::new(), DEADLINE).await;
        worker.shared.metrics.python_lagged(worker.clock().boot_us() - asked_us);
    }
}
