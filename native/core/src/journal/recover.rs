//! The journal of a process that is gone, made ready for readers: an unfinished end is cut off, damage is set aside.

use std::{io, path::Path};

use super::{
    disk::Disk,
    segment::{HEADER_BYTES, Header, file_name},
    walk::{COMMITTED, Walk, committed, files},
};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub segments: usize,
    /// Bytes of the last write that were not all there.
    pub cut_bytes: u64,
    /// Whole entries stand behind what is none, or it was whole before: somebody changed the file, or the disk did, or the
    /// power was cut while several blocks were written. It keeps all of its bytes under the name `<number>.damaged`, and
    /// readers pass over what is damaged.
    pub is_damaged: bool,
}

/// Looks at the last segment, as each before it says in its successor how much of it counts. The caller holds the lock.
pub fn recover(disk: &dyn Disk, dir: &Path) -> io::Result<Recovered> {
    let files = files(disk, dir)?;
    let mut found = Recovered { segments: files.len(), ..Recovered::default() };
    if let Some(last) = files.last().filter(|last| !last.is_damaged) {
        let bytes = disk.read(&last.path, 0, usize::MAX)?;
        let mut set_aside = || {
            found.is_damaged = true;
            disk.rename(&last.path, &dir.join(file_name(last.number, true)))
        };
        match check(&bytes) {
            Verdict::Whole if is_committed(disk, dir, last.number, bytes.len())? => set_aside()?,
            Verdict::Whole => {}
            Verdict::Empty if is_committed(disk, dir, last.number, HEADER_BYTES)? => set_aside()?,
            Verdict::Empty => {
                found.cut_bytes = Walk::new(&bytes, 0).rest();
                disk.remove(&last.path)?;
            }
            Verdict::Cut(at) if is_committed(disk, dir, last.number, at)? => set_aside()?,
            Verdict::Cut(at) => {
                found.cut_bytes = Walk::new(&bytes, at).rest();
                disk.truncate(&last.path, at as u64)?;
            }
            Verdict::Damaged => set_aside()?,
        }
    }
    match disk.remove(&dir.join(COMMITTED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.sync_dir(dir)?;
    Ok(found)
}

/// Whether the writer has called more of a segment committed than its first `bytes`.
fn is_committed(disk: &dyn Disk, dir: &Path, number: u64, bytes: usize) -> io::Result<bool> {
    Ok(committed(disk, dir)?.is_some_and(|(segment, upto)| segment == number && upto > bytes as u64))
}

/// What the bytes of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    /// Not even its head was finished.
    Empty,
    /// Whole entries up to here, then none.
    Cut(usize),
    /// Whole entries stand behind something that is none.
    Damaged,
}

/// Judges the bytes of a segment.
pub fn check(bytes: &[u8]) -> Verdict {
    if Header::read(bytes).is_none() {
        return if Walk::new(bytes, 0).resume() { Verdict::Damaged } else { Verdict::Empty };
    }
    let mut walk = Walk::new(bytes, HEADER_BYTES);
    walk.by_ref().for_each(drop);
    let at = walk.at;
    match (walk.fault.is_some(), walk.resume()) {
        (false, _) => Verdict::Whole,
        (true, false) => Verdict::Cut(at),
        (true, true) => Verdict::Damaged,
    }
}
