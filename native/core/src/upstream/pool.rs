//! One worker's idle connections: the newest is used first, dead ones are noticed before that.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use super::{
    connect::dial,
    gate::Permit,
    host::Host,
    lease::{Came, Lease, Wire},
    network::Network,
};
use crate::{
    error::Failure,
    http::{Buffers, Conn},
};

/// Idle connections of one worker and the way to new ones.
pub struct Pool {
    network: Arc<Network>,
    buffers: Buffers,
    idle_max: usize,
    expiry_us: u64,
    /// When the pool was last swept, microseconds since boot: near enough for what expires after seconds.
    swept_us: Cell<u64>,
    /// By host, oldest first.
    idle: RefCell<BTreeMap<u64, VecDeque<Idle>>>,
}

struct Idle {
    wire: Box<Wire>,
    since_us: u64,
}

impl Pool {
    pub fn new(network: Arc<Network>, buffers: Buffers) -> Rc<Self> {
        let options = network.options();
        let idle_max = options.idle_max;
        let expiry_us = u64::try_from(options.idle_expiry.as_micros()).unwrap_or(u64::MAX);
        let swept_us = Cell::new(network.clock().boot_us());
        Rc::new(Self { network, buffers, idle_max, expiry_us, swept_us, idle: RefCell::default() })
    }

    /// A connection to the host: an idle one unless a `fresh` one is asked for, else a new one made within
    /// `connect_ms` (0: no limit). When all permits are given out it waits its turn first.
    ///
    /// Fails with `overloaded`, `upstream_dns`, `upstream_connect` or `upstream_tls`. Dropping the future gives
    /// everything back.
    pub async fn connect(self: &Rc<Self>, host: &Arc<Host>, fresh: bool, connect_ms: u64) -> Result<Lease, Failure> {
        host.names.touch();
        let permit = match host.gate.try_enter() {
            Some(permit) if fresh => Some(permit),
            Some(permit) => match self.take(host) {
                Some(wire) => return Ok(Lease::new(wire, permit, Rc::clone(self), Came::AtOnce)),
                None => Some(permit),
            },
            None => None,
        };
        // Boxed, so that a request that finds an idle connection does not carry the size of a handshake.
        Box::pin(self.connect_slowly(host, permit, fresh, connect_ms)).await
    }

    async fn connect_slowly(
        self: &Rc<Self>,
        host: &Arc<Host>,
        permit: Option<Permit>,
        fresh: bool,
        connect_ms: u64,
    ) -> Result<Lease, Failure> {
        let permit = if let Some(permit) = permit {
            permit
        } else {
            let permit = host.enter().await?;
            // Whoever gave the permit back may have left its connection here.
            if !fresh && let Some(wire) = self.take(host) {
                return Ok(Lease::new(wire, permit, Rc::clone(self), Came::InTurn));
            }
            permit
        };
        let generation = host.tls.generation();
        let dialled = dial(host, connect_ms).await?;
        let conn = Conn::new(dialled.stream, self.buffers.clone());
        let wire = Wire { conn, open: host.opened(dialled.resumed), generation };
        Ok(Lease::new(Box::new(wire), permit, Rc::clone(self), Came::New))
    }

    /// Drops idle connections that are closed, expired or of no further use, and starts look-ups that are due.
    /// To be called each second.
    pub fn sweep(&self) {
        self.swept_us.set(self.network.clock().boot_us());
        // Dropping a connection inside the borrow is fine: nothing it does comes back here.
        self.idle.borrow_mut().retain(|_, stack| {
            stack.retain_mut(|idle| self.usable(idle));
            !stack.is_empty()
        });
        self.network.refresh_names();
    }

    /// Closes every idle connection.
    pub fn close_idle(&self) {
        drop(self.idle.take());
    }

    /// How many connections are idle here.
    pub fn idle(&self) -> usize {
        self.idle.borrow().values().map(VecDeque::len).sum()
    }

    /// Stores a connection that is at rest; the oldest has to go when there are too many.
    pub(super) fn put(&self, wire: Box<Wire>) {
        let host = wire.open.host();
        if host.is_retired() || self.idle_max == 0 {
            return;
        }
        let id = host.id;
        let since_us = self.swept_us.get();
        let surplus = {
            let mut idle = self.idle.borrow_mut();
            let stack = idle.entry(id).or_default();
            stack.push_back(Idle { wire, since_us });
            if stack.len() > self.idle_max { stack.pop_front() } else { None }
        };
        drop(surplus);
    }

    /// The newest idle connection that is still good.
    fn take(&self, host: &Host) -> Option<Box<Wire>> {
        loop {
            let mut newest = self.idle.borrow_mut().get_mut(&host.id)?.pop_back()?;
            if self.usable(&mut newest) {
                return Some(newest.wire);
            }
        }
    }

    fn usable(&self, idle: &mut Idle) -> bool {
        let host = idle.wire.open.host();
        let trusted = !host.origin().uses_tls() || idle.wire.generation == host.tls.generation();
        trusted
            && !host.is_retired()
            && self.swept_us.get().saturating_sub(idle.since_us) < self.expiry_us
            && idle.wire.conn.is_alive()
    }
}
