//! Open loop: requests are due at fixed times, whether or not earlier ones were answered; time counts from when due.

use std::{cell::RefCell, os::fd::OwnedFd, rc::Rc};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use tokio::{io::unix::AsyncFd, task::JoinSet, time::timeout};

use crate::{
    Outcome,
    clock::{SECOND, now_ns, timespec},
    drive::{PATIENCE, client::Client, closed::note, window::Share},
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
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    // SAFETY: an `OwnedFd` stays open and the same until dropped, which the `AsyncFd` that owns it does last.
    let alarm = unsafe { AsyncFd::register(timer)? };
    share.ready.send(())?;

    let mut tasks: JoinSet<Outcome<()>> = JoinSet::new();
    let mut due_ns = now_ns();
    loop {
        due_ns += SECOND / share.plan.rate;
        ring_at(&alarm, due_ns).await?;
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

/// Waits to the microsecond: the runtime's own timers round up to a millisecond, which would be blamed on the server.
async fn ring_at(alarm: &AsyncFd<OwnedFd>, ns: u64) -> Outcome<()> {
    let once = Itimerspec { it_interval: timespec(0), it_value: timespec(ns) };
    timerfd_settime(alarm.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
    while now_ns() < ns {
        let mut readable = alarm.readable().await?;
        readable.clear_ready();
    }
    Ok(())
}
