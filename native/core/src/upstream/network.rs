//! The hosts of this process: one per origin, kept across reloads.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    host::{Host, Parts, Stats},
    origin::Origin,
    resolve::{Resolve, SystemResolver},
    tls::{self, Tls},
};
use crate::clock::Clock;

/// Bounds and settings that hold for every host.
#[derive(Clone)]
pub struct NetworkOptions {
    /// Connections in use to one host, all workers together; [`Host::set_max_connections`] changes it for one.
    pub max_connections: usize,
    /// Idle connections that one worker keeps to one host.
    pub idle_max: usize,
    /// How long a connection may be idle before it is closed.
    pub idle_expiry: Duration,
    /// Requests that may wait for a connection to one host.
    pub queue_max: usize,
    /// How long one may wait there.
    pub queue_wait: Duration,
    /// Certificates (PEM) trusted besides the system's.
    pub ca_file: Option<String>,
    /// Turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            idle_max: 256,
            idle_expiry: Duration::from_secs(60),
            queue_max: 4096,
            queue_wait: Duration::from_secs(30),
            ca_file: None,
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// What the workers share about upstream connections.
pub struct Network {
    options: NetworkOptions,
    clock: Clock,
    tls: Arc<Tls>,
    hosts: Mutex<HashMap<Origin, Arc<Host>>>,
    next_id: AtomicU64,
}

impl Network {
    pub fn new(options: NetworkOptions, clock: Clock) -> Arc<Self> {
        let tls = Arc::new(Tls::new(options.ca_file.clone()));
        Arc::new(Self { options, clock, tls, hosts: Mutex::default(), next_id: AtomicU64::new(1) })
    }

    /// Whether this file can stand as `tls.ca_file`: a snapshot with a bad one is refused.
    pub fn check_tls(ca_file: Option<&str>) -> Result<(), String> {
        tls::check(ca_file)
    }

    /// Trusts another file from now on. Connections made under the old one are not reused.
    pub fn set_ca_file(&self, ca_file: Option<&str>) -> Result<(), String> {
        self.tls.set_ca_file(ca_file)
    }

    /// The host of an origin, made on first sight. Call it when a snapshot is decoded: that is when the roots of
    /// trust are read and, inside a runtime, the look-up of the name begins (outside, the next sweep begins it).
    pub fn host(&self, origin: &Origin) -> Arc<Host> {
        if origin.uses_tls() {
            self.tls.prepare();
        }
        let host = Arc::clone(self.hosts.lock().entry(origin.clone()).or_insert_with(|| {
            let parts = Parts {
                id: self.next_id.fetch_add(1, Ordering::Relaxed),
                resolver: Arc::clone(&self.options.resolver),
                clock: self.clock.clone(),
                tls: Arc::clone(&self.tls),
                max_connections: self.options.max_connections,
                queue_max: self.options.queue_max,
                queue_wait: self.options.queue_wait,
            };
            Host::new(origin, parts)
        }));
        host.names.refresh_if_due();
        host
    }

    /// Forgets every host that is not among these; what is in use finishes, what is idle is closed by the next sweep.
    pub fn retain<'a>(&self, origins: impl IntoIterator<Item = &'a Origin>) {
        let wanted: HashSet<&Origin> = origins.into_iter().collect();
        self.hosts.lock().retain(|origin, host| {
            let keep = wanted.contains(origin);
            if !keep {
                host.retire();
            }
            keep
        });
    }

    /// The sum over all hosts.
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for host in self.hosts.lock().values() {
            let one = host.stats();
            sum.open += one.open;
            sum.idle += one.idle;
            sum.in_use += one.in_use;
            sum.dialling += one.dialling;
            sum.queued += one.queued;
            sum.resolving += one.resolving;
            sum.dialled += one.dialled;
            sum.resumed += one.resumed;
            sum.failed += one.failed;
        }
        sum
    }

    pub(super) fn options(&self) -> &NetworkOptions {
        &self.options
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Starts the look-ups that are due.
    pub(super) fn refresh_names(&self) {
        for host in self.hosts.lock().values() {
            host.names.refresh_if_due();
        }
    }
}
