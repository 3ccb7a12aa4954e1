//! The worker's free list of read and write buffers, and the loan of one of them.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

/// What a fresh buffer can hold.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// What is to be held for long and takes no more than this is worth a copy.
const SMALL_BYTES: usize = 4 * 1024;
/// Most such copies fit into buffers of this size, of which a few are kept.
const COPY_BYTES: usize = 2 * 1024;
const MAX_COPIES: usize = 32;
/// A buffer that grew beyond this is freed instead of kept.
const KEEP_BYTES: usize = 64 * 1024;

/// A bounded free list; clones share it. One a worker, so that a buffer is warm in the cache that takes it next.
#[derive(Clone)]
pub struct Buffers(Rc<Inner>);

struct Inner {
    free: RefCell<Vec<Vec<u8>>>,
    copies: RefCell<Vec<Vec<u8>>>,
    max_free: usize,
    lent: Cell<usize>,
}

impl Buffers {
    /// At most `max_free` buffers are kept for reuse.
    pub fn new(max_free: usize) -> Self {
        Self(Rc::new(Inner { free: RefCell::default(), copies: RefCell::default(), max_free, lent: Cell::new(0) }))
    }

    /// An empty buffer with at least 16 KiB of room.
    pub fn take(&self) -> Vec<u8> {
        self.0.lent.set(self.0.lent.get() + 1);
        let free = self.0.free.borrow_mut().pop();
        free.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Takes a buffer of `take` back, whatever has become of it.
    pub fn give(&self, mut buffer: Vec<u8>) {
        self.0.lent.set(self.0.lent.get().saturating_sub(1));
        buffer.clear();
        let (list, most) = match buffer.capacity() {
            BUFFER_BYTES..=KEEP_BYTES => (&self.0.free, self.0.max_free),
            COPY_BYTES => (&self.0.copies, MAX_COPIES),
            _ => return,
        };
        let mut list = list.borrow_mut();
        if list.len() < most {
            list.push(buffer);
        }
    }

    /// A copy of `bytes` that takes little more than they do; not counted as out.
    fn copy(&self, bytes: &[u8]) -> Vec<u8> {
        if bytes.len() > COPY_BYTES {
            return bytes.to_vec();
        }
        let mut copy = self.0.copies.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(COPY_BYTES));
        copy.extend_from_slice(bytes);
        copy
    }

    /// Takes back a buffer that is still counted as out: something smaller has taken its place.
    fn replaced(&self, buffer: Vec<u8>) {
        self.0.lent.set(self.0.lent.get() + 1);
        self.give(buffer);
    }

    /// How many buffers are out.
    pub fn lent(&self) -> usize {
        self.0.lent.get()
    }

    /// How many buffers wait for reuse.
    pub fn free(&self) -> usize {
        self.0.free.borrow().len()
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("lent", &self.lent()).field("free", &self.free()).finish()
    }
}

/// A buffer that is borrowed only while it holds something and goes back when dropped.
pub(super) struct Loan {
    owner: Buffers,
    pub(super) bytes: Vec<u8>,
}

impl Loan {
    pub(super) fn new(owner: Buffers) -> Self {
        Self { owner, bytes: Vec::new() }
    }

    pub(super) fn buffers(&self) -> &Buffers {
        &self.owner
    }

    /// A loan of nothing yet, from the same list.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.owner.clone())
    }

    pub(super) fn is_lent(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// Borrows a buffer unless there is one already.
    pub(super) fn open(&mut self) {
        if !self.is_lent() {
            self.bytes = self.owner.take();
        }
    }

    /// Exchanges the buffer for one of the size of what it holds, if that is little.
    pub(super) fn shrink(&mut self) {
        if self.is_lent() && self.bytes.len() <= SMALL_BYTES {
            let small = self.owner.copy(&self.bytes);
            self.owner.replaced(std::mem::replace(&mut self.bytes, small));
        }
    }

    /// Whether it is a copy of [`Loan::shrink`]: there is little room in it.
    pub(super) fn is_small(&self) -> bool {
        (1..BUFFER_BYTES).contains(&self.bytes.capacity())
    }

    /// Whether it is one as they are taken, neither such a copy nor one that grew.
    pub(super) fn is_usual(&self) -> bool {
        self.bytes.capacity() == BUFFER_BYTES
    }

    /// Exchanges such a copy for a buffer with room.
    pub(super) fn widen(&mut self) {
        let mut large = self.owner.take();
        large.extend_from_slice(&self.bytes);
        self.owner.give(std::mem::replace(&mut self.bytes, large));
    }

    /// Takes the buffer out for good: it counts as given back.
    pub(super) fn part(&mut self) -> Vec<u8> {
        if self.is_lent() {
            self.owner.give(Vec::new());
        }
        std::mem::take(&mut self.bytes)
    }

    /// Gives the buffer back if it holds nothing.
    pub(super) fn close_empty(&mut self) {
        if self.bytes.is_empty() {
            self.close();
        }
    }

    /// Gives the buffer back, with whatever it holds.
    pub(super) fn close(&mut self) {
        if self.is_lent() {
            self.owner.give(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.close();
    }
}
