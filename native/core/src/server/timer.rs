//! One deadline of a connection that moves often and fires rarely.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::Clock;

/// Timers kept for reuse.
const MAX_FREE: usize = 64;
/// For so long the runtime's clock is taken to go on as boot time does: it stands while the machine sleeps.
const TOGETHER: Duration = Duration::from_secs(2);

/// A deadline that costs a comparison to move later: the runtime's timer wheel is touched only when the deadline
/// comes nearer than it was armed for, or when the old arming fires.
#[derive(Default)]
pub struct Timer {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the runtime wakes when the arming fires, while it has not.
    armed: Option<Waker>,
    /// Nothing has been waited for since the deadline was set: the arming cannot have been what woke us.
    fresh: bool,
}

impl Timer {
    /// Fires `ms` milliseconds from now; 0 means never.
    pub fn set(&mut self, ms: u64) {
        self.set_at(after(ms));
    }

    /// Fires at `at`, or never.
    pub fn set_at(&mut self, at: Option<Instant>) {
        self.at = at;
        self.fresh = true;
    }

    /// Ready once the deadline has passed; pending for ever without one.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let fresh = std::mem::take(&mut self.fresh);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        let armed = self.armed.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if fresh && armed && !sleep.is_elapsed() && at >= sleep.deadline() {
            return Poll::Pending;
        }
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                if !armed {
                    self.armed = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

/// Timers at rest, still armed for what they were last used for: taking one and setting it later is cheap.
#[derive(Default)]
pub struct Timers(RefCell<Vec<Timer>>);

impl Timers {
    /// Polls `work` until `at`; `None` if that was not enough.
    pub async fn until<T>(&self, at: Option<Instant>, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut timer = None;
        let done = poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if at.is_none() {
                return Poll::Pending;
            }
            let take = || {
                let mut timer = self.0.borrow_mut().pop().unwrap_or_default();
                timer.set_at(at);
                timer
            };
            timer.get_or_insert_with(take).poll(cx).map(|()| None)
        })
        .await;
        let mut free = self.0.borrow_mut();
        if let Some(timer) = timer
            && free.len() < MAX_FREE
        {
            free.push(timer);
        }
        done
    }
}

/// One moment since boot and on the runtime's clock: what one says is known from the other for a while.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    boot_us: u64,
    instant: Instant,
}

impl Moment {
    /// `None`: the clock is moved by hand, and timers are not. Boot time is read first: what comes between makes deadlines
    /// late, not early.
    pub fn read(clock: &Clock) -> Option<Self> {
        matches!(clock, Clock::System).then(|| Self { boot_us: clock.boot_us(), instant: Instant::now() })
    }

    /// When the runtime takes it to be, at an earlier or later reading of the same clock.
    pub fn instant(&self, boot_us: u64) -> Instant {
        let since = Duration::from_micros(boot_us.saturating_sub(self.boot_us));
        if since > TOGETHER { Instant::now() } else { self.instant + since }
    }
}

/// The instant `ms` milliseconds from now; 0 means never.
pub fn after(ms: u64) -> Option<Instant> {
    if ms > 0 { from(Instant::now(), ms) } else { None }
}

/// The instant `ms` milliseconds from `now`; 0 means never.
pub fn from(now: Instant, ms: u64) -> Option<Instant> {
    (ms > 0).then(|| now + Duration::from_millis(ms))
}

/// The earlier of two deadlines.
pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whether a deadline has passed; none never does.
pub fn is_past(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() >= at)
}
