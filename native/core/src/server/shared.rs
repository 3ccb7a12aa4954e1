//! What all workers of a process share.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::{Role, worker::Handle};
use crate::{
    clock::Clock,
    http::buffer::BUFFER_BYTES,
    journal::Journal,
    keys::{Digests, Table},
    limits::Limits,
    observe::{self, Gauges, Log, Metrics, SharedGauges, sinks::SinkFacts},
    questions::Questions,
    request::{Counting, models::ModelLists, verify::Flights},
    snapshot::Snapshot,
    upstream::Network,
};

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No snapshot yet.
    Starting,
    Serving,
    /// Not ready; still accepting; answers close their connection.
    Draining,
    /// Listeners are closed; idle connections go.
    Closing,
}

/// State of the process that every worker reads.
pub struct Shared {
    pub clock: Clock,
    pub snapshot: ArcSwapOption<Snapshot>,
    pub network: Arc<Network>,
    pub metrics: Arc<Metrics>,
    pub questions: Arc<Questions>,
    pub log: Arc<Log>,
    pub keys: Table,
    /// Makes the digests that `keys` holds.
    pub digests: Digests,
    pub flights: Flights,
    /// What is used of every limit.
    pub limits: Arc<Limits>,
    /// With whom this process shares them.
    pub nodes: Nodes,
    /// Request bytes held in memory, against `body.max_inflight_bytes`.
    pub inflight: Inflight,
    pub degraded: Mutex<Vec<String>>,
    /// What Python says of them.
    pub sinks: Mutex<Vec<SinkFacts>>,
    /// Set once, before the first request; empty: nothing is recorded.
    pub journal: OnceLock<Arc<Journal>>,
    pub models: ModelLists,
    pub counting: Counting,
    pub workers: Vec<Handle>,
    pub max_connections: u64,
    pub started_us: u64,
    stage: AtomicU8,
    turn: AtomicUsize,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "one call, in Engine::new, names each")]
    pub fn new(
        clock: Clock,
        network: Arc<Network>,
        metrics: Arc<Metrics>,
        questions: Arc<Questions>,
        log: Arc<Log>,
        digests: Digests,
        workers: Vec<Handle>,
        max_connections: u64,
    ) -> Self {
        Self {
            started_us: clock.boot_us(),
            clock,
            snapshot: ArcSwapOption::empty(),
            network,
            metrics,
            questions,
            log,
            keys: Table::default(),
            digests,
            flights: Flights::default(),
            limits: Arc::new(Limits::new()),
            nodes: Nodes::default(),
            inflight: Inflight::default(),
            degraded: Mutex::default(),
            sinks: Mutex::default(),
            journal: OnceLock::new(),
            models: ModelLists::default(),
            counting: Counting::new(workers.len()),
            workers,
            max_connections,
            stage: AtomicU8::new(Stage::Starting as u8),
            turn: AtomicUsize::new(0),
        }
    }

    /// Whether what becomes of a request is written down somewhere.
    pub fn records(&self) -> bool {
        self.journal().is_some() || self.log.is_on(self.log.request_level())
    }

    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.get()
    }

    /// What is not as it should be while requests are served all the same.
    pub fn troubles(&self) -> Vec<String> {
        let own = self.journal().and_then(|journal| journal.trouble());
        self.degraded.lock().iter().cloned().chain(own.map(str::to_owned)).collect()
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Serving,
            2 => Stage::Draining,
            _ => Stage::Closing,
        }
    }

    /// Moves on to `stage`; never back.
    pub fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Relaxed);
    }

    /// The worker with the fewest connections, then the fewest requests in flight, ties by rotation.
    pub fn least_loaded(&self) -> usize {
        let turn = self.turn.fetch_add(1, Relaxed);
        let n = self.workers.len();
        (0..n)
            .map(|i| (turn + i) % n)
            .min_by_key(|i| {
                let shard = self.metrics.shard(*i);
                (shard.open_connections(), shard.requests_in_flight())
            })
            .unwrap_or(0)
    }

    pub fn open_connections(&self) -> u64 {
        self.metrics.open_connections(Role::Data) + self.metrics.open_connections(Role::Admin)
    }

    /// Everything in Prometheus's text format.
    pub fn render_metrics(&self, page: &mut Vec<u8>) {
        let upstream = self.network.stats();
        let gauges = Gauges {
            snapshot_revision: self.snapshot.load().as_ref().map_or(0, |s| s.revision),
            upstream_idle: upstream.idle as u64,
            upstream_in_use: upstream.in_use as u64,
            upstream_queue: upstream.queued as u64,
            buffered_bytes: self.buffered_bytes() as u64,
            tasks: self.tasks() as u64,
            log_lines_dropped: self.log.dropped(),
            keys: self.keys.len() as u64,
            keys_current: u64::from(self.keys.is_current()),
            limit_cells: self.limits.len() as u64,
            shared: self.limits.is_shared().then(|| self.nodes.gauges()),
        };
        self.metrics.render(&gauges, self.questions.counts(), page);
        if let Some(journal) = self.journal() {
            observe::journal::render(journal, page);
        }
        observe::sinks::render(&self.sinks.lock(), page);
    }

    /// Request bodies held, and every buffer in use at its usual size.
    pub fn buffered_bytes(&self) -> usize {
        let buffers: usize = self.workers.iter().map(|w| w.buffers.load(Relaxed)).sum();
        self.inflight.held() + buffers * BUFFER_BYTES
    }

    pub fn tasks(&self) -> usize {
        self.workers.iter().map(|w| w.tasks.load(Relaxed)).sum()
    }
}

/// A budget of bytes for the whole process.
#[derive(Debug, Default)]
pub struct Inflight(AtomicUsize);

impl Inflight {
    /// Takes `bytes`, unless more than `max` would be held then.
    pub fn take(&self, bytes: usize, max: usize) -> bool {
        let held = self.0.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if held > max {
            self.0.fetch_sub(bytes, Relaxed);
            return false;
        }
        true
    }

    pub fn give(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }

    pub fn held(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// With how many nodes limits are shared, as Python last said.
#[derive(Debug, Default)]
pub struct Nodes {
    up: AtomicBool,
    known: AtomicU32,
}

impl Nodes {
    /// `known`: 0 where nobody knows.
    pub fn set(&self, away: bool, known: u32) {
        self.up.store(!away, Relaxed);
        self.known.store(known, Relaxed);
    }

    fn gauges(&self) -> SharedGauges {
        SharedGauges { up: self.up.load(Relaxed).into(), nodes: self.known.load(Relaxed).into() }
    }
}
