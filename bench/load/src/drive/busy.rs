//! Cores that have something of the lowest priority to do. On a virtual machine that alone moves the p99 of what runs
//! beside it, by twice and more, whoever does it; so what is measured while the gateway hashes is compared with this.

use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Threads that spin until this is dropped.
pub(crate) struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    pub(crate) fn start(threads: usize) -> Self {
        let over = Arc::<AtomicBool>::default();
        let spin = |over: Arc<AtomicBool>| {
            give_way();
            while !over.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
        };
        let threads = (0..threads).map(|_| over.clone()).map(|over| thread::spawn(move || spin(over))).collect();
        Self { over, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The calling thread takes only what others leave, as those of the gateway that hash do.
fn give_way() {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter outlives the call, which touches nothing else; 0 is this thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const param) };
}
