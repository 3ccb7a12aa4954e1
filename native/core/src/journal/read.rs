//! The reader by position: committed entries in their order, from wherever the last reading ended.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::Disk,
    entry::{Entry, MAX_BYTES},
    piece::Piece,
    segment::HEADER_BYTES,
    walk::{Walk, files, limit},
};

/// Of a segment in one read. While one runs past the page cache a file system may not make the file longer, and so the writer
/// may wait as long as it takes.
const PIECE_BYTES: usize = (256 << 10) + MAX_BYTES;

/// A place in one journal; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    /// Bytes from the segment's beginning.
    pub offset: u64,
}

/// An entry and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub position: Position,
    pub kind: u8,
    pub sequence: u64,
    pub public: Vec<u8>,
    /// `None`: there is none, or it was forgotten.
    pub private: Option<Vec<u8>>,
}

/// Entries in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub entries: Vec<Found>,
    /// Where the next reading goes on.
    pub next: Position,
    /// There is no more now.
    pub is_end: bool,
}

/// Reads one journal, its writer alive or not. Takes no lock and changes nothing.
pub struct Reader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Reader {
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk, dir: dir.to_owned() }
    }

    /// Entries from a position on, about `most_bytes` of them. `is_live`: the writer is alive, so that only what it has
    /// committed is read. What is damaged is passed over.
    pub fn read(&self, from: Position, most_bytes: usize, is_live: bool) -> io::Result<Batch> {
        let mut entries = Vec::new();
        let (next, is_end) =
            self.visit(from, most_bytes, is_live, |position, entry| entries.push(found(position, entry)))?;
        Ok(Batch { entries, next, is_end })
    }

    /// The same, shown one by one: where the next reading goes on, and whether there is no more now.
    pub fn visit(
        &self,
        from: Position,
        most_bytes: usize,
        is_live: bool,
        mut seen: impl FnMut(Position, &Entry<'_>),
    ) -> io::Result<(Position, bool)> {
        let files = files(&*self.disk, &self.dir)?;
        let (mut next, mut left, mut piece) = (from, most_bytes, Piece::default());
        for (index, file) in files.iter().enumerate().filter(|(_, file)| file.number >= from.segment) {
            let offset = if file.number == next.segment { next.offset } else { 0 };
            next = Position { segment: file.number, offset: offset.max(HEADER_BYTES as u64) };
            let limit = limit(&*self.disk, &self.dir, &files, index, is_live)?.min(file.bytes);
            if !self.segment(&file.path, limit, &mut left, &mut next, &mut piece, &mut seen)? {
                return Ok((next, false));
            }
        }
        Ok((next, true))
    }

    /// Where the first segment begins that changed since a time, microseconds UTC, and how many come before it.
    pub fn since(&self, us: u64) -> io::Result<(Position, usize)> {
        let files = files(&*self.disk, &self.dir)?;
        let old = files.iter().take_while(|file| file.changed_us < us);
        let (segment, count) = old.fold((0, 0), |(_, count), file| (file.number + 1, count + 1));
        Ok((Position { segment, offset: 0 }, count))
    }

    /// `false`: enough was read before the segment's end.
    fn segment(
        &self,
        path: &Path,
        limit: u64,
        left: &mut usize,
        next: &mut Position,
        piece: &mut Piece,
        seen: &mut impl FnMut(Position, &Entry<'_>),
    ) -> io::Result<bool> {
        while next.offset < limit {
            if *left == 0 {
                return Ok(false);
            }
            let offset = next.offset;
            let here = usize::try_from(limit - offset).unwrap_or(usize::MAX);
            // Where nothing is whole the search goes on at least one entry's length further.
            let most = here.min(left.saturating_add(MAX_BYTES).clamp(2 * MAX_BYTES, PIECE_BYTES));
            let bytes = match self.disk.read_into(path, offset, most, piece) {
                // It was removed or set aside meanwhile: whoever looks again sees which.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                other => other?,
            };
            if bytes.is_empty() {
                return Ok(true); // its unfinished end was cut off meanwhile
            }
            let mut walk = Walk::new(bytes, 0);
            for (at, entry) in walk.by_ref() {
                seen(Position { segment: next.segment, offset: offset + at as u64 }, &entry);
                *left = left.saturating_sub(entry.bytes);
                if *left == 0 {
                    next.offset = offset + (at + entry.bytes) as u64;
                    return Ok(next.offset >= limit);
                }
            }
            next.offset = offset + walk.at as u64;
            let is_all = bytes.len() == here || bytes.len() < most;
            let is_cut = !is_all && walk.at > 0; // by the piece that was read
            if walk.fault.is_none() || is_cut {
                continue;
            }
            if walk.resume() {
                next.offset = offset + walk.at as u64;
            } else if is_all {
                return Ok(true);
            } else {
                // No entry that begins further back is so long that it would end beyond this piece.
                next.offset = offset + (bytes.len() - MAX_BYTES.min(bytes.len() - 1)) as u64;
            }
        }
        Ok(true)
    }
}

fn found(position: Position, entry: &Entry<'_>) -> Found {
    Found {
        position,
        kind: entry.kind,
        sequence: entry.sequence,
        public: entry.public.to_vec(),
        private: entry.private.map(<[u8]>::to_vec),
    }
}
