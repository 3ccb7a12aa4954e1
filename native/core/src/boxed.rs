//! Futures with a place of their own in memory, which the next one takes over, and which is in the cache when they go on.

use std::{
    cell::RefCell,
    marker::PhantomData,
    mem::MaybeUninit,
    pin::Pin,
    ptr::{self, NonNull},
    task::{Context, Poll},
};

/// What places are made of, aligned as the allocator does it by itself. A future that needs more has a timer of tokio's
/// inside: it belongs in a box of its own, as it is waited for seldom.
#[repr(align(16))]
struct Step {
    _bytes: [u8; 256],
}

/// The largest place, in steps.
const LARGEST: usize = 32;
/// Places of each size that a thread keeps for reuse.
const KEPT: usize = 32;

/// Memory for one future.
type Place = Box<[MaybeUninit<Step>]>;

thread_local! {
    /// By size, places that wait for their next future.
    static FREE: RefCell<[Vec<Place>; LARGEST]> = const { RefCell::new([const { Vec::new() }; LARGEST]) };
}

/// Makes a future where it stays: first the place, then what is in it, so that nothing of it is copied.
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Boxed<F> {
    const {
        assert!(align_of::<F>() <= align_of::<Step>(), "a timer of tokio's makes this future expensive to place");
        assert!(size_of::<F>() <= LARGEST * size_of::<Step>(), "this future is larger than any place");
    }
    let steps = size_of::<F>().div_ceil(size_of::<Step>()).max(1);
    let mut place = take(steps);
    // SAFETY: the place is large enough for the future and aligned for it.
    unsafe { place.as_mut_ptr().cast::<F>().write(make()) };
    Boxed { place: NonNull::from(Box::leak(place)), holds: PhantomData }
}

/// A future in a place of its own. It stays on its thread.
pub struct Boxed<F> {
    place: NonNull<[MaybeUninit<Step>]>,
    holds: PhantomData<F>,
}

// Moving it moves no future.
impl<F> Unpin for Boxed<F> {}

impl<F: Future> Future for Boxed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        prefetch(self.place.cast(), size_of::<F>());
        // SAFETY: `boxed` wrote the future there; it never moves, and is dropped only with its `Boxed`.
        unsafe { Pin::new_unchecked(self.place.cast::<F>().as_mut()) }.poll(cx)
    }
}

impl<F> Drop for Boxed<F> {
    fn drop(&mut self) {
        // SAFETY: the future is there, and nobody looks at it any more.
        unsafe { ptr::drop_in_place(self.place.cast::<F>().as_ptr()) };
        // SAFETY: `boxed` leaked it, and nobody else has it.
        give(unsafe { Box::from_raw(self.place.as_ptr()) });
    }
}

/// Asks the processor for all lines of a future's memory, without waiting for any. A stream that waited has mostly been
/// driven out of the cache, and a future that goes on in a future in a future would wait for the line of each in turn.
#[cfg(target_arch = "x86_64")]
fn prefetch(place: NonNull<u8>, bytes: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    const LINE: usize = 64;
    let before = place.addr().get() % LINE;
    for offset in (0..bytes + before).step_by(LINE) {
        // SAFETY: each x86-64 has it, and it reads nothing that a program could notice, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.as_ptr().wrapping_add(offset).wrapping_sub(before).cast()) };
    }
}

/// Other processors have their own guesses only.
#[cfg(not(target_arch = "x86_64"))]
fn prefetch(_: NonNull<u8>, _: usize) {}

fn take(steps: usize) -> Place {
    let kept = FREE.with_borrow_mut(|free| free[steps - 1].pop());
    kept.unwrap_or_else(|| Box::new_uninit_slice(steps))
}

fn give(place: Place) {
    // At the thread's end there is no list any more.
    let _ = FREE.try_with(|free| {
        let free = &mut free.borrow_mut()[place.len() - 1];
        if free.len() < KEPT {
            free.push(place);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, future::ready, rc::Rc, task::Waker};

    /// Counts how often it is dropped.
    struct Noted(Rc<Cell<u32>>);

    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn a_future_is_made_polled_and_dropped_once_in_a_place_that_the_next_takes_over() {
        let drops = Rc::new(Cell::new(0));
        let mut places = Vec::new();
        for round in 1..=3 {
            let noted = Noted(drops.clone());
            let mut future = boxed(|| async move {
                let large = [round; 700];
                ready(()).await;
                drop(noted);
                large.iter().sum::<u32>()
            });
            places.push(future.place.addr());
            let done = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(done, Poll::Ready(700 * round));
            drop(future);
            assert_eq!(drops.get(), round);
        }
        assert!(places.windows(2).all(|two| two[0] == two[1]));
    }

    #[test]
    fn what_it_holds_is_there_whenever_it_goes_on() {
        let mut empty = boxed(|| ready(()));
        let mut large = boxed(|| async {
            let mut all = [1_u8; 7000];
            for round in 1..=3 {
                tokio::task::yield_now().await;
                all[6999] += round;
            }
            all.iter().map(|byte| u32::from(*byte)).sum::<u32>()
        });
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut empty).poll(&mut cx), Poll::Ready(()));
        for _ in 0..3 {
            assert_eq!(Pin::new(&mut large).poll(&mut cx), Poll::Pending);
        }
        assert_eq!(Pin::new(&mut large).poll(&mut cx), Poll::Ready(7006));
    }

    #[test]
    fn one_that_was_never_polled_is_dropped_too() {
        let drops = Rc::new(Cell::new(0));
        let noted = Noted(drops.clone());
        drop(boxed(|| async move { drop(noted) }));
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let all: Vec<_> = (0..3 * KEPT).map(|_| boxed(|| ready([0_u8; 3000]))).collect();
        drop(all);
        assert_eq!(FREE.with_borrow(|free| free[11].len()), KEPT);
    }
}
