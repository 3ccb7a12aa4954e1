//! Futures with a place of their own in memory.

use std::pin::Pin;

/// Places up to this alignment come from the allocator's quick path. A future that needs more has a timer of tokio's inside:
/// it belongs in a box of its own, as it is waited for seldom.
const QUICK_ALIGN: usize = 16;

/// Makes a future where it stays: first the place, then what is in it, so that nothing of it is copied.
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    const { assert!(align_of::<F>() <= QUICK_ALIGN, "a timer of tokio's makes this future expensive to place") };
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}
