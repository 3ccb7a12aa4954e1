//! Sliding windows against the plainest thing that can be said of them: a list of what was admitted, and when.

use penstock_core::limits::{Limits, Scope, Used};
use proptest::prelude::*;
use serde_json::json;

use crate::made::{SECOND, START_US, admit, ask, clock_at, need, now, policy, set};

const WHOLE: u64 = 60;

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
                    prop_assert_eq!(held.admitted_us(), latest);
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
                Ok(held) => held.settle(Used { tokens, nanousd: 0 }, now(&clock)),
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
