//! One origin as all workers see it: who may use it, where it is, how it fared lately.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    gate::{Gate, Permit, Refused},
    origin::Origin,
    resolve::{Names, Resolve},
    tls::Tls,
};
use crate::{
    clock::Clock,
    error::{Code, Failure, Retry},
};

/// How long a failure to connect is remembered.
const FAILED_FOR_US: u64 = 10_000_000;

/// Connections and waiters of a host, or of all hosts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Established connections, in use or idle.
    pub open: usize,
    pub idle: usize,
    /// Permits given out, connections being made included.
    pub in_use: usize,
    pub dialling: usize,
    pub queued: usize,
    /// Look-ups of names under way.
    pub resolving: usize,
    /// Connections ever made, and how many of them resumed a TLS session.
    pub dialled: u64,
    pub resumed: u64,
    /// Failures to connect.
    pub failed: u64,
}

/// Everything the workers share about one origin.
pub struct Host {
    pub(super) id: u64,
    origin: Origin,
    authority: String,
    request_prefix: String,
    pub(super) clock: Clock,
    pub(super) names: Arc<Names>,
    pub(super) gate: Arc<Gate>,
    pub(super) tls: Arc<Tls>,
    /// Boot time of the last failure to connect; 0 when the last attempt succeeded.
    failed_us: AtomicU64,
    retired: AtomicBool,
    open: AtomicUsize,
    dialling: AtomicUsize,
    dialled: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
}

/// What a new host is made of.
pub(super) struct Parts {
    pub(super) id: u64,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) clock: Clock,
    pub(super) tls: Arc<Tls>,
    pub(super) max_connections: usize,
    pub(super) queue_max: usize,
    pub(super) queue_wait: Duration,
}

impl Host {
    pub(super) fn new(origin: &Origin, parts: Parts) -> Arc<Self> {
        let (name, port) = origin.peer();
        let authority = origin.authority();
        let request_prefix = if origin.via_proxy() { format!("http://{authority}") } else { String::new() };
        Arc::new(Self {
            id: parts.id,
            origin: origin.clone(),
            authority,
            request_prefix,
            names: Names::new(name, port, parts.resolver, parts.clock.clone()),
            clock: parts.clock,
            gate: Gate::new(parts.max_connections, parts.queue_max, parts.queue_wait),
            tls: parts.tls,
            failed_us: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            dialling: AtomicUsize::new(0),
            dialled: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The value of `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before the path in the request line: `http://host:port` towards a proxy without a tunnel
    /// (RFC 9112 §3.2.2), else nothing.
    pub fn request_prefix(&self) -> &str {
        &self.request_prefix
    }

    /// The value of `Proxy-Authorization` where each request has to carry it: towards a proxy without a tunnel.
    pub fn proxy_authorization(&self) -> Option<&str> {
        self.origin.proxy.as_ref().filter(|_| self.origin.via_proxy())?.authorization.as_deref()
    }

    /// Changes the bound on connections in use.
    pub fn set_max_connections(&self, limit: usize) {
        self.gate.set_limit(limit);
    }

    /// True for 10 s after a failure to connect.
    pub fn failed_recently(&self) -> bool {
        let failed = self.failed_us.load(Ordering::Relaxed);
        failed != 0 && self.clock.boot_us().saturating_sub(failed) < FAILED_FOR_US
    }

    pub fn stats(&self) -> Stats {
        let open = self.open.load(Ordering::Relaxed);
        let in_use = self.gate.in_use();
        let dialling = self.dialling.load(Ordering::Relaxed);
        Stats {
            open,
            idle: open.saturating_sub(in_use.saturating_sub(dialling)),
            in_use,
            dialling,
            queued: self.gate.queued(),
            resolving: usize::from(self.names.is_running()),
            dialled: self.dialled.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// No snapshot names it any more: its connections are not kept.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Waits in the queue for the right to one connection.
    pub(super) async fn enter(&self) -> Result<Permit, Failure> {
        self.gate.enter().await.map_err(|refused| {
            let why = match refused {
                Refused::QueueFull => "and the queue before it is full",
                Refused::WaitedTooLong => "and none came free in time",
            };
            let cause = format!("all connections to {} are in use {why}: raise max_connections", self.authority);
            Failure::new(Code::Overloaded, Retry::Yes, cause)
        })
    }

    /// Counts an attempt to connect until it is dropped.
    pub(super) fn dialling(self: &Arc<Self>) -> Dialling {
        self.dialling.fetch_add(1, Ordering::Relaxed);
        Dialling(Arc::clone(self))
    }

    /// A connection was made: counts it until the guard is dropped, and forgets failures.
    pub(super) fn opened(self: &Arc<Self>, resumed: bool) -> Open {
        self.failed_us.store(0, Ordering::Relaxed);
        self.dialled.fetch_add(1, Ordering::Relaxed);
        self.resumed.fetch_add(u64::from(resumed), Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Remembers a failure to connect, unless the lack was ours.
    pub(super) fn note(&self, failure: &Failure) {
        if failure.code != Code::Overloaded {
            self.failed.fetch_add(1, Ordering::Relaxed);
            self.failed_us.store(self.clock.boot_us().max(1), Ordering::Relaxed);
        }
    }
}

/// An attempt to connect under way.
pub(super) struct Dialling(Arc<Host>);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.dialling.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An established connection.
pub(super) struct Open(Arc<Host>);

impl Open {
    pub(super) fn host(&self) -> &Arc<Host> {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
