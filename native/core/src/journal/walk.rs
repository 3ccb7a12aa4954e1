//! The segments of one journal on disk, and the entries of a segment one after another.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    disk::Disk,
    entry::{Entry, Fault, next_whole},
    segment::{HEADER_BYTES, Header, file_name, parse_name},
};

/// The name of the file that tells up to where readers may read while the writer lives.
pub const COMMITTED: &str = "committed";

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub number: u64,
    pub is_damaged: bool,
    pub bytes: u64,
    /// When it last changed, microseconds UTC.
    pub changed_us: u64,
    pub path: PathBuf,
}

/// The segments of a journal, in their order.
pub fn files(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<File>> {
    let mut files: Vec<_> = disk
        .list(dir)?
        .into_iter()
        .filter_map(|listed| {
            let (number, is_damaged) = parse_name(&listed.name)?;
            let path = dir.join(file_name(number, is_damaged));
            Some(File { number, is_damaged, bytes: listed.bytes, changed_us: listed.changed_us, path })
        })
        .collect();
    files.sort_by_key(|file| (file.number, file.is_damaged));
    Ok(files)
}

/// The head of a segment; `None`: there is no whole one.
pub fn header(disk: &dyn Disk, file: &File) -> io::Result<Option<Header>> {
    Ok(Header::read(&disk.read(&file.path, 0, HEADER_BYTES)?))
}

/// How many bytes of the segment at `index` count: what its successor says, else what the writer has committed while it
/// lives, else all.
pub fn limit(disk: &dyn Disk, dir: &Path, files: &[File], index: usize, is_live: bool) -> io::Result<u64> {
    let file = &files[index];
    let next = files.get(index + 1).filter(|next| next.number == file.number + 1);
    let head = match next.map(|next| header(disk, next)).transpose() {
        // Nobody had heard of it, and it was taken away meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        head => head?.flatten(),
    };
    if let Some(header) = head {
        return Ok(header.previous_bytes);
    }
    if !is_live {
        return Ok(file.bytes);
    }
    Ok(match committed(disk, dir)? {
        Some((segment, bytes)) if segment == file.number => bytes,
        Some((segment, _)) if segment > file.number => file.bytes,
        _ => 0,
    })
}

/// Segment and bytes that the writer has committed; `None`: nothing yet.
pub fn committed(disk: &dyn Disk, dir: &Path) -> io::Result<Option<(u64, u64)>> {
    // Read anew where the writer was just replacing it.
    for _ in 0..100 {
        let bytes = match disk.read(&dir.join(COMMITTED), 0, COMMITTED_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(found) = read_committed(&bytes) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

const COMMITTED_BYTES: usize = 20;

pub fn write_committed(segment: u64, bytes: u64) -> [u8; COMMITTED_BYTES] {
    let mut out = [0; COMMITTED_BYTES];
    out[..8].copy_from_slice(&segment.to_le_bytes());
    out[8..16].copy_from_slice(&bytes.to_le_bytes());
    let crc = crc32c::crc32c(&out[..16]);
    out[16..].copy_from_slice(&crc.to_le_bytes());
    out
}

fn read_committed(bytes: &[u8]) -> Option<(u64, u64)> {
    let (body, crc) = bytes.split_last_chunk()?;
    let (segment, bytes) = body.split_first_chunk()?;
    let bytes = bytes.try_into().ok()?;
    let is_whole = crc32c::crc32c(body) == u32::from_le_bytes(*crc);
    is_whole.then(|| (u64::from_le_bytes(*segment), u64::from_le_bytes(bytes)))
}

/// The entries in the bytes of a segment behind its head, each with its place. Ends at the first that is none.
pub struct Walk<'a> {
    bytes: &'a [u8],
    pub at: usize,
    pub fault: Option<Fault>,
}

impl<'a> Walk<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()), fault: None }
    }

    /// How many bytes stand behind the last entry: the zeros of its room, written or not, are none.
    pub fn rest(&self) -> u64 {
        let rest = &self.bytes[self.at..];
        rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    }

    /// Goes on at the next whole entry behind the one that is none; `false`: there is no further one.
    pub fn resume(&mut self) -> bool {
        let Some(distance) = next_whole(&self.bytes[self.at..]) else { return false };
        self.at += distance;
        self.fault = None;
        true
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (usize, Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.bytes.len() || self.fault.is_some() {
            return None;
        }
        match Entry::read(&self.bytes[self.at..]) {
            Ok(entry) => {
                let at = self.at;
                self.at += entry.bytes;
                Some((at, entry))
            }
            Err(fault) => {
                self.fault = Some(fault);
                None
            }
        }
    }
}
