//! Who is admitted, who is refused and why, by several limits of several scopes.

use penstock_core::limits::{Kind, Layered, Left, Limits, Need, Refused, Reserve, Scope, Span, Standing, Used};
use serde_json::json;

use crate::made::{SECOND, START_US, admit, ask, clock_at, layered, need, now, policy, set, used};

const ONE: Need = Need { requests: 1, tokens: 0, nanousd: 0 };

fn refused(limits: &Limits, scope: Scope<'_>, written: &serde_json::Value, wanted: Need) -> Refused {
    let (clock, _) = clock_at(START_US);
    admit(limits, &[ask(scope, &policy(written.clone()), wanted)], &clock).unwrap_err()
}

#[test]
fn a_refused_request_consumes_nothing_anywhere() {
    let (limits, (clock, _)) = (Limits::new(), clock_at(START_US));
    let wide = policy(json!({"requests": [{"amount": 9, "window_us": SECOND}], "concurrent": [{"amount": 9}]}));
    let narrow = policy(json!({"requests": [{"amount": 1, "window_us": SECOND}]}));
    let scopes = [Scope::Key("k"), Scope::Team("t"), Scope::Model("m"), Scope::Provider("p"), Scope::Global];
    for last in 0..scopes.len() {
        let limits = Limits::new();
        let asks: Vec<_> =
            (0..scopes.len()).map(|at| ask(scopes[at], if at == last { &narrow } else { &wide }, ONE)).collect();
        let first = admit(&limits, &asks, &clock).unwrap();
        let refused = admit(&limits, &asks, &clock).unwrap_err();
        assert_eq!((refused.kind, refused.scope.kind_name()), (Kind::Requests, scopes[last].kind_name()));
        for scope in scopes {
            assert_eq!(used(&limits, scope, &wide, Kind::Requests, &clock), 1, "{scope:?}");
        }
        drop(first);
        for scope in scopes {
            assert_eq!(used(&limits, scope, &wide, Kind::Requests, &clock), 0, "{scope:?}");
            assert_eq!(used(&limits, scope, &wide, Kind::Concurrent, &clock), 0, "{scope:?}");
        }
    }
    assert_eq!(limits.len(), 0);
}

#[test]
fn the_limit_that_refuses_the_longest_is_named_and_one_that_can_never_be_met_before_all() {
    let (limits, (clock, _)) = (Limits::new(), clock_at(START_US));
    let key =
        policy(json!({"requests": [{"amount": 1, "window_us": SECOND}, {"amount": 1, "window_us": 60 * SECOND}]}));
    let team = policy(json!({"tokens": [{"amount": 10, "window_us": 7 * SECOND}]}));
    let wanted = need(1, 6, 0);
    let asks = [ask(Scope::Key("k"), &key, wanted), ask(Scope::Team("eleven"), &team, wanted)];
    let _held = admit(&limits, &asks, &clock).unwrap();
    let refused = admit(&limits, &asks, &clock).unwrap_err();
    assert_eq!((refused.kind, refused.span, refused.amount), (Kind::Requests, Span::Window(60 * SECOND), 1));
    assert_eq!((refused.scope.kind_name(), refused.scope.name()), ("key", "k"));
    // The sub-bucket, a second long, began at a whole second.
    assert_eq!((refused.retry_after_us, refused.exceeds), (61 * SECOND, false));

    let larger = need(1, 11, 0);
    let asks = [ask(Scope::Key("k"), &key, larger), ask(Scope::Team("eleven"), &team, larger)];
    let refused = admit(&limits, &asks, &clock).unwrap_err();
    assert_eq!((refused.kind, refused.need, refused.exceeds, refused.retry_after_us), (Kind::Tokens, 11, true, 0));
    assert_eq!((refused.scope.kind_name(), refused.scope.name()), ("team", "eleven"));
}

#[test]
fn limits_of_0_and_1_mean_none_and_one() {
    let limits = Limits::new();
    let window = |kind: &str, amount: u64| json!({kind: [{"amount": amount, "window_us": SECOND}]});
    for (kind, wanted) in [("requests", need(1, 0, 0)), ("tokens", need(1, 1, 0)), ("budget", need(1, 0, 1))] {
        assert!(refused(&limits, Scope::Key(kind), &window(kind, 0), wanted).exceeds);
        let (clock, _) = clock_at(START_US);
        let one = policy(window(kind, 1));
        let _held = admit(&limits, &[ask(Scope::Model(kind), &one, wanted)], &clock).unwrap();
        assert!(!refused(&limits, Scope::Model(kind), &window(kind, 1), wanted).exceeds);
    }
    // Without slots none comes free: to wait for one is no use, whatever the queue.
    let refused = refused(&limits, Scope::Global, &json!({"concurrent": [{"amount": 0, "queue_us": SECOND}]}), ONE);
    assert_eq!((refused.kind, refused.span, refused.retry_after_us), (Kind::Concurrent, Span::AtOnce, 60 * SECOND));
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(u64::MAX));
    for window_us in [1, SECOND, u64::MAX] {
        let scope = Scope::Key(if window_us == SECOND { "a" } else { "b" });
        let most = policy(json!({
            "tokens": [{"amount": u64::MAX, "window_us": window_us}], "budget": [{"amount": u64::MAX, "period": "month"}],
        }));
        let all = admit(&limits, &[ask(scope, &most, need(1, u64::MAX, u64::MAX))], &clock).unwrap();
        assert!(!admit(&limits, &[ask(scope, &most, need(1, 1, 0))], &clock).unwrap_err().exceeds);
        let free = admit(&limits, &[ask(scope, &most, need(1, 0, 0))], &clock).unwrap();
        free.settle(Used { tokens: u64::MAX, nanousd: u64::MAX }, now(&clock));
        assert_eq!(used(&limits, scope, &most, Kind::Tokens, &clock), u64::MAX);
        all.settle(Used { tokens: 0, nanousd: 0 }, now(&clock));
        limits.reset(scope);
        assert_eq!(used(&limits, scope, &most, Kind::Budget, &clock), 0);
    }
    set(&hand, 0);
    limits.sweep(&clock);
}

#[test]
fn a_kind_of_its_own_stands_in_the_place_of_the_default_and_none_lifts_it() {
    let rate = |amount: u64| json!([{"amount": amount, "window_us": SECOND}]);
    let own = policy(json!({"requests": rate(7), "tokens": [], "concurrent": []}));
    let default = policy(json!({
        "requests": rate(1), "tokens": rate(1), "budget": rate(1), "concurrent": [{"amount": 1}], "reserve": "cap",
    }));
    let both = Layered { own: Some(&own), default: Some(&default) };
    assert_eq!(both.rates(Kind::Requests)[0].amount, 7);
    assert_eq!(both.rates(Kind::Budget)[0].amount, 1);
    assert_eq!((both.limits_tokens(), both.limits_budget(), both.slots()), (false, true, None));
    assert_eq!((both.reserve(), layered(&own).reserve()), (Reserve::Cap, Reserve::Expected));
    let lifted = policy(json!({"requests": [], "tokens": [], "budget": [], "concurrent": []}));
    assert!(!both.is_empty() && Layered::default().is_empty());
    assert!(Layered { own: Some(&lifted), default: Some(&default) }.is_empty());

    let (limits, (clock, _)) = (Limits::new(), clock_at(START_US));
    let held = admit(&limits, &[ask(Scope::Key("k"), &lifted, need(1, 1, 1))], &clock).unwrap();
    assert_eq!((limits.len(), held.standing()), (0, Standing::default()));
}

#[test]
fn counts_stay_when_amounts_change_and_belong_to_kind_and_span() {
    let (limits, (clock, _)) = (Limits::new(), clock_at(START_US));
    let of = |amount: u64, window_us: u64| policy(json!({"requests": [{"amount": amount, "window_us": window_us}]}));
    let mut held = admit(&limits, &[ask(Scope::Global, &of(5, SECOND), need(5, 0, 0))], &clock).unwrap();
    held.keep_requests();
    assert!(admit(&limits, &[ask(Scope::Global, &of(5, SECOND), ONE)], &clock).is_err());
    let _sixth = admit(&limits, &[ask(Scope::Global, &of(6, SECOND), ONE)], &clock).unwrap();
    assert!(admit(&limits, &[ask(Scope::Global, &of(3, SECOND), ONE)], &clock).is_err());
    let _other = admit(&limits, &[ask(Scope::Global, &of(1, 2 * SECOND), ONE)], &clock).unwrap();
    // However often limits are changed.
    for n in 3..300 {
        let _held = admit(&limits, &[ask(Scope::Global, &of(1, n * SECOND), ONE)], &clock).unwrap();
        assert!(admit(&limits, &[ask(Scope::Global, &of(1, n * SECOND), ONE)], &clock).is_err());
    }
}

#[test]
fn of_a_cell_that_is_always_held_no_count_is_lost_however_often_its_limits_change() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(START_US));
    let of = |window_us: u64| {
        let window = |amount: u64| json!([{"amount": amount, "window_us": window_us}]);
        let day = json!([{"amount": 3, "period": "day"}]);
        policy(json!({"requests": window(1), "tokens": window(9), "budget": day}))
    };
    // In flight all the time, and of a limit that is changed soon.
    let held = admit(&limits, &[ask(Scope::Global, &of(SECOND), need(1, 5, 1))], &clock).unwrap();
    for n in 1..200 {
        set(&hand, START_US + n * SECOND);
        let policy = of(1_000 * SECOND + n);
        let asks = [ask(Scope::Global, &policy, need(1, 5, 0))];
        admit(&limits, &asks, &clock).unwrap().settle(Used { tokens: 5, nanousd: 0 }, now(&clock));
        limits.sweep(&clock);
        assert!(admit(&limits, &asks, &clock).is_err(), "{n}");
        assert_eq!(used(&limits, Scope::Global, &policy, Kind::Tokens, &clock), 5);
        assert_eq!(used(&limits, Scope::Global, &policy, Kind::Budget, &clock), 1, "{n}");
    }
    let last = of(1_000 * SECOND + 199);
    // Its own counters are no more, but for that of the day.
    held.settle(Used { tokens: 0, nanousd: 3 }, now(&clock));
    assert_eq!(used(&limits, Scope::Global, &last, Kind::Tokens, &clock), 5);
    assert_eq!(used(&limits, Scope::Global, &last, Kind::Requests, &clock), 1);
    assert_eq!(used(&limits, Scope::Global, &last, Kind::Budget, &clock), 3);
}

#[test]
fn the_standing_is_that_of_the_tightest_limit_of_each_kind() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(START_US));
    let key = policy(json!({
        "requests": [{"amount": 100, "window_us": SECOND}, {"amount": 10, "window_us": 60 * SECOND}],
        "tokens": [{"amount": 1000, "period": "day"}],
    }));
    let team = policy(
        json!({"requests": [{"amount": 4, "window_us": 60 * SECOND}], "budget": [{"amount": 1, "period": "day"}]}),
    );
    let wanted = need(1, 400, 0);
    let asks = [ask(Scope::Key("k"), &key, wanted), ask(Scope::Team("t"), &team, wanted)];
    let held = admit(&limits, &asks, &clock).unwrap();
    let day_us = 86_400 * SECOND;
    let tokens = Left { limit: 1000, remaining: 600, reset_us: day_us - START_US % day_us };
    let requests = Left { limit: 4, remaining: 3, reset_us: 61 * SECOND };
    assert_eq!(held.standing(), Standing { requests: Some(requests), tokens: Some(tokens) });
    held.settle(Used { tokens: 900, nanousd: 0 }, now(&clock));
    set(&hand, START_US + 30 * SECOND);
    let refused = admit(&limits, &asks, &clock).unwrap_err();
    let tokens = Left { limit: 1000, remaining: 100, reset_us: tokens.reset_us - 30 * SECOND };
    let requests = Left { limit: 4, remaining: 3, reset_us: 31 * SECOND };
    assert_eq!(refused.standing, Standing { requests: Some(requests), tokens: Some(tokens) });
    let looser = Left { limit: 2, remaining: 2, reset_us: 1 };
    let other = Standing { requests: Some(looser), tokens: None };
    assert_eq!(other.tighter(refused.standing), refused.standing);
    assert_eq!(refused.standing.tighter(other), refused.standing);
}

#[test]
fn a_reset_zeroes_counts_and_leaves_slots_and_what_was_in_flight_is_not_counted_again() {
    let (limits, (clock, _)) = (Limits::new(), clock_at(START_US));
    let written = policy(json!({"tokens": [{"amount": 10, "window_us": SECOND}], "concurrent": [{"amount": 2}]}));
    assert!(!limits.reset(Scope::Key("k")));
    let asks = [ask(Scope::Key("k"), &written, need(1, 10, 0))];
    let before = admit(&limits, &asks, &clock).unwrap();
    assert!(limits.reset(Scope::Key("k")));
    assert_eq!(used(&limits, Scope::Key("k"), &written, Kind::Concurrent, &clock), 1);
    let after = admit(&limits, &asks, &clock).unwrap();
    before.settle(Used { tokens: 3, nanousd: 0 }, now(&clock));
    assert_eq!(used(&limits, Scope::Key("k"), &written, Kind::Tokens, &clock), 10);
    assert_eq!(used(&limits, Scope::Key("k"), &written, Kind::Concurrent, &clock), 1);
    drop(after);
    assert_eq!(used(&limits, Scope::Key("k"), &written, Kind::Tokens, &clock), 0);
}

#[test]
fn cells_that_say_nothing_are_dropped_and_those_that_do_are_kept() {
    let (limits, (clock, hand)) = (Limits::new(), clock_at(START_US));
    let written = policy(json!({"requests": [{"amount": 10, "window_us": SECOND}]}));
    let slots = policy(json!({"concurrent": [{"amount": 1}]}));
    let names: Vec<_> = (0..10_000).map(|n| n.to_string()).collect();
    for name in &names {
        admit(&limits, &[ask(Scope::Key(name), &written, ONE)], &clock).unwrap().keep_requests();
    }
    let held = admit(&limits, &[ask(Scope::Global, &slots, ONE)], &clock).unwrap();
    let sweep = || (0..256).for_each(|_| limits.sweep(&clock));
    sweep();
    assert_eq!(limits.len(), 10_001);
    set(&hand, START_US + 2 * SECOND);
    sweep();
    assert_eq!(limits.len(), 1);
    drop(held);
    sweep();
    assert!(limits.is_empty());
}

#[test]
fn answers_of_a_key_and_model_are_learned_by_an_eighth_and_the_oldest_of_nine_models_goes() {
    let limits = Limits::new();
    let (key, other) = (Scope::Key("k"), Scope::Key("other"));
    assert_eq!(limits.habit(key, "m").tokens(), None);
    limits.learn(limits.habit(key, "m"), 800);
    assert_eq!(limits.habit(key, "m").tokens(), Some(800));
    limits.learn(limits.habit(key, "m"), 0);
    assert_eq!(limits.habit(key, "m").tokens(), Some(700));
    limits.learn(limits.habit(other, "m"), 700);
    limits.learn(limits.habit(other, "m"), 15_000);
    assert_eq!(limits.habit(key, "m").tokens(), Some(700));
    assert_eq!(limits.habit(Scope::Key("new"), "m").tokens(), Some(813), "what the model answers to all");
    for n in 0..8 {
        limits.learn(limits.habit(key, &format!("m{n}")), 1);
    }
    assert_eq!(limits.habit(key, "m").tokens(), Some(813));
    limits.learn(limits.habit(key, "m"), u64::MAX);
    assert!(limits.habit(key, "m").tokens().is_some_and(|tokens| tokens > 1 << 40));
}

#[test]
fn no_key_drags_along_what_others_are_expected_to_be_answered() {
    let limits = Limits::new();
    let names = (0..50).map(|n| format!("k{n}")).collect::<Vec<_>>();
    names.iter().for_each(|name| limits.learn(limits.habit(Scope::Key(name), "m"), 100));
    for _ in 0..5 {
        limits.learn(limits.habit(Scope::Key("loud"), "m"), 0);
    }
    let expected = limits.habit(Scope::Key("new"), "m").tokens().unwrap();
    assert!((80..=100).contains(&expected), "{expected}");
}
