//! Counts on disk: windows of an hour and more and all periods survive `kill -9` and a reboot.
//!
//! The file is a line that names its form, then entries: length and CRC-32 of what follows, then the writer's clock
//! (UTC less time since boot) and records. What changed is appended; from time to time, and at each start, the whole is
//! written anew beside it and renamed. A lock beside it keeps a second process out.
//!
//! What requests hold that have not ended is not in it. What was settled since the last write is taken from the journal
//! at the next start: from the place on that was the journal's end before that write began, of each record what was
//! settled after its scope was told. A process that could write no file at all is counted by its whole journal: the file
//! names the journals that it knows.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{
    Beyond, Limits, Mark, Now, Span,
    cell::Cell,
    complete::Completed,
    counter::{Bucket, Moment, WHOLE, length},
    record::{self, Kept},
};

const FORM: &[u8] = b"penstock limits 1\n";
/// Length and CRC-32.
const HEAD_BYTES: usize = 8;
/// An entry is closed once it has so many bytes.
const ENTRY_BYTES: usize = 64 << 10;
/// Clocks that are less apart are those of one boot.
const ONE_BOOT_US: u128 = 1_000_000;
/// Before that much was appended the whole is not written anew.
const SMALL_BYTES: u64 = 1 << 20;

/// What was found on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Counters whose counts go on.
    pub counters: usize,
    /// Counts of requests that were settled after the last write, from the journal.
    pub completed: usize,
    /// The journal could not be read to its end.
    pub is_incomplete: bool,
    /// Bytes at the end that are not what was written: a write that was cut, or damage.
    pub damaged_bytes: usize,
}

/// The file of one process; whoever has it has its lock.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    _lock: File,
    /// Where changes are appended; none before the whole was written.
    file: Option<File>,
    whole_bytes: u64,
    appended_bytes: u64,
    /// The last that was written.
    mark: Option<Mark>,
    /// Journals of which nothing is to be counted any more; `None`: nobody knows.
    journals: Option<Vec<String>>,
    /// See [`Ledger::earlier`](super::ledger::Ledger::earlier), of when the last write was gathered.
    earlier: u64,
}

/// What is to be written.
pub(super) enum Gathered {
    /// Behind what is there.
    More(File, Vec<u8>),
    /// In its place.
    Whole(File, PathBuf),
    /// Nothing, as what was used earlier was being counted: a part of it would count twice if it is counted again. The next
    /// write is the whole.
    Part,
}

impl Checkpoint {
    /// `None`: another process has it.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let lock = create(&path.with_extension("lock"), OFlags::empty())?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self {
                path: path.to_owned(),
                _lock: lock,
                file: None,
                whole_bytes: 0,
                appended_bytes: 0,
                mark: None,
                journals: None,
                earlier: 0,
            })),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds what an earlier process counted to what is counted here; from now on changes are noted.
    pub fn load(&mut self, limits: &Limits, beyond: &dyn Beyond, now: Now) -> io::Result<Loaded> {
        self.load_beyond(&mut Kept::default(), limits, beyond, now)
    }

    /// The same without what was [taken up](take_up) before.
    pub(super) fn load_beyond(
        &mut self,
        known: &mut Kept,
        limits: &Limits,
        beyond: &dyn Beyond,
        now: Now,
    ) -> io::Result<Loaded> {
        let loaded = take_up(&self.path, known, limits, now)?;
        // Not before: what is noted is kept until somebody writes it. The first write is of everything.
        limits.ledger().keep(true);
        if known.has_earlier {
            limits.ledger().count_earlier(|| {});
            limits.ledger().keep_earlier(limits.ledger().earlier());
        }
        let Completed { records, is_incomplete, known } = limits.complete(known, beyond, now);
        self.journals = known;
        Ok(Loaded { completed: records, is_incomplete, ..loaded })
    }

    /// Counts what others recorded that are gone by now and never had the file; how many records that were, and whether some
    /// could not be read. The next write is the whole: that these are counted and that their journals are known comes into the file at once.
    pub fn count_gone(&mut self, limits: &Limits, beyond: &dyn Beyond, now: Now) -> (usize, bool) {
        let Some(journals) = &self.journals else { return (0, false) };
        let kept = Kept::of(journals);
        let Completed { records, known, is_incomplete } = limits.complete(&kept, beyond, now);
        if records > 0 {
            self.file = None;
        }
        self.journals = known;
        (records, is_incomplete)
    }

    /// The journals of which all that counts is in the file: its own up to what is settled.
    pub(super) fn counted(&self) -> Vec<String> {
        if self.file.is_none() {
            return Vec::new(); // the last write was none
        }
        let own = self.mark.iter().map(|mark| &mark.instance);
        self.journals.iter().flatten().chain(own).cloned().collect()
    }

    /// Writes what has changed since the last call. After an error the next call writes everything. `mark` is where the
    /// journal stood before.
    pub fn write(&mut self, limits: &Limits, mark: Option<Mark>, now: Now) -> io::Result<()> {
        let gathered = self.gather(limits, mark, now)?;
        self.put(gathered, limits)
    }

    /// The first half of that: all that is to be written. The other must follow.
    pub(super) fn gather(&mut self, limits: &Limits, mark: Option<Mark>, now: Now) -> io::Result<Gathered> {
        let is_long = self.appended_bytes > SMALL_BYTES.max(4 * self.whole_bytes);
        self.earlier = limits.ledger().earlier();
        // What was used earlier comes into the file as a whole, and lasts then.
        let lacks_earlier = limits.ledger().lacks_earlier();
        let gathered = match self.file.take() {
            Some(file) if !is_long && !lacks_earlier => {
                let mut entries = Entries::new(Vec::new(), now);
                limits.ledger().take_changed().iter().try_for_each(|cell| entries.put(cell, false))?;
                let news = mark.as_ref().filter(|mark| self.mark.as_ref() != Some(mark));
                Gathered::More(file, entries.end(news, None)?)
            }
            _ => {
                // What changes from here on is listed anew, be it that nothing can be written.
                for cell in limits.ledger().take_changed() {
                    cell.state.lock().tell(true, limits.ledger()).1.for_each(drop);
                }
                let aside = self.path.with_extension("new");
                // What was not finished is in nobody's way on a disk that is full.
                let whole = self.write_whole(&aside, limits, mark.as_ref(), now);
                Gathered::Whole(whole.inspect_err(|_| drop(std::fs::remove_file(&aside)))?, aside)
            }
        };
        if !self.earlier.is_multiple_of(2) || limits.ledger().earlier() != self.earlier {
            return Ok(Gathered::Part);
        }
        self.mark = mark;
        Ok(gathered)
    }

    /// The second half.
    pub(super) fn put(&mut self, gathered: Gathered, limits: &Limits) -> io::Result<()> {
        self.file = Some(match gathered {
            Gathered::More(mut file, bytes) => {
                file.write_all(&bytes)?;
                self.appended_bytes += bytes.len() as u64;
                file
            }
            Gathered::Whole(file, aside) => {
                file.sync_data()?;
                (self.whole_bytes, self.appended_bytes) = (file.metadata()?.len(), 0);
                std::fs::rename(aside, &self.path)?;
                if let Some(dir) = self.path.parent() {
                    File::open(dir)?.sync_all()?;
                }
                limits.ledger().keep_earlier(self.earlier);
                file
            }
            Gathered::Part => return Ok(()),
        });
        Ok(())
    }

    fn write_whole(&self, aside: &Path, limits: &Limits, mark: Option<&Mark>, now: Now) -> io::Result<File> {
        match std::fs::remove_file(aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create(aside, OFlags::EXCL)?;
        file.write_all(FORM)?;
        let mut entries = Entries::new(file, now);
        entries.say(|out| record::write_since(limits.ledger().tells(), out));
        limits.parts().try_for_each(|cells| cells.iter().try_for_each(|cell| entries.put(cell, true)))?;
        if self.earlier > 0 {
            entries.say(record::write_earlier);
        }
        entries.end(mark, self.journals.as_deref())
    }
}

/// Adds what stands in a file now, be it another process's, and is not known yet; then it is.
pub(super) fn take_up(path: &Path, known: &mut Kept, limits: &Limits, now: Now) -> io::Result<Loaded> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Nothing was ever written: nothing is counted of any journal.
            known.journals.get_or_insert_default();
            return Ok(Loaded::default());
        }
        Err(error) => return Err(error),
    };
    if !bytes.starts_with(FORM) {
        // What says nothing is as good as none.
        known.journals.get_or_insert_default();
        return Ok(Loaded { damaged_bytes: bytes.len(), ..Loaded::default() });
    }
    let (kept, writers_us, whole) = read(&bytes);
    let counters = limits.restore(&kept, known, writers_us, now.into());
    *known = kept;
    Ok(Loaded { counters, damaged_bytes: bytes.len() - whole, ..Loaded::default() })
}

fn create(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Entries on their way into a file.
struct Entries<W> {
    out: W,
    writers_us: [u8; 8],
    entry: Vec<u8>,
}

impl<W: io::Write> Entries<W> {
    fn new(out: W, now: Now) -> Self {
        let at = Moment::from(now);
        Self { out, writers_us: at.utc_us.wrapping_sub(at.us).to_le_bytes(), entry: Vec::new() }
    }

    fn put(&mut self, cell: &Arc<Cell>, all: bool) -> io::Result<()> {
        self.begin();
        let mut state = cell.state.lock();
        let (told, changes) = state.tell(all, &cell.ledger);
        record::write(cell.scope.as_scope(), told, changes, &mut self.entry);
        drop(state);
        if self.entry.len() >= ENTRY_BYTES { self.flush() } else { Ok(()) }
    }

    fn begin(&mut self) {
        if self.entry.is_empty() {
            self.entry.extend([0; HEAD_BYTES]);
            self.entry.extend(self.writers_us);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some((head, body)) = self.entry.split_first_chunk_mut::<HEAD_BYTES>()
            && body.len() > self.writers_us.len()
        {
            head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
            head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
            self.out.write_all(&self.entry)?;
        }
        self.entry.clear();
        Ok(())
    }

    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.begin();
        write(&mut self.entry);
    }

    /// Journals and mark come last: by then all that they speak of is there.
    fn end(mut self, mark: Option<&Mark>, journals: Option<&[String]>) -> io::Result<W> {
        journals.iter().for_each(|names| self.say(|out| record::write_journals(names, out)));
        mark.iter().for_each(|mark| self.say(|out| record::write_mark(mark, out)));
        self.flush()?;
        Ok(self.out)
    }
}

/// All that whole entries say, the clock of the last one, and how many bytes they are.
fn read(bytes: &[u8]) -> (Kept, u64, usize) {
    let (mut kept, mut writers_us) = (Kept::default(), 0);
    let Some(mut rest) = bytes.strip_prefix(FORM) else { return (kept, writers_us, 0) };
    while let Some((clock, records, after)) = entry(rest) {
        if record::read(records, &mut kept).is_none() {
            break;
        }
        (writers_us, rest) = (clock, after);
    }
    (kept, writers_us, bytes.len() - rest.len())
}

fn entry(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (clock, records) = body.split_first_chunk()?;
    (crc32fast::hash(body) == u32::from_le_bytes(*crc)).then_some((u64::from_le_bytes(*clock), records, rest))
}

impl Limits {
    /// Counts what is kept, of which a clock `writers_us` behind UTC numbered the buckets.
    fn restore(&self, kept: &Kept, known: &Kept, writers_us: u64, now: Moment) -> usize {
        // What the writer's clock would tell now; ours tells another time after a reboot.
        let writers_now_us = now.utc_us.wrapping_sub(writers_us);
        let mut counters = 0;
        for (of, counter) in &kept.counters {
            let (scope, kind, span) = of;
            let buckets = counter.beyond(known.counters.get(of)).filter(|bucket| bucket.amount > 0);
            let buckets: Vec<_> = buckets.filter_map(|bucket| moved(*span, bucket, writers_now_us, now)).collect();
            if buckets.is_empty() || (counter.until_us <= now.utc_us && matches!(span, Span::Period(_))) {
                continue;
            }
            let cell = self.cell(scope.as_scope());
            let mut state = cell.state.lock();
            let now = state.moment(now);
            let place = state.counter(*kind, *span, now, self.ledger());
            buckets.into_iter().for_each(|b| state.counters[place].restore(counter.until_us, b, now, self.ledger()));
            state.note(&cell);
            counters += 1;
        }
        counters
    }
}

/// A bucket of another clock as one of ours, rather later than earlier; none where it has left the window.
fn moved(span: Span, bucket: Bucket, writers_now_us: u64, now: Moment) -> Option<Bucket> {
    let Span::Window(window_us) = span else { return Some(bucket) };
    let length = length(window_us);
    let last_us = (i128::from(bucket.number) + 1) * i128::from(length) - 1;
    let ahead_us = i128::from(writers_now_us) - i128::from(now.us);
    // Of one boot, between whose readings UTC was moved a little: no load makes a use stay longer.
    let ahead_us = if ahead_us.unsigned_abs() < ONE_BOOT_US { 0 } else { ahead_us };
    let last_us = last_us - ahead_us;
    // What lies ahead, by a clock of UTC that was set back, is counted as of now.
    let number = u64::try_from(last_us.min(i128::from(now.us))).ok()? / length;
    (number + WHOLE >= now.us / length).then_some(Bucket { number, ..bucket })
}
