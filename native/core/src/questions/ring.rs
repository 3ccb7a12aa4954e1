//! A bounded queue from many workers to one reader, with the flag that says whether the reader was woken.

use super::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

/// One place in the ring. `turn` says whose move it is (D. Vyukov's bounded queue), so the lock is never contended.
struct Slot<T> {
    turn: AtomicUsize,
    value: Mutex<Option<T>>,
}

/// Bounded queue. Pushing never waits; a full ring gives the value back.
pub(super) struct Ring<T> {
    slots: Box<[Slot<T>]>,
    mask: usize,
    tail: AtomicUsize,
    head: Mutex<usize>,
    armed: AtomicBool,
}

impl<T> Ring<T> {
    /// `capacity` is rounded up to a power of two, at least 2.
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(2).next_power_of_two();
        let slots = (0..capacity).map(|n| Slot { turn: AtomicUsize::new(n), value: Mutex::new(None) }).collect();
        Self {
            slots,
            mask: capacity - 1,
            tail: AtomicUsize::new(0),
            head: Mutex::new(0),
            armed: AtomicBool::new(false),
        }
    }

    /// Appends a value. `Ok(true)` tells the caller that it has to wake the reader; `Err` returns the value: full.
    pub(super) fn push(&self, value: T) -> Result<bool, T> {
        let mut position = self.tail.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[position & self.mask];
            let turn = slot.turn.load(Ordering::Acquire);
            if turn == position {
                let next = position.wrapping_add(1);
                match self.tail.compare_exchange(position, next, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        *slot.value.lock() = Some(value);
                        slot.turn.store(next, Ordering::Release);
                        break;
                    }
                    Err(moved) => position = moved,
                }
            } else if turn.wrapping_sub(position) > usize::MAX / 2 {
                return Err(value); // the slot still holds what was pushed one lap ago
            } else {
                position = self.tail.load(Ordering::Relaxed);
            }
        }
        Ok(!self.armed.swap(true, Ordering::AcqRel))
    }

    /// Takes everything that is published. The flag is cleared *first*: whoever pushes after that wakes the reader
    /// again, whoever pushed before is seen by this drain.
    pub(super) fn drain(&self) -> Vec<T> {
        let mut head = self.head.lock();
        self.armed.swap(false, Ordering::AcqRel);
        let mut taken = Vec::new();
        loop {
            let slot = &self.slots[*head & self.mask];
            if slot.turn.load(Ordering::Acquire) != head.wrapping_add(1) {
                return taken;
            }
            taken.extend(slot.value.lock().take());
            slot.turn.store(head.wrapping_add(self.slots.len()), Ordering::Release);
            *head = head.wrapping_add(1);
        }
    }
}
