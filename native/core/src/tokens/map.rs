//! A file's bytes in memory, read only: loaded page by page on first use, and one copy for all processes.

use std::{fs::File, io, ops::Deref, ptr, slice};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The bytes of a file that nobody changes in place.
#[derive(Debug)]
pub(super) struct Map {
    at: *const u8,
    len: usize,
}

// SAFETY: memory that is only read, from its mapping until the drop of its only owner.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// The first `len` bytes of a file, which must not be empty.
    pub fn new(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: the system chooses the place, so no other memory is touched.
        let at = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        Ok(Self { at: at.cast_const().cast(), len })
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped for as long as `self` lives, and never written: package files are replaced by others of their
        // name, not changed in place, and what was opened stays what it was.
        unsafe { slice::from_raw_parts(self.at, self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this mapping is ours, and no slice of it outlives us.
        let unmapped = unsafe { munmap(self.at.cast_mut().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}
