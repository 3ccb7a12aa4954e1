//! A part of a file that is read into memory which the next part takes again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::io::Errno;

use super::blocks::{BLOCK, Block, bytes_mut};

/// So much and more is read past the page cache if what is in the file was written so: it is not in there, and to take it in
/// costs the processor several times what the bytes themselves do.
const LONG_BYTES: usize = 64 << 10;

/// What was read last.
#[derive(Default)]
pub struct Piece(Vec<Block>);

impl Piece {
    /// At most so many bytes of a file, from an offset on; past the page cache, if there are many and the file system can.
    pub(super) fn read(&mut self, path: &Path, offset: u64, most: usize, past_cache: bool) -> io::Result<&[u8]> {
        let skipped = (offset % BLOCK as u64) as usize;
        let from = offset - skipped as u64;
        let wanted = skipped + most;
        self.make_room(wanted);
        let room = bytes_mut(&mut self.0);
        let mut filled = if past_cache && most >= LONG_BYTES { read_past_cache(path, from, room)? } else { 0 };
        if filled < wanted {
            filled += fill(&File::open(path)?, from + filled as u64, &mut room[filled..wanted])?;
        }
        Ok(self.part(skipped, filled.min(wanted)))
    }

    /// Takes bytes from elsewhere.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> &[u8] {
        self.make_room(bytes.len());
        bytes_mut(&mut self.0)[..bytes.len()].copy_from_slice(bytes);
        self.part(0, bytes.len())
    }

    fn make_room(&mut self, bytes: usize) {
        self.0.resize_with(bytes.div_ceil(BLOCK), || Block([0; BLOCK]));
    }

    fn part(&mut self, from: usize, upto: usize) -> &[u8] {
        &bytes_mut(&mut self.0)[from.min(upto)..upto]
    }
}

/// Whole blocks, from a whole block on: how many bytes came, which may be none or not all there are.
fn read_past_cache(path: &Path, from: u64, into: &mut [u8]) -> io::Result<usize> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path) {
        Err(error) if is_unable(&error) => return Ok(0),
        file => file?,
    };
    let mut filled = 0;
    while filled < into.len() && filled.is_multiple_of(BLOCK) {
        match file.read_at(&mut into[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if is_unable(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The file system has no such reads.
fn is_unable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::OPNOTSUPP))
}

/// Reads up to the end of the file, or of the room: how many bytes that are.
pub(super) fn fill(file: &File, from: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], from + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsRawFd as _, path::PathBuf};

    use rustix::fs::{Advice, fadvise};

    use super::{super::scratch::Scratch, *};

    /// A file on a disk; it is there as long as its directory is.
    fn file(name: &str, bytes: &[u8]) -> (Scratch, PathBuf) {
        let dir = Scratch::new(name);
        let path = dir.0.join("file");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    /// How many pages of a file the system has in memory.
    fn cached_pages(file: &File, bytes: usize) -> usize {
        let mut pages = vec![0_u8; bytes.div_ceil(BLOCK)];
        // SAFETY: a mapping of a whole file, which is given back; one byte for each of its pages.
        unsafe {
            let at = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::mincore(at, bytes, pages.as_mut_ptr().cast()), 0);
            libc::munmap(at, bytes);
        }
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    #[test]
    fn bytes_are_the_same_by_either_way_from_any_offset_on() {
        let all: Vec<u8> = (0..3 * LONG_BYTES + 5).map(|at| (at % 251) as u8 + 1).collect();
        let ((_dir, path), mut piece) = (file("piece-either", &all), Piece::default());
        for offset in [0, 1, BLOCK - 1, BLOCK, LONG_BYTES + 7, all.len() - 1, all.len(), all.len() + BLOCK + 1] {
            for most in
                [0, 1, BLOCK, LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1, 2 * LONG_BYTES, all.len(), 2 * all.len()]
            {
                let from = offset.min(all.len());
                let wanted = &all[from..all.len().min(from + most)];
                for past_cache in [false, true] {
                    let read = piece.read(&path, offset as u64, most, past_cache).unwrap();
                    assert!(read == wanted, "{most} from {offset} on, past the cache: {past_cache}");
                }
            }
        }
        assert_eq!(piece.hold(b"from elsewhere"), b"from elsewhere");
    }

    #[test]
    fn only_what_is_long_and_was_written_so_is_read_past_the_cache() {
        let bytes = 4 * LONG_BYTES;
        let (_dir, path) = file("piece-past", &vec![7; bytes]);
        let (file, mut piece) = (File::open(&path).unwrap(), Piece::default());
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        assert_eq!(cached_pages(&file, bytes), 0);
        for at in 0..4 {
            piece.read(&path, (at * LONG_BYTES) as u64 + 1, LONG_BYTES - BLOCK, true).map(<[u8]>::len).unwrap();
        }
        assert!(cached_pages(&file, bytes) >= bytes / BLOCK - 4, "short reads go through it");
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        piece.read(&path, 1, bytes - 1, true).map(<[u8]>::len).unwrap();
        assert_eq!(cached_pages(&file, bytes), 0, "a file system that takes O_DIRECT");
        piece.read(&path, 1, bytes - 1, false).map(<[u8]>::len).unwrap();
        assert_eq!(cached_pages(&file, bytes), bytes / BLOCK);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_by_either_way() {
        for past_cache in [false, true] {
            let read = Piece::default().read(Path::new("/nowhere/at/all"), 0, LONG_BYTES, past_cache).map(<[u8]>::len);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
