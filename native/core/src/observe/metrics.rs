//! Counters of the native side: one shard a worker, plain atomics, nothing looked up while a request runs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    histogram::{FIRST_TOKEN, Histogram, LAG, OVERHEAD, WAIT},
    limits::{ByLimit, Shared},
    provider::{ByProvider, Names, Provider},
    record::{Consumer, Outcome, Record},
    render,
};
use crate::{
    dialects::Dialect,
    limits::{Away, Kind, LeaseResult, Scope},
    questions::Counts,
};

/// Which of the two ports a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    Data,
    Admin,
}

/// Values that live elsewhere and are read at the moment of rendering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub snapshot_revision: u64,
    pub upstream_idle: u64,
    pub upstream_in_use: u64,
    pub upstream_queue: u64,
    pub buffered_bytes: u64,
    pub tasks: u64,
    /// Log lines that standard error did not take.
    pub log_lines_dropped: u64,
    pub keys: u64,
    /// 1 while the key table is known to hold every key.
    pub keys_current: u64,
    /// Scopes of which limits count something.
    pub limit_cells: u64,
    /// `None`: limits are this process's alone.
    pub shared: Option<SharedGauges>,
}

/// With whom limits are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedGauges {
    /// 1 while the counts that nodes share can be asked.
    pub up: u64,
    /// Nodes that share them; 0: not known.
    pub nodes: u64,
}

/// What came of looking at a request's key; the name is the value of the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    Known,
    Verified,
    Unknown,
    Malformed,
    Wrong,
    Slow,
    Away,
    Disabled,
    Expired,
    Missing,
}

impl Auth {
    pub const ALL: [Self; 10] = [
        Self::Known,
        Self::Verified,
        Self::Unknown,
        Self::Malformed,
        Self::Wrong,
        Self::Slow,
        Self::Away,
        Self::Disabled,
        Self::Expired,
        Self::Missing,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Verified => "verified",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::Slow => "slow",
            Self::Away => "away",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Missing => "missing",
        }
    }
}

pub(super) const DIALECTS: [&str; 4] = ["openai", "anthropic", "ollama", "none"];
pub(super) const FIRST_STATUS: usize = 100;
const STATUSES: usize = 500;
/// What an answer counts as that never began because the client had left.
const CLIENT_LEFT: u16 = 499;

/// What one worker counts. Any thread may add; only one usually does.
#[derive(Debug)]
#[repr(align(128))] // no two shards share a cache line, nor the pair that is fetched together
pub struct Shard {
    pub(super) requests: Box<[AtomicU64]>,
    pub(super) outcomes: [AtomicU64; Outcome::ALL.len()],
    pub(super) auth: [AtomicU64; Auth::ALL.len()],
    pub(super) in_flight: AtomicU64,
    pub(super) overhead: Histogram,
    pub(super) first_token: Histogram,
    pub(super) lag: Histogram,
    pub(super) limits: ByLimit,
    pub(super) limit_wait: Histogram,
    pub(super) shared: Shared,
    pub(super) unpriced: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) connections: [AtomicU64; 2],
    pub(super) refused: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) providers: ByProvider,
}

impl Shard {
    fn new() -> Self {
        Self {
            requests: (0..DIALECTS.len() * STATUSES).map(|_| AtomicU64::new(0)).collect(),
            outcomes: [const { AtomicU64::new(0) }; Outcome::ALL.len()],
            auth: [const { AtomicU64::new(0) }; Auth::ALL.len()],
            in_flight: AtomicU64::new(0),
            overhead: Histogram::new(OVERHEAD),
            first_token: Histogram::new(FIRST_TOKEN),
            lag: Histogram::new(LAG),
            limits: ByLimit::default(),
            limit_wait: Histogram::new(WAIT),
            shared: Shared::new(),
            unpriced: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            connections: [const { AtomicU64::new(0) }; 2],
            refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            providers: ByProvider::default(),
        }
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn connection(self: &Arc<Self>, listener: Listener) -> OpenConnection {
        self.connections[listener as usize].fetch_add(1, Ordering::Relaxed);
        OpenConnection { shard: self.clone(), listener }
    }

    /// Requests that this worker serves now.
    pub fn requests_in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Connections that this worker has open now, on both ports.
    pub fn open_connections(&self) -> u64 {
        self.connections.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// A connection was turned away at a bound.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A request's key was looked at.
    pub fn authenticated(&self, auth: Auth) {
        self.auth[auth as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A limit refused a request, or had a provider skipped.
    pub fn limited(&self, scope: Scope<'_>, kind: Kind) {
        self.limits.refused(scope, kind);
    }

    /// A request waited for a slot of a limit, whether it got it or not.
    pub fn waited_for_limit(&self, us: u64) {
        self.limit_wait.observe(us);
    }

    /// An ask for a lease has ended.
    pub fn lease_asked(&self, result: LeaseResult) {
        self.shared.asks(result).fetch_add(1, Ordering::Relaxed);
    }

    /// A request waited for leases, whether it got them or not.
    pub fn waited_for_lease(&self, us: u64) {
        self.shared.wait.observe(us);
    }

    /// A request was judged by what this process knows alone.
    pub fn judged_away(&self, policy: Away) {
        self.shared.away(policy).fetch_add(1, Ordering::Relaxed);
    }

    /// A budget met a target without a price, or a usage did.
    pub fn met_unpriced(&self) {
        self.unpriced.fetch_add(1, Ordering::Relaxed);
    }

    /// A task panicked and was contained.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// How late the worker's loop came to a timer.
    pub fn lagged(&self, us: u64) {
        self.lag.observe(us);
    }
}

impl Consumer for Shard {
    fn record(&self, record: &Record) {
        let dialect = record.dialect.map_or(DIALECTS.len() - 1, dialect_index);
        let status = usize::from(record.status.unwrap_or(CLIENT_LEFT)).saturating_sub(FIRST_STATUS).min(STATUSES - 1);
        self.requests[dialect * STATUSES + status].fetch_add(1, Ordering::Relaxed);
        self.outcomes[record.outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.received_bytes.fetch_add(record.received_bytes, Ordering::Relaxed);
        self.sent_bytes.fetch_add(record.sent_bytes, Ordering::Relaxed);
        if let Some(us) = record.overhead_us {
            self.overhead.observe(us);
        }
        if let Some(us) = record.stream.and_then(|stream| stream.first_token_us) {
            self.first_token.observe(us);
        }
        for attempt in record.tried() {
            self.providers.attempt(attempt.provider.number, attempt.result);
        }
    }
}

const fn dialect_index(dialect: Dialect) -> usize {
    match dialect {
        Dialect::OpenAi => 0,
        Dialect::Anthropic => 1,
        Dialect::Ollama => 2,
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Shard);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection.
#[derive(Debug)]
pub struct OpenConnection {
    shard: Arc<Shard>,
    listener: Listener,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.shard.connections[self.listener as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// All shards of a process and the names that go with their numbers.
#[derive(Debug)]
pub struct Metrics {
    pub(super) shards: Box<[Arc<Shard>]>,
    pub(super) names: Names,
    pub(super) python_lag: Histogram,
}

impl Metrics {
    /// One shard a worker, and one more for what belongs to no worker.
    pub fn new(workers: usize) -> Self {
        Self {
            shards: (0..=workers).map(|_| Arc::new(Shard::new())).collect(),
            names: Names::new(),
            python_lag: Histogram::new(LAG),
        }
    }

    /// The shard of this worker; a number beyond the last means the process's own.
    pub fn shard(&self, worker: usize) -> &Arc<Shard> {
        &self.shards[worker.min(self.shards.len() - 1)]
    }

    /// The shard for threads that are no worker: the acceptor, the thread that stops the engine.
    pub fn process(&self) -> &Arc<Shard> {
        self.shard(usize::MAX)
    }

    /// The number under which attempts at this provider are counted. Called when a snapshot is decoded.
    pub fn provider(&self, name: &str) -> Provider {
        self.names.number(name)
    }

    /// How long the Python loop took to answer a question that asks nothing.
    pub fn python_lagged(&self, us: u64) {
        self.python_lag.observe(us);
    }

    /// Requests in flight in the whole process.
    pub fn requests_in_flight(&self) -> u64 {
        self.sum(|shard| &shard.in_flight)
    }

    /// Connections open in the whole process, by port.
    pub fn open_connections(&self, listener: Listener) -> u64 {
        self.sum(|shard| &shard.connections[listener as usize])
    }

    /// Writes everything in Prometheus's text format 0.0.4.
    pub fn render(&self, gauges: &Gauges, questions: &Counts, out: &mut Vec<u8>) {
        render::render(self, gauges, questions, out);
    }

    /// The sum over all shards. A guard may move between threads, so single shards may pass below zero and wrap.
    pub(super) fn sum(&self, of: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(of(shard).load(Ordering::Relaxed)))
    }
}

pub(super) fn request_index(dialect: usize, status: usize) -> usize {
    dialect * STATUSES + status
}

pub(super) const fn statuses() -> std::ops::Range<usize> {
    0..STATUSES
}
