//! What connections cost while they are merely held: many idle ones, or many slow streams.

use std::{future::Future, time::Duration};

use serde_json::{Value, json};
use tokio::{
    runtime,
    task::{JoinSet, LocalSet},
    time::{sleep, timeout},
};

use crate::{
    Outcome,
    drive::{PATIENCE, client::Client, plan::Plan},
};

/// Connections being opened at once: below every backlog.
const AT_ONCE: usize = 64;
/// For buffers to be given back and the kernel's counts to be true.
const SETTLE: Duration = Duration::from_millis(500);
/// Idle connections asked again at the end, to prove that they were held and not dropped.
const ASKED_AGAIN: usize = 200;

/// Opens the connections, has each answered once, and measures while all are idle.
pub(crate) fn idle(plan: Plan) -> Outcome<Value> {
    local(async move {
        let plan: &'static Plan = Box::leak(Box::new(plan));
        let before = settled(plan).await?;
        let mut tasks: JoinSet<Outcome<Client>> = JoinSet::new();
        let mut clients = Vec::with_capacity(plan.connections);
        for n in 0..plan.connections {
            if tasks.len() == AT_ONCE {
                clients.push(tasks.join_next().await.ok_or("no task")???);
            }
            tasks.spawn_local(async move {
                let mut client = Client::connect(plan.target, n).await?;
                timeout(PATIENCE, client.ask(plan)).await.map_err(|_| "no answer in time")??;
                client.rest();
                Ok(client)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            clients.push(ended??);
        }
        let held = settled(plan).await?;
        let step = (clients.len() / ASKED_AGAIN).max(1);
        for client in clients.iter_mut().step_by(step) {
            timeout(PATIENCE, client.ask(plan)).await.map_err(|_| "an idle connection was forgotten")??;
        }
        Ok(report(plan, before, held))
    })
}

/// Opens the streams, measures while all are open, and checks each to its end.
pub(crate) fn streams(plan: Plan) -> Outcome<Value> {
    local(async move {
        let plan: &'static Plan = Box::leak(Box::new(plan));
        let before = settled(plan).await?;
        let (opened, mut open) = tokio::sync::mpsc::unbounded_channel();
        let whole = Duration::from_millis(plan.wish.pace_ms * u64::from(plan.wish.chunks));
        let mut tasks: JoinSet<Outcome<()>> = JoinSet::new();
        for n in 0..plan.connections {
            let opened = opened.clone();
            tasks.spawn_local(async move {
                let mut client = Client::connect(plan.target, n).await?;
                let stream = client.stream(plan, |frame| {
                    if frame.number == 0 {
                        let _ = opened.send(());
                    }
                });
                timeout(PATIENCE + whole, stream).await.map_err(|_| "a stream did not end in time")?
            });
            if n % AT_ONCE == AT_ONCE - 1 {
                sleep(Duration::from_millis(5)).await;
            }
        }
        drop(opened);
        for _ in 0..plan.connections {
            tokio::select! {
                Some(()) = open.recv() => {}
                Some(ended) = tasks.join_next() => {
                    ended??;
                    return Err("a stream ended before all were open: give them more chunks".into());
                }
            }
        }
        let held = settled(plan).await?;
        if tasks.try_join_next().is_some() {
            return Err("a stream ended before the measurement: give them more chunks".into());
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(report(plan, before, held))
    })
}

async fn settled(plan: &Plan) -> Outcome<u64> {
    sleep(SETTLE).await;
    plan.processes.pss_kib()
}

fn report(plan: &Plan, before: u64, held: u64) -> Value {
    json!({
        "connections": plan.connections,
        "pss_kib_before": before,
        "pss_kib_held": held,
        "kib_per_connection": held.saturating_sub(before) as f64 / plan.connections as f64,
    })
}

fn local<F: Future<Output = Outcome<Value>>>(work: F) -> Outcome<Value> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}
