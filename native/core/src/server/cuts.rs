//! The requests of a worker by key, so that those of a key that was cut can be ended at once, and all at the end of the
//! process.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
};

use super::worker::Worker;
use crate::{
    error::{Code, Error},
    keys::{KeyId, KeyRow, table::Cut},
};

/// Requests in flight, each in a slot of its own.
#[derive(Default)]
pub struct Cuts {
    slots: RefCell<Vec<Option<Slot>>>,
    free: RefCell<Vec<usize>>,
    /// All are cut, also those that come.
    all: Cell<bool>,
}

struct Slot {
    /// With the version of the row that it began on; `None`: it is not known yet, or nobody asked for one.
    key: Option<(KeyId, u64)>,
    is_cut: bool,
    waker: Option<Waker>,
}

impl Cuts {
    /// Ends the requests of a key that began on an older row.
    pub fn cut(&self, cut: Cut) {
        let mut wakers = Vec::new();
        for slot in self.slots.borrow_mut().iter_mut().flatten() {
            if slot.key.as_ref().is_some_and(|(key, version)| *key == cut.key && *version < cut.before) {
                slot.is_cut = true;
                wakers.extend(slot.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends all requests: the process does.
    pub fn cut_all(&self) {
        self.all.set(true);
        let wakers: Vec<_> =
            self.slots.borrow_mut().iter_mut().flatten().filter_map(|slot| slot.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Why a request is ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    KeyDisabled,
    ShuttingDown,
}

impl Why {
    /// What the client is told.
    pub fn error(self) -> Error {
        match self {
            Self::KeyDisabled => Error::new(Code::KeyDisabled, "The API key was disabled while it was used."),
            Self::ShuttingDown => {
                Error::new(Code::ShuttingDown, "The gateway shuts down, and cut this request short; ask again.")
                    .after_ms(1_000)
            }
        }
    }
}

/// A request's place among those that can be cut; dropping it leaves.
pub struct Cuttable {
    worker: Rc<Worker>,
    slot: usize,
}

impl Cuttable {
    pub fn enter(worker: &Rc<Worker>) -> Self {
        let slot = Slot { key: None, is_cut: false, waker: None };
        let mut slots = worker.cuts.slots.borrow_mut();
        let index = worker.cuts.free.borrow_mut().pop().unwrap_or(slots.len());
        if index == slots.len() {
            slots.push(None);
        }
        slots[index] = Some(slot);
        Self { worker: worker.clone(), slot: index }
    }

    /// The request was let in by this row.
    pub fn is_of(&self, row: &KeyRow) {
        if let Some(slot) = &mut self.worker.cuts.slots.borrow_mut()[self.slot] {
            slot.key = Some((row.id, row.version));
        }
    }

    /// Whether the request was cut; its task is woken when that happens.
    pub fn poll(&self, cx: &Context<'_>) -> bool {
        let mut slots = self.worker.cuts.slots.borrow_mut();
        let Some(slot) = &mut slots[self.slot] else { return false };
        if !slot.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        slot.is_cut || self.worker.cuts.all.get()
    }

    /// Whether the request was cut, and why.
    pub fn why(&self) -> Option<Why> {
        let is_own = self.worker.cuts.slots.borrow()[self.slot].as_ref().is_some_and(|slot| slot.is_cut);
        let of_all = || self.worker.cuts.all.get().then_some(Why::ShuttingDown);
        if is_own { Some(Why::KeyDisabled) } else { of_all() }
    }
}

impl Drop for Cuttable {
    fn drop(&mut self) {
        self.worker.cuts.slots.borrow_mut()[self.slot] = None;
        self.worker.cuts.free.borrow_mut().push(self.slot);
    }
}
