//! The few primitives that the ring is built on; the loom test puts loom's in their place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub(super) use parking_lot::Mutex;
