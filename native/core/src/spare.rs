//! Work that takes only what requests leave over: each piece on a thread of its own at the lowest priority. A thread that
//! has gone idle may not come back (sched(7)), so it must hold nothing that others wait for, and ends with its work.

use std::{
    io,
    panic::resume_unwind,
    thread::{Builder, scope},
};

use rustix::process::setpriority_process;

const NAME: &str = "penstock-spare";
/// For systems that know no idle threads.
const NICE: i32 = 19;

/// What `work` makes; the caller waits. `Err`: the system gives no thread.
pub fn run<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    scope(|scope| {
        let thread = Builder::new().name(NAME.to_owned()).spawn_scoped(scope, || {
            go_last();
            work()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// The calling thread gives way to all others, at once.
fn go_last() {
    let _ = setpriority_process(None, NICE);
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter outlives the call, which touches nothing else; 0 is this thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> i32 {
        // SAFETY: takes no pointer; 0 is this thread.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn work_goes_last_and_its_caller_does_not() {
        let before = policy();
        assert_eq!(run(policy).unwrap(), libc::SCHED_IDLE);
        assert_eq!(policy(), before);
    }

    #[test]
    #[should_panic(expected = "a fault")]
    fn a_panic_is_the_callers() {
        let _ = run(|| panic!("a fault"));
    }
}
