//! Sliding windows against the plainest thing that can be said of them: a list of what was admitted, and when.

use penstock_core::limits::{Held, Limits, Scope, Used};
use proptest::{prelude::*, sample::Index};
use serde_json::json;

use crate::{
    checkpoint::{Dir, open},
    made::{SECOND, START_US, admit, ask, clock_at, need, now, policy, set},
};

const WHOLE: u64 = 60;
const HOUR: u64 = 3_600 * SECOND;

/// How the clock moves before a request, microseconds: bursts, a sub-bucket, a window, far on, and back.
fn step(window_us: u64) -> impl Strategy<Value = i64> {
    let window = i64::try_from(window_us).unwrap();
    prop_oneof![
        4 => Just(0),
        8 => 0..window / 60,
        8 => 0..window / 10,
        2 => window - 3..window + window / 30,
        1 => 0..window * 100,
        1 => -window * 2..0,
    ]
}

fn arrivals() -> impl Strategy<Value = (u64, u64, Vec<(i64, u64)>)> {
    // Windows that 60 divides, and that it does not.
    let windows = prop_oneof![Just(SECOND), Just(7 * SECOND), Just(60 * SECOND), 1_000_000u64..10_000_000];
    (windows, 0u64..12).prop_flat_map(|(window_us, limit)| {
        let steps = prop::collection::vec((step(window_us), 0u64..4), 1..200);
        (Just(window_us), Just(limit), steps)
    })
}

/// What was admitted at a moment or later.
fn since(from: u64, admitted: &[(u64, u64)]) -> u64 {
    admitted.iter().filter(|(at, _)| *at >= from).map(|(_, n)| n).sum()
}

proptest! {
    #[test]
    fn in_no_interval_of_the_windows_length_is_more_than_the_limit_and_none_is_refused_a_sub_bucket_too_long(
        (window_us, limit, steps) in arrivals()
    ) {
        let (limits, (clock, hand)) = (Limits::new(), clock_at(START_US));
        let tight = Limits::with_most_counters(0);
        let written = policy(json!({"requests": [{"amount": limit, "window_us": window_us}]}));
        let sub_bucket = window_us.div_ceil(WHOLE);
        let (mut at, mut latest, mut admitted, mut in_tight) = (START_US, 0, Vec::new(), Vec::new());
        for (step, requests) in steps {
            at = at.saturating_add_signed(step);
            set(&hand, at);
            // A clock that goes back is taken to stand.
            latest = latest.max(at);
            let asks = [ask(Scope::Global, &written, need(requests, 0, 0))];
            // With next to no memory it refuses longer, and still never admits more.
            if let Ok(mut held) = admit(&tight, &asks, &clock) {
                held.keep_requests();
                prop_assert!(requests + since(latest - window_us, &in_tight) <= limit || requests == 0);
                in_tight.push((latest, requests));
            }
            match admit(&limits, &asks, &clock) {
                Ok(mut held) => {
                    prop_assert_eq!(held.admitted_us(), Some(latest));
                    held.keep_requests();
                    prop_assert!(since(latest - window_us, &admitted) + requests <= limit || requests == 0);
                    admitted.push((latest, requests));
                }
                Err(refused) => {
                    prop_assert!(requests > 0);
                    prop_assert!(since(latest - window_us - sub_bucket, &admitted) + requests > limit);
                    prop_assert_eq!(refused.exceeds, requests > limit);
                }
            }
        }
    }

    #[test]
    fn retry_after_is_the_earliest_instant_at_which_the_request_fits((window_us, limit, steps) in arrivals()) {
        let (limits, (clock, hand)) = (Limits::new(), clock_at(START_US));
        let written = policy(json!({"tokens": [{"amount": limit, "window_us": window_us}]}));
        let mut at = START_US;
        for (step, tokens) in steps {
            at = at.saturating_add_signed(step.max(0));
            set(&hand, at);
            let asks = [ask(Scope::Key("k"), &written, need(1, tokens, 0))];
            match admit(&limits, &asks, &clock) {
                Ok(held) => drop(held.settle(Used { tokens, nanousd: 0 }, now(&clock))),
                Err(refused) if refused.exceeds => prop_assert!(tokens > limit && refused.retry_after_us == 0),
                Err(refused) => {
                    prop_assert!(refused.retry_after_us > 0);
                    set(&hand, at + refused.retry_after_us - 1);
                    prop_assert!(admit(&limits, &asks, &clock).is_err());
                    at += refused.retry_after_us;
                    set(&hand, at);
                    prop_assert!(admit(&limits, &asks, &clock).is_ok());
                }
            }
        }
    }
}

/// A request of an hour's window: when it was counted, what it stands for by now, and what it holds.
struct Charged {
    at: u64,
    amount: u64,
    held: Option<Held>,
}

#[derive(Clone, Debug)]
enum Event {
    Begins(u64),
    Settles(Index, u64),
    Drops(Index),
    Passes(u64),
    Sweeps,
    Resets,
    /// With a clock that has been set back so far.
    Restarts(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1u64..6).prop_map(Event::Begins),
        4 => (any::<Index>(), 0u64..6).prop_map(|(which, used)| Event::Settles(which, used)),
        2 => any::<Index>().prop_map(Event::Drops),
        6 => (0..HOUR / 40).prop_map(Event::Passes),
        2 => (0..HOUR).prop_map(Event::Passes),
        1 => Just(Event::Sweeps),
        1 => Just(Event::Resets),
        1 => prop_oneof![Just(0), 0..2 * HOUR].prop_map(Event::Restarts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is given back, forgotten or merged for want of memory, restored, or done to the clock.
    #[test]
    fn whatever_happens_no_window_holds_more_than_the_limit_and_what_was_used_beyond_what_was_reserved(
        events in prop::collection::vec(event(), 1..150), most_counters in prop_oneof![Just(0), Just(usize::MAX)]
    ) {
        const LIMIT: u64 = 20;
        let dir = Dir::new("windows");
        let (clock, hand) = clock_at(START_US);
        let written = policy(json!({"tokens": [{"amount": LIMIT, "window_us": HOUR}]}));
        let mut limits = Limits::with_most_counters(most_counters);
        let mut checkpoint = open(&dir);
        checkpoint.load(&limits, &(), now(&clock)).unwrap();
        let (mut at, mut charged) = (START_US, Vec::<Charged>::new());
        for event in events {
            let open_ones: Vec<_> = (0..charged.len()).filter(|n| charged[*n].held.is_some()).collect();
            match event {
                Event::Begins(amount) => {
                    if let Ok(held) = admit(&limits, &[ask(Scope::Global, &written, need(1, amount, 0))], &clock) {
                        let counts = charged.iter().filter(|one| one.at + HOUR >= at).map(|one| one.amount);
                        prop_assert!(counts.sum::<u64>() + amount <= LIMIT);
                        charged.push(Charged { at, amount, held: Some(held) });
                    }
                }
                Event::Settles(which, used) if !open_ones.is_empty() => {
                    let one = &mut charged[open_ones[which.index(open_ones.len())]];
                    one.held.take().unwrap().settle(Used { tokens: used, nanousd: 0 }, now(&clock));
                    let (amount, beyond) = (one.amount.min(used), used.saturating_sub(one.amount));
                    one.amount = amount;
                    charged.push(Charged { at, amount: beyond, held: None });
                }
                Event::Drops(which) if !open_ones.is_empty() => {
                    let one = &mut charged[open_ones[which.index(open_ones.len())]];
                    (one.amount, one.held) = (0, None);
                }
                Event::Settles(..) | Event::Drops(_) => {}
                Event::Passes(us) => {
                    at += us;
                    set(&hand, at);
                }
                Event::Sweeps => limits.sweep(&clock),
                Event::Resets => {
                    limits.reset(Scope::Global);
                    // What is in flight is forgotten with the rest.
                    charged.clear();
                }
                Event::Restarts(back) => {
                    checkpoint.write(&limits, None, now(&clock)).unwrap();
                    drop(checkpoint);
                    at -= back;
                    set(&hand, at);
                    for one in &mut charged {
                        // What was so long ago is not nearer for it. What had not ended is not counted: nobody knows what.
                        one.at -= back;
                        one.amount = if one.held.take().is_some() { 0 } else { one.amount };
                    }
                    limits = Limits::with_most_counters(most_counters);
                    checkpoint = open(&dir);
                    checkpoint.load(&limits, &(), now(&clock)).unwrap();
                }
            }
        }
    }
}
