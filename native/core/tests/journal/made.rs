//! Journals made for tests, on a disk in memory and by a clock that is moved by hand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Waker},
};

use penstock_core::{
    clock::Clock,
    journal::{
        Durability, Facts, Item, Kind, Position, Reader, Settings, Wanted, WhenFull,
        disk::Disk,
        recover::recover,
        ring::Ring,
        verify::{Report, verify},
        writer::Writer,
    },
};

use crate::sim::Sim;

pub(crate) const START_US: u64 = 1_800_000_000_000_000;
pub(crate) const MS: u64 = 1_000;
pub(crate) const DAY_US: u64 = 86_400_000_000;

pub(crate) fn settings(instance: &str, durability: Durability) -> Settings {
    Settings {
        dir: Path::new("/data/journal").join(instance),
        instance: instance.to_owned(),
        durability,
        when_full: WhenFull::Drop,
        max_bytes: 1 << 30,
        retain_us: 90 * DAY_US,
        pinned: false,
        segment_bytes: 4 << 10,
        segment_us: DAY_US,
        wanted: Wanted::default(),
    }
}

/// A journal that is written by hand.
pub(crate) struct Made {
    pub(crate) sim: Sim,
    pub(crate) now: Arc<AtomicU64>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) writer: Writer,
    pub(crate) dir: PathBuf,
    pushed: u64,
}

impl Made {
    pub(crate) fn new(durability: Durability) -> Self {
        Self::with(settings("one", durability), None)
    }

    /// A further journal on the disk, and by the clock, of another.
    pub(crate) fn with(settings: Settings, beside: Option<&Self>) -> Self {
        let now = beside.map_or_else(|| Arc::new(AtomicU64::new(START_US)), |other| other.now.clone());
        let clock = Clock::Manual(now.clone());
        let sim = beside.map_or_else(|| Sim::new(clock.clone()), |other| other.sim.clone());
        sim.set_locked(&settings.dir.join("lock"), true);
        let (ring, facts) = (Arc::new(Ring::new(64 << 10).unwrap()), Arc::<Facts>::default());
        let dir = settings.dir.clone();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let writer = Writer::new(disk, ring.clone(), facts.clone(), clock, settings, [7; 32]);
        Self { sim, now, ring, facts, writer, dir, pushed: 0 }
    }

    /// Pushes the next record; its number in the ring, if there was room.
    pub(crate) fn push(&mut self) -> Option<u64> {
        self.push_of(40)
    }

    /// One whose public part has so many bytes.
    pub(crate) fn push_of(&mut self, bytes: usize) -> Option<u64> {
        let mut public = vec![b'x'; bytes];
        public[..8].copy_from_slice(&self.pushed.to_le_bytes());
        let private: &[u8] = if self.pushed.is_multiple_of(3) { b"" } else { b"192.0.2.7" };
        self.pushed += 1;
        self.put(Kind::Record, &public, private)
    }

    /// Pushes an entry of any kind.
    pub(crate) fn put(&self, kind: Kind, public: &[u8], private: &[u8]) -> Option<u64> {
        let now = || self.now.load(Relaxed);
        self.ring.push(Item { kind: kind as u8, public, private }, now, now)
    }

    pub(crate) fn later(&self, us: u64) {
        self.now.fetch_add(us, Relaxed);
    }

    pub(crate) fn is_durable(&self, number: u64) -> bool {
        self.ring.poll_durable(number, true, &Context::from_waker(Waker::noop())).is_ready()
    }

    /// Commits, and if that comes to one sync more than so many, the process ends there: the writer is not to be used again.
    pub(crate) fn ends_in_commit(&mut self, syncs: u32) -> bool {
        self.sim.end_in_sync(Some(syncs));
        let ended = catch_unwind(AssertUnwindSafe(|| self.writer.commit_untold())).is_err();
        self.sim.end_in_sync(None);
        ended
    }

    /// The process is gone, its lock free.
    pub(crate) fn die(&self) {
        self.sim.set_locked(&self.dir.join("lock"), false);
    }

    pub(crate) fn recover(&self) {
        recover(&self.sim, &self.dir).unwrap();
    }

    /// The numbers of all records that a reader finds.
    pub(crate) fn read(&self, is_live: bool) -> Vec<u64> {
        read_all(&self.sim, &self.dir, is_live)
    }

    pub(crate) fn report(&self, is_live: bool) -> Report {
        let mut reports = verify(&self.sim, Path::new("/data/journal"), &[], |_| is_live).unwrap();
        reports.retain(|report| self.dir.ends_with(&report.instance));
        reports.pop().unwrap()
    }

    /// Records that found no room on disk.
    pub(crate) fn lost_on_disk(&self) -> u64 {
        self.facts.lost_disk.load(Relaxed)
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:010}.segment"))
    }
}

pub(crate) fn read_all(sim: &Sim, dir: &Path, is_live: bool) -> Vec<u64> {
    let reader = Reader::new(Arc::new(sim.clone()), dir);
    let (mut from, mut found) = (Position::default(), Vec::new());
    loop {
        let batch = reader.read(from, 1_000, is_live).unwrap();
        let records = batch.entries.iter().filter(|entry| entry.kind == Kind::Record as u8);
        found.extend(records.map(|entry| u64::from_le_bytes(entry.public[..8].try_into().unwrap())));
        if batch.is_end {
            return found;
        }
        assert_ne!(batch.next, from, "a reading goes on");
        from = batch.next;
    }
}

/// Rounds of a random test: `ROUNDS`, where it says how many.
pub(crate) fn rounds(usual: u64) -> u64 {
    std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
