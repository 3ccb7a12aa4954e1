//! What the writer took from the ring, until it has room on disk.

use std::mem;

use super::{
    entry::{FIXED_BYTES, SALT_BYTES},
    ring::{Item, Ring, Taken},
};

/// What an entry takes more than its parts.
pub(super) const ENTRY_BYTES: usize = FIXED_BYTES + 32 + SALT_BYTES;
/// What storage may keep between two batches.
const KEPT_BYTES: usize = 1 << 20;

/// One batch, the items that have no room yet: a long one is placed piece by piece, as each makes room for the next.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    items: Vec<u8>,
    /// How many bytes of them were placed, or lost, and how many entries were not.
    done: usize,
    entries: u64,
}

/// Items that are placed together, the first of those that wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Portion {
    pub entries: u64,
    pub bytes: usize,
}

impl Portion {
    /// Bytes on disk at most.
    pub(super) fn room(self) -> u64 {
        self.entries * ENTRY_BYTES as u64 + self.bytes as u64
    }
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// What the batch takes of memory, items included that were placed.
    pub(super) fn bytes(&self) -> usize {
        self.items.len()
    }

    pub(super) fn all(&self) -> Portion {
        Portion { entries: self.entries, bytes: self.items.len() - self.done }
    }

    /// Takes all that waits in the ring, of which `upto` entries were taken before. Nothing may wait here.
    pub(super) fn take(&mut self, ring: &Ring, upto: u64) -> Taken {
        let taken = ring.take(&mut self.items);
        self.entries = taken.upto - upto;
        taken
    }

    /// What is placed next: all of it, or as much as takes `most_bytes` on disk, but an item at least.
    pub(super) fn portion(&self, most_bytes: u64) -> Portion {
        if self.all().room() <= most_bytes {
            return self.all();
        }
        let (mut portion, mut rest) = (Portion::default(), &self.items[self.done..]);
        while let Some((_, behind)) = Item::read(rest) {
            let more = Portion { entries: portion.entries + 1, bytes: self.items.len() - self.done - behind.len() };
            if portion.entries > 0 && more.room() > most_bytes {
                break;
            }
            (portion, rest) = (more, behind);
        }
        portion
    }

    /// Moves a portion to the end of `work`.
    pub(super) fn give(&mut self, portion: Portion, work: &mut Vec<u8>) {
        if work.is_empty() && portion.bytes == self.items.len() {
            mem::swap(&mut self.items, work);
        } else {
            work.extend_from_slice(&self.items[self.done..][..portion.bytes]);
        }
        self.forget(portion);
    }

    /// It is placed, or lost.
    pub(super) fn forget(&mut self, portion: Portion) {
        (self.done, self.entries) = (self.done + portion.bytes, self.entries - portion.entries);
        if self.is_empty() {
            self.done = 0;
            empty(&mut self.items);
        }
    }
}

/// Empties storage, and gives back what is large.
pub(super) fn empty(bytes: &mut Vec<u8>) {
    bytes.clear();
    if bytes.capacity() > KEPT_BYTES {
        *bytes = Vec::new();
    }
}
