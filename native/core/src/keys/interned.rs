//! Values that many keys share, kept once.

use std::{hash::Hash, sync::Arc};

use hashbrown::HashMap;

/// Those in use, by what makes two of them equal.
#[derive(Debug)]
pub(super) struct Interned<K, V> {
    known: HashMap<K, Arc<V>, std::hash::RandomState>,
    /// How many there were after the unused were last dropped.
    kept: usize,
}

impl<K, V> Default for Interned<K, V> {
    fn default() -> Self {
        Self { known: HashMap::default(), kept: 0 }
    }
}

impl<K: Eq + Hash, V> Interned<K, V> {
    /// The one that stands for `value`: itself, unless an equal one was here before.
    pub(super) fn intern(&mut self, key: K, value: V) -> Arc<V> {
        self.known.entry(key).or_insert_with(|| Arc::new(value)).clone()
    }

    /// Drops what nobody uses, once that may be half of all: a lasting mix of changes costs a constant each.
    pub(super) fn sweep(&mut self) {
        if self.known.len() > 2 * self.kept + 64 {
            self.known.retain(|_, value| Arc::strong_count(value) > 1);
            self.kept = self.known.len();
        }
    }

    /// Those in use, and some of which nobody knows yet that they are not.
    pub(super) fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        self.known.values()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
