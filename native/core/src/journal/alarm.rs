//! What a thread sleeps on while others change when it is to wake, without waking it for that: `timerfd_create(2)`.

use std::{io, os::fd::OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A year.
const FURTHEST_US: u64 = 31_536_000_000_000;

#[derive(Debug)]
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    /// By the clock that [`crate::clock::Clock::boot_us`] reads: it goes on while the machine is suspended.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?))
    }

    /// It goes off in so many microseconds, once, and at no time that was said before.
    pub(super) fn set(&self, us: u64) {
        let us = us.min(FURTHEST_US);
        // Zero of both would be never.
        let nanoseconds = (us % 1_000_000 * 1_000).max(u64::from(us == 0));
        let it_value = Timespec { tv_sec: (us / 1_000_000).cast_signed(), tv_nsec: nanoseconds.cast_signed() };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let set = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value });
        debug_assert!(set.is_ok(), "a timer of ours and a time within bounds: {set:?}");
    }

    /// Returns once it has gone off since the last time, or has gone off now.
    pub(super) fn wait(&self) {
        let mut count = [0; 8];
        while rustix::io::read(&self.0, &mut count) == Err(rustix::io::Errno::INTR) {}
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the time is the system's")]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn it_goes_off_at_the_time_that_was_said_last() {
        let alarm = Alarm::new().unwrap();
        let begun = Instant::now();
        for (first_us, last_us) in [(0, 0), (60_000_000, 0), (u64::MAX, 2_000), (1_000, 20_000)] {
            alarm.set(first_us);
            alarm.set(last_us);
            alarm.wait();
            assert!(begun.elapsed() >= Duration::from_micros(last_us));
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                alarm.set(0);
            });
            alarm.set(60_000_000);
            alarm.wait();
        });
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
