//! A part of a file that is read into memory which the next part takes again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::io::Errno;

use super::blocks::{BLOCK, Block, bytes_mut};

/// So much and more is read past the page cache, where the file system can: what was written past it is not in there, and
/// to take it in costs the processor several times what the bytes themselves do.
const LONG_BYTES: usize = 64 << 10;

/// What was read last.
#[derive(Default)]
pub struct Piece(Vec<Block>);

impl Piece {
    /// At most so many bytes of a file, from an offset on.
    pub(super) fn read(&mut self, path: &Path, offset: u64, most: usize) -> io::Result<&[u8]> {
        let skipped = (offset % BLOCK as u64) as usize;
        let from = offset - skipped as u64;
        self.make_room(skipped + most);
        let filled = if most >= LONG_BYTES { read_past_cache(path, from, bytes_mut(&mut self.0))? } else { None };
        let filled = match filled {
            Some(filled) => filled,
            None => fill(&File::open(path)?, from, &mut bytes_mut(&mut self.0)[..skipped + most])?,
        };
        Ok(self.part(skipped, filled.min(skipped + most)))
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

/// Whole blocks, from a whole block on: how many bytes there are up to the end of the file. `None`: the file system has no
/// such reads.
fn read_past_cache(path: &Path, from: u64, into: &mut [u8]) -> io::Result<Option<usize>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path) {
        Err(error) if is_unable(&error) => return Ok(None),
        file => file?,
    };
    let mut filled = 0;
    while filled < into.len() && filled.is_multiple_of(BLOCK) {
        match file.read_at(&mut into[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if is_unable(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(filled))
}

fn is_unable(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

/// Reads up to the end of the file, or of the room.
fn fill(file: &File, from: u64, into: &mut [u8]) -> io::Result<usize> {
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
    use super::*;

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        /// A file where the build is: there is a disk, whatever `/tmp` is.
        fn new(name: &str, bytes: &[u8]) -> Self {
            let program = std::env::current_exe().unwrap();
            let path = program.with_file_name(format!("penstock-piece-{}-{name}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn bytes_are_the_same_by_either_way_from_any_offset_on() {
        let all: Vec<u8> = (0..3 * LONG_BYTES + 5).map(|at| (at % 251) as u8 + 1).collect();
        let (file, mut piece) = (Scratch::new("either", &all), Piece::default());
        for offset in [0, 1, BLOCK - 1, BLOCK, LONG_BYTES + 7, all.len() - 1, all.len(), all.len() + BLOCK + 1] {
            for most in
                [0, 1, BLOCK, LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1, 2 * LONG_BYTES, all.len(), 2 * all.len()]
            {
                let from = offset.min(all.len());
                let wanted = &all[from..all.len().min(from + most)];
                assert!(piece.read(&file.0, offset as u64, most).unwrap() == wanted, "{most} from {offset} on");
            }
        }
        assert_eq!(piece.hold(b"from elsewhere"), b"from elsewhere");
    }

    #[test]
    fn whole_blocks_are_read_past_the_cache_up_to_the_end_of_the_file() {
        let file = Scratch::new("past", &vec![7; 2 * BLOCK + 5]);
        let mut piece = Piece::default();
        piece.make_room(4 * BLOCK);
        let filled = read_past_cache(&file.0, BLOCK as u64, bytes_mut(&mut piece.0)).unwrap();
        assert_eq!(filled.expect("a file system that takes O_DIRECT"), BLOCK + 5);
        assert_eq!(piece.part(0, BLOCK + 5), vec![7; BLOCK + 5]);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_by_either_way() {
        for most in [1, LONG_BYTES] {
            let read = Piece::default().read(Path::new("/nowhere/at/all"), 0, most).map(<[u8]>::len);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
