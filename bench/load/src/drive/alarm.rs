//! An alarm to the microsecond: the runtime's own timers round up to a millisecond, which would be blamed on the server.

use std::os::fd::OwnedFd;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

use crate::{
    Outcome,
    clock::{now_ns, timespec},
};

pub(crate) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    pub(crate) fn new() -> Outcome<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` stays open and the same until dropped, which the `AsyncFd` that owns it does last.
        Ok(Self(unsafe { AsyncFd::register(timer)? }))
    }

    /// Waits until then; not at all if it is past.
    pub(crate) async fn ring_at(&self, ns: u64) -> Outcome<()> {
        let once = Itimerspec { it_interval: timespec(0), it_value: timespec(ns) };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        while now_ns() < ns {
            let mut readable = self.0.readable().await?;
            readable.clear_ready();
        }
        Ok(())
    }
}
