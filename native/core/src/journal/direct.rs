//! A segment that is written past the page cache (`O_DIRECT`) by one call that returns once it lasts (`O_DSYNC`). That takes
//! less of the processor than a write and an fsync. By `io_submit(2)` its writer need not wait, but then a thread of the
//! kernel's does: one that is bound to the core which the disk interrupts, whatever is to run there, where the scheduler
//! gives a waiting writer the core that is free.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, OFlags, fallocate},
    io::{Errno, pwritev},
};

use super::{
    blocks::{BLOCK, Blocks, ZEROS},
    disk::{Target, cut},
};

/// What waits to be written takes so much memory before it is, and keeps so much of it.
const MOST_BYTES: usize = 1 << 20;
const KEPT_BYTES: usize = 64 << 10;
/// A file is made longer before it has to be, by a quarter within these bounds: a write that makes it longer takes longer.
const LEAST_AHEAD: u64 = 64 << 10;
const MOST_AHEAD: u64 = 1 << 20;
/// A write of so many bytes or fewer fills that room with zeros, as far as this: a file system that writes in place then has
/// nothing of its own to bring to disk with the writes that come. Beside a longer write what that saves is little.
const FEW_BYTES: usize = 32 << 10;
const MOST_ZEROS: u64 = 256 << 10;

pub(super) struct Direct {
    file: File,
    /// Where the blocks stand that are not full, or do not last.
    at: u64,
    blocks: Blocks,
    /// Whether there is more in them than lasts.
    is_new: bool,
    /// Something went wrong: what the file has is not known.
    has_failed: bool,
    /// Up to where the file has its length and its room, and how far it may have them before it has to.
    room: u64,
    most_bytes: u64,
}

impl Direct {
    /// A file that begins with `head`, which lasts. `None`: the file system has none that is written so.
    pub(super) fn create(path: &Path, head: &[u8], most_bytes: u64) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECT;
        // `OFlags::DSYNC` is `O_SYNC`, which brings to disk when the file changed as well.
        let file = options.custom_flags(flags.bits().cast_signed() | libc::O_DSYNC).open(path).ok()?;
        let blocks = Blocks::default();
        let mut made = Self { file, at: 0, blocks, is_new: false, has_failed: false, room: 0, most_bytes };
        made.append(head).ok()?;
        made.sync().ok()?;
        Some(made)
    }

    fn write(&mut self) -> io::Result<()> {
        let bytes = self.blocks.bytes();
        let upto = self.at + bytes.len() as u64;
        let (mut zeros, mut length) = (0, self.room);
        if upto > self.room {
            let is_short = bytes.len() <= FEW_BYTES;
            let most_ahead = if is_short { MOST_ZEROS } else { MOST_AHEAD };
            let ahead = (upto / 4).next_multiple_of(BLOCK as u64).clamp(LEAST_AHEAD, most_ahead);
            length = lengthen(&self.file, self.room, (upto + ahead).min(self.most_bytes).max(upto));
            self.room = length.max(upto);
            if is_short {
                zeros = (self.room - upto) as usize / BLOCK;
            }
        }
        write_with_zeros(&self.file, bytes, self.at, zeros)?;
        if length < upto {
            self.file.sync_data()?;
        }
        self.is_new = false;
        self.at += self.blocks.keep_open_block() as u64;
        self.blocks.shrink(KEPT_BYTES);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.at + self.blocks.filled() as u64
    }
}

impl Target for Direct {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.blocks.append(bytes);
        self.is_new = true;
        if self.blocks.filled() > MOST_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.is_new {
            return Ok(());
        }
        let written = self.write();
        self.has_failed |= written.is_err();
        written
    }

    fn ahead(&self) -> u64 {
        self.room.saturating_sub(self.bytes())
    }
}

impl Drop for Direct {
    /// The file ends where its last byte is; after a fault whoever has it knows where that is.
    fn drop(&mut self) {
        if !self.has_failed && self.ahead() > 0 {
            let _ = cut(&self.file, self.bytes());
        }
    }
}

/// Makes a file longer, from a length up to another: how long it is then. Where that fails the write itself says what is
/// wrong, if anything is. It is done before that write, as not every ext4 (Linux 5.5 to 6.6) brings to disk the length that a
/// file has from a write past the page cache, unless it is asked to once more.
fn lengthen(file: &File, bytes: u64, upto: u64) -> u64 {
    match fallocate(file, FallocateFlags::empty(), bytes, upto - bytes) {
        Ok(()) => upto,
        // Part of it may be there.
        Err(_) => file.metadata().map_or(0, |facts| facts.len()),
    }
}

/// Writes blocks, and so many of zeros behind them.
fn write_with_zeros(file: &File, blocks: &[u8], at: u64, zeros: usize) -> io::Result<()> {
    let mut parts = vec![IoSlice::new(blocks)];
    parts.resize(1 + zeros, IoSlice::new(&ZEROS.0));
    match pwritev(file, &parts, at) {
        Ok(written) if written >= blocks.len() => Ok(()),
        Ok(_) | Err(Errno::INTR) => file.write_all_at(blocks, at),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the files are real ones, and so is their time")]
mod tests {
    use std::fs;

    use rustix::fs::{SeekFrom, fcntl_getfl, seek};

    use super::{super::scratch::Scratch, *};

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|at| (at % 251) as u8 + 1).collect()
    }

    const MOST: u64 = 4 << 20;

    #[test]
    fn what_is_appended_stands_in_the_file_once_it_is_synchronised_and_nothing_else_at_the_end() {
        let dir = Scratch::new("direct-whole");
        let path = dir.0.join("one");
        let all = bytes(3 << 20);
        let mut file = Direct::create(&path, &all[..100], MOST).expect("a file system that takes O_DIRECT");
        assert_eq!(fs::read(&path).unwrap()[..100], all[..100]);
        let mut upto = 100;
        for length in [1, 7, BLOCK - 8, BLOCK, 3 * BLOCK + 1, 200_000, MOST_BYTES + 1, 5] {
            file.append(&all[upto..upto + length]).unwrap();
            upto += length;
            if length != 7 {
                file.sync().unwrap();
                assert_eq!(fs::read(&path).unwrap()[..upto], all[..upto]);
                assert_eq!(fs::metadata(&path).unwrap().len(), upto as u64 + file.ahead());
            }
        }
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(file);
        assert!(fs::read(&path).unwrap() == all[..upto]);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), changed, "it changed with its last entry");
        drop(Direct::create(&path, b"", MOST).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn ahead_of_short_writes_stand_zeros_and_ahead_of_long_ones_is_room() {
        let dir = Scratch::new("direct-zeros");
        let path = dir.0.join("one");
        let mut file = Direct::create(&path, b"head", MOST).unwrap();
        let flags = fcntl_getfl(&file.file).unwrap().bits().cast_signed();
        assert_eq!(flags & libc::O_SYNC, libc::O_DSYNC, "that it lasts is all that is asked for");
        // In blocks: ext4 and XFS have a hole where room is set aside.
        for (appended, room, hole) in [
            (5 * BLOCK - 4, 17, 17),
            (40 * BLOCK, 61, 45),
            (3, 61, 46),
            (15 * BLOCK, 61, 61),
            (BLOCK, 78, 78),
            (256 * BLOCK, 398, 318),
            (80 * BLOCK, 398, 398),
            (100 * BLOCK, 623, 498),
            (125 * BLOCK, 623, 623),
            (BLOCK, 688, 688),
        ] {
            file.append(&bytes(appended)).unwrap();
            file.sync().unwrap();
            let found = (file.room as usize / BLOCK, seek(&file.file, SeekFrom::Hole(0)).unwrap() as usize / BLOCK);
            assert_eq!(found, (room, hole), "{appended} bytes");
        }
        assert!(fs::read(&path).unwrap()[file.bytes() as usize..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_file_is_no_longer_than_it_may_be_but_for_what_is_in_it() {
        let dir = Scratch::new("direct-bound");
        let path = dir.0.join("one");
        let mut file = Direct::create(&path, b"head", 100_000).unwrap();
        for _ in 0..30 {
            file.append(&bytes(5_000)).unwrap();
            file.sync().unwrap();
            let most = 100_000.max(file.bytes().next_multiple_of(BLOCK as u64));
            assert!(fs::metadata(&path).unwrap().len() <= most);
        }
    }

    #[test]
    fn after_a_fault_the_file_stays_as_it_is() {
        let dir = Scratch::new("direct-fault");
        let path = dir.0.join("one");
        let mut shut = Direct::create(&path, b"head", MOST).unwrap();
        shut.file = File::open(&path).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert_eq!(lengthen(&shut.file, length, 2 * length), length);
        for room in [shut.room, 0] {
            shut.room = room;
            shut.append(b"entry").unwrap();
            assert_eq!(shut.sync().unwrap_err().raw_os_error(), Some(libc::EBADF));
        }
        drop(shut);
        assert_eq!(fs::metadata(&path).unwrap().len(), length, "whoever gave it up knows what lasts");
    }

    #[test]
    fn where_none_is_to_be_had_there_is_none() {
        assert!(Direct::create(Path::new("/dev/full"), b"head", MOST).is_none());
        assert!(Direct::create(Path::new("/proc/none"), b"head", MOST).is_none());
    }
}
