//! What all workers of a process share.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::worker::Handle;
use crate::{
    clock::Clock,
    observe::{log::Log, metrics::Metrics},
    questions::Questions,
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
    /// Request bytes held in memory, against `body.max_inflight_bytes`.
    pub inflight: Inflight,
    pub degraded: Mutex<Vec<String>>,
    pub workers: Vec<Handle>,
    pub max_connections: usize,
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
        workers: Vec<Handle>,
        max_connections: usize,
    ) -> Self {
        Self {
            started_us: clock.boot_us(),
            clock,
            snapshot: ArcSwapOption::empty(),
            network,
            metrics,
            questions,
            log,
            inflight: Inflight::default(),
            degraded: Mutex::default(),
            workers,
            max_connections,
            stage: AtomicU8::new(Stage::Starting as u8),
            turn: AtomicUsize::new(0),
        }
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
            .min_by_key(|i| (self.workers[*i].open.load(Relaxed), self.workers[*i].in_flight.load(Relaxed)))
            .unwrap_or(0)
    }

    pub fn open_connections(&self) -> usize {
        self.workers.iter().map(|w| w.open.load(Relaxed)).sum()
    }

    pub fn in_flight(&self) -> usize {
        self.workers.iter().map(|w| w.in_flight.load(Relaxed)).sum()
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
