//! The thread that writes: when it commits, when it looks after the directory, how it ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use super::{
    Durability, Event,
    ring::Ring,
    writer::{TELL_US, Writer},
};

/// How long an entry waits for others that are brought to disk with it, unless each answer waits for it. The disk has the
/// rest of the 5 ms.
const GROUP_US: u64 = 4_000;
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
        loop {
            let now_us = self.now_us();
            if self.ring.looks() || now_us >= self.sweep_us {
                let swept = self.writer.sweep();
                self.swept(swept);
            }
            if self.ring.stops() {
                let ended = self.writer.end();
                self.written(ended);
                break;
            }
            let committed = self.commit(now_us);
            let failed = committed.is_err();
            self.written(committed);
            if failed {
                self.ring.pause(RETRY);
            } else {
                self.rest();
            }
        }
        drop(self); // a disk that hangs may hold this up
        drop(alive);
    }

    /// Brings to disk what is due, or else tells readers of what was before.
    fn commit(&mut self, now_us: u64) -> io::Result<()> {
        let is_ripe = self.ring.due_us(self.group_us()).is_some_and(|due_us| due_us <= now_us);
        if is_ripe || self.writer.has_work() { self.writer.commit_untold() } else { self.writer.tell_readers() }
    }

    /// Sleeps until something is due.
    fn rest(&self) {
        let now_us = self.now_us();
        // What comes next is due before that, and tells them with it.
        let tell_us = if self.writer.has_told_readers() { u64::MAX } else { now_us + TELL_US };
        self.ring.rest(now_us, tell_us.min(self.sweep_us), self.group_us());
    }

    /// How long an entry waits for others that are written with it.
    fn group_us(&self) -> u64 {
        if self.writer.settings.durability == Durability::Flush { 0 } else { GROUP_US }
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
        self.tell_events();
    }

    fn tell_events(&mut self) {
        for event in self.writer.events() {
            if let Event::Lost { entries, .. } = event {
                self.writer.facts.lost_told.fetch_add(entries, Relaxed);
            }
            (self.tell)(event);
        }
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
        self.tell_events();
    }

    fn now_us(&self) -> u64 {
        self.writer.clock.boot_us()
    }
}
