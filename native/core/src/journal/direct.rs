//! A segment that is written past the page cache (`O_DIRECT`), while its writer does other things. That takes less than
//! half of the processor that a write and an fsync take: nobody sleeps until the disk is done, and wakes for it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::{blocks::Blocks, disk::Target, queue::Queue};

/// What waits to be written takes so much memory before it is, and keeps so much of it.
const MOST_BYTES: usize = 1 << 20;
const KEPT_BYTES: usize = 64 << 10;
/// A file is made longer before it has to be, by a quarter within these bounds: a write that makes it longer is waited for.
const AHEAD_BYTES: [u64; 2] = [64 << 10, 1 << 20];

/// What such files share.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Of the last file: making and ending one takes milliseconds.
    spare: Mutex<Option<Queue>>,
    /// A file system took such a file, and then refused to write it.
    is_refused: AtomicBool,
}

pub(super) struct Direct {
    file: File,
    /// Gone only while this is dropped.
    queue: Option<Queue>,
    queues: Arc<Queues>,
    /// Where the blocks stand that are not full, or do not last.
    at: u64,
    blocks: Blocks,
    /// What was appended since a write was begun last.
    is_new: bool,
    /// Up to where the file has its length and its room.
    room: u64,
}

impl Direct {
    /// An empty file. `None`: this system, or the file system, has none that is written so.
    pub(super) fn create(path: &Path, queues: &Arc<Queues>) -> Option<Self> {
        if queues.is_refused.load(Relaxed) {
            return None;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECT).bits().cast_signed());
        let file = options.open(path).ok()?;
        let spare = queues.spare.lock().take();
        let queue = Some(spare.map_or_else(Queue::new, Ok).ok()?);
        Some(Self { file, queue, queues: queues.clone(), at: 0, blocks: Blocks::default(), is_new: false, room: 0 })
    }

    fn begin(&mut self) -> io::Result<()> {
        let blocks = std::mem::take(&mut self.blocks);
        self.make_room(self.at + blocks.bytes().len() as u64);
        let Some(queue) = &mut self.queue else { return Ok(()) };
        self.is_new = false;
        queue.begin(&self.file, self.at, blocks).map_err(|(blocks, error)| {
            self.blocks = blocks;
            self.noted(error)
        })
    }

    /// Whether nothing is being written any more.
    fn land(&mut self, waits: bool) -> io::Result<bool> {
        let Some(queue) = &mut self.queue else { return Ok(true) };
        let Some((blocks, written)) = queue.finish(waits) else { return Ok(!queue.is_busy()) };
        let most = blocks.bytes().len();
        self.blocks = blocks;
        let written = written.map_err(|error| self.noted(error))?;
        if written < most {
            return Err(io::Error::new(io::ErrorKind::WriteZero, format!("{written} bytes of {most} were written")));
        }
        self.at += self.blocks.keep_open_block() as u64;
        self.blocks.shrink(KEPT_BYTES);
        Ok(true)
    }

    fn noted(&self, error: io::Error) -> io::Error {
        if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) {
            self.queues.is_refused.store(true, Relaxed);
        }
        error
    }

    fn make_room(&mut self, upto: u64) {
        if upto <= self.room {
            return;
        }
        let room = upto + (upto / 4).clamp(AHEAD_BYTES[0], AHEAD_BYTES[1]);
        let made = fallocate(&self.file, FallocateFlags::empty(), self.room, room - self.room);
        // Where there is none the write itself says what is wrong, if anything is.
        self.room = if made.is_ok() { room } else { upto };
    }

    fn bytes(&self) -> u64 {
        self.at + self.blocks.filled() as u64
    }
}

impl Target for Direct {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.land(true)?;
        self.blocks.append(bytes);
        self.is_new = true;
        if self.blocks.filled() > MOST_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.land(true)?;
        if self.is_new {
            self.begin()?;
            self.land(true)?;
        }
        Ok(())
    }

    fn begin_sync(&mut self) -> io::Result<bool> {
        self.land(true)?;
        if self.is_new {
            self.begin()?;
        }
        Ok(true)
    }

    fn is_synced(&mut self) -> io::Result<bool> {
        Ok(self.land(false)? && !self.is_new)
    }

    fn set_changed(&mut self, us: u64) -> io::Result<()> {
        self.file.set_modified(UNIX_EPOCH + Duration::from_micros(us))
    }
}

impl Drop for Direct {
    /// The file ends where its last byte is.
    fn drop(&mut self) {
        let _ = self.land(true);
        *self.queues.spare.lock() = self.queue.take();
        if self.file.metadata().is_ok_and(|facts| facts.len() > self.bytes()) {
            let _ = self.file.set_len(self.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::blocks::BLOCK, *};

    struct Dir(std::path::PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("penstock-direct-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|at| (at % 251) as u8 + 1).collect()
    }

    #[test]
    fn what_is_appended_stands_in_the_file_once_it_is_synchronised_and_nothing_else_at_the_end() {
        let dir = Dir::new("whole");
        let (path, queues) = (dir.0.join("one"), Arc::default());
        let all = bytes(3 << 20);
        let mut file = Direct::create(&path, &queues).expect("a file system that takes O_DIRECT");
        let mut upto = 0;
        for length in [1, 7, BLOCK - 8, BLOCK, 3 * BLOCK + 1, 200_000, MOST_BYTES + 1, 5] {
            file.append(&all[upto..upto + length]).unwrap();
            upto += length;
            if length != 7 {
                file.sync().unwrap();
                assert_eq!(fs::read(&path).unwrap()[..upto], all[..upto]);
            }
        }
        assert!(fs::metadata(&path).unwrap().len() > upto as u64, "room ahead");
        drop(file);
        assert!(fs::read(&path).unwrap() == all[..upto]);
        let again = Direct::create(&path, &queues).unwrap();
        assert!(queues.spare.lock().is_none(), "it has the first one's");
        drop(again);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_write_goes_on_while_its_writer_does_other_things() {
        let dir = Dir::new("begun");
        let path = dir.0.join("one");
        let mut file = Direct::create(&path, &Arc::default()).unwrap();
        for count in 1..=50 {
            file.append(&bytes(700)).unwrap();
            assert!(!file.is_synced().unwrap());
            assert!(file.begin_sync().unwrap());
            while !file.is_synced().unwrap() {
                std::thread::yield_now();
            }
            assert_eq!(fs::read(&path).unwrap()[700 * (count - 1)..700 * count], bytes(700));
        }
        file.append(b"last").unwrap();
        file.begin_sync().unwrap();
        drop(file);
        assert!(fs::read(&path).unwrap().ends_with(b"last"));
    }

    #[test]
    fn a_fault_is_told_and_a_file_that_is_refused_is_the_last_of_its_kind() {
        let (dir, queues) = (Dir::new("refused"), Arc::default());
        let create = || Direct::create(&dir.0.join("one"), &queues);
        let mut shut = create().unwrap();
        shut.file = File::open(dir.0.join("one")).unwrap();
        for _ in 0..2 {
            shut.append(b"entry").unwrap();
            assert_eq!(shut.sync().unwrap_err().raw_os_error(), Some(libc::EBADF));
        }
        let mut refused = create().unwrap();
        refused.append(b"entry").unwrap();
        refused.at = 1; // no multiple of a block
        assert_eq!(refused.sync().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(create().is_none());
    }
}
