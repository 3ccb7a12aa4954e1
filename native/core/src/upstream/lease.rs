//! One upstream connection in use by one request.

use std::{
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
};

use super::{
    gate::Permit,
    host::{Host, Open},
    pool::Pool,
    stream::UpstreamStream,
};
use crate::http::Conn;

/// An established connection with what belongs to it, whether in use or idle.
pub(super) struct Wire {
    pub(super) conn: Conn<UpstreamStream>,
    pub(super) open: Open,
    /// The state of trust under which it was made.
    pub(super) generation: u64,
}

/// How a connection was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// An idle one, at once.
    AtOnce,
    /// An idle one, in turn.
    InTurn,
    New,
}

/// A connection in use. Dropping it closes the connection; [`Lease::keep`] returns it to the pool.
/// Either way the permit is given back, once.
pub struct Lease {
    // Fields drop in this order: the connection is closed before the next in the queue may open one.
    wire: Box<Wire>,
    permit: Permit,
    pool: Rc<Pool>,
    came: Came,
}

impl Lease {
    pub(super) fn new(wire: Box<Wire>, permit: Permit, pool: Rc<Pool>, came: Came) -> Self {
        Self { wire, permit, pool, came }
    }

    /// True when an earlier request used this connection: its peer may have closed it meanwhile, so a failure before
    /// the first byte of an answer says nothing about the target.
    pub fn reused(&self) -> bool {
        self.came != Came::New
    }

    /// True when it was there without a wait.
    pub fn came_at_once(&self) -> bool {
        self.came == Came::AtOnce
    }

    pub fn host(&self) -> &Arc<Host> {
        self.wire.open.host()
    }

    /// True when requests go to a proxy in absolute form: see [`Host::request_prefix`] and
    /// [`Host::proxy_authorization`].
    pub fn via_proxy(&self) -> bool {
        self.host().origin().via_proxy()
    }

    /// Returns the connection to the pool. Call it only after `finish_message` of a complete answer whose head
    /// allowed keeping it; a connection that holds bytes beyond that answer, or was seen to end, is closed instead.
    /// Whether it ended meanwhile is seen before it is used again.
    pub fn keep(self) {
        let Self { wire, permit, pool, .. } = self;
        if wire.conn.is_at_rest() {
            pool.put(wire);
        }
        drop(permit);
    }
}

impl Deref for Lease {
    type Target = Conn<UpstreamStream>;

    fn deref(&self) -> &Self::Target {
        &self.wire.conn
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.wire.conn
    }
}
