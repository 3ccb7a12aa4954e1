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

/// How often what waits is brought to disk, unless each answer waits for it. Where the writer waits for its helper, that
/// is part of it.
const GROUP_US: u64 = 5_000;
/// Without entries for so long, the thread sleeps until one comes.
const DROWSY_US: u64 = 100_000;
const SWEEP_US: u64 = 60_000_000;
/// What cannot be written is tried again after this.
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
        let run = Run { ring: writer.ring.clone(), writer, tell, fails: false, swept_us: None };
        let handle = Builder::new().name("penstock-journal".to_owned()).spawn(move || run.run(alive))?;
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
    swept_us: Option<u64>,
}

impl<T: FnMut(Event)> Run<T> {
    fn run(mut self, alive: Sender<()>) {
        let mut busy_us = self.now_us();
        loop {
            let begun_us = self.now_us();
            if self.ring.looks() || self.swept_us.is_none_or(|at| begun_us.saturating_sub(at) >= SWEEP_US) {
                self.swept_us = Some(begun_us);
                let swept = self.writer.sweep();
                self.told(swept);
            }
            if self.ring.stops() {
                let ended = self.writer.end();
                self.told(ended);
                break;
            }
            if !self.ring.is_empty() {
                busy_us = begun_us;
            }
            let is_due = self.holds_answers() || self.writer.has_work() || self.ring.is_ripe(begun_us);
            let committed = if is_due { self.writer.commit() } else { Ok(()) };
            let failed = committed.is_err();
            self.told(committed);
            if failed {
                self.ring.pause(RETRY);
            } else {
                self.wait(begun_us, busy_us);
            }
        }
        drop(alive);
    }

    fn wait(&self, begun_us: u64, busy_us: u64) {
        let now_us = self.now_us();
        let is_drowsy = now_us.saturating_sub(busy_us) > DROWSY_US;
        if self.holds_answers() {
            return self.ring.rest(Duration::from_micros(SWEEP_US));
        }
        if is_drowsy && self.ring.is_empty() {
            self.ring.rest(Duration::from_micros(SWEEP_US));
            // What comes first is not written alone.
            return self.ring.pause(Duration::from_micros(GROUP_US));
        }
        let group_us = if self.writer.is_helped() { GROUP_US - PATIENCE.as_micros() as u64 } else { GROUP_US };
        let left_us = group_us.saturating_sub(now_us.saturating_sub(begun_us));
        if left_us > 0 {
            self.ring.pause(Duration::from_micros(left_us));
        }
    }

    /// Whether somebody waits for each entry.
    fn holds_answers(&self) -> bool {
        self.writer.settings.durability == Durability::Flush
    }

    /// Tells of what happened, of a fault once until it is over.
    fn told(&mut self, outcome: io::Result<()>) {
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

    fn now_us(&self) -> u64 {
        self.writer.clock.boot_us()
    }
}
