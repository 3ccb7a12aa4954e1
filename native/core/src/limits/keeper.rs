//! The thread that keeps the checkpoint.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{Beyond, Checkpoint, Limits, Loaded, checkpoint::take_up, record::Kept};
use crate::clock::Clock;

const PERIOD: Duration = Duration::from_secs(1);
/// What is gathered is written once the journal has its records, mostly so long after. Then no count is on disk whose
/// record a crash takes.
const SETTLES: Duration = Duration::from_millis(100);
/// How often it is looked whether it has, and for how long at most.
const LOOK: Duration = Duration::from_millis(10);
const LONGEST_US: u64 = 1_000_000;
/// What cannot be written is tried again after twice the time, up to this: each time it is all there is.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);
/// How often it is looked whether others are gone, whose journals stay until they are counted.
const LOOK_FOR_GONE_US: u64 = 60_000_000;
/// The last write may take so long. A disk that hangs keeps no process from its end.
const LAST: Duration = Duration::from_secs(2);
/// How often a lock that another process has is tried.
const TRY: Duration = Duration::from_millis(50);

/// What becomes of the file; each of these is told once, until another comes.
#[derive(Debug)]
pub enum Event {
    /// Another process has the file, and is waited for. What it has written so far is counted here.
    Waits,
    /// All that an earlier process counted is counted here.
    Loaded(Loaded),
    /// So many records of processes that never had the file and are gone are counted here; there may have been more that
    /// cannot be read.
    Counted { records: usize, is_incomplete: bool },
    /// The file cannot be read or written, which is tried again.
    Failed(io::Error),
    /// It can be written again.
    Recovered,
}

/// Loads the counts, then writes what changed each second, and once more when it is dropped, which takes two seconds at
/// most.
#[derive(Debug)]
pub struct Keeper {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    /// Whether it is time to end, and whether the thread has ended.
    now: Mutex<(bool, bool)>,
    told: Condvar,
}

impl Stop {
    /// `false`: it is time to end.
    fn rest(&self, time: Duration) -> bool {
        let mut now = self.now.lock();
        self.told.wait_while_for(&mut now, |(stops, _)| !*stops, time);
        !now.0
    }
}

/// Held by the thread while it runs.
struct Running(Arc<Stop>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.now.lock().1 = true;
        self.0.told.notify_all();
    }
}

impl Keeper {
    /// The directory of `path` must be there. By the first event what was counted before is counted here.
    pub fn start(
        limits: Arc<Limits>,
        path: PathBuf,
        beyond: impl Beyond + Send + 'static,
        clock: Clock,
        tell: impl FnMut(Event) + Send + 'static,
    ) -> io::Result<Self> {
        limits.ledger().set_elsewhere(true);
        limits.ledger().set_counted(Vec::new());
        let stop = Arc::<Stop>::default();
        let (state, known) = (State::Begins, Kept::default());
        let run = Run { limits, path, beyond, clock, tell, stop: stop.clone(), state, known, is_incomplete: false };
        let running = Running(stop.clone());
        let thread = Builder::new().name("penstock-limits".to_owned()).spawn(|| {
            let _running = running;
            run.run();
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let mut now = self.stop.now.lock();
        now.0 = true;
        self.stop.told.notify_all();
        self.stop.told.wait_while_for(&mut now, |(_, ended)| !*ended, LAST);
        let ended = now.1;
        drop(now);
        self.thread.take().filter(|_| ended).map(JoinHandle::join);
    }
}

struct Run<B, T> {
    limits: Arc<Limits>,
    path: PathBuf,
    beyond: B,
    clock: Clock,
    tell: T,
    stop: Arc<Stop>,
    state: State,
    /// What is counted here of what another process wrote.
    known: Kept,
    /// A journal of those that are gone cannot be read.
    is_incomplete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begins,
    Waits,
    Works,
    Fails,
}

impl<B: Beyond, T: FnMut(Event)> Run<B, T> {
    fn run(mut self) {
        let Some((mut checkpoint, loaded)) = self.load() else { return };
        let (mut ends, mut period, mut looked_us) = (false, PERIOD, self.clock.boot_us());
        // Where nobody was served yet, nobody is before this is written: what comes is beyond it.
        let mut written = self.write(&mut checkpoint, self.state != State::Waits);
        self.limits.ledger().set_elsewhere(false);
        self.say(State::Works, Some(Event::Loaded(loaded)));
        loop {
            match written {
                Ok(()) => {
                    period = PERIOD;
                    self.say(State::Works, None);
                }
                Err(error) => {
                    period = LONGEST_PERIOD.min(2 * period);
                    self.say(State::Fails, Some(Event::Failed(error)));
                }
            }
            if ends {
                return;
            }
            ends = !self.stop.rest(period);
            if !ends && self.clock.boot_us() >= looked_us + LOOK_FOR_GONE_US {
                looked_us = self.clock.boot_us();
                self.count_gone(&mut checkpoint);
            }
            written = self.write(&mut checkpoint, ends);
        }
    }

    fn count_gone(&mut self, checkpoint: &mut Checkpoint) {
        let now = self.limits.now(&self.clock);
        let (records, is_incomplete) = checkpoint.count_gone(&self.limits, &self.beyond, now);
        let is_news = is_incomplete && !self.is_incomplete;
        self.is_incomplete = is_incomplete;
        if records > 0 || is_news {
            (self.tell)(Event::Counted { records, is_incomplete });
        }
    }

    /// `at_once`: nobody is served.
    fn write(&self, checkpoint: &mut Checkpoint, at_once: bool) -> io::Result<()> {
        let written = self.try_write(checkpoint, at_once);
        // What the file lacks is in the journals.
        self.limits.ledger().set_counted(checkpoint.counted());
        written
    }

    fn try_write(&self, checkpoint: &mut Checkpoint, at_once: bool) -> io::Result<()> {
        let mark = self.beyond.mark();
        let must_wait = !at_once && mark.is_some();
        let gathered = checkpoint.gather(&self.limits, mark, self.limits.now(&self.clock))?;
        if must_wait && self.stop.rest(SETTLES) {
            let since_us = self.clock.boot_us();
            let waited_us = || self.clock.boot_us().saturating_sub(since_us);
            while self.beyond.lag_us() > waited_us() && waited_us() < LONGEST_US && self.stop.rest(LOOK) {}
        }
        checkpoint.put(gathered, &self.limits)
    }

    /// The checkpoint once it is this process's, and what was in it; none where it is time to end.
    fn load(&mut self) -> Option<(Checkpoint, Loaded)> {
        loop {
            match self.try_load() {
                Ok(Some(loaded)) => return Some(loaded),
                Ok(None) => self.say(State::Waits, Some(Event::Waits)),
                Err(error) => self.say(State::Fails, Some(Event::Failed(error))),
            }
            if !self.stop.rest(if self.state == State::Waits { TRY } else { PERIOD }) {
                return None;
            }
        }
    }

    fn try_load(&mut self) -> io::Result<Option<(Checkpoint, Loaded)>> {
        let now = self.limits.now(&self.clock);
        if let Some(mut checkpoint) = Checkpoint::open(&self.path)? {
            let loaded = checkpoint.load_beyond(&mut self.known, &self.limits, &self.beyond, now)?;
            return Ok(Some((checkpoint, loaded)));
        }
        if self.state != State::Waits {
            take_up(&self.path, &mut self.known, &self.limits, now)?;
        }
        Ok(None)
    }

    /// Tells of a change.
    fn say(&mut self, state: State, event: Option<Event>) {
        if std::mem::replace(&mut self.state, state) != state {
            (self.tell)(event.unwrap_or(Event::Recovered));
        }
    }
}
