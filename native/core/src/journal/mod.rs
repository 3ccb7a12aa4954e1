//! A journal on disk of what must not be forgotten: one an instance, append-only, each entry chained to the one before.
//!
//! Request threads push into a bounded ring; one thread makes entries of what waits and brings them to disk together.
//! Nothing here knows of requests: a payload is bytes.

mod alarm;
mod blocks;
mod direct;
pub mod disk;
pub mod entry;
pub mod facts;
mod forgetting;
pub mod pack;
pub mod piece;
pub mod read;
pub mod recover;
pub mod ring;
#[cfg(test)]
mod scratch;
pub mod segment;
pub mod shipped;
pub mod space;
mod tell;
mod thread;
pub mod unpack;
pub mod verify;
mod waiting;
pub mod walk;
pub mod writer;

use std::{
    fmt,
    future::poll_fn,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Deserialize;

pub use entry::Kind;
pub use facts::{Event, Facts, Why};
pub use forgetting::{Forgotten, forget_before};
pub use read::{Batch, Found, Position, Reader};
pub use ring::{Item, Lost};

use self::{disk::Disk, ring::Ring, shipped::Shipped, thread::Thread, writer::Writer};
use crate::clock::Clock;

/// Bytes of entries that may wait in memory, those included that are just being written.
pub const RING_BYTES: usize = 16 << 20;
/// What a request that is let in keeps free for its record, where none may go unrecorded.
const RESERVED_BYTES: usize = 2 << 10;
const SEGMENT_BYTES: u64 = 64 << 20;
const LARGEST_BYTES: u64 = 10 << 30;
const SMALLEST_BYTES: u64 = 1 << 20;
const DAY_US: u64 = 86_400_000_000;
/// How long an answer waits for a disk that does not answer, unless nothing may go unrecorded.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an answer, or a record, is worth.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of an answer waits until its record is on disk.
    Flush,
    /// What waits is brought to disk every 5 ms.
    Group,
    /// What waits is written every 5 ms; when it comes to disk is the system's business.
    Os,
}

/// What happens when there is no room for a record.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// The oldest segment goes; where none can, the record is dropped and counted.
    Drop,
    /// Requests are refused.
    Shed,
}

/// As they come from Python.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The instance's own directory, which is there and locked.
    pub dir: PathBuf,
    pub durability: Durability,
    pub when_full: WhenFull,
    /// 0: the smaller of 10 GiB and a tenth of the volume.
    pub max_bytes: u64,
    /// What is older goes.
    pub retain_ms: u64,
    /// A store takes records: a segment stays until [`Journal::shipped`] tells that it did.
    pub pinned: bool,
}

/// How a journal is written.
#[derive(Clone, Debug)]
pub struct Settings {
    pub dir: PathBuf,
    pub instance: String,
    pub durability: Durability,
    pub when_full: WhenFull,
    pub max_bytes: u64,
    pub retain_us: u64,
    pub pinned: bool,
    /// When a segment is closed.
    pub segment_bytes: u64,
    pub segment_us: u64,
    pub wanted: Wanted,
}

/// Tells by its instance whether a journal is still to be read by somebody else: then what the store has of it stays, unless
/// there is no other room.
#[derive(Clone)]
pub struct Wanted(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Default for Wanted {
    /// None is.
    fn default() -> Self {
        Self(Arc::new(|_| false))
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wanted")
    }
}

impl Settings {
    /// What the options come to on this disk.
    pub fn of(options: &Options, instance: &str, disk: &dyn Disk) -> io::Result<Self> {
        let max_bytes = match options.max_bytes {
            0 => (disk.volume_bytes(&options.dir)? / 10).clamp(SMALLEST_BYTES, LARGEST_BYTES),
            given => given.max(SMALLEST_BYTES),
        };
        let retain_us = options.retain_ms.saturating_mul(1_000);
        Ok(Self {
            dir: options.dir.clone(),
            instance: instance.to_owned(),
            durability: options.durability,
            when_full: options.when_full,
            max_bytes,
            retain_us,
            pinned: options.pinned,
            segment_bytes: SEGMENT_BYTES.min(max_bytes / 8),
            segment_us: DAY_US.min(retain_us / 8),
            wanted: Wanted::default(),
        })
    }
}

/// The journal of this process: request threads append to it.
pub struct Journal {
    ring: Arc<Ring>,
    facts: Arc<Facts>,
    shipped: Arc<Shipped>,
    clock: Clock,
    settings: Settings,
    numbers: AtomicU64,
    admitted: AtomicUsize,
    thread: Mutex<Option<Thread>>,
}

impl Journal {
    /// Starts the writer; `tell` hears what happens to it. `salts` is random, and nobody else's.
    pub fn start(
        settings: Settings,
        disk: Arc<dyn Disk>,
        clock: Clock,
        salts: [u8; 32],
        tell: impl FnMut(Event) + Send + 'static,
    ) -> io::Result<Self> {
        let (ring, facts) = (Arc::new(Ring::new(RING_BYTES)?), Arc::<Facts>::default());
        let writer = Writer::new(disk, ring.clone(), facts.clone(), clock.clone(), settings.clone(), salts);
        let shipped = writer.shipped.clone();
        let thread = Mutex::new(Some(Thread::start(writer, tell)?));
        let (numbers, admitted) = (AtomicU64::new(0), AtomicUsize::new(0));
        Ok(Self { ring, facts, shipped, clock, settings, numbers, admitted, thread })
    }

    /// The next of the numbers by which entries of one request know each other, from 1.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    /// Appends an entry; its ticket for [`Journal::kept`]. `None`: there was no room, and that is counted.
    pub fn append(&self, kind: Kind, public: &[u8], private: &[u8]) -> Option<u64> {
        let item = Item { kind: kind as u8, public, private };
        let ticket = self.ring.push(item, || self.clock.boot_us(), || self.clock.utc_us());
        if ticket.is_none() {
            self.facts.lose(1, Why::Memory);
        }
        ticket
    }

    /// Whether the ends of answers wait for their records.
    pub fn holds_answers(&self) -> bool {
        self.settings.durability == Durability::Flush
    }

    /// Returns once an entry is on disk. A disk that refuses, or is silent for two seconds, ends the wait too, unless
    /// nothing may go unrecorded.
    pub async fn kept(&self, ticket: u64) {
        let is_patient = self.settings.when_full == WhenFull::Shed;
        let kept = poll_fn(|cx| self.ring.poll_durable(ticket, is_patient, cx));
        if is_patient {
            kept.await;
        } else {
            let _ = tokio::time::timeout(PATIENCE, kept).await;
        }
    }

    /// Whether there is room for so many bytes that could be left out: half of the memory stays free of them, and what the
    /// records of requests that are in may need.
    pub fn has_spare(&self, bytes: usize) -> bool {
        let reserved = self.admitted.load(Relaxed).saturating_mul(RESERVED_BYTES);
        self.ring.has_room((RING_BYTES / 2).max(reserved).saturating_add(bytes))
    }

    /// Lets a request in. `None`: its record might find no room, and requests are refused then.
    pub fn admit(self: &Arc<Self>) -> Option<Admitted> {
        if self.settings.when_full == WhenFull::Drop {
            return Some(Admitted(None));
        }
        let admitted = self.admitted.fetch_add(1, Relaxed) + 1;
        let guard = Admitted(Some(self.clone()));
        let is_open = !self.facts.is_full.load(Relaxed) && !self.ring.is_failing();
        (is_open && self.ring.has_room(admitted * RESERVED_BYTES)).then_some(guard)
    }

    /// The store has all that is before these segments of these instances.
    pub fn shipped(&self, segments: &[(String, u64)]) {
        segments.iter().for_each(|(instance, segment)| self.shipped.note(instance, *segment));
        if self.facts.is_full.load(Relaxed) {
            self.ring.look();
        }
    }

    /// Whether segments wait for a store.
    pub fn is_pinned(&self) -> bool {
        self.settings.pinned
    }

    /// What it and those of processes that are gone may take on disk.
    pub fn max_bytes(&self) -> u64 {
        self.settings.max_bytes
    }

    pub fn utc_us(&self) -> u64 {
        self.clock.utc_us()
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn held_bytes(&self) -> usize {
        self.ring.held_bytes()
    }

    pub fn lag_us(&self) -> u64 {
        self.ring.lag_us(self.clock.boot_us())
    }

    /// What is wrong, for people; `None`: all is well.
    pub fn trouble(&self) -> Option<&'static str> {
        match (self.ring.is_failing(), self.facts.is_full.load(Relaxed)) {
            (true, _) => Some("the journal cannot be written"),
            (false, true) => Some("the journal is full"),
            (false, false) => None,
        }
    }

    /// Writes what is left and ends; a disk that hangs is not waited for longer than five seconds. How many entries are lost of
    /// which nothing told yet; once more called, those that came too late.
    pub fn stop(&self) -> u64 {
        let unwritten = self.thread.lock().take().map_or(0, |thread| {
            thread.stop(&self.ring);
            self.ring.unwritten()
        });
        unwritten + self.facts.tell_lost()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A request that is in; room for its record is kept while this lives.
pub struct Admitted(Option<Arc<Journal>>);

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(journal) = &self.0 {
            journal.admitted.fetch_sub(1, Relaxed);
        }
    }
}
