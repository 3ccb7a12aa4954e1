//! Takes private parts, and what cannot be read, out of segments that nobody writes any more: each is written anew beside
//! itself and renamed.

use std::{io, path::Path};

use super::{
    disk::Disk,
    entry::forget,
    segment::{ASIDE, HEADER_BYTES},
    walk::{File, Walk, files},
};

/// How often a segment is written anew before that is given up.
const TRIES: u32 = 3;

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub private_parts: u64,
    /// Bytes that are no whole entry, and may be part of one: they are zeros now.
    pub damaged_bytes: u64,
}

/// Forgets the private parts in the whole segments of a journal that last changed before a time, and what is damaged there.
/// `is_live`: the newest segment is being written, and stays.
pub fn forget_before(disk: &dyn Disk, dir: &Path, before_us: u64, is_live: bool) -> io::Result<Forgotten> {
    let files = files(disk, dir)?;
    let last = files.last().map(|file| file.number).filter(|_| is_live);
    let mut all = Forgotten::default();
    for file in files.iter().filter(|file| file.changed_us < before_us && Some(file.number) != last) {
        let mut bytes = disk.read(&file.path, 0, usize::MAX)?;
        let forgotten = forget_in(&mut bytes);
        if forgotten == Forgotten::default() {
            continue;
        }
        replace(disk, file, &bytes)?;
        all.private_parts += forgotten.private_parts;
        all.damaged_bytes += forgotten.damaged_bytes;
    }
    if all != Forgotten::default() {
        disk.sync_dir(dir)?;
    }
    Ok(all)
}

/// Puts other bytes in the place of a segment's, which is as old then as it was: what is older than may be kept still goes.
fn replace(disk: &dyn Disk, file: &File, bytes: &[u8]) -> io::Result<()> {
    let aside = file.path.with_extension(ASIDE);
    let mut tries = 0;
    loop {
        let mut target = disk.create(&aside)?;
        target.append(bytes)?;
        target.sync()?;
        // Before it is in its place: nobody would do it later. But an old file beside a segment is taken for one that
        // somebody left who is gone, and may be removed just then.
        let replaced = disk.set_changed(&aside, file.changed_us).and_then(|()| disk.rename(&aside, &file.path));
        tries += 1;
        match replaced {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
            replaced => return replaced,
        }
    }
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
