//! How long the Python loop takes to answer: a question without content, once a second.

use std::{rc::Rc, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;

use super::{
    shared::Shared,
    worker::{Order, Worker},
};
use crate::questions::{AskError, Kind};

const PERIOD: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(10);

/// Has the first worker measure.
pub fn watch(shared: &Arc<Shared>) {
    let _ = shared.workers[0].inbox.send(Order::WatchLag);
}

/// Asks for ever.
pub async fn measure(worker: Rc<Worker>) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let asked_us = worker.clock().boot_us();
        let answer = worker.shared.questions.ask(Kind::Noop, Vec::new(), DEADLINE).await;
        if matches!(answer, Err(AskError::Full | AskError::Closed)) {
            continue; // It was not asked, so nothing was measured.
        }
        worker.shared.metrics.python_lagged(worker.clock().boot_us() - asked_us);
    }
}
