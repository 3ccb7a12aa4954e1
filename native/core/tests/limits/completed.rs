//! Counts that survive a kill: what was settled after the last checkpoint is completed from the records, each once.

use std::{cell::RefCell, io};

use penstock_core::{
    clock::Clock,
    limits::{
        Beyond, Counted, Earlier, Held, Kind, Limits, Loaded, Mark, Need, Now, Past, Policy, Rate, Scope, Span, Used,
    },
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    checkpoint::{Dir, open},
    made::{SECOND, START_US, admit, ask, clock_at, layered, need, now, policy, set},
};

const HOUR: u64 = 3_600 * SECOND;
const SCOPES: [Scope<'static>; 3] = [Scope::Key("a"), Scope::Key("b"), Scope::Global];

/// A request as its record tells of it.
#[derive(Clone, Debug)]
struct Told {
    counted: Counted,
    key: usize,
    used: u64,
    at_us: u64,
}

/// The journal of a process, and what is limited.
struct Journal {
    records: RefCell<Vec<Told>>,
    policy: Policy,
}

impl Journal {
    fn new(policy: Policy) -> Self {
        Self { records: RefCell::default(), policy }
    }

    fn tell(&self, one: Told) {
        self.records.borrow_mut().push(one);
    }
}

impl Beyond for Journal {
    fn mark(&self) -> Option<Mark> {
        Some(Mark { instance: "i".into(), segment: 1, offset: self.records.borrow().len() as u64 })
    }

    fn lag_us(&self) -> u64 {
        0
    }

    fn read(&self, from: &Mark, seen: &mut dyn FnMut(&Past<'_>)) -> io::Result<()> {
        assert_eq!((from.instance.as_str(), from.segment), ("i", 1));
        for one in &self.records.borrow()[from.offset as usize..] {
            for (rank, told, _) in one.counted.each() {
                let scope = if rank == 0 { SCOPES[one.key] } else { Scope::Global };
                let charged = Need { requests: 1, tokens: one.used, nanousd: one.used };
                seen(&Past { scope, told, charged, began_us: one.at_us, ended_us: one.at_us });
            }
        }
        Ok(())
    }

    fn limits(&self, _: Scope<'_>, seen: &mut dyn FnMut(Kind, Span)) {
        let span = |rate: &Rate| rate.window_us.map_or_else(|| Span::Period(rate.period.unwrap()), Span::Window);
        for (kind, rates) in [(Kind::Requests, &self.policy.requests), (Kind::Tokens, &self.policy.tokens)] {
            rates.iter().flatten().for_each(|rate| seen(kind, span(rate)));
        }
    }
}

fn kept() -> Policy {
    let rates = json!([
        {"amount": 100_000, "window_us": 60 * SECOND}, {"amount": 100_000, "window_us": HOUR},
        {"amount": 100_000, "period": "day"},
    ]);
    policy(json!({"requests": rates, "tokens": rates}))
}

fn begin(limits: &Limits, policy: &Policy, key: usize, reserved: u64, clock: &Clock) -> Held {
    let asks = [SCOPES[key], Scope::Global].map(|scope| ask(scope, policy, need(1, reserved, 0)));
    admit(limits, &asks, clock).unwrap()
}

fn settle(held: Held, key: usize, used: u64, clock: &Clock) -> Told {
    let counted = held.settle(Used { tokens: used, nanousd: used }, now(clock));
    Told { counted, key, used, at_us: now(clock).utc_us }
}

/// Of each scope requests and tokens of an hour and of a day.
fn counts(limits: &Limits, policy: &Policy, at: Now) -> Vec<u64> {
    let of = |scope| limits.report(scope, layered(policy), at);
    let long = |span: &Span| *span != Span::Window(60 * SECOND);
    SCOPES.into_iter().flat_map(of).filter(|each| long(&each.span)).map(|each| each.used).collect()
}

fn restarted(dir: &Dir, journal: &Journal, at: Now) -> (Limits, Loaded) {
    let limits = Limits::new();
    let loaded = open(dir).load(&limits, journal, at).unwrap();
    (limits, loaded)
}

#[test]
fn what_a_store_knows_of_before_is_counted_where_it_is_within_a_window_or_period_and_kept() {
    let (dir, (clock, _), journal) = (Dir::new("earlier"), clock_at(START_US), Journal::new(kept()));
    let (limits, at) = (Limits::new(), now(&clock));
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), at).unwrap();
    let day_us = at.utc_us - at.utc_us % (24 * HOUR);
    // Of the hour that runs, of the first and the last moment of a day, of two hours ago.
    let times = [(at.utc_us + HOUR, 1), (day_us, 20), (day_us - 1, 300), (at.utc_us - 2 * HOUR, 4_000)];
    for (until_us, tokens) in times {
        let used = Need { requests: 1, tokens, nanousd: 9 };
        limits.count_earlier(&Earlier { scope: SCOPES[0], used, until_us }, &journal, at);
    }
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
fn what_was_settled_after_the_last_write_is_completed_and_what_had_not_ended_is_not_counted() {
    let (dir, (clock, _), journal) = (Dir::new("completed"), clock_at(START_US), Journal::new(kept()));
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), now(&clock)).unwrap();
    checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
    let run = |key, used| settle(begin(&limits, &journal.policy, key, 5, &clock), key, used, &clock);
    // One that was never written; one that ends after the write, and one that never does.
    journal.tell(run(0, 7));
    let (ends, never) = (begin(&limits, &journal.policy, 0, 5, &clock), begin(&limits, &journal.policy, 1, 5, &clock));
    let mark = journal.mark();
    // It is settled before the write, and recorded after it.
    let late = run(0, 20);
    checkpoint.write(&limits, mark, now(&clock)).unwrap();
    journal.tell(late);
    journal.tell(settle(ends, 0, 100, &clock));
    drop(checkpoint);
    let (after, loaded) = restarted(&dir, &journal, now(&clock));
    assert_eq!(counts(&after, &journal.policy, now(&clock)), [3, 3, 127, 127, 0, 0, 0, 0, 3, 3, 127, 127]);
    assert_eq!((loaded.completed, loaded.is_incomplete), (2, false), "the key and all of one request");
    drop(never);
}

#[test]
fn wherever_the_file_ends_or_is_damaged_after_a_cut_of_power_the_records_complete_it() {
    let (dir, (clock, _), journal) = (Dir::new("power"), clock_at(START_US), Journal::new(kept()));
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), now(&clock)).unwrap();
    checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
    let synchronised = std::fs::read(dir.file()).unwrap().len();
    let mut open_one = begin(&limits, &journal.policy, 1, 5, &clock);
    for used in 1..6 {
        journal.tell(settle(begin(&limits, &journal.policy, 0, 3, &clock), 0, used, &clock));
        let ended = std::mem::replace(&mut open_one, begin(&limits, &journal.policy, 1, 5, &clock));
        let mark = journal.mark();
        journal.tell(settle(ended, 1, used, &clock));
        checkpoint.write(&limits, mark, now(&clock)).unwrap();
    }
    drop(checkpoint);
    drop(open_one);
    let (whole, settled) = (std::fs::read(dir.file()).unwrap(), counts(&limits, &journal.policy, now(&clock)));
    for at in synchronised..=whole.len() {
        let mut zeroed = whole.clone();
        zeroed[at..].iter_mut().take(9).for_each(|byte| *byte = 0);
        for bytes in [&whole[..at], &zeroed] {
            std::fs::write(dir.file(), bytes).unwrap();
            let (after, _) = restarted(&dir, &journal, now(&clock));
            assert_eq!(counts(&after, &journal.policy, now(&clock)), settled, "{at}");
        }
    }
}

#[test]
fn a_record_of_yesterday_counts_where_that_is_not_over() {
    let (dir, (clock, hand), journal) = (Dir::new("yesterday"), clock_at(START_US), Journal::new(kept()));
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), now(&clock)).unwrap();
    checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
    let midnight_us = START_US.next_multiple_of(24 * HOUR);
    set(&hand, midnight_us - 60 * SECOND);
    journal.tell(settle(begin(&limits, &journal.policy, 0, 5, &clock), 0, 7, &clock));
    drop(checkpoint);
    set(&hand, midnight_us + 60 * SECOND);
    let (after, _) = restarted(&dir, &journal, now(&clock));
    assert_eq!(counts(&after, &journal.policy, now(&clock)), [1, 0, 7, 0, 0, 0, 0, 0, 1, 0, 7, 0]);
    set(&hand, midnight_us + 2 * HOUR);
    let (after, _) = restarted(&dir, &journal, now(&clock));
    assert_eq!(counts(&after, &journal.policy, now(&clock)), [0; 12]);
}

#[test]
fn a_journal_that_cannot_be_read_costs_no_count_of_the_file() {
    struct Broken;
    impl Beyond for Broken {
        fn mark(&self) -> Option<Mark> {
            Some(Mark { instance: "with spaces in it".into(), segment: 1, offset: 0 })
        }
        fn lag_us(&self) -> u64 {
            0
        }
        fn read(&self, from: &Mark, _: &mut dyn FnMut(&Past<'_>)) -> io::Result<()> {
            assert_eq!(Some(from), self.mark().as_ref());
            Err(io::Error::other("a disk"))
        }
        fn limits(&self, _: Scope<'_>, _: &mut dyn FnMut(Kind, Span)) {}
    }
    let (dir, (clock, _), written) = (Dir::new("broken-journal"), clock_at(START_US), kept());
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &Broken, now(&clock)).unwrap();
    settle(begin(&limits, &written, 0, 5, &clock), 0, 7, &clock);
    checkpoint.write(&limits, Broken.mark(), now(&clock)).unwrap();
    drop(checkpoint);
    let after = Limits::new();
    let loaded = open(&dir).load(&after, &Broken, now(&clock)).unwrap();
    assert!(loaded.is_incomplete);
    assert_eq!(counts(&after, &written, now(&clock))[..4], [1, 1, 7, 7]);
}

#[derive(Clone, Debug)]
enum Step {
    Begins {
        key: usize,
        reserved: u64,
    },
    /// Of those that have begun, and of those that are settled, one.
    Settles(prop::sample::Index, u64),
    Releases(prop::sample::Index),
    Records(prop::sample::Index),
    /// The mark is taken, others go on, then the cells are told.
    Marks,
    Writes,
    Sweeps,
    IsKilled,
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0usize..2, 0u64..9).prop_map(|(key, reserved)| Step::Begins { key, reserved }),
        5 => (any(), 0u64..20).prop_map(|(which, used)| Step::Settles(which, used)),
        1 => any().prop_map(Step::Releases),
        5 => any().prop_map(Step::Records),
        2 => Just(Step::Marks),
        2 => Just(Step::Writes),
        1 => Just(Step::Sweeps),
        1 => Just(Step::IsKilled),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whenever_a_process_is_killed_the_next_counts_what_was_recorded_or_told_before_and_nothing_twice(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let (dir, (clock, _), journal) = (Dir::new("killed"), clock_at(START_US), Journal::new(kept()));
        let mut limits = Limits::new();
        let mut checkpoint = open(&dir);
        checkpoint.load(&limits, &journal, now(&clock)).unwrap();
        checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
        let (mut begun, mut settled, mut mark) = (Vec::new(), Vec::<(Told, bool)>::new(), journal.mark());
        // By key what must be counted: requests, tokens.
        let mut counted = [[0; 2]; 2];
        for step in steps.into_iter().chain([Step::IsKilled]) {
            match step {
                Step::Begins { key, reserved } => {
                    begun.push((key, begin(&limits, &journal.policy, key, reserved, &clock)));
                }
                Step::Settles(which, used) if !begun.is_empty() => {
                    let (key, held) = begun.swap_remove(which.index(begun.len()));
                    settled.push((settle(held, key, used, &clock), false));
                }
                Step::Releases(which) if !begun.is_empty() => drop(begun.swap_remove(which.index(begun.len()))),
                Step::Records(which) if !settled.is_empty() => {
                    let (one, _) = settled.swap_remove(which.index(settled.len()));
                    for (sum, more) in counted[one.key].iter_mut().zip([1, one.used]) {
                        *sum += more;
                    }
                    journal.tell(one);
                }
                Step::Settles(..) | Step::Releases(_) | Step::Records(_) => {}
                Step::Marks => mark = journal.mark(),
                Step::Writes => {
                    checkpoint.write(&limits, mark.clone(), now(&clock)).unwrap();
                    settled.iter_mut().for_each(|(_, is_told)| *is_told = true);
                }
                Step::Sweeps => (0..256).for_each(|_| limits.sweep(now(&clock))),
                Step::IsKilled => {
                    drop(checkpoint);
                    // Told, and never recorded: its process had no time for that.
                    for (one, _) in settled.drain(..).filter(|(_, is_told)| *is_told) {
                        counted[one.key] = [counted[one.key][0] + 1, counted[one.key][1] + one.used];
                    }
                    begun.clear();
                    let next = Limits::new();
                    checkpoint = open(&dir);
                    checkpoint.load(&next, &journal, now(&clock)).unwrap();
                    let all = [counted[0][0] + counted[1][0], counted[0][1] + counted[1][1]];
                    let expected = [counted[0], counted[1], all].map(|[requests, tokens]| [requests, requests, tokens, tokens]);
                    prop_assert_eq!(counts(&next, &journal.policy, now(&clock)), expected.concat());
                    limits = next;
                    // As each process does before it serves.
                    checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
                    mark = journal.mark();
                }
            }
        }
    }
}
