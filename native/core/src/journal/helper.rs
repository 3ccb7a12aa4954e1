//! A thread that synchronises files for the writer while the machine has time to spare. The process runs it at the lowest
//! priority, where Linux counts the core it is on as free: a request that comes does not wait for the disk's work. What it
//! does not manage in time the writer does itself.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;

/// The thread's name, by which its priority is set.
const NAME: &str = "penstock-sync";
/// How long the writer waits for it; what it is late with, the writer does.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);
/// How long the writer then does without it: longer each time that it is late again.
const ALONE_US: [u64; 2] = [20_000, 320_000];
/// Its last work may take so long.
const LAST: Duration = Duration::from_secs(5);

/// The running thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Helper {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
    /// Its other end is dropped when the thread ends.
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Rises with every job.
    job: u64,
    file: Option<Arc<File>>,
    is_busy: bool,
    /// Of which job, and how it went.
    outcome: Option<(u64, io::Result<()>)>,
    /// For how long, after it was late, and until when.
    alone_us: u64,
    alone_until_us: u64,
    stops: bool,
}

impl Helper {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (alive, ended) = channel();
        let works = shared.clone();
        let handle = Some(Builder::new().name(NAME.to_owned()).spawn(move || works.work(alive))?);
        let _ = ended.recv(); // it has its name by now
        Ok(Self { shared, handle, ended: Mutex::new(ended) })
    }

    /// Synchronises a file. `None`: not in time, the caller has to do it. A fault is told to each open file once: `file`
    /// must not be the one that the caller would synchronise.
    pub(super) fn sync(&self, file: &Arc<File>) -> Option<io::Result<()>> {
        let mut state = self.shared.state.lock();
        if state.is_away() {
            return None;
        }
        // A fault that came too late is told now: no descriptor tells it again.
        if let Some((_, Err(error))) = state.outcome.take_if(|(_, outcome)| outcome.is_err()) {
            return Some(Err(error));
        }
        state.job += 1;
        state.file = Some(file.clone());
        self.shared.asked.notify_one();
        let job = state.job;
        let is_over = |state: &State| state.outcome.as_ref().is_some_and(|(of, _)| *of == job);
        self.shared.done.wait_while_for(&mut state, |state| !is_over(state), PATIENCE);
        if is_over(&state) {
            state.alone_us = 0;
            return state.outcome.take().map(|(_, outcome)| outcome);
        }
        state.file = None;
        state.alone_us = (state.alone_us * 2).clamp(ALONE_US[0], ALONE_US[1]);
        state.alone_until_us = Clock::System.boot_us() + state.alone_us;
        None
    }

    /// Whether it would be asked now.
    pub(super) fn is_here(&self) -> bool {
        !self.shared.state.lock().is_away()
    }
}

impl State {
    fn is_away(&self) -> bool {
        self.is_busy || Clock::System.boot_us() < self.alone_until_us
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.shared.state.lock().stops = true;
        self.shared.asked.notify_one();
        if self.ended.lock().recv_timeout(LAST) == Err(RecvTimeoutError::Disconnected)
            && let Some(handle) = self.handle.take()
        {
            let _ = handle.join();
        }
    }
}

impl Shared {
    fn work(&self, alive: Sender<()>) {
        let _ = alive.send(());
        let mut state = self.state.lock();
        while !state.stops {
            let Some(file) = state.file.take() else {
                self.asked.wait(&mut state);
                continue;
            };
            let job = state.job;
            state.is_busy = true;
            drop(state);
            let outcome = file.sync_data();
            state = self.state.lock();
            state.is_busy = false;
            state.outcome = Some((job, outcome));
            self.done.notify_one();
        }
        drop(state);
        drop(alive);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the thread is a real one, and so is its time")]
mod tests {
    use super::*;

    #[test]
    fn what_the_helper_does_not_manage_the_writer_does_alone_for_a_while() -> io::Result<()> {
        let directory = tempfile()?;
        let helper = Helper::start()?;
        assert!(until(|| helper.sync(&directory)).is_ok(), "in time, sooner or later");
        helper.shared.state.lock().is_busy = true; // as if the disk took long
        assert!(helper.sync(&directory).is_none());
        helper.shared.state.lock().is_busy = false;
        helper.shared.state.lock().alone_until_us = u64::MAX;
        assert!(helper.sync(&directory).is_none());
        Ok(())
    }

    #[test]
    fn a_fault_is_told() -> io::Result<()> {
        let pipe = Arc::new(File::open("/proc/self/fd")?); // cannot be synchronised
        let helper = Helper::start()?;
        assert!(until(|| helper.sync(&pipe)).is_err());
        Ok(())
    }

    fn tempfile() -> io::Result<Arc<File>> {
        Ok(Arc::new(File::open(std::env::temp_dir())?))
    }

    fn until(mut ask: impl FnMut() -> Option<io::Result<()>>) -> io::Result<()> {
        loop {
            if let Some(outcome) = ask() {
                return outcome;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
