//! The ring and the table of waiters under every interleaving that loom can make of them.

#![allow(dead_code, unreachable_pub)]

/// loom's primitives under the names that `questions::sync` uses.
mod sync {
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("loom never poisons a lock")
        }
    }
}

#[path = "../src/questions/pending.rs"]
mod pending;
#[path = "../src/questions/ring.rs"]
mod ring;

use loom::{sync::Arc, thread};
use pending::{Pending, Refused};
use ring::Ring;
use sync::{AtomicUsize, Ordering};

fn check(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

/// A push that signals as the engine does: the eventfd is a counter.
fn push(ring: &Ring<u32>, signals: &AtomicUsize, value: u32) -> bool {
    match ring.push(value) {
        Ok(wake) => {
            if wake {
                signals.fetch_add(1, Ordering::AcqRel);
            }
            true
        }
        Err(_) => false,
    }
}

#[test]
fn a_reader_that_only_drains_when_woken_misses_nothing() {
    check(|| {
        let ring = Arc::new(Ring::new(4));
        let signals = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..2)
            .map(|n| {
                let (ring, signals) = (ring.clone(), signals.clone());
                thread::spawn(move || assert!(push(&ring, &signals, n)))
            })
            .collect();
        let mut seen = Vec::new();
        // The reader looks once while the writers run, then only as often as it is woken.
        if signals.swap(0, Ordering::AcqRel) > 0 {
            seen.extend(ring.drain());
        }
        for writer in writers {
            writer.join().expect("a writer does not panic");
        }
        while signals.swap(0, Ordering::AcqRel) > 0 {
            seen.extend(ring.drain());
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1]);
    });
}

#[test]
fn a_full_ring_gives_the_value_back_and_loses_none_of_the_others() {
    check(|| {
        let ring = Arc::new(Ring::new(2));
        let signals = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..2)
            .map(|n| {
                let (ring, signals) = (ring.clone(), signals.clone());
                thread::spawn(move || {
                    usize::from(push(&ring, &signals, n)) + usize::from(push(&ring, &signals, n + 10))
                })
            })
            .collect();
        let mut drained = ring.drain().len();
        let accepted: usize = writers.into_iter().map(|writer| writer.join().expect("no panic")).sum();
        drained += ring.drain().len();
        assert_eq!(drained, accepted);
        assert!(accepted >= 2, "two places were free");
    });
}

#[test]
fn a_waiter_is_taken_by_exactly_one_of_answer_and_deadline() {
    check(|| {
        let pending = Arc::new(Pending::new(1));
        let id = pending.insert("waiter").expect("there is room");
        let answer = {
            let pending = pending.clone();
            thread::spawn(move || pending.take(id).is_some())
        };
        let expired = pending.take(id).is_some();
        let answered = answer.join().expect("no panic");
        assert!(answered ^ expired);
        assert_eq!(pending.len(), 0);
    });
}

#[test]
fn nobody_waits_behind_a_close() {
    check(|| {
        let pending = Arc::new(Pending::new(2));
        let newcomer = {
            let pending = pending.clone();
            thread::spawn(move || pending.insert("waiter"))
        };
        let woken = pending.close().len();
        match newcomer.join().expect("no panic") {
            Ok(_) => assert_eq!(woken, 1, "a waiter that got in was woken"),
            Err(refused) => assert_eq!((woken, refused), (0, Refused::Closed)),
        }
        assert_eq!(pending.len(), 0);
    });
}
