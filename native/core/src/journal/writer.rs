//! What the writer thread does: takes what waits, makes entries of it, brings them to disk, keeps within the bounds.

mod room;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    Durability, Settings,
    disk::{Disk, Mark, Target, parent},
    entry::{Chain, Kind, Salts},
    facts::{Event, Facts, Why},
    read::Position,
    ring::{Item, Lost, Ring},
    segment::{HEADER_BYTES, Header, file_name},
    shipped::Shipped,
    space::{Removal, Space},
    tell,
    waiting::{ENTRY_BYTES, Portion, Waiting, empty},
    walk::{COMMITTED, write_committed},
};
use crate::clock::Clock;

/// Bytes that go to the disk in one write.
const PIECE_BYTES: usize = 256 << 10;
/// What was lost, of both kinds, and the end take at most so much on disk: it is kept free for the end of the journal.
const LAST_BYTES: u64 = 3 * (ENTRY_BYTES as u64 + 64);
/// Readers in other processes are told of what lasts so often: that takes the processor as long as an entry does.
pub(super) const TELL_US: u64 = 20_000;

/// A segment that is written.
struct Open {
    file: Box<dyn Target>,
    number: u64,
    path: PathBuf,
    /// Written, and known to last.
    bytes: u64,
    kept_bytes: u64,
    created_us: u64,
}

/// The state of a journal that is written. Everything happens when it is told to.
pub struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) ring: Arc<Ring>,
    pub(super) facts: Arc<Facts>,
    pub shipped: Arc<Shipped>,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) dir: PathBuf,
    salts: Salts,
    events: Vec<Event>,
    space: Space,
    open: Option<Open>,
    committed: Option<Box<dyn Mark>>,
    /// When it was written last, and whether it says what lasts.
    told_us: u64,
    is_told: bool,
    next_number: u64,
    /// What counts of the segment before the next one, and whether nothing stands behind it.
    previous_bytes: u64,
    is_cut: bool,
    /// After what lasts, and after what is written.
    chain: Chain,
    ahead: Chain,
    waiting: Waiting,
    /// What is to be written, and the number of the last entry that is in it, or was lost before; how much of it lasts, and
    /// is written.
    work: Vec<u8>,
    upto: u64,
    kept: usize,
    written: usize,
    /// How many records are written and not known to last.
    records: u64,
    out: Vec<u8>,
    lost: [(Lost, Why); 2],
    removals: Vec<Removal>,
    /// What the chain says is gone, and could not be removed yet.
    stuck: Vec<Removal>,
    /// What was shipped when room was last looked for in vain.
    in_vain: Option<u64>,
    /// Why no segment that may go could be read while there was room, to be told; when that is tried again.
    unread: Option<io::Error>,
    look_us: u64,
}

impl Writer {
    /// `salts` is random, and nobody else's.
    pub fn new(
        disk: Arc<dyn Disk>,
        ring: Arc<Ring>,
        facts: Arc<Facts>,
        clock: Clock,
        settings: Settings,
        salts: [u8; 32],
    ) -> Self {
        let chain = Chain::start(&settings.instance);
        let dir = settings.dir.clone();
        Self {
            space: Space::new(disk.clone(), &dir),
            disk,
            ring,
            facts,
            shipped: Arc::default(),
            clock,
            settings,
            dir,
            salts: Salts::new(salts),
            events: Vec::new(),
            open: None,
            committed: None,
            told_us: 0,
            is_told: true,
            next_number: 1,
            previous_bytes: 0,
            is_cut: true,
            chain,
            ahead: chain,
            waiting: Waiting::default(),
            work: Vec::new(),
            upto: 0,
            kept: 0,
            written: 0,
            records: 0,
            out: Vec::new(),
            lost: [(Lost::default(), Why::Memory), (Lost::default(), Why::Disk)],
            removals: Vec::new(),
            stuck: Vec::new(),
            in_vain: None,
            unread: None,
            look_us: 0,
        }
    }

    /// What happened since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Brings all that waits to disk. After an error nothing is lost: the next call begins a new segment with all that
    /// is not known to last.
    pub fn commit(&mut self) -> io::Result<()> {
        self.commit_untold()?;
        self.tell_readers()
    }

    /// The same, but with `group` readers are told every 20 ms at most, and by [`Writer::tell_readers`].
    pub fn commit_untold(&mut self) -> io::Result<()> {
        if !self.work.is_empty() && !self.waiting.is_empty() {
            // What it says is removed makes room, and what it is part of goes on.
            self.write_all()?;
        }
        if self.work.is_empty() {
            self.take();
            self.place()?;
        }
        if self.work.is_empty() {
            return self.tell_in_time();
        }
        self.tried(Self::write)?;
        self.end_work()?;
        let told = self.tell_in_time();
        self.ring.durable(self.upto, self.waiting.bytes());
        told
    }

    fn tell_in_time(&mut self) -> io::Result<()> {
        let waits = self.settings.durability == Durability::Group && self.clock.boot_us() < self.told_us + TELL_US;
        if waits { Ok(()) } else { self.tell_readers() }
    }

    /// Whether something waits that the ring knows nothing of any more.
    pub(super) fn has_work(&self) -> bool {
        !self.work.is_empty() || !self.waiting.is_empty() || self.has_lost()
    }

    fn has_lost(&self) -> bool {
        self.lost.iter().any(|(lost, _)| lost.entries > 0)
    }

    /// Writes all of the work and waits until it lasts. That readers cannot be told holds up nothing: they are later.
    fn write_all(&mut self) -> io::Result<()> {
        self.tried(Self::write)?;
        self.end_work()?;
        let _ = self.tell_readers();
        self.ring.durable(self.upto, self.waiting.bytes());
        Ok(())
    }

    /// Sees to it that all of the work, which is written, lasts; removes what it says is removed.
    fn end_work(&mut self) -> io::Result<()> {
        self.tried(Self::settle)?;
        empty(&mut self.work);
        (self.kept, self.written) = (0, 0);
        let removals = std::mem::take(&mut self.removals);
        let is_freed = !removals.is_empty();
        removals.into_iter().for_each(|removal| self.remove(removal));
        if is_freed { self.see_room() } else { Ok(()) }
    }

    /// After a fault the segment is given up.
    fn tried(&mut self, step: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        step(self).inspect_err(|_| {
            self.abandon();
            self.facts.failures.fetch_add(1, Relaxed);
        })
    }

    /// The journal ends in order.
    pub fn end(&mut self) -> io::Result<()> {
        self.write_rest()?;
        let is_begun = self.open.is_some() || self.next_number > 1;
        if !is_begun && !self.has_lost() {
            return Ok(());
        }
        if !is_begun && !self.make_room(HEADER_BYTES as u64 + LAST_BYTES)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.tell_lost();
        let mut public = Vec::new();
        tell::end(self.clock.utc_us(), &mut public);
        self.note(Kind::End, &public);
        self.commit_twice()
    }

    /// Writes what there is; what has no room is lost, as nobody comes back to it.
    fn write_rest(&mut self) -> io::Result<()> {
        loop {
            match self.commit_twice() {
                Err(error) if !self.work.is_empty() => return Err(error),
                Err(_) => self.lose(self.waiting.all()),
                Ok(()) => {}
            }
            if self.work.is_empty() && self.waiting.is_empty() && self.ring.is_empty() {
                return Ok(());
            }
        }
    }

    /// Commits; what fails is tried once more. That readers cannot be told is no failure.
    fn commit_twice(&mut self) -> io::Result<()> {
        self.commit_all().or_else(|_| self.commit_all())
    }

    fn commit_all(&mut self) -> io::Result<()> {
        let committed = self.commit();
        let lasts = self.work.is_empty() && self.waiting.is_empty();
        if lasts { Ok(()) } else { committed }
    }

    /// Takes what waits in the ring, unless what was taken before still has no room.
    fn take(&mut self) {
        if self.waiting.is_empty() {
            let taken = self.waiting.take(&self.ring, self.upto);
            self.lost[0].0.add(taken.lost);
        }
    }

    /// Makes work of what was taken, as far as it has room on disk, and else a gap. Of a long batch all but the last part
    /// is written. After an error the rest waits for the next call.
    fn place(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() || self.has_lost() {
            let portion = self.waiting.portion(self.settings.segment_bytes / 2);
            // What was lost may be told with it, and once more at the end.
            if self.make_room(portion.room() + 2 * LAST_BYTES)? {
                self.upto += portion.entries;
                self.waiting.give(portion, &mut self.work);
                if self.waiting.is_empty() {
                    self.tell_lost();
                    break;
                }
                self.write_all()?;
            } else if portion.entries > 0 {
                self.set_full(true);
                self.lose(portion);
            } else {
                break; // the gap is told once there is room for it
            }
        }
        Ok(())
    }

    fn lose(&mut self, portion: Portion) {
        let (entries, now_us) = (portion.entries, self.clock.utc_us());
        if entries == 0 {
            return;
        }
        self.upto += entries;
        self.lost[1].0.add(Lost { entries, bytes: portion.bytes as u64, first_us: now_us, last_us: now_us });
        self.facts.lose(entries, Why::Disk);
        self.waiting.forget(portion);
        self.ring.durable(self.upto, self.waiting.bytes());
    }

    fn tell_lost(&mut self) {
        for (lost, why) in &mut self.lost {
            let lost = std::mem::take(lost);
            if lost.entries > 0 {
                let mut public = Vec::new();
                tell::gap(&lost, *why, &mut public);
                Item { kind: Kind::Gap as u8, public: &public, private: b"" }.write(&mut self.work);
                self.events.push(Event::Lost { entries: lost.entries, why: *why });
            }
        }
    }

    /// An entry of the writer's own, behind what it has taken.
    fn note(&mut self, kind: Kind, public: &[u8]) {
        Item { kind: kind as u8, public, private: b"" }.write(&mut self.work);
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.work.len() {
            let (upto, ahead, records) = self.encode();
            if self.must_rotate(self.out.len() as u64) {
                self.settle()?;
                self.close();
            }
            if self.open.is_none() {
                self.begin()?;
            }
            let Some(open) = &mut self.open else { continue };
            open.file.append(&self.out)?;
            open.bytes += self.out.len() as u64;
            self.facts.bytes.fetch_add(self.out.len() as u64, Relaxed);
            self.facts.disk_bytes.fetch_add(self.out.len() as u64, Relaxed);
            self.records += records;
            (self.written, self.ahead) = (upto, ahead);
        }
        Ok(())
    }

    /// Makes entries of the next items, about one piece of them. How far that is, and where the chain stands then.
    fn encode(&mut self) -> (usize, Chain, u64) {
        self.out.clear();
        let (mut at, mut ahead, mut records) = (self.written, self.ahead, 0);
        let most = PIECE_BYTES.min(self.settings.segment_bytes as usize / 2);
        while self.out.len() < most
            && let Some((item, rest)) = Item::read(&self.work[at..])
        {
            ahead.append(item.kind, item.public, item.private, &mut self.salts, &mut self.out);
            records += u64::from(item.kind == Kind::Record as u8);
            at = self.work.len() - rest.len();
        }
        (at, ahead, records)
    }

    fn must_rotate(&self, more: u64) -> bool {
        let Some(open) = &self.open else { return false };
        let has_entries = open.bytes > HEADER_BYTES as u64;
        let is_old = has_entries && self.clock.utc_us().saturating_sub(open.created_us) > self.settings.segment_us;
        is_old || open.bytes + more > self.settings.segment_bytes
    }

    /// Begins a new segment where the open one is old, though nothing comes: what is in it may go then, or be forgotten.
    fn renew(&mut self) -> io::Result<()> {
        if !self.work.is_empty() || !self.must_rotate(0) {
            return Ok(());
        }
        self.close();
        self.tried(Self::begin)?;
        self.tried(Self::settle)
    }

    fn begin(&mut self) -> io::Result<()> {
        let (number, created_us) = (self.next_number, self.clock.utc_us());
        let path = self.dir.join(file_name(number, false));
        let mut head = Vec::new();
        let instance = self.settings.instance.clone();
        Header { instance, number, chain: self.chain, previous_bytes: self.previous_bytes, created_us }
            .write(&mut head);
        let made = self.make(&path, &head);
        let file = made.inspect_err(|_| drop(self.disk.remove(&path)))?;
        let bytes = head.len() as u64;
        self.facts.disk_bytes.fetch_add(bytes, Relaxed);
        self.open = Some(Open { file, number, path, bytes, kept_bytes: bytes, created_us });
        self.next_number = number + 1;
        Ok(())
    }

    fn make(&mut self, path: &Path, head: &[u8]) -> io::Result<Box<dyn Target>> {
        let others = self.facts.disk_bytes.load(Relaxed);
        let most_bytes = self.settings.max_bytes.saturating_sub(others).min(self.settings.segment_bytes);
        let mut file = self.disk.create_segment(path, head, most_bytes)?;
        if self.committed.is_none() {
            let mut committed = self.disk.create_mark(&self.dir.join(COMMITTED))?;
            committed.replace(&write_committed(0, 0))?;
            self.committed = Some(committed);
        }
        if self.settings.durability != Durability::Os {
            file.sync()?;
            self.disk.sync_dir(&self.dir)?;
            if self.next_number == 1 {
                let journal = parent(&self.dir);
                self.disk.sync_dir(&journal)?;
                self.disk.sync_dir(&parent(&journal))?;
            }
        }
        Ok(file)
    }

    /// What is written lasts from now on, as far as the durability promises, and readers see it.
    fn settle(&mut self) -> io::Result<()> {
        if self.settings.durability != Durability::Os {
            self.sync()?;
        }
        if let Some(open) = &mut self.open {
            open.kept_bytes = open.bytes;
        }
        self.facts.entries.fetch_add(self.ahead.sequence - self.chain.sequence, Relaxed);
        self.facts.records.fetch_add(std::mem::take(&mut self.records), Relaxed);
        (self.kept, self.chain) = (self.written, self.ahead);
        if let Some(open) = &self.open {
            *self.facts.committed.lock() = Position { segment: open.number, offset: open.bytes };
            self.is_told = false;
        }
        Ok(())
    }

    /// Whether readers in other processes know of all that lasts.
    pub(super) fn has_told_readers(&self) -> bool {
        self.is_told || self.open.is_none() // the next segment's head tells them
    }

    /// Tells them.
    pub fn tell_readers(&mut self) -> io::Result<()> {
        if self.is_told {
            return Ok(());
        }
        if let (Some(open), Some(committed)) = (&self.open, &mut self.committed) {
            let told = committed.replace(&write_committed(open.number, open.kept_bytes));
            told.inspect_err(|_| _ = self.facts.failures.fetch_add(1, Relaxed))?;
            (self.told_us, self.is_told) = (self.clock.boot_us(), true);
        }
        Ok(())
    }

    /// Waits until what is written lasts.
    fn sync(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let begun_us = self.clock.boot_us();
        open.file.sync()?;
        self.facts.sync.observe(self.clock.boot_us().saturating_sub(begun_us));
        Ok(())
    }

    fn close(&mut self) {
        let _ = self.tell_readers();
        if let Some(open) = self.open.take() {
            (self.previous_bytes, self.is_cut) = (open.bytes, true);
        }
    }

    /// Gives the segment up: what is behind its last known state is written again to a new one.
    fn abandon(&mut self) {
        let was_told = self.is_told;
        let _ = self.tell_readers();
        if let Some(open) = self.open.take() {
            let is_known = !was_told || self.facts.committed.lock().segment == open.number;
            if !is_known && self.is_cut && self.disk.remove(&open.path).is_ok() {
                // Nothing but its head, of which nobody heard: on a disk that fails for long there would be ever more.
                self.next_number = open.number;
            } else {
                self.is_cut = self.disk.truncate(&open.path, open.kept_bytes).is_ok();
                self.previous_bytes = open.kept_bytes;
            }
        }
        (self.written, self.ahead, self.records) = (self.kept, self.chain, 0);
        let _ = self.measure();
    }

    fn open_number(&self) -> u64 {
        self.open.as_ref().map_or(self.next_number, |open| open.number)
    }
}
