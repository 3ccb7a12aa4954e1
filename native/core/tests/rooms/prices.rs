//! What a model costs: which price holds, and that no request costs less than it should.

use penstock_core::snapshot::{Cost, Price};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::document::{decode, minimal, provider};

fn priced(prices: &[(&str, u64)]) -> Value {
    let mut document = minimal();
    document["providers"] = json!([provider("paid", 1), provider("free", 2)]);
    document["providers"][1]["free"] = json!(true);
    let prices: Vec<Value> =
        prices.iter().map(|(pattern, n)| json!({"pattern": pattern, "input": n, "output": 0})).collect();
    document["prices"] = json!(prices);
    document
}

#[test]
fn the_exact_name_wins_then_the_longest_literal_beginning_then_the_longest_pattern() {
    let given = [("*", 1), ("gpt-*", 2), ("*-very-long-ending", 3), ("gpt-*-mini", 4), ("gpt-5*", 5), ("gpt-5", 6)];
    for turn in 0..given.len() {
        let mut order = given;
        order.rotate_left(turn);
        let prices = decode(&priced(&order)).unwrap().prices;
        for (model, found) in [
            ("gpt-5", 6),
            ("gpt-5-mini", 5),
            ("gpt-4-mini", 4),
            ("gpt-4", 2),
            ("qwen-very-long-ending", 3),
            ("qwen", 1),
            ("", 1),
        ] {
            assert_eq!(prices.of(model).map(|p| p.input), Some(found), "{model} at turn {turn}");
        }
    }
}

#[test]
fn a_model_without_a_price_is_unknown_and_a_free_provider_costs_nothing() {
    let snapshot = decode(&priced(&[("gpt-5", 7)])).unwrap();
    assert_eq!(snapshot.prices.of("gpt-4"), None);
    assert_eq!(snapshot.price(0, "gpt-4"), Cost::Unknown);
    assert_eq!(snapshot.price(0, "gpt-5"), Cost::Priced(Price { input: 7, output: 0 }));
    assert_eq!((snapshot.price(1, "gpt-4"), snapshot.price(1, "gpt-5")), (Cost::Free, Cost::Free));
}

#[test]
fn a_price_that_stands_twice_is_refused_by_name() {
    for twice in ["gpt-5", "gpt-5*"] {
        let error = decode(&priced(&[(twice, 1), ("other", 2), (twice, 3)])).expect_err("must be refused");
        assert!(error.contains(twice) && error.contains("twice"), "{error}");
    }
}

#[test]
fn a_cost_is_rounded_up_to_the_nano_dollar_and_never_overflows() {
    let usual = Price { input: 1_250_000_000, output: 10_000_000_000 };
    assert_eq!(usual.cost(1_000_000, 1_000_000), 11_250_000_000, "1.25 and 10 usd");
    assert_eq!(usual.cost(1, 0), 1250);
    assert_eq!(Price { input: 1, output: 1 }.cost(1, 0), 1);
    assert_eq!(Price { input: 1, output: 1 }.cost(500_000, 500_001), 2);
    assert_eq!(Price { input: 1, output: 0 }.cost(0, u64::MAX), 0);
    assert_eq!(Price { input: u64::MAX, output: u64::MAX }.cost(u64::MAX, u64::MAX), u64::MAX);
}

proptest! {
    #[test]
    fn a_cost_is_the_exact_one_or_less_than_a_nano_dollar_above(
        input in 0..1_u64 << 50, output in 0..1_u64 << 50, read in 0..1_u64 << 20, written in 0..1_u64 << 20,
    ) {
        let exact = u128::from(input) * u128::from(read) + u128::from(output) * u128::from(written);
        let cost = u128::from(Price { input, output }.cost(read, written)) * 1_000_000;
        prop_assert!(cost >= exact && cost - exact < 1_000_000 || cost / 1_000_000 == u128::from(u64::MAX));
    }
}
