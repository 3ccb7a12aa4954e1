//! Counts that survive a kill: what was settled after the last checkpoint is completed from the records, each once.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
};

use penstock_core::{
    clock::Clock,
    limits::{Beyond, Counted, Held, Kind, Limits, Loaded, Mark, Need, Now, Past, Policy, Rate, Scope, Span, Used},
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    checkpoint::{Dir, open},
    made::{SECOND, START_US, admit, ask, clock_at, layered, need, now, policy, set},
};

pub(crate) const HOUR: u64 = 3_600 * SECOND;
pub(crate) const SCOPES: [Scope<'static>; 3] = [Scope::Key("a"), Scope::Key("b"), Scope::Global];

/// A request as its record tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    counted: Counted,
    key: usize,
    used: u64,
    charged_us: u64,
    at_us: u64,
}

/// The journals of all processes, and what is limited.
pub(crate) struct Journal {
    records: RefCell<BTreeMap<String, Vec<Told>>>,
    /// Whose process this is, and those that live beside it.
    own: RefCell<String>,
    pub(crate) live: RefCell<Vec<String>>,
    /// How many records of those that break off can be read.
    broken: RefCell<BTreeMap<String, usize>>,
    /// Which there are cannot be told.
    pub(crate) is_hidden: Cell<bool>,
    pub(crate) policy: Policy,
}

impl Journal {
    pub(crate) fn new(policy: Policy) -> Self {
        let records = RefCell::new([("i".to_owned(), Vec::new())].into());
        let own = RefCell::new("i".into());
        Self { records, own, live: RefCell::default(), broken: RefCell::default(), is_hidden: Cell::default(), policy }
    }

    pub(crate) fn tell(&self, one: Told) {
        self.records.borrow_mut().get_mut(&*self.own.borrow()).unwrap().push(one);
    }

    /// From now on this is another process.
    pub(crate) fn goes_on_as(&self, name: &str) {
        name.clone_into(&mut self.own.borrow_mut());
        self.records.borrow_mut().entry(name.to_owned()).or_default();
    }
}

impl Beyond for Journal {
    fn mark(&self) -> Option<Mark> {
        let own = self.own.borrow().clone();
        let offset = self.records.borrow()[&own].len() as u64;
        Some(Mark { instance: own, segment: 1, offset })
    }

    fn journals(&self) -> io::Result<Option<Vec<(String, bool)>>> {
        if self.is_hidden.get() {
            return Err(io::Error::other("a disk"));
        }
        let own = self.own.borrow();
        let names = self.records.borrow().keys().filter(|name| **name != *own).cloned().collect::<Vec<_>>();
        let is_live = |name: &String| self.live.borrow().contains(name);
        Ok(Some(names.into_iter().map(|name| (name.clone(), !is_live(&name))).collect()))
    }

    fn lag_us(&self) -> u64 {
        0
    }

    fn read(&self, from: &Mark, seen: &mut dyn FnMut(&Past<'_>)) -> io::Result<()> {
        let upto = self.broken.borrow().get(&from.instance).copied();
        for one in self.records.borrow()[&from.instance][from.offset as usize..].iter().take(upto.unwrap_or(usize::MAX))
        {
            for (rank, told, _) in one.counted.each() {
                let scope = if rank == 0 { SCOPES[one.key] } else { Scope::Global };
                let charged = Need { requests: 1, tokens: one.used, nanousd: one.used };
                seen(&Past { scope, told, charged, charged_us: one.charged_us, ended_us: one.at_us });
            }
        }
        upto.map_or(Ok(()), |_| Err(io::Error::other("a disk")))
    }

    fn limits(&self, _: Scope<'_>, seen: &mut dyn FnMut(Kind, Span)) {
        let span = |rate: &Rate| rate.window_us.map_or_else(|| Span::Period(rate.period.unwrap()), Span::Window);
        for (kind, rates) in [(Kind::Requests, &self.policy.requests), (Kind::Tokens, &self.policy.tokens)] {
            rates.iter().flatten().for_each(|rate| seen(kind, span(rate)));
        }
    }
}

pub(crate) fn kept() -> Policy {
    let rates = json!([
        {"amount": 100_000, "window_us": 60 * SECOND}, {"amount": 100_000, "window_us": HOUR},
        {"amount": 100_000, "period": "day"},
    ]);
    policy(json!({"requests": rates, "tokens": rates}))
}

pub(crate) fn begin(limits: &Limits, policy: &Policy, key: usize, reserved: u64, clock: &Clock) -> Held {
    let asks = [SCOPES[key], Scope::Global].map(|scope| ask(scope, policy, need(1, reserved, 0)));
    admit(limits, &asks, clock).unwrap()
}

pub(crate) fn settle(held: Held, key: usize, used: u64, clock: &Clock) -> Told {
    let counted = held.settle(Used { tokens: used, nanousd: used }, now(clock));
    let at_us = now(clock).utc_us;
    Told { counted, key, used, charged_us: at_us, at_us }
}

/// Of each scope requests and tokens of an hour and of a day.
pub(crate) fn counts(limits: &Limits, policy: &Policy, at: Now) -> Vec<u64> {
    let of = |scope| limits.report(scope, layered(policy), at);
    let long = |span: &Span| *span != Span::Window(60 * SECOND);
    SCOPES.into_iter().flat_map(of).filter(|each| long(&each.span)).map(|each| each.used).collect()
}

pub(crate) fn restarted(dir: &Dir, journal: &Journal, at: Now) -> (Limits, Loaded) {
    let limits = Limits::new();
    let loaded = open(dir).load(&limits, journal, at).unwrap();
    (limits, loaded)
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
fn a_record_counts_in_the_day_in_which_it_was_charged_whenever_it_came_and_ended() {
    let midnight_us = START_US.next_multiple_of(24 * HOUR);
    for (charged_us, of_the_day) in [(midnight_us - SECOND, 0), (midnight_us + SECOND, 7)] {
        let (dir, (clock, hand), journal) = (Dir::new("midnight"), clock_at(midnight_us - HOUR), Journal::new(kept()));
        let limits = Limits::new();
        let mut checkpoint = open(&dir);
        checkpoint.load(&limits, &(), now(&clock)).unwrap();
        checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
        set(&hand, midnight_us + 60 * SECOND);
        let ended = settle(begin(&limits, &journal.policy, 0, 5, &clock), 0, 7, &clock);
        journal.tell(Told { charged_us, ..ended });
        drop(checkpoint);
        let (after, _) = restarted(&dir, &journal, now(&clock));
        assert_eq!(counts(&after, &journal.policy, now(&clock))[2..4], [7, of_the_day]);
    }
}

#[test]
fn what_was_counted_before_a_reset_does_not_come_back_with_its_record() {
    let (dir, (clock, _), journal) = (Dir::new("reset"), clock_at(START_US), Journal::new(kept()));
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &journal, now(&clock)).unwrap();
    checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
    let run = |used| settle(begin(&limits, &journal.policy, 0, 5, &clock), 0, used, &clock);
    let before = run(7);
    assert!(limits.reset(SCOPES[0]));
    (0..256).for_each(|_| limits.sweep(&clock));
    drop(checkpoint);
    // All is written anew, as from time to time.
    open(&dir).write(&limits, journal.mark(), now(&clock)).unwrap();
    journal.tell(before);
    journal.tell(run(20));
    let (after, _) = restarted(&dir, &journal, now(&clock));
    assert_eq!(counts(&after, &journal.policy, now(&clock))[..4], [1, 1, 20, 20]);
    assert_eq!(counts(&after, &journal.policy, now(&clock))[8..], [2, 2, 27, 27]);
}

#[test]
fn a_process_that_could_not_write_is_counted_by_its_records_and_once() {
    let (dir, (clock, _), journal) = (Dir::new("full"), clock_at(START_US), Journal::new(kept()));
    let run = |limits: &Limits, used| {
        journal.tell(settle(begin(limits, &journal.policy, 0, 5, &clock), 0, used, &clock));
    };
    // The first finds a disk that is full, and so does the third.
    let mut expected = 0;
    for (number, writes) in [false, true, false, false, true, true, false, true].into_iter().enumerate() {
        journal.goes_on_as(&format!("i{number}"));
        let (limits, mut checkpoint) = (Limits::new(), open(&dir));
        assert!(!checkpoint.load(&limits, &journal, now(&clock)).unwrap().is_incomplete);
        assert_eq!(counts(&limits, &journal.policy, now(&clock))[2..4], [expected; 2], "{number}");
        let mut write = || writes.then(|| checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap());
        write();
        run(&limits, 10);
        write();
        run(&limits, 1);
        expected += 11;
    }
}

#[test]
fn a_journal_that_cannot_be_read_holds_up_no_other_and_is_counted_once_it_can() {
    let (dir, (clock, _), journal) = (Dir::new("unreadable"), clock_at(START_US), Journal::new(kept()));
    // None of these could write a file.
    for (name, used) in [("a", [1, 2]), ("b", [10, 20]), ("c", [100, 200]), ("d", [1_000, 2_000])] {
        journal.goes_on_as(name);
        let limits = Limits::new();
        for used in used {
            journal.tell(settle(begin(&limits, &journal.policy, 0, 5, &clock), 0, used, &clock));
        }
    }
    let life = |name: &str, broken: &[(&str, usize)]| {
        *journal.broken.borrow_mut() = broken.iter().map(|(name, upto)| ((*name).to_owned(), *upto)).collect();
        journal.goes_on_as(name);
        let (limits, mut checkpoint) = (Limits::new(), open(&dir));
        let loaded = checkpoint.load(&limits, &journal, now(&clock)).unwrap();
        checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
        (counts(&limits, &journal.policy, now(&clock))[2], loaded.is_incomplete)
    };
    journal.is_hidden.set(true);
    assert_eq!(life("first", &[]), (0, true));
    journal.is_hidden.set(false);
    assert_eq!(life("second", &[("b", 0), ("c", 1)]), (3_103, true));
    assert_eq!(life("third", &[("b", 0)]), (3_103, true));
    assert_eq!(life("fourth", &[]), (3_133, false), "of what broke off nothing counts twice");
    assert_eq!(life("fifth", &[]), (3_133, false));
}

#[test]
fn without_journals_and_after_an_older_release_only_the_one_that_is_named_completes_a_file() {
    let (dir, (clock, _), journal) = (Dir::new("older"), clock_at(START_US), Journal::new(kept()));
    let limits = Limits::new();
    journal.tell(settle(begin(&limits, &journal.policy, 0, 5, &clock), 0, 7, &clock));
    // It records nothing, and knows of no journal.
    open(&dir).write(&limits, None, now(&clock)).unwrap();
    journal.goes_on_as("next");
    let (after, loaded) = restarted(&dir, &journal, now(&clock));
    assert_eq!((counts(&after, &journal.policy, now(&clock))[2], loaded.completed), (7, 0));
}

#[test]
fn a_file_that_is_none_is_completed_as_if_it_were_not_there() {
    for text in ["", "somebody else's"] {
        let (dir, (clock, _), journal) = (Dir::new("none"), clock_at(START_US), Journal::new(kept()));
        let limits = Limits::new();
        journal.tell(settle(begin(&limits, &journal.policy, 0, 5, &clock), 0, 7, &clock));
        std::fs::write(dir.file(), text).unwrap();
        journal.goes_on_as("next");
        let (after, loaded) = restarted(&dir, &journal, now(&clock));
        assert_eq!((counts(&after, &journal.policy, now(&clock))[2], loaded.completed), (7, 2));
        assert_eq!(loaded.damaged_bytes, text.len());
    }
}

#[test]
fn a_journal_that_cannot_be_read_costs_no_count_of_the_file() {
    struct Broken;
    impl Beyond for Broken {
        fn mark(&self) -> Option<Mark> {
            Some(Mark { instance: "with spaces in it".into(), segment: 1, offset: 0 })
        }
        fn journals(&self) -> io::Result<Option<Vec<(String, bool)>>> {
            Ok(None)
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
    Resets(usize),
    /// The mark is taken, others go on, then the cells are told: what has changed, or all.
    Marks,
    Writes,
    WritesAll,
    Sweeps,
    /// The next one may find a disk that it cannot write.
    IsKilled {
        writes: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0usize..2, 0u64..9).prop_map(|(key, reserved)| Step::Begins { key, reserved }),
        5 => (any(), 0u64..20).prop_map(|(which, used)| Step::Settles(which, used)),
        1 => any().prop_map(Step::Releases),
        5 => any().prop_map(Step::Records),
        1 => (0usize..2).prop_map(Step::Resets),
        2 => Just(Step::Marks),
        2 => Just(Step::Writes),
        1 => Just(Step::WritesAll),
        1 => Just(Step::Sweeps),
        1 => prop::bool::weighted(0.7).prop_map(|writes| Step::IsKilled { writes }),
    ]
}

/// Requests and tokens by scope.
type Counts = [[u64; 2]; 3];

fn add(counts: &mut Counts, scopes: &[usize], used: u64) {
    for scope in scopes {
        counts[*scope] = [counts[*scope][0] + 1, counts[*scope][1] + used];
    }
}

/// A request that is settled: its record is yet to come.
#[derive(Debug)]
struct Settled {
    told: Told,
    /// Where it counts: not in a scope that was reset while it ran.
    scopes: Vec<usize>,
    /// The file has it.
    is_written: bool,
}

/// What must be counted, here and after a kill.
#[derive(Default)]
struct Model {
    now: Counts,
    file: Counts,
    beyond: Counts,
    begun: Vec<(usize, bool, Held)>,
    settled: Vec<Settled>,
}

impl Model {
    fn writes(&mut self) {
        (self.file, self.beyond) = (self.now, Counts::default());
        self.settled.iter_mut().for_each(|one| one.is_written = true);
    }

    fn after_a_kill(&self) -> Counts {
        let mut counts = self.file;
        for (count, more) in counts.iter_mut().flatten().zip(self.beyond.iter().flatten()) {
            *count += more;
        }
        counts
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whenever_a_process_is_killed_the_next_counts_what_was_recorded_or_told_before_and_nothing_twice(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let (dir, (clock, _), journal) = (Dir::new("killed"), clock_at(START_US), Journal::new(kept()));
        let (mut limits, mut model, mut lives, mut can_write) = (Limits::new(), Model::default(), 0, true);
        let mut checkpoint = open(&dir);
        checkpoint.load(&limits, &journal, now(&clock)).unwrap();
        checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
        let mut mark = journal.mark();
        for step in steps.into_iter().chain([Step::IsKilled { writes: true }]) {
            match step {
                Step::Begins { key, reserved } => {
                    model.begun.push((key, false, begin(&limits, &journal.policy, key, reserved, &clock)));
                }
                Step::Settles(which, used) if !model.begun.is_empty() => {
                    let (key, is_forgotten, held) = model.begun.swap_remove(which.index(model.begun.len()));
                    let scopes = if is_forgotten { vec![2] } else { vec![key, 2] };
                    add(&mut model.now, &scopes, used);
                    model.settled.push(Settled { told: settle(held, key, used, &clock), scopes, is_written: false });
                }
                Step::Releases(which) if !model.begun.is_empty() => {
                    drop(model.begun.swap_remove(which.index(model.begun.len())));
                }
                Step::Records(which) if !model.settled.is_empty() => {
                    let one = model.settled.swap_remove(which.index(model.settled.len()));
                    if !one.is_written {
                        add(&mut model.beyond, &one.scopes, one.told.used);
                    }
                    journal.tell(one.told);
                }
                Step::Resets(key) => {
                    limits.reset(SCOPES[key]);
                    model.now[key] = [0; 2];
                    model.begun.iter_mut().filter(|(of, ..)| *of == key).for_each(|(_, is_forgotten, _)| *is_forgotten = true);
                }
                Step::Marks => mark = journal.mark(),
                Step::Writes | Step::WritesAll if can_write => {
                    if matches!(step, Step::WritesAll) {
                        drop(checkpoint);
                        checkpoint = open(&dir);
                        checkpoint.load(&Limits::new(), &journal, now(&clock)).unwrap();
                    }
                    checkpoint.write(&limits, mark.clone(), now(&clock)).unwrap();
                    model.writes();
                }
                Step::Settles(..) | Step::Releases(_) | Step::Records(_) | Step::Writes | Step::WritesAll => {}
                Step::Sweeps => (0..256).for_each(|_| limits.sweep(&clock)),
                Step::IsKilled { writes } => {
                    drop(checkpoint);
                    lives += 1;
                    journal.goes_on_as(&format!("i{lives}"));
                    let next = Limits::new();
                    checkpoint = open(&dir);
                    checkpoint.load(&next, &journal, now(&clock)).unwrap();
                    model.now = model.after_a_kill();
                    model.begun.clear();
                    model.settled.clear();
                    let expected = model.now.map(|[requests, tokens]| [requests, requests, tokens, tokens]);
                    prop_assert_eq!(counts(&next, &journal.policy, now(&clock)), expected.concat());
                    (limits, can_write, mark) = (next, writes, journal.mark());
                    if can_write {
                        checkpoint.write(&limits, journal.mark(), now(&clock)).unwrap();
                        model.writes();
                    }
                }
            }
        }
    }
}
