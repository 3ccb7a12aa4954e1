//! The connections of a worker that wait for a request, so that they can be woken when it is time to close or move.

use std::{cell::RefCell, task::Waker};

/// Wakers of parked connections, by slot.
#[derive(Default)]
pub struct Parking {
    slots: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Parking {
    /// A place to park; give it back with [`Parking::leave`].
    pub fn enter(&self) -> usize {
        if let Some(slot) = self.free.borrow_mut().pop() {
            return slot;
        }
        let mut slots = self.slots.borrow_mut();
        slots.push(None);
        slots.len() - 1
    }

    /// Remembers whom to wake in `slot`.
    pub fn park(&self, slot: usize, waker: &Waker) {
        let place = &mut self.slots.borrow_mut()[slot];
        if !place.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }

    pub fn leave(&self, slot: usize) {
        self.slots.borrow_mut()[slot] = None;
        self.free.borrow_mut().push(slot);
    }

    /// Wakes all that are parked, or at most `most` of them.
    pub fn wake(&self, most: usize) {
        let wakers: Vec<Waker> = self.slots.borrow().iter().flatten().take(most).cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}
