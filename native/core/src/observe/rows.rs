//! Entries of a journal as rows of the records' table: read from a position on, packed at once, ready to be sent.

use std::{collections::BTreeMap, io};

use super::{record_read::columns, row_form};
use crate::journal::{
    Kind, Position, Reader,
    entry::{Entry, Hash},
};

const DAY_US: u64 = 86_400_000_000;
pub const MOST_BEGUN: usize = 1 << 16;

/// Which rows.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub instance: &'a str,
    pub from: Position,
    /// Entries up to this sequence number are rows already.
    pub after: u64,
    /// Of the journal, about.
    pub most_bytes: usize,
    /// The writer is alive: only what it has committed.
    pub is_live: bool,
    /// The day of the row before, and the last that a row may have.
    pub first_day: i32,
    pub last_day: i32,
    /// As in [`Rows::begun`], behind the row before.
    pub begun: &'a [u8],
}

/// Rows one after another, and what the next reading goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// As [`row_form::write`] makes them.
    pub data: Vec<u8>,
    pub count: u64,
    /// How many of them are of finished requests.
    pub records: u64,
    pub next: Position,
    /// There is no more now.
    pub is_end: bool,
    /// Of the last row; `after` and zeros where there is none.
    pub sequence: u64,
    pub hash: Hash,
    /// The last row says that the journal ended in order.
    pub has_ended: bool,
    /// Of the last row.
    pub day: i32,
    /// Each day of a row, once.
    pub days: Vec<i32>,
    /// When the first of the requests ended, microseconds UTC; 0: there is none.
    pub oldest_us: u64,
    /// Streams that began and whose record has not come, the newest [`MOST_BEGUN`]: number and sequence, 8 bytes each,
    /// big-endian.
    pub begun: Vec<u8>,
}

/// Reads and packs.
pub fn rows(reader: &Reader, wanted: &Wanted<'_>) -> io::Result<Rows> {
    let mut packing = Packing {
        wanted,
        begun: read_begun(wanted.begun),
        rows: Rows { sequence: wanted.after, day: wanted.first_day, ..Rows::default() },
    };
    let (next, is_end) = reader.visit(wanted.from, wanted.most_bytes, wanted.is_live, |_, entry| packing.add(entry))?;
    packing.newest_begun();
    let begun = packing.begun.into_iter().flat_map(|(number, sequence)| [number, sequence]);
    let begun = begun.flat_map(u64::to_be_bytes).collect();
    Ok(Rows { next, is_end, begun, ..packing.rows })
}

struct Packing<'a> {
    wanted: &'a Wanted<'a>,
    begun: BTreeMap<u64, u64>,
    rows: Rows,
}

impl Packing<'_> {
    fn add(&mut self, entry: &Entry<'_>) {
        if entry.sequence <= self.rows.sequence {
            return;
        }
        let columns = columns(entry.kind, entry.public);
        match columns.number {
            Some(number) if entry.kind == Kind::Begin as u8 => _ = self.begun.insert(number, entry.sequence),
            Some(number) => _ = self.begun.remove(&number),
            None => {}
        }
        let rows = &mut self.rows;
        rows.has_ended = entry.kind == Kind::End as u8;
        if let Some(seen_us) = columns.started_us.map(|us| us.saturating_add(columns.total_us.unwrap_or(0))) {
            let day = i32::try_from(seen_us / DAY_US).unwrap_or(i32::MAX);
            rows.day = rows.day.max(day.min(self.wanted.last_day));
            if entry.kind == Kind::Record as u8 && rows.oldest_us == 0 {
                rows.oldest_us = seen_us;
            }
        }
        rows.records += u64::from(entry.kind == Kind::Record as u8);
        if rows.days.last() != Some(&rows.day) {
            rows.days.push(rows.day);
        }
        row_form::write(rows.day, self.wanted.instance, entry, &columns, &mut rows.data);
        (rows.sequence, rows.hash) = (entry.sequence, entry.hash);
        rows.count += 1;
    }

    /// Those that began last: the records of others were dropped, or so many are under way as no process has.
    fn newest_begun(&mut self) {
        if let Some(over) = self.begun.len().checked_sub(MOST_BEGUN).filter(|over| *over > 0) {
            let mut sequences: Vec<_> = self.begun.values().copied().collect();
            let (_, last, _) = sequences.select_nth_unstable(over - 1);
            self.begun.retain(|_, sequence| *sequence > *last);
        }
    }
}

/// Number and sequence of each stream in [`Rows::begun`].
pub fn read_begun(bytes: &[u8]) -> BTreeMap<u64, u64> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    bytes.chunks_exact(16).map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect()
}
