//! Up to where a store has each journal: what is before that may go once there is no other use for it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

/// By instance, the first segment of which the store lacks something.
#[derive(Debug, Default)]
pub struct Shipped {
    segments: Mutex<HashMap<String, u64>>,
    changes: AtomicU64,
}

impl Shipped {
    /// All before `segment` is in the store.
    pub fn note(&self, instance: &str, segment: u64) {
        self.segments.lock().insert(instance.to_owned(), segment);
        self.changes.fetch_add(1, Relaxed);
    }

    pub fn has(&self, instance: &str, segment: u64) -> bool {
        self.segments.lock().get(instance).is_some_and(|first| segment < *first)
    }

    /// How often something was noted.
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// Forgets all but these, which are sorted.
    pub fn keep(&self, instances: &[String]) {
        self.segments.lock().retain(|instance, _| instances.binary_search(instance).is_ok());
    }
}
