//! The files that a journal is made of, as an interface: tests give one that forgets what was not synchronised.

use std::{
    any::Any,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{
    blocks::BLOCK,
    direct::Direct,
    piece::{Piece, fill},
};

/// A file or directory in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    /// When it last changed, microseconds UTC.
    pub changed_us: u64,
    pub is_dir: bool,
}

/// Where journals are kept.
pub trait Disk: Send + Sync {
    /// Empty where the directory is not there.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;
    /// A file without content, whatever stood there before.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Target>>;
    /// The same for a segment, which begins with `head`, and is appended to and synchronised again and again. It may be made
    /// longer ahead, up to `most_bytes`.
    fn create_segment(&self, path: &Path, head: &[u8], most_bytes: u64) -> io::Result<Box<dyn Target>>;
    /// A segment may take so many bytes more than are in it.
    fn block_bytes(&self) -> u64 {
        0
    }
    /// A file of a few bytes, none as yet.
    fn create_mark(&self, path: &Path) -> io::Result<Box<dyn Mark>>;
    /// At most `most` bytes from `offset`; fewer where the file ends.
    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>>;
    /// The same into memory that is used again.
    fn read_into<'a>(&self, path: &Path, offset: u64, most: usize, piece: &'a mut Piece) -> io::Result<&'a [u8]> {
        Ok(piece.hold(&self.read(path, offset, most)?))
    }
    /// Cuts the end off. When the file changed last stays as it was.
    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Has a file appear to have changed last at a time, microseconds UTC.
    fn set_changed(&self, path: &Path, us: u64) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes what was created, renamed and removed in a directory last.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Whether nobody holds the lock of a file, and it could be written. Who asks holds it for no one else who asks. `false`:
    /// there is no such file.
    fn is_unlocked(&self, path: &Path) -> io::Result<bool>;
    /// Holds a directory while the result lives, against others who do before they put other files in the place of those
    /// that are there. `None`: another does.
    fn take(&self, dir: &Path) -> io::Result<Option<Box<dyn Any + Send>>>;
    /// Bytes of the whole volume.
    fn volume_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// A file that is written.
pub trait Target: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes all that was written last. After a fault nothing more is to be expected of it.
    fn sync(&mut self) -> io::Result<()>;
    /// By how many bytes the file is longer than what was appended.
    fn ahead(&self) -> u64 {
        0
    }
}

/// A file whose bytes are replaced together. They need not last.
pub trait Mark: Send {
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// How often a directory is listed whose files go meanwhile.
const LISTINGS: u32 = 100;

/// The system's own.
#[derive(Clone, Debug, Default)]
pub struct RealDisk {
    /// Segments are written and read past the page cache.
    is_direct: bool,
}

impl RealDisk {
    /// One whose segments are written past the page cache, and read so in long pieces, where the file system can. What was
    /// written through the cache should be read through it: else it is brought to disk first, and writers wait for readers.
    pub fn direct() -> Self {
        Self { is_direct: true }
    }
}

impl Disk for RealDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        // What went between its name and its facts may stand there under another name now.
        for _ in 0..LISTINGS {
            if let Some(listed) = list(dir)? {
                return Ok(listed);
            }
        }
        Err(io::Error::other("its files change all the time"))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Target>> {
        Ok(Box::new(RealTarget { file: create(path)?, bytes: 0 }))
    }

    fn create_segment(&self, path: &Path, head: &[u8], most_bytes: u64) -> io::Result<Box<dyn Target>> {
        if self.is_direct
            && let Some(direct) = Direct::create(path, head, most_bytes)
        {
            return Ok(Box::new(direct));
        }
        let mut target = self.create(path)?;
        target.append(head)?;
        Ok(target)
    }

    fn block_bytes(&self) -> u64 {
        if self.is_direct { BLOCK as u64 } else { 0 }
    }

    fn create_mark(&self, path: &Path) -> io::Result<Box<dyn Mark>> {
        Ok(Box::new(RealMark(create(path)?)))
    }

    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let here = file.metadata()?.len().saturating_sub(offset).min(most as u64);
        let mut bytes = vec![0; here as usize];
        let filled = fill(&file, offset, &mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn read_into<'a>(&self, path: &Path, offset: u64, most: usize, piece: &'a mut Piece) -> io::Result<&'a [u8]> {
        piece.read(path, offset, most, self.is_direct)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        cut(&file, bytes)?;
        file.sync_all()
    }

    fn set_changed(&self, path: &Path, us: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_modified(UNIX_EPOCH + Duration::from_micros(us))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn is_unlocked(&self, path: &Path) -> io::Result<bool> {
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
        // Who may not write there may not change anything else either.
        match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
            Ok(file) => try_lock(&file, FlockOperation::NonBlockingLockShared),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn take(&self, dir: &Path) -> io::Result<Option<Box<dyn Any + Send>>> {
        let dir = File::open(dir)?;
        let is_taken = try_lock(&dir, FlockOperation::NonBlockingLockExclusive)?;
        Ok(is_taken.then(|| Box::new(dir) as Box<dyn Any + Send>))
    }

    fn volume_bytes(&self, dir: &Path) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(dir)?;
        Ok(facts.f_blocks.saturating_mul(facts.f_frsize))
    }
}

/// `None`: a file went meanwhile.
fn list(dir: &Path) -> io::Result<Option<Vec<Listed>>> {
    // All names before the first size: a file is then as long as it was when the next one had begun, or longer.
    let entries = match fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    let mut listed = Vec::new();
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let facts = match entry.metadata() {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let changed_us = facts.mtime().max(0).cast_unsigned() * 1_000_000 + facts.mtime_nsec().cast_unsigned() / 1_000;
        listed.push(Listed { name, bytes: facts.len(), changed_us, is_dir: facts.is_dir() });
    }
    Ok(Some(listed))
}

fn try_lock(file: &File, how: FlockOperation) -> io::Result<bool> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed());
    options.open(path)
}

struct RealTarget {
    file: File,
    bytes: u64,
}

impl Target for RealTarget {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Cuts the end of a file off, which is as old then as it was: by its age it is removed.
pub(super) fn cut(file: &File, bytes: u64) -> io::Result<()> {
    let changed = file.metadata()?.modified()?;
    file.set_len(bytes)?;
    file.set_modified(changed)
}

struct RealMark(File);

impl Mark for RealMark {
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, 0)
    }
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}
