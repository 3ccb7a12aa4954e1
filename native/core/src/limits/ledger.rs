//! What all cells share: the calendar, how many counters there are, and which cells a checkpoint has to look at.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{Now, broker::Broker, calendar::Calendar, cell::Cell};
use crate::clock::Clock;

/// Counters beyond which old ones merge into newer ones instead of taking more memory: 128 MB.
const MOST_COUNTERS: usize = 8 << 20;
/// How long UTC is taken to go on as boot time does before it is read again: it may have been set.
const UTC_HOLDS_US: u64 = 100_000;
/// Readings of the clocks that are further apart say nothing of how much one is ahead of the other.
const APART_US: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) calendar: ArcSwap<Calendar>,
    counters: AtomicUsize,
    most: usize,
    /// Whether there is a checkpoint.
    keeps: AtomicBool,
    /// Whether another process has the file, or nobody knows yet whose it is.
    is_elsewhere: AtomicBool,
    /// The journals of which all that counts is in the file; `None`: there is no file.
    counted: Mutex<Option<Vec<String>>>,
    /// One more when what was used earlier begins to be counted, and when it is; and which of these numbers is that of what
    /// is in a file that lasts.
    earlier: AtomicU64,
    kept: AtomicU64,
    /// How often a cell told a checkpoint what it counts; from 1.
    tellings: AtomicU64,
    /// Cells that have changed since the last one, each once.
    changed: Mutex<Vec<Arc<Cell>>>,
    /// Cells in which somebody waited of late, each once.
    queued: Mutex<Vec<Weak<Cell>>>,
    /// For whoever reads UTC: nobody's older reading takes the place of a newer one.
    reads_utc: Mutex<()>,
    /// How much UTC is ahead of boot time, and until when on the latter that holds.
    utc_ahead_us: AtomicU64,
    utc_until_us: AtomicU64,
    /// Where limits are shared between nodes.
    pub(super) broker: OnceLock<Broker>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::of(MOST_COUNTERS)
    }
}

impl Ledger {
    pub(super) fn of(most: usize) -> Self {
        Self {
            calendar: ArcSwap::default(),
            counters: AtomicUsize::new(0),
            most,
            keeps: AtomicBool::new(false),
            is_elsewhere: AtomicBool::new(false),
            counted: Mutex::default(),
            earlier: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            tellings: AtomicU64::new(1),
            changed: Mutex::default(),
            queued: Mutex::default(),
            reads_utc: Mutex::default(),
            utc_ahead_us: AtomicU64::new(0),
            utc_until_us: AtomicU64::new(0),
            broker: OnceLock::new(),
        }
    }

    /// The moment, by one reading of a clock in most cases. Whatever is about periods has it from here: if UTC is set, one
    /// who knows and one who does not would take turns at ending a period.
    pub(super) fn now(&self, clock: &Clock) -> Now {
        self.reckoned(clock.boot_us()).unwrap_or_else(|| self.read(clock))
    }

    fn reckoned(&self, boot_us: u64) -> Option<Now> {
        let holds = boot_us < self.utc_until_us.load(Acquire);
        holds.then(|| Now { boot_us, utc_us: boot_us.wrapping_add(self.utc_ahead_us.load(Relaxed)) })
    }

    #[cold]
    fn read(&self, clock: &Clock) -> Now {
        let _alone = self.reads_utc.lock();
        let boot_us = clock.boot_us();
        self.reckoned(boot_us).unwrap_or_else(|| {
            let now = Now { boot_us, utc_us: clock.utc_us() };
            self.hold(now, clock.boot_us());
            now
        })
    }

    /// UTC goes on from there, if it was read in one go, which ended then.
    fn hold(&self, now: Now, end_us: u64) {
        if end_us.saturating_sub(now.boot_us) <= APART_US {
            self.utc_ahead_us.store(now.utc_us.wrapping_sub(now.boot_us), Relaxed);
            self.utc_until_us.store(now.boot_us.saturating_add(UTC_HOLDS_US), Release);
        }
    }

    /// From now on changed cells are listed, for whoever takes the list.
    pub(super) fn keep(&self, keeps: bool) {
        self.keeps.store(keeps, Relaxed);
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeps.load(Relaxed)
    }

    pub(super) fn set_elsewhere(&self, is: bool) {
        self.is_elsewhere.store(is, Relaxed);
    }

    pub(super) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere.load(Relaxed)
    }

    /// Of these journals the file has all.
    pub(super) fn set_counted(&self, journals: Vec<String>) {
        *self.counted.lock() = Some(journals);
    }

    /// Whether nobody needs that journal to count what is limited.
    pub(super) fn has_counted(&self, journal: &str) -> bool {
        self.counted.lock().as_ref().is_none_or(|counted| counted.iter().any(|name| name == journal))
    }

    /// What was used earlier is counted by this.
    pub(super) fn count_earlier(&self, count: impl FnOnce()) {
        self.earlier.fetch_add(1, AcqRel);
        let _ends = Ends(&self.earlier); // whatever becomes of it
        count();
    }

    /// Changes when that begins and ends. Odd: it is going on.
    pub(super) fn earlier(&self) -> u64 {
        self.earlier.load(Acquire)
    }

    /// What was counted up to here is in a file that lasts.
    pub(super) fn keep_earlier(&self, earlier: u64) {
        self.kept.store(earlier, Relaxed);
    }

    /// Whether some of it is not.
    pub(super) fn lacks_earlier(&self) -> bool {
        self.kept.load(Relaxed) < self.earlier()
    }

    /// The number of the latest telling of any cell. A cell that is new, be it in the place of one that was dropped,
    /// begins with it.
    pub(super) fn tellings(&self) -> u64 {
        self.tellings.load(Relaxed)
    }

    /// The number of a telling: more than any before.
    pub(super) fn tells(&self) -> u64 {
        self.tellings.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn list(&self, cell: Arc<Cell>) {
        self.changed.lock().push(cell);
    }

    /// The cells that have changed since the last call.
    pub(super) fn take_changed(&self) -> Vec<Arc<Cell>> {
        std::mem::take(&mut *self.changed.lock())
    }

    pub(super) fn queued(&self, cell: Weak<Cell>) {
        self.queued.lock().push(cell);
    }

    /// The cells in which somebody has waited since the last call.
    pub(super) fn take_queued(&self) -> Vec<Weak<Cell>> {
        std::mem::take(&mut *self.queued.lock())
    }

    pub(super) fn is_tight(&self) -> bool {
        self.counters.load(Relaxed) >= self.most
    }

    /// Room for counters was made or given back.
    pub(super) fn resized(&self, before: usize, after: usize) {
        if after > before {
            self.counters.fetch_add(after - before, Relaxed);
        } else if before > after {
            self.counters.fetch_sub(before - after, Relaxed);
        }
    }
}

/// Adds one when it is dropped.
struct Ends<'a>(&'a AtomicU64);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::limits::{Ask, Layered, Limits, Need, Policy, Scope};

    #[test]
    fn utc_goes_on_with_boot_time_and_is_read_again_before_long() {
        let time = Arc::new(AtomicU64::new(1_000_000));
        let (ledger, clock) = (Ledger::default(), Clock::Manual(time.clone()));
        let at = |us| {
            time.store(us, Relaxed);
            ledger.now(&clock)
        };
        assert_eq!(at(1_000_000), Now { boot_us: 1_000_000, utc_us: 1_000_000 });
        // As if UTC had been set since.
        ledger.utc_ahead_us.store(7, Relaxed);
        assert_eq!(at(1_099_999), Now { boot_us: 1_099_999, utc_us: 1_100_006 });
        assert_eq!(at(1_100_000), Now { boot_us: 1_100_000, utc_us: 1_100_000 });
    }

    #[test]
    fn utc_does_not_go_on_from_readings_between_which_there_was_a_pause() {
        let (ledger, read) = (Ledger::default(), Now { boot_us: 5_000_000, utc_us: 5_700_000 });
        ledger.hold(read, 5_001_001);
        assert_eq!(ledger.reckoned(5_001_001), None);
        ledger.hold(read, 5_001_000);
        assert_eq!(ledger.reckoned(5_001_001), Some(Now { boot_us: 5_001_001, utc_us: 5_701_001 }));
    }

    #[test]
    fn a_day_that_is_counted_is_swept_by_the_same_utc_after_the_clock_was_set_back() {
        let hand = Arc::new(AtomicU64::new(1_774_656_000_000_000));
        let (limits, clock) = (Limits::new(), Clock::Manual(hand.clone()));
        let policy: Policy = serde_json::from_str(r#"{"requests": [{"amount": 2, "period": "day"}]}"#).unwrap();
        let policy = Layered { own: Some(&policy), default: None };
        let asks = [Ask { scope: Scope::Key("k"), policy, need: Need { requests: 1, tokens: 0, nanousd: 0 } }];
        let used = || {
            let admission = pin!(limits.admit(&asks, &clock));
            let Poll::Ready(admitted) = admission.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("it waits")
            };
            if let Ok(mut held) = admitted {
                held.keep_requests();
            }
            limits.report(Scope::Key("k"), policy, limits.now(&clock))[0].used
        };
        assert_eq!(used(), 1);
        // As if it were set back by two days just now.
        limits.ledger().utc_ahead_us.store(2 * 86_400_000_000, Relaxed);
        assert_eq!(used(), 1, "two days later it is another day");
        (0..256).for_each(|_| limits.sweep(&clock));
        assert_eq!(used(), 2);
        // Everybody is told of it at once.
        hand.fetch_add(UTC_HOLDS_US, Relaxed);
        (0..256).for_each(|_| limits.sweep(&clock));
        assert_eq!(used(), 2, "what was used stays used");
    }
}
