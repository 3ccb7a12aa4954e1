//! What all cells share where limits are shared between nodes: who this is, whether the others can be asked, and which
//! limits have something to ask or to tell.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

/// Set of the state while nobody can be asked.
const AWAY: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Broker {
    /// This life of this process, in hex.
    pub(super) instance: Box<str>,
    /// How long a request waits for an answer at most.
    pub(super) timeout_us: u64,
    /// Nodes that are known, and [`AWAY`].
    state: AtomicU64,
    changed: Notify,
}

impl Broker {
    pub(super) fn new(instance: &str, timeout_us: u64) -> Self {
        Self { instance: instance.into(), timeout_us, state: AtomicU64::new(AWAY), changed: Notify::new() }
    }

    pub(super) fn set(&self, away: bool, nodes: u32) {
        self.state.store(u64::from(nodes) | if away { AWAY } else { 0 }, Relaxed);
        self.changed.notify_one();
    }
}
