//! Takes private parts out of segments that nobody writes any more: each is written anew beside itself and renamed.

use std::{io, path::Path};

use super::{
    disk::Disk,
    entry::forget,
    segment::{ASIDE, HEADER_BYTES},
    walk::{Walk, files},
};

/// Forgets the private parts in the whole segments of a journal that last changed before a time; how many they were.
/// `is_live`: the newest segment is being written, and stays.
pub fn forget_before(disk: &dyn Disk, dir: &Path, before_us: u64, is_live: bool) -> io::Result<u64> {
    let files = files(disk, dir)?;
    let last = files.last().map(|file| file.number).filter(|_| is_live);
    let mut forgotten = 0;
    for file in files.iter().filter(|file| file.changed_us < before_us && Some(file.number) != last) {
        let mut bytes = disk.read(&file.path, 0, usize::MAX)?;
        let count = forget_in(&mut bytes);
        if count == 0 {
            continue;
        }
        let aside = file.path.with_extension(ASIDE);
        let mut target = disk.create(&aside)?;
        target.append(&bytes)?;
        target.sync()?;
        // As old as it was: what is older than may be kept still goes.
        target.set_changed(file.changed_us)?;
        disk.rename(&aside, &file.path)?;
        forgotten += count;
    }
    if forgotten > 0 {
        disk.sync_dir(dir)?;
    }
    Ok(forgotten)
}

fn forget_in(bytes: &mut [u8]) -> u64 {
    let (mut places, mut forgotten) = (Vec::new(), 0);
    let mut walk = Walk::new(bytes, HEADER_BYTES);
    loop {
        places.extend(walk.by_ref().map(|(at, _)| at));
        if walk.fault.is_none() || !walk.resume() {
            break;
        }
    }
    for at in places {
        forgotten += u64::from(forget(&mut bytes[at..]));
    }
    forgotten
}
