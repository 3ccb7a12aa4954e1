//! The thread that writes: when it commits, when it looks after the directory, how it ends.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use super::{Durability, Event, helper::PATIENCE, ring::Ring, writer::Writer};

/// How long an entry waits before it is brought to disk, with those that came meanwhile, unless each answer waits for it.
/// Where the writer waits for its helper, that is part of it.
const GROUP_US: u64 = 5_000;
/// Without entries for so long, the thread sleeps until one comes.
const DROWSY_US: u64 = 100_000;
const SWEEP_US: u64 = 60_000_000;
/// What fails is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// The last write may take so long.
const LAST: Duration = Duration::from_secs(5);

/// The running thread.
pub(super) struct Thread {
    handle: JoinHandle<()>,
    /// Its other end is dropped when the thread ends.
    ended: Receiver<()>,
}

impl Thread {
    pub(super) fn start(writer: Writer, tell: impl FnMut(Event) + Send + 'static) -> io::Result<Self> {
        let (alive, ended) = channel();
        let run = Run { ring: writer.ring.clone(), writer, tell, fails: false, sweep_us: 0, retry_us: None };
        let handle = Builder::new().name("penstock-journal".to_owned()).spawn(move || run.run(alive))?;
        let _ = ended.recv(); // it has its name by now
        Ok(Self { handle, ended })
    }

    pub(super) fn stop(self, ring: &Ring) {
        ring.stop();
        if self.ended.recv_timeout(LAST) == Err(RecvTimeoutError::Disconnected) {
            let _ = self.handle.join();
        }
    }
}

struct Run<T> {
    ring: Arc<Ring>,
    writer: Writer,
    tell: T,
    fails: bool,
    /// When the directory is looked after next, and the pause after the last time that it could not be.
    sweep_us: u64,
    retry_us: Option<u64>,
}

impl<T: FnMut(Event)> Run<T> {
    fn run(mut self, alive: Sender<()>) {
        let _ = alive.send(());
        let mut busy_us = self.now_us();
        loop {
            let begun_us = self.now_us();
            if self.ring.looks() || begun_us >= self.sweep_us {
                let swept = self.writer.sweep();
                self.swept(swept);
            }
            if self.ring.stops() {
                let ended = self.writer.end();
                self.written(ended);
                break;
            }
            if !self.ring.is_empty() {
                busy_us = begun_us;
            }
            let is_ripe = || self.ring.due_us(self.group_us()).is_some_and(|due_us| due_us <= begun_us);
            let is_due = self.holds_answers() || self.writer.has_work() || is_ripe();
            let committed = if is_due { self.writer.commit() } else { Ok(()) };
            let failed = committed.is_err();
            self.written(committed);
            if failed {
                self.ring.pause(RETRY);
            } else {
                self.wait(busy_us);
            }
        }
        drop(alive);
    }

    /// Sleeps until something is due, or may be.
    fn wait(&self, busy_us: u64) {
        let (now_us, group_us) = (self.now_us(), self.group_us());
        let is_drowsy = now_us.saturating_sub(busy_us) > DROWSY_US;
        let due_us = self.ring.due_us(group_us);
        if self.holds_answers() || due_us.is_none() && is_drowsy {
            return self.ring.rest(Duration::from_micros(self.sweep_us.saturating_sub(now_us)));
        }
        let nap_us = nap_us(due_us, group_us, now_us);
        if nap_us > 0 {
            self.ring.pause(Duration::from_micros(nap_us));
        }
    }

    /// How long an entry waits for others that are written with it.
    fn group_us(&self) -> u64 {
        if self.writer.is_helped() { GROUP_US - PATIENCE.as_micros() as u64 } else { GROUP_US }
    }

    /// Whether somebody waits for each entry.
    fn holds_answers(&self) -> bool {
        self.writer.settings.durability == Durability::Flush
    }

    /// Tells how writing went, of a fault once until it is over.
    fn written(&mut self, outcome: io::Result<()>) {
        let failed = outcome.is_err();
        self.ring.set_failing(failed);
        match outcome {
            Err(error) if !self.fails => (self.tell)(Event::Failed(error)),
            Ok(()) if self.fails => (self.tell)(Event::Recovered),
            _ => {}
        }
        self.fails = failed;
        self.writer.events().into_iter().for_each(&mut self.tell);
    }

    /// The same of the directory, and says when it is looked after again.
    fn swept(&mut self, outcome: io::Result<()>) {
        let before_us = self.retry_us.take();
        match outcome {
            Err(error) => {
                self.retry_us = Some(before_us.map_or(RETRY.as_micros() as u64, |before| SWEEP_US.min(2 * before)));
                if before_us.is_none() {
                    (self.tell)(Event::Untidy(error));
                }
            }
            Ok(()) if before_us.is_some() => (self.tell)(Event::Tidy),
            Ok(()) => {}
        }
        self.sweep_us = self.now_us() + self.retry_us.unwrap_or(SWEEP_US);
        self.writer.events().into_iter().for_each(&mut self.tell);
    }

    fn now_us(&self) -> u64 {
        self.writer.clock.boot_us()
    }
}

/// How long the writer may sleep: nobody wakes it, and what comes while it does is due `group_us` later.
fn nap_us(due_us: Option<u64>, group_us: u64, now_us: u64) -> u64 {
    due_us.map_or(group_us, |due_us| due_us.saturating_sub(now_us).min(group_us))
}

#[cfg(test)]
mod tests {
    use super::nap_us;

    #[test]
    fn the_writer_never_sleeps_longer_than_what_comes_may_wait() {
        for (due_us, slept_us) in [(None, 4), (Some(100), 0), (Some(90), 0), (Some(103), 3), (Some(120), 4)] {
            assert_eq!(nap_us(due_us, 4, 100), slept_us, "{due_us:?}");
        }
    }
}
