//! Linux's queue of disk writes that go on while who asked for them does other things: `io_setup(2)`, `io_submit(2)`,
//! `io_getevents(2)`. Of all interfaces for that it is the one that container runtimes allow.

use std::{
    ffi::{c_long, c_ulong},
    fs::File,
    io,
    os::fd::AsRawFd as _,
    ptr,
};

use super::blocks::Blocks;

/// `IOCB_CMD_PWRITE` (`linux/aio_abi.h`).
const WRITE: u16 = 1;

/// `struct iocb`.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    #[cfg(target_endian = "little")]
    key: u32,
    flags: u32,
    #[cfg(target_endian = "big")]
    key: u32,
    operation: u16,
    priority: i16,
    file: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    more_flags: u32,
    event_file: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Default)]
struct Done {
    data: u64,
    request: u64,
    result: i64,
    more: i64,
}

impl Done {
    fn written(&self) -> io::Result<usize> {
        usize::try_from(self.result).map_err(|_| match i32::try_from(-self.result) {
            Ok(error) => io::Error::from_raw_os_error(error),
            Err(_) => io::ErrorKind::Other.into(),
        })
    }
}

/// A queue of one write. What is written stays here until it is over.
#[derive(Debug)]
pub(super) struct Queue {
    context: c_ulong,
    flying: Option<Blocks>,
}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        let mut context: c_ulong = 0;
        // SAFETY: the kernel writes one number to where `context` stands.
        check(unsafe { libc::syscall(libc::SYS_io_setup, 1 as c_ulong, &raw mut context) })?;
        Ok(Self { context, flying: None })
    }

    /// Whether a write is not known to be over.
    pub(super) fn is_busy(&self) -> bool {
        self.flying.is_some()
    }

    /// Begins to write `blocks` at `offset`; where the file was opened so, the write is over once they last. They come back
    /// from [`Queue::finish`], or with the error.
    pub(super) fn begin(&mut self, file: &File, offset: u64, blocks: Blocks) -> Result<(), (Blocks, io::Error)> {
        if self.is_busy() {
            return Err((blocks, io::ErrorKind::ResourceBusy.into()));
        }
        let bytes = blocks.bytes();
        let mut request = Request {
            operation: WRITE,
            file: file.as_raw_fd().cast_unsigned(),
            buffer: bytes.as_ptr() as u64,
            bytes: bytes.len() as u64,
            offset: offset.cast_signed(),
            ..Request::default()
        };
        let mut requests = [&raw mut request];
        let requests = requests.as_mut_ptr();
        // SAFETY: the kernel reads the request, and sets its key, within the call. What it writes stays where it is until that
        // is over: `flying` keeps it, nobody changes it, and `drop` waits for it.
        let begun = check(unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1 as c_long, requests) });
        if let Err(error) = begun {
            return Err((blocks, error));
        }
        self.flying = Some(blocks);
        Ok(())
    }

    /// What was written and how many bytes of it, or why not; `None`: it is not over, or nothing was begun. After an error of
    /// the queue itself nobody knows what became of it, and the queue is of no more use.
    pub(super) fn finish(&mut self, waits: bool) -> io::Result<Option<(Blocks, io::Result<usize>)>> {
        if !self.is_busy() {
            return Ok(None);
        }
        let mut done = Done::default();
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let until = if waits { ptr::null() } else { &raw const now };
        let least = c_long::from(waits);
        let count = loop {
            // SAFETY: the kernel writes one event at most to where `done` stands.
            let got = unsafe {
                libc::syscall(libc::SYS_io_getevents, self.context, least, 1 as c_long, &raw mut done, until)
            };
            match check(got) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got?,
            }
        };
        let blocks = if count == 0 { None } else { self.flying.take() };
        Ok(blocks.map(|blocks| (blocks, done.written())))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ends the queue, and returns once nothing of it is written any more (since Linux 3.16).
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

fn check(returned: c_long) -> io::Result<c_long> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
