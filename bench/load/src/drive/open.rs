//! Open loop: requests are due at fixed times, whether or not earlier ones were answered; time counts from when due.

use std::{cell::RefCell, rc::Rc};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    Outcome,
    clock::{SECOND, now_ns},
    drive::{PATIENCE, alarm::Alarm, client::Client, closed::note, window::Share},
    stats::Samples,
};

/// Requests in flight at most; a server that needs more at this rate has stalled.
const IN_FLIGHT: usize = 512;

pub(crate) async fn work(share: Share) -> Outcome<Samples> {
    let samples = Rc::new(RefCell::new(Samples::default()));
    let idle = Rc::new(RefCell::new(Vec::new()));
    for n in 0..share.connections.max(8) {
        let mut client = Client::connect(share.plan.target, n).await?;
        client.ask(&share.plan).await?;
        idle.borrow_mut().push(client);
    }
    let alarm = Alarm::new()?;
    share.ready.send(())?;

    let mut tasks: JoinSet<Outcome<()>> = JoinSet::new();
    let mut due_ns = now_ns();
    loop {
        due_ns += SECOND / share.plan.rate;
        alarm.ring_at(due_ns).await?;
        if share.window.is_over(due_ns) {
            break;
        }
        while let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        if tasks.len() >= IN_FLIGHT {
            return Err(format!("{IN_FLIGHT} requests in flight: the server does not keep up").into());
        }
        let (share, samples, idle) = (share.clone(), samples.clone(), idle.clone());
        tasks.spawn_local(async move {
            let free = idle.borrow_mut().pop();
            let mut client = match free {
                Some(client) => client,
                None => Client::connect(share.plan.target, 0).await?,
            };
            let answered = timeout(PATIENCE, client.ask(&share.plan)).await.map_err(|_| "no answer in time")??;
            if share.window.holds(due_ns) {
                note(&mut samples.borrow_mut(), due_ns, &answered);
            }
            idle.borrow_mut().push(client);
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(samples.take())
}
