//! The requests of a worker by key, so that those of a key that was cut can be ended at once.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Waker},
};

use super::worker::Worker;
use crate::keys::{KeyId, KeyRow, table::Cut};

/// Requests in flight, each in a slot of its own.
#[derive(Default)]
pub struct Cuts {
    slots: RefCell<Vec<Option<Slot>>>,
    free: RefCell<Vec<usize>>,
}

struct Slot {
    key: KeyId,
    /// Of the row that it began on.
    version: u64,
    is_cut: bool,
    waker: Option<Waker>,
}

impl Cuts {
    /// Ends the requests of a key that began on an older row.
    pub fn cut(&self, cut: Cut) {
        let mut wakers = Vec::new();
        for slot in self.slots.borrow_mut().iter_mut().flatten() {
            if slot.key == cut.key && slot.version < cut.before {
                slot.is_cut = true;
                wakers.extend(slot.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A request's place among those that can be cut; dropping it leaves.
pub struct Cuttable {
    worker: Rc<Worker>,
    slot: usize,
}

impl Cuttable {
    /// For a request that was let in by this row.
    pub fn enter(worker: &Rc<Worker>, row: &KeyRow) -> Self {
        let slot = Slot { key: row.id, version: row.version, is_cut: false, waker: None };
        let mut slots = worker.cuts.slots.borrow_mut();
        let index = worker.cuts.free.borrow_mut().pop().unwrap_or(slots.len());
        if index == slots.len() {
            slots.push(None);
        }
        slots[index] = Some(slot);
        Self { worker: worker.clone(), slot: index }
    }

    /// Whether the request was cut; its task is woken when that happens.
    pub fn poll(&self, cx: &Context<'_>) -> bool {
        let mut slots = self.worker.cuts.slots.borrow_mut();
        let Some(slot) = &mut slots[self.slot] else { return false };
        if !slot.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        slot.is_cut
    }

    pub fn is_cut(&self) -> bool {
        self.worker.cuts.slots.borrow()[self.slot].as_ref().is_some_and(|slot| slot.is_cut)
    }
}

impl Drop for Cuttable {
    fn drop(&mut self) {
        self.worker.cuts.slots.borrow_mut()[self.slot] = None;
        self.worker.cuts.free.borrow_mut().push(self.slot);
    }
}
