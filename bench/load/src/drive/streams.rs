//! Paced streams: each connection opens the next stream as soon as its last one ended.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Outcome,
    clock::now_ns,
    drive::{PATIENCE, client::Client, window::Share},
    stats::Samples,
};

pub(crate) async fn work(share: Share) -> Outcome<Samples> {
    let samples = Rc::new(RefCell::new(Samples::default()));
    let mut tasks: JoinSet<Outcome<()>> = JoinSet::new();
    let whole = Duration::from_millis(share.plan.wish.pace_ms * u64::from(share.plan.wish.chunks));
    let mut clients = Vec::new();
    for n in 0..share.connections {
        clients.push(Client::connect(share.plan.target, n).await?);
    }
    for (n, client) in clients.into_iter().enumerate() {
        let delay = whole.mul_f64(phase(n));
        let (share, samples) = (share.clone(), samples.clone());
        tasks.spawn_local(async move {
            sleep(delay).await;
            stream_on(client, share, samples).await
        });
    }
    sleep(whole).await;
    share.ready.send(())?;
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(samples.take())
}

/// When the nth stream begins, as a part of one stream's length: beginnings, frames and ends of all phases are in the
/// window. Steps of the golden ratio keep streams of one phase from being every second or every fourth, which a proxy
/// that deals connections out in turn would have on one of its workers.
fn phase(n: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    (n as f64 * GOLDEN).fract()
}

async fn stream_on(mut client: Client, share: Share, samples: Rc<RefCell<Samples>>) -> Outcome<()> {
    loop {
        let sent_ns = now_ns();
        if share.window.is_over(sent_ns) {
            return Ok(());
        }
        let whole = Duration::from_millis(share.plan.wish.pace_ms * u64::from(share.plan.wish.chunks));
        let stream = client.stream(&share.plan, |frame| {
            if !share.window.holds(frame.read_ns) {
                return;
            }
            let mut samples = samples.borrow_mut();
            samples.relay.push(frame.read_ns.saturating_sub(frame.stamps.sent_ns));
            if frame.number == 0 {
                samples.first.push((frame.read_ns - sent_ns).saturating_sub(frame.stamps.spent_ns()));
                samples.up.push(frame.stamps.received_ns.saturating_sub(sent_ns));
            }
        });
        timeout(PATIENCE + whole, stream).await.map_err(|_| "a stream did not end in time")??;
    }
}
