//! Closed loop: each connection asks again as soon as it was answered.

use std::{cell::RefCell, rc::Rc};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    Outcome,
    clock::now_ns,
    drive::{
        PATIENCE,
        client::{Answered, Client, Reply},
        window::Share,
    },
    stats::Samples,
};

pub(crate) async fn work(share: Share) -> Outcome<Samples> {
    let samples = Rc::new(RefCell::new(Samples::default()));
    let mut clients = Vec::new();
    for n in 0..share.connections {
        let mut client = Client::connect(share.plan.target, n).await?;
        ask(&mut client, &share).await?;
        clients.push(client);
    }
    share.ready.send(())?;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn_local(ask_on(client, share.clone(), samples.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(samples.take())
}

async fn ask_on(mut client: Client, share: Share, samples: Rc<RefCell<Samples>>) -> Outcome<()> {
    loop {
        let sent_ns = now_ns();
        if share.window.is_over(sent_ns) {
            return Ok(());
        }
        match timeout(PATIENCE, ask(&mut client, &share)).await.map_err(|_| "no answer in time")?? {
            Some(answered) if share.window.holds(answered.done_ns) => {
                note(&mut samples.borrow_mut(), sent_ns, &answered);
            }
            None if share.window.holds(sent_ns) => samples.borrow_mut().added.push(now_ns() - sent_ns),
            _ => {}
        }
    }
}

/// Asks once; `None` where the plan expects to be refused, and was.
async fn ask(client: &mut Client, share: &Share) -> Outcome<Option<Answered>> {
    let Some(expected) = share.plan.refused else { return client.ask(&share.plan).await.map(Some) };
    match client.try_ask(&share.plan.request, &share.plan).await? {
        Reply::Refused { status, .. } if status == expected => Ok(None),
        Reply::Refused { status, text } => Err(format!("not a {expected} but {status}: {text}").into()),
        Reply::Answered(_) => Err(format!("not a {expected} but an answer").into()),
    }
}

/// Adds one answered request, sent or to be sent at `sent_ns`.
pub(crate) fn note(samples: &mut Samples, sent_ns: u64, answered: &Answered) {
    let stamps = answered.stamps;
    samples.added.push((answered.done_ns - sent_ns).saturating_sub(stamps.spent_ns()));
    samples.up.push(stamps.received_ns.saturating_sub(sent_ns));
    samples.down.push(answered.done_ns.saturating_sub(stamps.sent_ns));
}
