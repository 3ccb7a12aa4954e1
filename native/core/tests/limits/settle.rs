//! What was reserved is replaced by what was used, to the unit, whatever else happens in between.

use std::panic::{AssertUnwindSafe, catch_unwind};

use penstock_core::limits::{Held, Kind, Limits, Scope, Used};
use proptest::{prelude::*, sample::Index};
use serde_json::json;

use crate::made::{SECOND, START_US, admit, ask, clock_at, need, now, policy, set, used};

/// A request may end on another thread than it began on.
const _: fn(Held) = |held| drop(Box::new(held) as Box<dyn Send>);

/// Settled, or dropped: nothing but the request's count may stay, and that only where it was kept.
#[derive(Clone, Debug)]
enum End {
    Settled(u64, u64),
    Dropped { keeps_requests: bool },
    Panic,
}

#[derive(Clone, Debug)]
enum Event {
    Begins { tokens: u64, nanousd: u64 },
    Ends(Index, End),
    Passes(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let end = prop_oneof![
        4 => (0u64..60, 0u64..60).prop_map(|(tokens, nanousd)| End::Settled(tokens, nanousd)),
        1 => any::<bool>().prop_map(|keeps_requests| End::Dropped { keeps_requests }),
        1 => Just(End::Panic),
    ];
    prop_oneof![
        3 => (0u64..50, 0u64..50).prop_map(|(tokens, nanousd)| Event::Begins { tokens, nanousd }),
        3 => (any::<Index>(), end).prop_map(|(which, end)| Event::Ends(which, end)),
        2 => (0u64..3 * SECOND).prop_map(Event::Passes),
        1 => (0u64..90 * SECOND).prop_map(Event::Passes),
    ]
}

/// What was charged, and in which second: with a window of a minute a sub-bucket is one.
#[derive(Default)]
struct Ledger(Vec<(u64, i64)>);

impl Ledger {
    fn put(&mut self, second: u64, amount: i64) {
        self.0.push((second, amount));
    }

    fn sum(&self, second: u64) -> u64 {
        self.0.iter().filter(|(at, _)| at + 60 >= second).map(|(_, amount)| amount).sum::<i64>().try_into().unwrap()
    }
}

struct Open {
    held: Held,
    second: u64,
    tokens: u64,
    nanousd: u64,
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap()
}

proptest! {
    #[test]
    fn after_any_mix_of_ends_the_counts_are_those_of_a_plain_ledger(
        events in prop::collection::vec(event(), 1..150)
    ) {
        let (limits, (clock, hand)) = (Limits::new(), clock_at(START_US));
        let window = |amount: u64| json!([{"amount": amount, "window_us": 60 * SECOND}]);
        let written = policy(json!({
            "requests": window(1 << 40), "tokens": window(300), "budget": window(1 << 40), "concurrent": [{"amount": 9}],
        }));
        let mut at = START_US;
        let (mut requests, mut tokens, mut money) = (Ledger::default(), Ledger::default(), Ledger::default());
        let mut open: Vec<Open> = Vec::new();
        for event in events {
            let second = at / SECOND;
            match event {
                Event::Passes(us) => {
                    at += us;
                    set(&hand, at);
                }
                Event::Begins { tokens: wanted, nanousd } => {
                    let fits = open.len() < 9 && (wanted == 0 || tokens.sum(second) + wanted <= 300);
                    let asked = [ask(Scope::Team("t"), &written, need(1, wanted, nanousd))];
                    let outcome = admit(&limits, &asked, &clock);
                    prop_assert_eq!(outcome.is_ok(), fits);
                    if let Ok(held) = outcome {
                        requests.put(second, 1);
                        tokens.put(second, signed(wanted));
                        money.put(second, signed(nanousd));
                        open.push(Open { held, second, tokens: wanted, nanousd });
                    }
                }
                Event::Ends(which, end) if !open.is_empty() => {
                    let mut one = open.swap_remove(which.index(open.len()));
                    let ends = |ledger: &mut Ledger, reserved: u64, used: u64| {
                        let at = if used > reserved { second } else { one.second };
                        ledger.put(at, signed(used) - signed(reserved));
                    };
                    let (used_tokens, used_money) =
                        if let End::Settled(tokens, nanousd) = end { (tokens, nanousd) } else { (0, 0) };
                    ends(&mut tokens, one.tokens, used_tokens);
                    ends(&mut money, one.nanousd, used_money);
                    match end {
                        End::Settled(tokens, nanousd) => drop(one.held.settle(Used { tokens, nanousd }, now(&clock))),
                        End::Dropped { keeps_requests: true } => one.held.keep_requests(),
                        End::Dropped { keeps_requests: false } => requests.put(one.second, -1),
                        End::Panic => {
                            requests.put(one.second, -1);
                            let panics = AssertUnwindSafe(|| {
                                let _held = one.held;
                                std::panic::resume_unwind(Box::new(()));
                            });
                            prop_assert!(catch_unwind(panics).is_err());
                        }
                    }
                }
                Event::Ends(..) => {}
            }
            let second = at / SECOND;
            let used = |kind| used(&limits, Scope::Team("t"), &written, kind, &clock);
            prop_assert_eq!(used(Kind::Concurrent), open.len() as u64);
            prop_assert_eq!(used(Kind::Requests), requests.sum(second));
            prop_assert_eq!(used(Kind::Tokens), tokens.sum(second));
            prop_assert_eq!(used(Kind::Budget), money.sum(second));
        }
        open.clear();
        set(&hand, at + 62 * SECOND);
        limits.sweep(&clock);
        prop_assert_eq!(limits.len(), 0);
    }
}
