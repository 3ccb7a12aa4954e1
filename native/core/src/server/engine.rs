//! The data plane as one object: what the Python side starts, feeds, watches and stops.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    Role,
    beyond::Records,
    journaled, kept, lag, leases, limited,
    shared::{Shared, Stage},
    worker::{self, Handle, Order},
};
use crate::{
    clock::Clock,
    journal,
    keys::{Batch, Digests},
    limits::Keeper,
    observe::{Log, LogOptions, Metrics},
    questions::{Kind, Question, Questions},
    snapshot::Snapshot,
    upstream::{Network, NetworkOptions},
};

/// Questions that may wait for Python at a time, by kind.
const fn most_waiting(kind: Kind) -> usize {
    match kind {
        Kind::Noop => 8,
        Kind::Admin => 1_024,
        Kind::Verify => 2_048,
        Kind::Lease | Kind::Spend => 64,
    }
}
/// How long an engine that stops waits for others to hear what is left of its leases.
const LEAVING_US: u64 = 500_000;
/// How long requests may take to end that are cut: what passed is counted, and the client told.
const CUT_US: u64 = 1_000_000;
/// Descriptors kept free of client connections: files, listeners, room for upstream connections.
const RESERVED_DESCRIPTORS: u64 = 128;

/// What is fixed for the life of a process.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub workers: usize,
    /// 0: three quarters of the descriptors that the process may open.
    pub max_connections: u64,
    pub log: LogOptions,
    /// The instance id, shown in the status.
    pub instance: String,
    /// Holds the 32 bytes by which digests of secrets are keyed; `None`: a key of this process only.
    pub digest_key_file: Option<PathBuf>,
    /// Keeps the counts of limits over a restart, in a directory that is there; `None`: they begin at zero.
    pub limits_file: Option<PathBuf>,
    /// Holds the tables of tokens, `<encoding>.table`; `None`: tokens are estimated.
    pub tokens_dir: Option<PathBuf>,
    /// Where and how finished requests are recorded; `None`: they are not.
    pub journal: Option<journal::Options>,
    /// Limits are shared between nodes; `None`: this one counts for itself.
    pub shared: Option<SharedOptions>,
}

/// How limits are shared between nodes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedOptions {
    /// How long a request waits for a lease at most.
    pub timeout_us: u64,
}

/// The data plane. Starts no thread before [`Engine::start`]; stops all of them in [`Engine::stop`] or when dropped.
pub struct Engine {
    shared: Arc<Shared>,
    instance: String,
    inboxes: Mutex<Vec<UnboundedReceiver<Order>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    limits_file: Option<PathBuf>,
    journal: Option<journal::Options>,
    /// Writes for the last time when it is dropped, after the workers.
    keeper: Mutex<Option<Keeper>>,
    /// Since when it gives back leases of limits that nodes share.
    leaving_us: OnceLock<u64>,
}

impl Engine {
    pub fn new(options: Options) -> Result<Self, String> {
        let clock = Clock::default();
        let workers = options.workers.max(1);
        let network = Network::new(NetworkOptions::default(), clock.clone());
        let questions = Questions::new(most_waiting).map_err(|e| format!("no eventfd: {e}"))?;
        let digests = options.digest_key_file.as_deref().map_or_else(Digests::random, Digests::read)?;
        let log = Log::new(options.log, clock.clone());
        let (handles, inboxes): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (sender, receiver) = unbounded_channel();
                (Handle::new(sender), receiver)
            })
            .unzip();
        let max_connections =
            if options.max_connections == 0 { descriptors_for_clients() } else { options.max_connections };
        let shared = Arc::new(Shared::new(
            clock,
            network,
            Arc::new(Metrics::new(workers)),
            Arc::new(questions),
            Arc::new(log),
            digests,
            handles,
            max_connections,
        ));
        if let Some(directory) = options.tokens_dir {
            shared.counting.look_in(directory);
        }
        if let Some(of) = options.shared {
            shared.limits.share(&options.instance, of.timeout_us);
        }
        Ok(Self {
            shared,
            instance: options.instance,
            inboxes: Mutex::new(inboxes),
            threads: Mutex::default(),
            limits_file: options.limits_file,
            journal: options.journal,
            keeper: Mutex::default(),
            leaving_us: OnceLock::new(),
        })
    }

    /// Readable while questions wait.
    pub fn question_fd(&self) -> BorrowedFd<'_> {
        self.shared.questions.as_fd()
    }

    /// Decodes the first snapshot and starts the workers on bound, listening descriptors.
    pub fn start(&self, snapshot: &[u8], listeners: Vec<(OwnedFd, Role)>) -> Result<(), String> {
        let inboxes: Vec<_> = std::mem::take(&mut *self.inboxes.lock());
        if inboxes.is_empty() {
            return Err("the engine was started before".into());
        }
        if let Err(e) = self.apply(snapshot) {
            *self.inboxes.lock() = inboxes;
            return Err(e);
        }
        if let Some(file) = &self.limits_file {
            let journals = self.journal.as_ref().and_then(|journal| Some(journal.dir.parent()?.to_owned()));
            let records = Records { shared: self.shared.clone(), instance: self.instance.clone(), journals };
            *self.keeper.lock() = Some(kept::start(&self.shared, file.clone(), records)?);
        }
        if let Some(options) = &self.journal {
            let journal = journaled::start(&self.shared, options, &self.instance)?;
            self.shared.journal.set(journal).map_err(|_| "the engine was started before")?;
        }
        for (index, (fd, role)) in listeners.into_iter().enumerate() {
            let worker = &self.shared.workers[index % self.shared.workers.len()];
            worker.inbox.send(Order::Listen(fd, role)).map_err(|_| "a worker is gone")?;
        }
        let mut threads = self.threads.lock();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let shared = self.shared.clone();
            let run = move || {
                if let Err(e) = worker::run(index, &shared, inbox) {
                    shared.log.error("a worker could not start", &[("error", &e.to_string())]);
                }
            };
            let thread = std::thread::Builder::new().name(format!("penstock-{index}")).spawn(run);
            threads.push(thread.map_err(|e| format!("no thread: {e}"))?);
        }
        lag::watch(&self.shared);
        leases::watch(&self.shared);
        self.shared.advance(Stage::Serving);
        Ok(())
    }

    /// Replaces the snapshot, or refuses it whole: then the old one keeps serving.
    pub fn apply(&self, snapshot: &[u8]) -> Result<(), String> {
        let mut snapshot = Snapshot::decode(snapshot, &self.shared.network)?;
        snapshot.take_effect(&self.shared.network, &self.shared.metrics)?;
        self.shared.limits.set_calendar(snapshot.limits.calendar.clone());
        self.shared.log.set(snapshot.log);
        self.shared.models.forget();
        self.shared.snapshot.store(Some(Arc::new(snapshot)));
        limited::renew(&self.shared);
        Ok(())
    }

    /// Applies rows to the key table, or refuses them whole; ends the requests of keys that were cut.
    pub fn put_keys(&self, batch: &[u8]) -> Result<(), String> {
        for cut in self.shared.keys.put(Batch::decode(batch)?) {
            for worker in &self.shared.workers {
                let _ = worker.inbox.send(Order::Cut(cut));
            }
        }
        limited::renew(&self.shared);
        Ok(())
    }

    /// The digest of a credential, as the key table compares it.
    pub fn digest(&self, credential: &str) -> String {
        self.shared.digests.digest(credential.as_bytes()).hex()
    }

    /// Whether the key table is known to hold every key.
    pub fn keys_current(&self, current: bool) {
        self.shared.keys.set_current(current);
    }

    /// The keys used since the last call: a JSON object, id to microseconds UTC.
    pub fn used_keys(&self) -> Vec<u8> {
        self.shared.keys.used()
    }

    /// What is used of the limits in one place: a JSON list.
    pub fn limits_use(&self, scope: &str, name: &str) -> Result<Vec<u8>, String> {
        Ok(limited::report(&self.shared, limited::scope(scope, name)?))
    }

    /// Forgets what was counted in one place. `false`: nothing was.
    pub fn limits_reset(&self, scope: &str, name: &str) -> Result<bool, String> {
        Ok(self.shared.limits.reset(limited::scope(scope, name)?))
    }

    /// Counts what was used before anything that is known here: a JSON list. Refused as a whole, or not at all.
    pub fn limits_earlier(&self, used: &[u8]) -> Result<(), String> {
        let records = Records { shared: self.shared.clone(), instance: self.instance.clone(), journals: None };
        limited::count_earlier(&self.shared, used, &records)
    }

    /// Whether that was told, to this process or to one before it, and is in the file of counts, and lasts. `None`: another
    /// process has the file, or nobody knows yet whose it is.
    pub fn limits_kept(&self) -> Option<bool> {
        self.shared.limits.keeps_earlier()
    }

    /// Whether what nodes share is away, and how many nodes there are; 0: nobody knows.
    pub fn shared_state(&self, away: bool, nodes: u32) {
        self.shared.nodes.set(away, nodes);
        self.shared.limits.set_shared(away, nodes);
    }

    /// Other nodes were refused by these limits.
    pub fn shared_pressed(&self, tags: &[String]) {
        tags.iter().for_each(|tag| self.shared.limits.press(tag));
    }

    /// The store has all that is before these segments of these instances.
    pub fn journal_shipped(&self, segments: &[(String, u64)]) {
        if let Some(journal) = self.shared.journal() {
            journal.shipped(segments);
        }
    }

    /// How shipping goes: records that the store took since the start, tries that failed, when the oldest record that it
    /// lacks ended, in microseconds UTC; 0: none.
    pub fn shipping(&self, records: u64, failures: u64, oldest_us: u64) {
        if let Some(journal) = self.shared.journal() {
            journal.facts().ship(records, failures, oldest_us);
        }
    }

    /// The questions that wait, of each kind the oldest first.
    pub fn questions(&self) -> Vec<Question> {
        self.shared.questions.drain()
    }

    /// Answers a question; too late is ignored.
    pub fn answer(&self, id: u64, payload: Vec<u8>) -> bool {
        self.shared.questions.answer(id, payload)
    }

    /// What goes on now, as JSON.
    pub fn status(&self) -> String {
        let shared = &self.shared;
        serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "instance": self.instance,
            "revision": shared.snapshot.load().as_ref().map(|s| s.revision),
            "stage": format!("{:?}", shared.stage()).to_lowercase(),
            "workers": shared.workers.len(),
            "connections": shared.open_connections(),
            "in_flight": shared.metrics.requests_in_flight(),
            "tasks": shared.tasks(),
            "buffered_bytes": shared.buffered_bytes(),
            "upstream_connections": shared.network.stats().open,
            "uptime_us": shared.clock.boot_us() - shared.started_us,
            "keys": shared.keys.len(),
            "keys_current": shared.keys.is_current(),
            "journal_max_bytes": shared.journal().map(|journal| journal.max_bytes()),
            "degraded": shared.troubles(),
        })
        .to_string()
    }

    /// Reasons shown in readiness; an empty list: all is well.
    pub fn degraded(&self, reasons: Vec<String>) {
        *self.shared.degraded.lock() = reasons;
    }

    /// How sinks do: a JSON list of [`SinkFacts`].
    pub fn sinks(&self, facts: &[u8]) -> Result<(), String> {
        *self.shared.sinks.lock() = serde_json::from_slice(facts).map_err(|e| e.to_string())?;
        Ok(())
    }

    /// No longer ready; answers close their connection; still accepting.
    pub fn drain(&self) {
        self.shared.advance(Stage::Draining);
    }

    /// Stops accepting and closes idle connections.
    pub fn close_listeners(&self) {
        self.shared.advance(Stage::Closing);
        for worker in &self.shared.workers {
            let _ = worker.inbox.send(Order::CloseListeners);
        }
    }

    /// No request is in flight; and behind closed listeners what is left of leases is given back, if anybody hears of it
    /// in time.
    pub fn is_idle(&self) -> bool {
        self.shared.metrics.requests_in_flight() == 0 && (self.shared.stage() < Stage::Closing || self.has_left())
    }

    fn has_left(&self) -> bool {
        let Shared { limits, clock, .. } = &*self.shared;
        let since_us = *self.leaving_us.get_or_init(|| clock.boot_us());
        limits.give_back(clock) || clock.boot_us() > since_us + LEAVING_US
    }

    /// Stops the workers, cutting what is still in flight. `false`: a thread did not end in time.
    pub fn stop(&self, timeout: Duration) -> bool {
        self.close_listeners();
        self.cut_all();
        for worker in &self.shared.workers {
            let _ = worker.inbox.send(Order::Stop);
        }
        self.shared.questions.close();
        let threads: Vec<_> = std::mem::take(&mut *self.threads.lock());
        let give_up = self.shared.clock.boot_us() + u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX / 2);
        let (ended, left): (Vec<_>, Vec<_>) = threads.into_iter().partition(|thread| self.ends_before(thread, give_up));
        ended.into_iter().for_each(|thread| drop(thread.join()));
        let have_ended = left.is_empty();
        *self.threads.lock() = left;
        if have_ended {
            drop(self.keeper.lock().take());
        }
        journaled::stop(&self.shared); // what it has is written even where a thread goes on
        have_ended
    }

    /// Ends the requests that are in flight, as if their clients had left: charged by what passed, and recorded.
    fn cut_all(&self) {
        if self.threads.lock().is_empty() {
            return;
        }
        for worker in &self.shared.workers {
            let _ = worker.inbox.send(Order::CutAll);
        }
        let give_up_us = self.shared.clock.boot_us() + CUT_US;
        while !self.is_idle() && self.shared.clock.boot_us() < give_up_us {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn ends_before(&self, thread: &JoinHandle<()>, give_up_us: u64) -> bool {
        while !thread.is_finished() {
            if self.shared.clock.boot_us() > give_up_us {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(5));
    }
}

fn descriptors_for_clients() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    (limit.saturating_sub(RESERVED_DESCRIPTORS) / 4 * 3).max(16)
}
