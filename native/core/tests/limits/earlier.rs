//! What a store knows of before a lost file counts once, and lasts.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, mpsc},
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    limits::{Beyond, Checkpoint, Earlier, Event, Keeper, Kind, Limits, Mark, Need, Now, Past, Scope, Span},
};

use crate::{
    checkpoint::{Dir, open},
    completed::{HOUR, Journal, SCOPES, counts, kept, restarted},
    made::{SECOND, START_US, clock_at, layered, now},
};

#[test]
fn what_a_store_knows_of_before_is_counted_where_it_is_within_a_window_or_period_and_kept() {
    let (dir, (clock, _), journal) = (Dir::new("earlier"), clock_at(START_US), Journal::new(kept()));
    let (limits, at) = (Limits::new(), now(&clock));
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), at).unwrap();
    let day_us = at.utc_us - at.utc_us % (24 * HOUR);
    // Of the hour that runs, of the first and the last moment of a day, of two hours ago.
    let times = [(at.utc_us + HOUR, 1), (day_us, 20), (day_us - 1, 300), (at.utc_us - 2 * HOUR, 4_000)];
    let earlier = |(until_us, tokens)| {
        let used = Need { requests: 1, tokens, nanousd: 9 };
        Earlier { scope: SCOPES[0], used, until_us }
    };
    limits.count_earlier(&times.map(earlier), &journal, at);
    let day = times.iter().filter(|(until_us, _)| *until_us >= day_us);
    let (requests, tokens) = day.fold((0, 0), |sum, (_, tokens)| (sum.0 + 1, sum.1 + tokens));
    let expected = [&[1, requests, 1, tokens][..], &[0; 8]].concat();
    assert_eq!(counts(&limits, &journal.policy, at), expected);
    let minute = limits.report(SCOPES[0], layered(&journal.policy), at)[0];
    assert_eq!((minute.span, minute.used), (Span::Window(60 * SECOND), 0));
    checkpoint.write(&limits, journal.mark(), at).unwrap();
    drop(checkpoint);
    assert_eq!(counts(&restarted(&dir, &journal, at).0, &journal.policy, at), expected);
}

#[test]
fn what_a_store_knows_of_before_is_kept_once_a_file_that_lasts_has_it() {
    let (dir, (clock, _), journal) = (Dir::new("earlier-kept"), clock_at(START_US), Journal::new(kept()));
    let (limits, at) = (Limits::new(), now(&clock));
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), at).unwrap();
    let mut write = || checkpoint.write(&limits, journal.mark(), at);
    write().unwrap();
    assert_eq!(limits.keeps_earlier(), Some(false), "nothing was told");
    let used = Need { requests: 1, tokens: 2, nanousd: 3 };
    let tell = || limits.count_earlier(&[Earlier { scope: SCOPES[0], used, until_us: at.utc_us }], &journal, at);
    tell();
    assert_eq!(limits.keeps_earlier(), Some(false));
    // In the way of the file that is to be renamed.
    std::fs::create_dir(dir.file().with_extension("new")).unwrap();
    assert!(write().is_err(), "nothing is appended, which no cut of power need leave");
    assert_eq!(limits.keeps_earlier(), Some(false));
    std::fs::remove_dir(dir.file().with_extension("new")).unwrap();
    write().unwrap();
    assert_eq!(limits.keeps_earlier(), Some(true));
    tell();
    assert_eq!(limits.keeps_earlier(), Some(false));
    write().unwrap();
    assert_eq!(limits.keeps_earlier(), Some(true));
    drop(checkpoint);
    for _ in 0..2 {
        let after = Limits::new();
        let mut checkpoint = open(&dir);
        checkpoint.load(&after, &journal, at).unwrap();
        assert_eq!(counts(&after, &journal.policy, at)[..4], [2, 2, 4, 4]);
        assert_eq!(after.keeps_earlier(), Some(true), "one after the other");
        checkpoint.write(&after, journal.mark(), at).unwrap();
    }
}

#[test]
fn of_what_a_store_knows_of_before_nothing_is_written_while_it_is_being_counted() {
    /// Writes whenever it is asked something.
    struct Writing<'a>(&'a RefCell<Checkpoint>, &'a Limits, Journal, Now);
    impl Beyond for Writing<'_> {
        fn mark(&self) -> Option<Mark> {
            self.2.mark()
        }
        fn journals(&self) -> io::Result<Option<Vec<(String, bool)>>> {
            Ok(None)
        }
        fn lag_us(&self) -> u64 {
            0
        }
        fn read(&self, _: &Mark, _: &mut dyn FnMut(&Past<'_>)) -> io::Result<()> {
            Ok(())
        }
        fn limits(&self, of: Scope<'_>, seen: &mut dyn FnMut(Kind, Span)) {
            self.0.borrow_mut().write(self.1, self.mark(), self.3).unwrap();
            self.2.limits(of, seen);
        }
    }
    let (dir, (clock, _)) = (Dir::new("earlier-part"), clock_at(START_US));
    let (limits, at) = (Limits::new(), now(&clock));
    let checkpoint = RefCell::new(open(&dir));
    checkpoint.borrow_mut().load(&limits, &(), at).unwrap();
    checkpoint.borrow_mut().write(&limits, None, at).unwrap();
    let used = Need { requests: 1, tokens: 2, nanousd: 3 };
    let told = SCOPES.map(|scope| Earlier { scope, used, until_us: at.utc_us });
    let writing = Writing(&checkpoint, &limits, Journal::new(kept()), at);
    limits.count_earlier(&told, &writing, at);
    let found = || {
        let beside = Dir::new("earlier-part-beside");
        std::fs::copy(dir.file(), beside.file()).unwrap();
        let (found, _) = restarted(&beside, &writing.2, at);
        (counts(&found, &writing.2.policy, at), found.keeps_earlier())
    };
    assert_eq!(found(), (vec![0; 12], Some(false)));
    checkpoint.borrow_mut().write(&limits, None, at).unwrap();
    assert_eq!(found(), ([1, 1, 2, 2].repeat(3), Some(true)));
}

#[test]
fn whoever_does_not_have_the_file_keeps_nothing_and_the_last_write_of_whoever_has_it_counts() {
    let (dir, clock) = (Dir::new("earlier-beside"), Clock::System);
    let [first, second] = [const { Limits::new }; 2].map(|new| Arc::new(new()));
    let (tell, told) = mpsc::channel();
    let start = |limits: &Arc<Limits>| {
        let tell = tell.clone();
        let keeper = Keeper::start(limits.clone(), dir.file(), (), clock.clone(), move |event| drop(tell.send(event)));
        (keeper.unwrap(), told.recv_timeout(Duration::from_secs(60)).unwrap())
    };
    let (has, _) = start(&first);
    let (waits, event) = start(&second);
    assert!(matches!(event, Event::Waits));
    assert_eq!([&first, &second].map(|limits| limits.keeps_earlier()), [Some(false), None]);
    let tell_it = |limits: &Limits| {
        let used = Need { requests: 1, tokens: 2, nanousd: 3 };
        let earlier = Earlier { scope: SCOPES[0], used, until_us: now(&clock).utc_us };
        limits.count_earlier(&[earlier], &Journal::new(kept()), now(&clock));
    };
    tell_it(&first);
    drop(has);
    assert_eq!(first.keeps_earlier(), Some(true));
    assert!(matches!(told.recv_timeout(Duration::from_secs(60)).unwrap(), Event::Loaded(_)));
    assert_eq!(second.keeps_earlier(), Some(true), "it is in what it has taken up");
    drop(waits);
}

#[test]
fn nobody_keeps_anything_until_the_file_was_read() {
    let (dir, (tell, told)) = (Dir::new("earlier-unread"), mpsc::channel());
    let next = || told.recv_timeout(Duration::from_secs(60)).unwrap();
    std::fs::create_dir(dir.file()).unwrap();
    let limits = Arc::new(Limits::new());
    let told_of = move |event| drop(tell.send(event));
    let keeper = Keeper::start(limits.clone(), dir.file(), (), Clock::System, told_of).unwrap();
    assert!(matches!(next(), Event::Failed(_)));
    assert_eq!(limits.keeps_earlier(), None);
    std::fs::remove_dir(dir.file()).unwrap();
    assert!(matches!(next(), Event::Loaded(_)));
    assert_eq!(limits.keeps_earlier(), Some(false));
    drop(keeper);
}
