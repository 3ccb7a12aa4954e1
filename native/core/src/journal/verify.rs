//! Whether a journal is what was written: every entry there, unchanged, once, in its order.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    disk::Disk,
    entry::{Chain, Entry, Kind},
    segment::{HEADER_BYTES, Header},
    tell::hex,
    unpack::Unpack,
    walk::{File, Walk, committed, files, limit},
};

/// Where a journal's chain stood; kept elsewhere it shows later whether anything before it was changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Head {
    pub instance: String,
    pub sequence: u64,
    /// 64 hexadecimal digits.
    pub hash: String,
}

/// What was found in one journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub instance: String,
    pub is_live: bool,
    pub segments: usize,
    pub entries: u64,
    pub records: u64,
    /// Entries that the journal itself says were not written.
    pub lost: u64,
    /// The journal ended in order.
    pub ended: bool,
    /// Bytes at its end that were not finished, as after a cut of power or `kill -9`.
    pub unfinished_bytes: u64,
    pub head: Option<Head>,
    /// The first fault: which entry, where, and what is wrong with it.
    pub fault: Option<String>,
}

/// What the journals say of segments that were removed, by instance and number.
type Removed = HashMap<(String, u64), Told>;

/// The first and the last entry of one, and the hash of that.
struct Told {
    first: u64,
    last: u64,
    hash: String,
}

impl Told {
    /// Entries that are missing between the last one that is there and what was removed.
    fn cut(&self, end: u64) -> Option<String> {
        let next = end.saturating_add(1);
        (next < self.first).then(|| format!("entries {next} to {} are missing", self.first - 1))
    }

    fn ends_with(&self, sequence: u64, hash: &str) -> bool {
        self.last == sequence && self.hash == hash
    }
}

/// Segments of one journal that are not there, as far as they were told of, in their order.
struct Gone<'a> {
    instance: &'a str,
    /// Number of the first that is missing, and the entry before it.
    from: u64,
    end: u64,
    told: Vec<(u64, &'a Told)>,
}

impl<'a> Gone<'a> {
    /// Of the numbers before `to`.
    fn find(removed: &'a Removed, instance: &'a str, from: u64, end: u64, to: u64) -> Self {
        let all = removed.iter().filter(|((of, number), _)| of == instance && (from..to).contains(number));
        let mut told: Vec<_> = all.map(|((_, number), told)| (*number, told)).collect();
        told.sort_unstable_by_key(|(number, _)| *number);
        Self { instance, from, end, told }
    }

    /// What is missing between what is there and what was told of, and within that. What was told of the first of them may be
    /// gone itself: where a head in there was kept, it must not be.
    fn fault(&self, heads: &[Head]) -> Option<String> {
        let (number, first) = *self.told.first()?;
        let before = self.end.saturating_add(1)..first.first;
        let is_in = |head: &Head| head.instance == self.instance && before.contains(&head.sequence);
        if number == self.from
            && let Some(cut) = first.cut(self.end)
        {
            return Some(cut);
        }
        if heads.iter().any(is_in) {
            return Some(format!("segment {} is missing: the head of an entry in it was kept", self.from));
        }
        self.told.windows(2).find_map(|pair| {
            let [(before, told), (number, next)] = *pair else { return None };
            if number == before + 1 { next.cut(told.last) } else { Some(format!("segment {} is missing", before + 1)) }
        })
    }

    /// Whether a head was kept of another last entry than one of theirs.
    fn contradicts(&self, head: &Head) -> bool {
        let next = self.told.iter().skip(1).map(|(_, next)| next.first).chain([u64::MAX]);
        // Where the segment behind it was gone already it may have been read too far.
        let mut known = self.told.iter().zip(next).filter(|((_, told), next)| told.last < *next);
        known.any(|((_, told), _)| told.last == head.sequence && !told.ends_with(head.sequence, &head.hash))
    }
}

/// Verifies all journals below `all`. `is_live` tells of the process of an instance; `heads` must stand in their chains.
pub fn verify(disk: &dyn Disk, all: &Path, heads: &[Head], is_live: impl Fn(&str) -> bool) -> io::Result<Vec<Report>> {
    let mut names: Vec<_> = disk.list(all)?.into_iter().filter(|each| each.is_dir && is_instance(&each.name)).collect();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let mut removed = Removed::new();
    let mut found = Vec::new();
    for name in names.into_iter().map(|each| each.name) {
        let dir = all.join(&name);
        let one = One { disk, dir, is_live: is_live(&name), name };
        found.push(one.verify(heads, &mut removed)?);
    }
    let known: HashMap<_, _> =
        found.iter().map(|Found { report, .. }| (report.instance.clone(), report.segments)).collect();
    for one in &mut found {
        let untold = one.holes.iter().find_map(|hole| hole.fault(heads, &removed));
        one.report.fault = untold.or_else(|| one.report.fault.take()).or_else(|| one.end(heads, &removed));
    }
    let is_there = |report: &Report| report.segments > 0 || report.fault.is_some();
    let mut reports: Vec<_> = found.into_iter().map(|one| one.report).filter(is_there).collect();
    for head in heads {
        let was_removed = removed.iter().any(|((instance, _), told)| {
            *instance == head.instance && (told.last > head.sequence || told.ends_with(head.sequence, &head.hash))
        });
        if known.get(&head.instance).is_none_or(|segments| *segments == 0) && !was_removed {
            let fault = format!("the journal is gone: its head at entry {} was kept", head.sequence);
            reports.push(Report { fault: Some(fault), ..Report::new(&head.instance, false) });
        }
    }
    Ok(reports)
}

/// What a file system keeps at its top is no journal, and nobody's to look into.
fn is_instance(name: &str) -> bool {
    !name.starts_with('.') && name != "lost+found"
}

/// Segments that are not there: they must have been removed, and that told. It is not always the oldest ones that go first:
/// they go by when they changed, and a clock may have been ahead.
struct Hole {
    instance: String,
    /// Number of the first that is missing, and the entry before it.
    from: u64,
    end: u64,
    /// Number of the segment behind them, and what that follows.
    to: u64,
    chain: Chain,
}

impl Hole {
    fn fault(&self, heads: &[Head], removed: &Removed) -> Option<String> {
        let Self { from, end, to, chain, .. } = *self;
        let last = removed.get(&(self.instance.clone(), to - 1));
        let reaches = last.is_some_and(|told| told.ends_with(chain.sequence, &hex(&chain.hash)));
        match from {
            // All that was told of those before the last one may be gone.
            _ if reaches && from == 1 => None,
            1 => Some(format!("entries 1 to {} are missing: the journal begins with segment {to}", chain.sequence)),
            _ if reaches => Gone::find(removed, &self.instance, from, end, to).fault(heads),
            _ => Some(format!("segment {} is missing", to - 1)),
        }
    }
}

/// How often a journal is read whose segments go meanwhile.
const READINGS: u32 = 10;

/// What was found in one journal, before it is known what the others tell of it.
struct Found {
    report: Report,
    holes: Vec<Hole>,
    /// Number of its last segment, and its last entry.
    last: u64,
    end: u64,
}

impl Found {
    /// What is missing at the end: before segments that were removed, among them, or up to a head that was kept.
    fn end(&self, heads: &[Head], removed: &Removed) -> Option<String> {
        if self.report.segments == 0 {
            return None;
        }
        let name = &self.report.instance;
        let gone = Gone::find(removed, name, self.last.saturating_add(1), self.end, u64::MAX);
        let end = gone.told.iter().fold(self.end, |end, (_, told)| end.max(told.last));
        let missing = |head: &&Head| head.instance == *name && (head.sequence > end || gone.contradicts(head));
        gone.fault(heads).or_else(|| {
            heads.iter().find(missing).map(|head| {
                let from = self.end + 1;
                format!("entries {from} to {} are missing: a head behind the last entry was kept", head.sequence)
            })
        })
    }
}

impl Report {
    fn new(instance: &str, is_live: bool) -> Self {
        Self {
            instance: instance.to_owned(),
            is_live,
            segments: 0,
            entries: 0,
            records: 0,
            lost: 0,
            ended: false,
            unfinished_bytes: 0,
            head: None,
            fault: None,
        }
    }
}

struct One<'a> {
    disk: &'a dyn Disk,
    dir: PathBuf,
    name: String,
    is_live: bool,
}

impl One<'_> {
    /// Anew where segments go meanwhile, as the oldest ones may.
    fn verify(&self, heads: &[Head], removed: &mut Removed) -> io::Result<Found> {
        for _ in 1..READINGS {
            match self.read(heads, removed) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
        }
        self.read(heads, removed)
    }

    fn read(&self, heads: &[Head], removed: &mut Removed) -> io::Result<Found> {
        // Before anything else: what is written goes on.
        let told = committed(self.disk, &self.dir)?;
        let files = files(self.disk, &self.dir)?;
        // All of it may have been removed meanwhile.
        let told = if files.is_empty() { committed(self.disk, &self.dir)? } else { told };
        let mut report = Report { segments: files.len(), ..Report::new(&self.name, self.is_live) };
        let mut holes = Vec::new();
        let mut chain: Option<Chain> = None;
        let heads: Vec<_> = heads.iter().filter(|head| head.instance == self.name).collect();
        let mut last_number = 0;
        for (index, file) in files.iter().enumerate() {
            let limit = limit(self.disk, &self.dir, &files, index, self.is_live)?.min(file.bytes);
            let is_last = index + 1 == files.len();
            let bytes = match self.disk.read(&file.path, 0, usize::try_from(limit).unwrap_or(usize::MAX)) {
                // Its writer had only begun it, told nobody of it, and took it away meanwhile.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && is_last
                        && self.is_live
                        && told.is_none_or(|(segment, _)| segment < file.number) =>
                {
                    break;
                }
                bytes => bytes?,
            };
            let Some(header) = Header::read(&bytes) else {
                if is_last && self.is_unwritten(&bytes, file) {
                    report.unfinished_bytes = Walk::new(&bytes, 0).rest();
                    break;
                }
                report.fault = Some(format!("segment {}: its head is damaged", file.number));
                break;
            };
            let from = last_number + 1;
            let is_hole = file.number > from;
            report.fault = self.fits(&header, file, chain.filter(|_| !is_hole));
            if is_hole && report.fault.is_none() {
                let (instance, end) = (self.name.clone(), chain.map_or(0, |chain| chain.sequence));
                holes.push(Hole { instance, from, end, to: file.number, chain: header.chain });
                chain = None;
            }
            last_number = file.number;
            // What stands behind the entries of a segment counts where its successor says so.
            let is_end = files.get(index + 1).is_none_or(|next| next.number > file.number + 1);
            let mut at = chain.unwrap_or(header.chain);
            let mut whole = 0;
            if report.fault.is_none() {
                match entries(&bytes, file, is_end, &mut at, &mut report, &heads, removed) {
                    Ok(bytes) => whole = bytes,
                    Err(fault) => report.fault = Some(fault),
                }
            }
            let was_whole = told.is_some_and(|(segment, upto)| segment == file.number && upto > whole);
            if report.fault.is_none() && is_last && was_whole {
                let next = at.sequence + 1;
                report.unfinished_bytes = 0;
                report.fault = Some(format!(
                    "entry {next} is missing or damaged (segment {}, byte {whole}): it was on disk before",
                    file.number
                ));
            }
            chain = Some(at);
            if report.fault.is_some() {
                break;
            }
        }
        // The newest one of a writer that lives does not go.
        let newest =
            told.filter(|(_, upto)| self.is_live && *upto > HEADER_BYTES as u64).map_or(0, |(number, _)| number);
        if report.fault.is_none() && newest > last_number {
            report.fault = Some(format!("segment {} is missing: it was on disk before", last_number + 1));
        }
        let at = chain.filter(|at| at.sequence > 0);
        report.head = at.map(|at| Head { instance: self.name.clone(), sequence: at.sequence, hash: hex(&at.hash) });
        let end = at.map_or(0, |at| at.sequence);
        Ok(Found { report, holes, last: last_number, end })
    }

    /// A segment that was begun and no more: nothing in it counts yet.
    fn is_unwritten(&self, bytes: &[u8], file: &File) -> bool {
        (self.is_live || file.bytes < HEADER_BYTES as u64 || bytes.iter().all(|byte| *byte == 0))
            && !Walk::new(bytes, 0).resume()
    }

    /// Whether a segment goes on where the one before it ended.
    fn fits(&self, header: &Header, file: &File, chain: Option<Chain>) -> Option<String> {
        let number = file.number;
        if file.is_damaged {
            return Some(format!("segment {number} was set aside as damaged: {}", file.path.display()));
        }
        if header.instance != self.name || header.number != number {
            return Some(format!(
                "segment {number} is segment {} of {}: it was renamed or copied here",
                header.number, header.instance
            ));
        }
        let before = chain.unwrap_or_else(|| if number == 1 { Chain::start(&self.name) } else { header.chain });
        if header.chain.sequence > before.sequence {
            let (from, to) = (before.sequence + 1, header.chain.sequence);
            return Some(format!("entries {from} to {to} are missing before segment {number}"));
        }
        (header.chain != before).then(|| format!("segment {number} does not follow entry {}", before.sequence))
    }
}

/// Goes through one segment: how many bytes of it are whole, or the first fault.
fn entries(
    bytes: &[u8],
    file: &File,
    is_end: bool,
    chain: &mut Chain,
    report: &mut Report,
    heads: &[&Head],
    removed: &mut Removed,
) -> Result<u64, String> {
    let mut walk = Walk::new(bytes, HEADER_BYTES);
    for (at, entry) in walk.by_ref() {
        let next = chain.sequence + 1;
        let place = format!("segment {}, byte {at}", file.number);
        if entry.sequence != next {
            return Err(misplaced(bytes, next, &entry, &place));
        }
        if !entry.follows(&chain.hash) {
            return Err(format!("entry {next} was changed ({place})"));
        }
        *chain = Chain::after(&entry);
        if let Some(head) = heads.iter().find(|head| head.sequence == next && head.hash != hex(&entry.hash)) {
            return Err(format!("entry {} or one before it was changed: its head was kept ({place})", head.sequence));
        }
        report.entries += 1;
        report.records += u64::from(entry.kind == Kind::Record as u8);
        report.ended = entry.kind == Kind::End as u8;
        note(&entry, report, removed);
    }
    let (at, next, rest) = (walk.at as u64, chain.sequence + 1, walk.rest());
    if walk.fault.is_none() || is_end && rest == 0 {
        return Ok(at);
    }
    if walk.resume() || !is_end || report.ended {
        return Err(format!("entry {next} was changed or is damaged (segment {}, byte {at})", file.number));
    }
    report.unfinished_bytes = rest;
    Ok(at)
}

/// An entry stands where another should.
fn misplaced(bytes: &[u8], next: u64, entry: &Entry<'_>, place: &str) -> String {
    let found = entry.sequence;
    if found < next {
        return format!("entry {found} stands twice, or out of order ({place}, where entry {next} should be)");
    }
    let comes_later = Walk::new(bytes, HEADER_BYTES).any(|(_, other)| other.sequence == next);
    let what = if comes_later { "is out of order" } else { "is missing" };
    format!("entry {next} {what} ({place} has entry {found})")
}

/// What the journal says of itself.
fn note(entry: &Entry<'_>, report: &mut Report, removed: &mut Removed) {
    let mut values = Unpack::new(entry.public);
    if entry.kind == Kind::Gap as u8 {
        report.lost += values.list().and_then(|_| values.number()).and_then(|_| values.number()).unwrap_or(0);
    } else if entry.kind == Kind::Removed as u8 {
        let mut read = || {
            values.list()?;
            values.number()?;
            let (instance, segment) = (values.text()?.to_owned(), values.number()?);
            let (first, last, hash) = (values.number()?, values.number()?, values.text()?.to_owned());
            removed.insert((instance, segment), Told { first, last, hash });
            Some(())
        };
        read();
    }
}
