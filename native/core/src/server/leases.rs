//! Leases of limits that nodes share: what limits want to ask and tell is taken to Python, and its answers back.

use std::{rc::Rc, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::Semaphore;

use super::{
    shared::Shared,
    worker::{Order, Worker},
};
use crate::{
    limits::LeaseAsk,
    questions::{AskError, Kind},
};

/// Requests wait for less; what comes later than that is taken all the same.
const DEADLINE: Duration = Duration::from_secs(2);
/// Questions under way at a time: one that takes long does not hold up the others.
const MOST_UNDER_WAY: usize = 8;

/// One call of the script, as Python is told of it.
#[derive(Serialize)]
struct Call<'a> {
    tag: &'a str,
    args: &'a [String],
}

/// Has the first worker ask, if limits are shared.
pub fn watch(shared: &Arc<Shared>) {
    if shared.limits.is_shared() {
        let _ = shared.workers[0].inbox.send(Order::AskForLeases);
    }
}

/// Asks until nobody answers questions any more.
pub async fn ask(worker: Rc<Worker>) {
    let limits = &worker.shared.limits;
    let under_way = Arc::new(Semaphore::new(MOST_UNDER_WAY));
    // Closed by the task that learns of the end.
    while let Ok(place) = under_way.clone().acquire_owned().await {
        limits.wants_leases(worker.clock()).await;
        let asks = limits.lease_asks(worker.clock());
        if asks.is_empty() {
            continue;
        }
        let (mine, under_way) = (worker.clone(), under_way.clone());
        worker.spawn(async move {
            if take(&mine, asks).await == Err(AskError::Closed) {
                under_way.close();
            }
            drop(place);
        });
    }
}

/// One question and what came of it. Each that is not answered is told so.
async fn take(worker: &Worker, asks: Vec<LeaseAsk>) -> Result<(), AskError> {
    let calls: Vec<_> = asks.iter().map(|ask| Call { tag: &ask.tag, args: &ask.args }).collect();
    let payload = serde_json::to_vec(&calls).unwrap_or_default();
    let answer = worker.shared.questions.ask(Kind::Lease, payload, DEADLINE).await;
    let mut answers = answer.as_deref().map(|answer| read(answer, asks.len())).unwrap_or_default().into_iter();
    for ask in asks {
        let numbers = answers.next().flatten();
        let result = worker.shared.limits.lease_answered(ask, numbers.as_deref(), worker.clock());
        worker.metrics().lease_asked(result);
    }
    answer.map(drop)
}

/// The numbers of each answer; nothing, if these are not the answers to so many asks.
fn read(answer: &[u8], asks: usize) -> Vec<Option<Vec<i64>>> {
    let answers: Vec<Option<Vec<i64>>> = serde_json::from_slice(answer).unwrap_or_default();
    if answers.len() == asks { answers } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_as_many_answers_as_were_asked_for_are_answers() {
        assert_eq!(read(b"[[0, -1], null]", 2), [Some(vec![0, -1]), None]);
        for answer in ["[[0]]", "[[0], [1], [2]]", "[[0.5], null]", "{}", ""] {
            assert_eq!(read(answer.as_bytes(), 2), [], "{answer}");
        }
    }
}
