//! Takes private parts, and what cannot be read, out of segments that nobody writes any more: each is written anew beside
//! itself and renamed.

use std::{io, path::Path};

use super::{
    disk::Disk,
    entry::forget,
    segment::{ASIDE, HEADER_BYTES},
    walk::{File, Walk, files},
};

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub private_parts: u64,
    /// Bytes that are no whole entry, and may be part of one: they are zeros now.
    pub damaged_bytes: u64,
    /// Segments that are as they were, as somebody held the journal or changed them meanwhile: look again.
    pub left: u64,
}

/// Forgets the private parts in the whole segments of a journal that last changed before a time, and what is damaged there.
/// `is_live`: the newest segment is being written, and stays. Others may forget, remove and take over meanwhile.
pub fn forget_before(disk: &dyn Disk, dir: &Path, before_us: u64, is_live: bool) -> io::Result<Forgotten> {
    let files = files(disk, dir)?;
    let last = files.last().map(|file| file.number).filter(|_| is_live);
    let mut all = Forgotten::default();
    for file in files.iter().filter(|file| file.changed_us < before_us && Some(file.number) != last) {
        let forgotten = forget_segment(disk, dir, file)?;
        all.private_parts += forgotten.private_parts;
        all.damaged_bytes += forgotten.damaged_bytes;
        all.left += forgotten.left;
    }
    Ok(all)
}

fn forget_segment(disk: &dyn Disk, dir: &Path, file: &File) -> io::Result<Forgotten> {
    let is_left = Forgotten { left: 1, ..Forgotten::default() };
    let mut bytes = match disk.read(&file.path, 0, usize::MAX) {
        // Removed, or set aside under another name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(is_left),
        bytes => bytes?,
    };
    let forgotten = forget_in(&mut bytes);
    let is_done = forgotten == Forgotten::default() || replace(disk, dir, file, &bytes)?;
    Ok(if is_done { forgotten } else { is_left })
}

/// Puts other bytes in the place of a segment's. `false`: that is no more what it was, or somebody holds the journal.
fn replace(disk: &dyn Disk, dir: &Path, file: &File, bytes: &[u8]) -> io::Result<bool> {
    // A name that nobody else has who forgets here.
    let aside = file.path.with_extension(format!("{:032x}.{ASIDE}", fastrand::u128(..)));
    let replaced = write(disk, &aside, bytes).and_then(|()| take_place(disk, dir, file, &aside));
    if !matches!(replaced, Ok(true)) {
        let _ = disk.remove(&aside);
    }
    replaced
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut target = disk.create(path)?;
    target.append(bytes)?;
    target.sync()
}

fn take_place(disk: &dyn Disk, dir: &Path, file: &File, aside: &Path) -> io::Result<bool> {
    let Some(_taken) = disk.take(dir)? else { return Ok(false) };
    if !files(disk, dir)?.contains(file) {
        return Ok(false);
    }
    // As old as it was, so that what is older than may be kept still goes; and before, as nobody would do it later.
    disk.set_changed(aside, file.changed_us)?;
    disk.rename(aside, &file.path)?;
    disk.sync_dir(dir)?;
    Ok(true)
}

fn forget_in(bytes: &mut [u8]) -> Forgotten {
    let (mut places, mut gaps) = (Vec::new(), Vec::new());
    let mut walk = Walk::new(bytes, HEADER_BYTES);
    loop {
        places.extend(walk.by_ref().map(|(at, _)| at));
        let begin = walk.at;
        let goes_on = walk.fault.is_some() && walk.resume();
        gaps.push(begin..if goes_on { walk.at } else { bytes.len() });
        if !goes_on {
            break;
        }
    }
    let mut forgotten = Forgotten::default();
    for at in places {
        forgotten.private_parts += u64::from(forget(&mut bytes[at..]));
    }
    for gap in gaps {
        let gap = &mut bytes[gap];
        if gap.iter().any(|byte| *byte != 0) {
            forgotten.damaged_bytes += gap.len() as u64;
            gap.fill(0);
        }
    }
    forgotten
}
