//! Days and months by the calendar, in the zone that is set, whatever the clock does.

use std::sync::Arc;

use penstock_core::limits::{Calendar, Kind, Limits, Scope, Used};
use serde_json::json;

use crate::made::{SECOND, admit, ask, clock_at, layered, need, now, policy, set, used};

const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// 2026-03-28T00:00:00Z, the day before clocks go forward in Europe.
const MARCH_28: u64 = 1_774_656_000 * SECOND;

fn set_zone(limits: &Limits, zone: &str) {
    limits.set_calendar(Arc::new(Calendar::of(zone).unwrap()));
}

/// Where periods begin: the instants at which a budget that is spent is whole again, from a time on.
fn begins(zone: &str, period: &str, from: u64, n: usize) -> Vec<u64> {
    let limits = Limits::new();
    set_zone(&limits, zone);
    let written = policy(json!({"budget": [{"amount": 1, "period": period}]}));
    let mut at = from;
    (0..n)
        .map(|_| {
            let (clock, hand) = clock_at(at);
            let asks = [ask(Scope::Global, &written, need(1, 0, 1))];
            admit(&limits, &asks, &clock).unwrap().settle(Used { tokens: 0, nanousd: 1 }, now(&clock));
            let wait = admit(&limits, &asks, &clock).unwrap_err().retry_after_us;
            assert_eq!(limits.report(Scope::Global, layered(&written), now(&clock))[0].reset_us, wait);
            set(&hand, at + wait - 1);
            assert!(admit(&limits, &asks, &clock).is_err());
            at += wait;
            set(&hand, at);
            assert!(admit(&limits, &asks, &clock).is_ok());
            at
        })
        .collect()
}

#[test]
fn a_day_is_that_of_the_zone_be_it_23_or_25_hours_long() {
    assert_eq!(begins("UTC", "day", MARCH_28 + 5, 3), [MARCH_28 + DAY, MARCH_28 + 2 * DAY, MARCH_28 + 3 * DAY]);
    // Midnights of March 29 (UTC+1), March 30 and 31 (UTC+2).
    let berlin = [MARCH_28 + DAY - HOUR, MARCH_28 + 2 * DAY - 2 * HOUR, MARCH_28 + 3 * DAY - 2 * HOUR];
    assert_eq!(begins("Europe/Berlin", "day", MARCH_28 + 5, 3), berlin);
    // October 25 has 25 hours: midnights of October 25 (UTC+2) and 26 (UTC+1).
    let october_24 = 1_792_800_000 * SECOND;
    let autumn = [october_24 + DAY - 2 * HOUR, october_24 + 2 * DAY - HOUR];
    assert_eq!(begins("Europe/Berlin", "day", october_24, 2), autumn);
    // Santiago skips midnight when its summer begins: September 6 begins at 01:00, which is 04:00 UTC.
    let september_5 = 1_788_566_400 * SECOND;
    let santiago = [september_5 + 4 * HOUR, september_5 + DAY + 4 * HOUR, september_5 + 2 * DAY + 3 * HOUR];
    assert_eq!(begins("America/Santiago", "day", september_5, 3), santiago);
}

#[test]
fn a_month_is_that_of_the_zone() {
    let april = MARCH_28 + 4 * DAY;
    assert_eq!(begins("UTC", "month", MARCH_28, 3), [april, april + 30 * DAY, april + 61 * DAY]);
    assert_eq!(begins("Asia/Tokyo", "month", MARCH_28, 1), [april - 9 * HOUR]);
}

#[test]
fn a_zone_that_does_not_exist_is_refused_and_the_former_stays() {
    let limits = Limits::new();
    set_zone(&limits, "Asia/Tokyo");
    assert!(Calendar::of("Mars/Olympus").unwrap_err().contains("Mars/Olympus"));
    let written = policy(json!({"requests": [{"amount": 1, "period": "day"}]}));
    let (clock, _) = clock_at(MARCH_28);
    let held = admit(&limits, &[ask(Scope::Global, &written, need(1, 0, 0))], &clock).unwrap();
    assert_eq!(held.standing().requests.unwrap().reset_us, DAY - 9 * HOUR);
}

#[test]
fn a_clock_that_steps_back_over_midnight_does_not_give_the_day_twice() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(MARCH_28 + SECOND));
    let written = policy(json!({"requests": [{"amount": 2, "period": "day"}]}));
    let asks = [ask(Scope::Global, &written, need(1, 0, 0))];
    let of_today = admit(&limits, &asks, &clock).unwrap();
    set(&hand, MARCH_28 - SECOND);
    let of_yesterday = admit(&limits, &asks, &clock).unwrap();
    assert!(admit(&limits, &asks, &clock).is_err());
    set(&hand, MARCH_28 + SECOND);
    assert!(admit(&limits, &asks, &clock).is_err());
    // What was reserved in between is given back where it was counted.
    drop(of_yesterday);
    assert_eq!(used(&limits, Scope::Global, &written, Kind::Requests, &clock), 1);
    drop(of_today);
    assert_eq!(used(&limits, Scope::Global, &written, Kind::Requests, &clock), 0);
}

#[test]
fn a_clock_that_was_years_ahead_does_not_hold_the_budget_for_years() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(MARCH_28 + 4_000 * DAY));
    let written = policy(json!({"requests": [{"amount": 1, "period": "day"}]}));
    let asks = [ask(Scope::Global, &written, need(1, 0, 0))];
    admit(&limits, &asks, &clock).unwrap().keep_requests();
    set(&hand, MARCH_28);
    // What was counted counts today, and no longer.
    assert_eq!(admit(&limits, &asks, &clock).unwrap_err().retry_after_us, DAY);
    set(&hand, MARCH_28 + DAY);
    assert!(admit(&limits, &asks, &clock).is_ok());
}

#[test]
fn what_a_clock_that_was_days_ahead_forgot_is_not_given_back_out_of_what_was_counted_since() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(MARCH_28));
    let written = policy(json!({"tokens": [{"amount": 10, "period": "day"}]}));
    let begin = |tokens| admit(&limits, &[ask(Scope::Global, &written, need(1, tokens, 0))], &clock).unwrap();
    let forgotten = begin(6);
    set(&hand, MARCH_28 + 3 * DAY);
    let ahead = begin(4);
    set(&hand, MARCH_28 + HOUR);
    let after = begin(5);
    drop(forgotten);
    assert_eq!(used(&limits, Scope::Global, &written, Kind::Tokens, &clock), 9);
    drop(ahead);
    assert_eq!(used(&limits, Scope::Global, &written, Kind::Tokens, &clock), 5);
    drop(after);
    assert_eq!(used(&limits, Scope::Global, &written, Kind::Tokens, &clock), 0);
}

#[test]
fn what_is_settled_after_its_day_ended_leaves_the_new_day_alone_but_for_what_it_used_beyond() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(MARCH_28 - SECOND));
    let written = policy(json!({"tokens": [{"amount": 100, "period": "day"}]}));
    let begin = || admit(&limits, &[ask(Scope::Global, &written, need(1, 40, 0))], &clock).unwrap();
    let (less, more) = (begin(), begin());
    set(&hand, MARCH_28);
    less.settle(Used { tokens: 1, nanousd: 0 }, now(&clock));
    assert_eq!(used(&limits, Scope::Global, &written, Kind::Tokens, &clock), 0);
    more.settle(Used { tokens: 45, nanousd: 0 }, now(&clock));
    assert_eq!(used(&limits, Scope::Global, &written, Kind::Tokens, &clock), 5);
}
