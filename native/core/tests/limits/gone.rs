//! Processes that share a directory: whoever has the file counts those that are gone.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use penstock_core::limits::{Beyond, Event, Keeper, Kind, Limits, Mark, Need, Past, Scope, Span};

use crate::{
    checkpoint::{Dir, open},
    completed::{HOUR, Journal, begin, counts, kept, restarted, settle},
    made::{SECOND, START_US, clock_at, now, set},
};

#[test]
fn a_process_that_lives_counts_for_itself_until_it_is_gone() {
    let (dir, (clock, _), journal) = (Dir::new("live"), clock_at(START_US), Journal::new(kept()));
    let life = |limits: &Limits, name: &str, live: &[&str]| {
        *journal.live.borrow_mut() = live.iter().map(|name| (*name).to_owned()).collect();
        journal.goes_on_as(name);
        let mut checkpoint = open(&dir);
        checkpoint.load(limits, &journal, now(&clock)).unwrap();
        checkpoint.write(limits, journal.mark(), now(&clock)).unwrap();
        counts(limits, &journal.policy, now(&clock))[2]
    };
    let run = |limits: &Limits, used| {
        journal.tell(settle(begin(limits, &journal.policy, 0, 5, &clock), 0, used, &clock));
    };
    let [first, second, waits] = [const { Limits::new }; 3].map(|new| new());
    assert_eq!(life(&first, "first", &[]), 0);
    run(&first, 1);
    // It is served beside the first one, and has not had the file yet.
    journal.goes_on_as("waits");
    run(&waits, 10);
    // Its journal is still being ended when the next one has the file.
    assert_eq!(life(&second, "second", &["first", "waits"]), 1);
    run(&second, 100);
    let third = Limits::new();
    assert_eq!(life(&third, "third", &["waits"]), 101, "the first is known, though it lived");
    assert_eq!(life(&Limits::new(), "fourth", &[]), 111);
    assert_eq!(life(&Limits::new(), "fifth", &[]), 111);
}

#[test]
fn whoever_is_gone_and_never_had_the_file_is_counted_while_another_has_it_and_once() {
    let (dir, (clock, _), journal) = (Dir::new("gone"), clock_at(START_US), Journal::new(kept()));
    let run = |limits: &Limits, used| {
        journal.tell(settle(begin(limits, &journal.policy, 0, 5, &clock), 0, used, &clock));
    };
    let of_day = |limits: &Limits| counts(limits, &journal.policy, now(&clock))[2];
    let has_file = Limits::new();
    journal.goes_on_as("file");
    let mut checkpoint = open(&dir);
    checkpoint.load(&has_file, &journal, now(&clock)).unwrap();
    checkpoint.write(&has_file, journal.mark(), now(&clock)).unwrap();
    run(&has_file, 1);
    journal.goes_on_as("waits");
    run(&Limits::new(), 10);
    journal.goes_on_as("file");
    let mut look = |live: &[String], write: bool| {
        *journal.live.borrow_mut() = live.to_vec();
        let (records, _) = checkpoint.count_gone(&has_file, &journal, now(&clock));
        if write {
            checkpoint.write(&has_file, journal.mark(), now(&clock)).unwrap();
        }
        (records, of_day(&has_file))
    };
    assert_eq!(look(&["waits".to_owned()], true), (0, 1), "it counts for itself");
    journal.is_hidden.set(true);
    assert_eq!(look(&[], true), (0, 1));
    journal.is_hidden.set(false);
    assert_eq!(look(&[], false), (2, 11), "a record counts for its key and for all");
    assert_eq!(look(&[], false), (0, 11));
    drop(checkpoint);
    // It was killed before it could write that: the next one counts it, and whoever comes then knows.
    journal.goes_on_as("next");
    for _ in 0..2 {
        let limits = Limits::new();
        let mut checkpoint = open(&dir);
        checkpoint.load(&limits, &journal, now(&clock)).unwrap();
        assert_eq!(of_day(&limits), 11);
        assert_eq!(checkpoint.count_gone(&limits, &journal, now(&clock)), (0, false));
        checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
    }
    // Written, it is counted no more, be it that nothing was changed since.
    journal.goes_on_as("another");
    run(&Limits::new(), 100);
    journal.goes_on_as("next");
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    *journal.live.borrow_mut() = vec!["another".to_owned()];
    checkpoint.load(&limits, &journal, now(&clock)).unwrap();
    checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
    journal.live.borrow_mut().clear();
    assert_eq!(checkpoint.count_gone(&limits, &journal, now(&clock)), (2, false));
    checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
    drop(checkpoint);
    assert_eq!(of_day(&restarted(&dir, &journal, now(&clock)).0), 111);
}

/// Another process, and whether it is gone.
struct Other(Arc<AtomicBool>);

impl Beyond for Other {
    fn mark(&self) -> Option<Mark> {
        Some(Mark { instance: "own".into(), segment: 1, offset: 0 })
    }

    fn journals(&self) -> io::Result<Option<Vec<(String, bool)>>> {
        Ok(Some(vec![("other".into(), self.0.load(Relaxed))]))
    }

    fn lag_us(&self) -> u64 {
        0
    }

    fn read(&self, _: &Mark, seen: &mut dyn FnMut(&Past<'_>)) -> io::Result<()> {
        let charged = Need { requests: 1, tokens: 7, nanousd: 0 };
        seen(&Past { scope: Scope::Global, told: 1, charged, charged_us: START_US, ended_us: START_US });
        Ok(())
    }

    fn limits(&self, _: Scope<'_>, seen: &mut dyn FnMut(Kind, Span)) {
        seen(Kind::Tokens, Span::Window(HOUR));
    }
}

#[test]
fn the_thread_looks_each_minute_for_whoever_is_gone() {
    let (dir, (clock, hand), is_gone) = (Dir::new("minute"), clock_at(START_US), Arc::default());
    let (limits, (tell, told)) = (Arc::new(Limits::new()), mpsc::channel());
    let tell = move |event| drop(tell.send(event));
    let keeper = Keeper::start(limits.clone(), dir.file(), Other(Arc::clone(&is_gone)), clock.clone(), tell).unwrap();
    assert!(matches!(told.recv().unwrap(), Event::Loaded(_)));
    set(&hand, START_US + 61 * SECOND);
    assert!(told.recv_timeout(Duration::from_millis(1_500)).is_err(), "it lives");
    is_gone.store(true, Relaxed);
    set(&hand, START_US + 122 * SECOND);
    assert!(matches!(
        told.recv_timeout(Duration::from_secs(60)),
        Ok(Event::Counted { records: 1, is_incomplete: false })
    ));
    drop(keeper);
    assert_eq!(counts(&limits, &kept(), now(&clock))[10], 7);
    let after = Limits::new();
    open(&dir).load(&after, &(), now(&clock)).unwrap();
    assert_eq!(counts(&after, &kept(), now(&clock))[10], 7, "it is written");
}
