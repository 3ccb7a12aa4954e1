//! Counts that survive the process: what a new one finds, whatever became of the file.

use std::{
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU64, mpsc},
    thread::yield_now,
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    limits::{Checkpoint, Event, Keeper, Kind, Limits, Loaded, Now, Policy, Scope, Used},
};
use proptest::prelude::*;
use serde_json::json;

use crate::made::{SECOND, START_US, admit, ask, clock_at, layered, need, now, policy, set};

const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// A directory of one test, removed with it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("penstock-limits-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("limits")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn open(dir: &Dir) -> Checkpoint {
    Checkpoint::open(&dir.file()).unwrap().unwrap()
}

/// What a new process finds at a moment.
fn loaded(dir: &Dir, now: Now) -> (Limits, Loaded) {
    let limits = Limits::new();
    let loaded = open(dir).load(&limits, &(), now).unwrap();
    (limits, loaded)
}

/// What a process leaves that counted 7 of everything at the start.
fn with_seven(name: &str) -> Dir {
    let (dir, (clock, _), limits) = (Dir::new(name), clock_at(START_US), Limits::new());
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), now(&clock)).unwrap();
    charge(&limits, Scope::Global, 7, &clock);
    checkpoint.write(&limits, None, now(&clock)).unwrap();
    dir
}

fn every_kind() -> Policy {
    let rates = json!([
        {"amount": 1000, "window_us": 60 * SECOND}, {"amount": 1000, "window_us": HOUR}, {"amount": 1000, "period": "day"},
    ]);
    policy(json!({"requests": rates, "tokens": rates, "budget": rates, "concurrent": [{"amount": 1000}]}))
}

fn charge(limits: &Limits, scope: Scope<'_>, amount: u64, clock: &Clock) {
    let written = every_kind();
    let held = admit(limits, &[ask(scope, &written, need(1, amount, amount))], clock).unwrap();
    held.settle(Used { tokens: amount, nanousd: amount }, now(clock));
}

/// The counts of tokens: of a minute, an hour and a day.
fn tokens(limits: &Limits, scope: Scope<'_>, at: Now) -> [u64; 3] {
    let uses = limits.report(scope, layered(&every_kind()), at);
    let tokens: Vec<_> = uses.iter().filter(|each| each.kind == Kind::Tokens).map(|each| each.used).collect();
    tokens.try_into().unwrap()
}

#[test]
fn of_a_budget_that_is_60_percent_spent_exactly_40_are_left_and_short_windows_begin_empty() {
    let (dir, (clock, hand)) = (Dir::new("budget"), clock_at(START_US));
    {
        let limits = Limits::new();
        let mut checkpoint = open(&dir);
        assert_eq!(checkpoint.load(&limits, &(), now(&clock)).unwrap(), Loaded::default());
        for step in 0..6 {
            charge(&limits, Scope::Key("k"), 100, &clock);
            set(&hand, START_US + (step + 1) * 5 * SECOND);
            checkpoint.write(&limits, None, now(&clock)).unwrap();
        }
        charge(&limits, Scope::Team("after the last second"), 1, &clock);
    }
    let (limits, found) = loaded(&dir, now(&clock));
    assert_eq!(found, Loaded { counters: 6, ..Loaded::default() });
    assert_eq!(tokens(&limits, Scope::Key("k"), now(&clock)), [0, 600, 600]);
    let written = policy(json!({"budget": [{"amount": 1000, "period": "day"}]}));
    assert!(admit(&limits, &[ask(Scope::Key("k"), &written, need(1, 0, 401))], &clock).is_err());
    assert!(admit(&limits, &[ask(Scope::Key("k"), &written, need(1, 0, 400))], &clock).is_ok());
    let mode = std::fs::metadata(dir.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn after_a_reboot_uses_leave_the_window_when_they_would_have_and_at_most_a_sub_bucket_later() {
    let dir = with_seven("reboot");
    // Half an hour later, on a machine that has been up for three seconds.
    let at = |after: u64| Now { boot_us: 3 * SECOND + after - HOUR / 2, utc_us: START_US + after };
    let (limits, _) = loaded(&dir, at(HOUR / 2));
    assert_eq!(tokens(&limits, Scope::Global, at(HOUR / 2))[1], 7);
    assert_eq!(tokens(&limits, Scope::Global, at(HOUR))[1], 7);
    assert_eq!(tokens(&limits, Scope::Global, at(HOUR + 2 * 60 * SECOND))[1], 0);
    // However often it is loaded, on the machine that wrote it, whose clock is moved a little.
    for times in 1..=40 {
        let at = Now { boot_us: START_US, utc_us: START_US + 10 * times };
        let (limits, _) = loaded(&dir, at);
        let mut checkpoint = open(&dir);
        checkpoint.load(&Limits::new(), &(), at).unwrap();
        checkpoint.write(&limits, None, at).unwrap();
    }
    let at = |after: u64| Now { boot_us: START_US + after, utc_us: START_US + after };
    assert_eq!(tokens(&loaded(&dir, at(HOUR)).0, Scope::Global, at(HOUR))[1], 7);
    assert_eq!(tokens(&loaded(&dir, at(HOUR + 61 * SECOND)).0, Scope::Global, at(HOUR + 61 * SECOND))[1], 0);
    // Nothing of a window, and the day's, on the next day.
    let tomorrow = Now { boot_us: 1, utc_us: START_US + 25 * HOUR };
    assert_eq!(loaded(&dir, tomorrow).1.counters, 0);
    // A clock that was set back in between: as if it had been now.
    let back = Now { boot_us: HOUR, utc_us: START_US - HOUR };
    assert_eq!(tokens(&loaded(&dir, back).0, Scope::Global, back)[1], 7);
}

#[test]
fn a_process_that_began_before_its_clock_was_right_keeps_what_the_period_has_used() {
    let dir = with_seven("wrong clock");
    let of_day = |limits: &Limits, boot_us: u64, utc_us: u64| {
        let at = Now { boot_us, utc_us };
        *tokens(limits, Scope::Global, at).last().unwrap()
    };
    // Without a battery it is 1970 at first; there, too, a day may end.
    for ends in [false, true] {
        let (limits, _) = loaded(&dir, Now { boot_us: SECOND, utc_us: SECOND });
        assert_eq!(of_day(&limits, SECOND, SECOND), 7, "rather too much than nothing");
        if ends {
            assert_eq!(of_day(&limits, DAY, DAY), 0);
        }
        let up = if ends { DAY + HOUR } else { HOUR };
        assert_eq!(of_day(&limits, up, START_US + HOUR), 7);
        assert_eq!(of_day(&limits, up + DAY, START_US + HOUR + DAY), 0);
    }
    // It is swept meanwhile, and what came back is written though nobody asks.
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), Now { boot_us: SECOND, utc_us: SECOND }).unwrap();
    assert_eq!(of_day(&limits, SECOND, SECOND), 7);
    assert_eq!(of_day(&limits, DAY, DAY), 0);
    checkpoint.write(&limits, None, Now { boot_us: DAY, utc_us: DAY }).unwrap();
    let (clock, hand) = clock_at(DAY + SECOND);
    (0..256).for_each(|_| limits.sweep(&clock));
    assert_eq!(of_day(&limits, DAY + HOUR, START_US + HOUR), 7);
    set(&hand, START_US + HOUR);
    (0..256).for_each(|_| limits.sweep(&clock));
    checkpoint.write(&limits, None, Now { boot_us: DAY + HOUR, utc_us: START_US + HOUR }).unwrap();
    drop(checkpoint);
    let after = Now { boot_us: SECOND, utc_us: START_US + HOUR };
    assert_eq!(tokens(&loaded(&dir, after).0, Scope::Global, after).last(), Some(&7));
    // It was days ahead: what is used until the day that it showed is not of that one.
    let (limits, _) = loaded(&dir, Now { boot_us: SECOND, utc_us: START_US - 2 * DAY });
    assert_eq!(of_day(&limits, SECOND, START_US - 2 * DAY), 7);
    assert_eq!(of_day(&limits, DAY, START_US - DAY), 0);
    assert_eq!(of_day(&limits, 2 * DAY, START_US), 0);
    assert_eq!(of_day(&limits, 2 * DAY + HOUR, START_US + HOUR), 0);
}

#[test]
fn a_file_that_ends_anywhere_or_is_damaged_anywhere_gives_what_was_written_before() {
    let (dir, (clock, _)) = (Dir::new("cut"), clock_at(START_US));
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), now(&clock)).unwrap();
    let mut ends = Vec::new();
    for _ in 0..5 {
        checkpoint.write(&limits, None, now(&clock)).unwrap();
        ends.push(std::fs::metadata(dir.file()).unwrap().len() as usize);
        charge(&limits, Scope::Key("k"), 10, &clock);
        charge(&limits, Scope::Model("m"), 10, &clock);
    }
    drop(checkpoint);
    let whole = std::fs::read(dir.file()).unwrap();
    let check = |bytes: &[u8], intact: usize| {
        std::fs::write(dir.file(), bytes).unwrap();
        let (limits, found) = loaded(&dir, now(&clock));
        let entries = ends.iter().rposition(|end| *end <= intact);
        let expected = entries.unwrap_or(0) as u64 * 10;
        assert_eq!(tokens(&limits, Scope::Key("k"), now(&clock))[1..], [expected; 2], "{intact}");
        assert_eq!(tokens(&limits, Scope::Model("m"), now(&clock))[1..], [expected; 2], "{intact}");
        let form = Some("penstock limits 1\n".len()).filter(|form| *form <= intact);
        assert_eq!(found.damaged_bytes, bytes.len() - entries.map_or(form.unwrap_or(0), |at| ends[at]));
    };
    for length in 0..=whole.len() {
        check(&whole[..length], length);
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        check(&damaged, at);
    }
    check(&[&whole[..], b"more"].concat(), whole.len());
}

#[test]
fn where_memory_is_tight_what_a_request_reserved_is_in_the_file_once_it_has_ended_however_long_it_ran() {
    for used in [0, 3, 9] {
        let (dir, (clock, hand)) = (Dir::new("tight"), clock_at(START_US));
        let limits = Limits::with_most_counters(0);
        let mut checkpoint = open(&dir);
        checkpoint.load(&limits, &(), now(&clock)).unwrap();
        let written = every_kind();
        let key = || Scope::Key("k");
        let long = admit(&limits, &[ask(key(), &written, need(1, 5, 5))], &clock).unwrap();
        // Its sub-bucket merges into newer ones, which stay for longer.
        for minute in 1..70 {
            set(&hand, START_US + minute * 60 * SECOND);
            charge(&limits, key(), 1, &clock);
            checkpoint.write(&limits, None, now(&clock)).unwrap();
        }
        let settled = || tokens(&loaded_beside(&dir, now(&clock)), key(), now(&clock));
        assert_eq!(settled()[1..], [69, 69], "without what has not ended");
        long.settle(Used { tokens: used, nanousd: used }, now(&clock));
        checkpoint.write(&limits, None, now(&clock)).unwrap();
        assert_eq!(settled()[1..], tokens(&limits, key(), now(&clock))[1..], "{used}");
        assert_eq!(settled()[2], 69 + used);
    }
}

/// The same while another has the file.
fn loaded_beside(dir: &Dir, now: Now) -> Limits {
    let beside = Dir::new("beside");
    std::fs::copy(dir.file(), beside.file()).unwrap();
    loaded(&beside, now).0
}

#[test]
fn a_second_process_has_it_once_the_first_has_ended() {
    let dir = Dir::new("two");
    let first = open(&dir);
    assert!(Checkpoint::open(&dir.file()).unwrap().is_none());
    drop(first);
    assert!(Checkpoint::open(&dir.file()).unwrap().is_some());
}

#[test]
fn after_a_write_that_failed_the_next_writes_everything() {
    let (dir, (clock, _)) = (Dir::new("failed"), clock_at(START_US));
    let limits = Limits::new();
    let mut checkpoint = open(&dir);
    checkpoint.load(&limits, &(), now(&clock)).unwrap();
    // In the way of the file that is to be renamed.
    std::fs::create_dir(dir.file().with_extension("new")).unwrap();
    charge(&limits, Scope::Global, 3, &clock);
    assert!(checkpoint.write(&limits, None, now(&clock)).is_err());
    std::fs::remove_dir(dir.file().with_extension("new")).unwrap();
    checkpoint.write(&limits, None, now(&clock)).unwrap();
    drop(checkpoint);
    assert_eq!(tokens(&loaded(&dir, now(&clock)).0, Scope::Global, now(&clock))[1..], [3, 3]);
}

#[test]
fn a_thread_writes_what_changed_and_hands_the_file_to_the_next_process() {
    let dir = Dir::new("keeper");
    let events = Arc::new(Mutex::new(Vec::new()));
    let start = |limits: &Arc<Limits>| {
        let events = events.clone();
        let tell = move |event| events.lock().unwrap().push(format!("{event:?}"));
        Keeper::start(limits.clone(), dir.file(), (), Clock::System, tell).unwrap()
    };
    let until = |n: usize| {
        while events.lock().unwrap().len() < n {
            yield_now();
        }
    };
    let count = |limits: &Limits| tokens(limits, Scope::Key("k"), now(&Clock::System))[1..].to_vec();
    let (first, second) = (Arc::new(Limits::new()), Arc::new(Limits::new()));
    let earlier = Arc::new(Limits::new());
    charge(&earlier, Scope::Key("k"), 4, &Clock::System);
    drop(start(&earlier));
    let old = start(&first);
    until(2);
    let new = start(&second);
    until(3);
    assert_eq!(count(&second), [4, 4], "what the first has written so far");
    charge(&first, Scope::Key("k"), 5, &Clock::System);
    charge(&second, Scope::Key("k"), 2, &Clock::System);
    drop(old);
    until(4);
    assert_eq!(count(&second), [11, 11]);
    drop(new);
    assert_eq!(count(&loaded(&dir, now(&Clock::System)).0), [11, 11]);
    let told = |counters| format!("{:?}", Event::Loaded(Loaded { counters, ..Loaded::default() }));
    assert_eq!(*events.lock().unwrap(), [told(0), told(6), "Waits".to_owned(), told(6)]);
    let _: fn(std::io::Error) -> Event = Event::Failed;
}

#[test]
fn what_goes_wrong_with_the_file_is_told_once_and_costs_no_count_and_no_memory() {
    let (dir, aside) = (Dir::new("trouble"), Dir::new("trouble-aside"));
    std::fs::remove_dir(&dir.0).unwrap();
    // In the way of the file that is to be renamed.
    std::fs::create_dir(aside.file().with_extension("new")).unwrap();
    let limits = Arc::new(Limits::new());
    let (tell, told) = mpsc::channel();
    let tell = move |event| drop(tell.send(event));
    let keeper = Keeper::start(limits.clone(), dir.file(), (), Clock::System, tell).unwrap();
    let next = || told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(matches!(next(), Event::Failed(error) if error.kind() == ErrorKind::NotFound));
    charge(&limits, Scope::Key("k"), 5, &Clock::System);
    std::fs::rename(&aside.0, &dir.0).unwrap();
    assert!(matches!(next(), Event::Loaded(_)));
    assert!(matches!(next(), Event::Failed(_)));
    charge(&limits, Scope::Key("k"), 5, &Clock::System);
    charge(&limits, Scope::Key("other"), 5, &Clock::System);
    assert!(limits.reset(Scope::Key("other")));
    std::fs::remove_dir(dir.file().with_extension("new")).unwrap();
    assert!(matches!(next(), Event::Recovered));
    (0..256).for_each(|_| limits.sweep(&Clock::System));
    assert_eq!(limits.len(), 1, "nothing holds on to what counts nothing");
    drop(keeper);
    assert_eq!(tokens(&loaded(&dir, now(&Clock::System)).0, Scope::Key("k"), now(&Clock::System))[1..], [10, 10]);
    assert!(told.recv().is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Charges { key: u8, reserved: u64, used: Option<u64> },
    Resets { key: u8 },
    Passes(u64),
    Writes,
    Restarts,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3, 0u64..9, prop::option::of(0u64..20))
            .prop_map(|(key, reserved, used)| Step::Charges { key, reserved, used }),
        1 => (0u8..3).prop_map(|key| Step::Resets { key }),
        2 => (0..200 * SECOND).prop_map(Step::Passes),
        1 => (0..30 * HOUR).prop_map(Step::Passes),
        4 => Just(Step::Writes),
        1 => Just(Step::Restarts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn after_any_history_a_new_process_counts_what_the_old_one_did(
        steps in prop::collection::vec(step(), 1..80), most_counters in prop_oneof![Just(0), Just(usize::MAX)]
    ) {
        let dir = Dir::new("history");
        let (clock, hand): (Clock, Arc<AtomicU64>) = clock_at(START_US);
        let written = every_kind();
        let mut limits = Limits::with_most_counters(most_counters);
        let mut checkpoint = open(&dir);
        checkpoint.load(&limits, &(), now(&clock)).unwrap();
        let mut at = START_US;
        let names = ["a", "b", "c"];
        let counts = |limits: &Limits| {
            names.map(|name| {
                let uses = limits.report(Scope::Key(name), layered(&written), now(&clock));
                let kept = uses.iter().filter(|each| each.span != penstock_core::limits::Span::Window(60 * SECOND));
                kept.map(|each| (each.kind, each.span, each.used)).collect::<Vec<_>>()
            })
        };
        for step in steps {
            match step {
                Step::Charges { key, reserved, used } => {
                    let scope = Scope::Key(names[usize::from(key)]);
                    if let Ok(held) = admit(&limits, &[ask(scope, &written, need(1, reserved, reserved))], &clock) {
                        match used {
                            Some(used) => drop(held.settle(Used { tokens: used, nanousd: used }, now(&clock))),
                            None => drop(held),
                        }
                    }
                }
                Step::Resets { key } => drop(limits.reset(Scope::Key(names[usize::from(key)]))),
                Step::Passes(us) => {
                    at += us;
                    set(&hand, at);
                    limits.sweep(&clock);
                }
                Step::Writes => checkpoint.write(&limits, None, now(&clock)).unwrap(),
                Step::Restarts => {
                    checkpoint.write(&limits, None, now(&clock)).unwrap();
                    drop(checkpoint);
                    let (before, renewed) = (counts(&limits), Limits::with_most_counters(most_counters));
                    checkpoint = open(&dir);
                    checkpoint.load(&renewed, &(), now(&clock)).unwrap();
                    prop_assert_eq!(counts(&renewed), before);
                    limits = renewed;
                }
            }
        }
    }
}
