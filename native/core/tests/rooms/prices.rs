//! What a model costs: which price holds, and that no request costs less than it should.

use penstock_core::{
    dialects::usage::{Tier, Usage},
    snapshot::{Cost, Factors, Price, Rates, Snapshot, Step, WHOLE},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::document::{decode, minimal, price, provider};

fn priced(prices: &[(&str, u64)]) -> Value {
    let mut document = minimal();
    document["providers"] = json!([provider("paid", 1), provider("free", 2)]);
    document["providers"][1]["free"] = json!(true);
    let prices: Vec<Value> = prices.iter().map(|(pattern, n)| price(None, pattern, *n, 0)).collect();
    document["prices"] = json!(prices);
    document
}

/// What a million tokens of the prompt cost at a provider.
fn input(snapshot: &Snapshot, provider: usize, model: &str) -> Option<u64> {
    match snapshot.price(provider, model) {
        Cost::Priced(id) => Some(snapshot.prices.get(id).about(1_000_000, 0, Tier::Standard)),
        Cost::Free | Cost::Unknown => None,
    }
}

/// Rates that do not differ by kind.
fn plain(input: u64, output: u64) -> Rates {
    Rates {
        input,
        cached_input: input,
        cache_write: input,
        cache_write_1h: input,
        audio_input: input,
        image_input: input,
        output,
        audio_output: output,
        image_output: output,
        reasoning: output,
        audio_second: 0,
        input_character: 0,
    }
}

fn simple(input: u64, output: u64) -> Price {
    Price::new(plain(input, output), Vec::new(), Factors::default())
}

#[test]
fn the_exact_name_wins_then_the_longest_literal_beginning_then_the_longest_pattern() {
    let given = [("*", 1), ("gpt-*", 2), ("*-very-long-ending", 3), ("gpt-*-mini", 4), ("gpt-5*", 5), ("gpt-5", 6)];
    for turn in 0..given.len() {
        let mut order = given;
        order.rotate_left(turn);
        let snapshot = decode(&priced(&order)).unwrap();
        for (model, found) in [
            ("gpt-5", 6),
            ("gpt-5-2025-08-07", 6),
            ("gpt-5-mini", 5),
            ("gpt-4-mini", 4),
            ("gpt-4", 2),
            ("qwen-very-long-ending", 3),
            ("qwen", 1),
            ("", 1),
        ] {
            assert_eq!(input(&snapshot, 0, model), Some(found), "{model} at turn {turn}");
        }
    }
}

#[test]
fn a_model_without_a_price_is_unknown_and_a_free_provider_costs_nothing() {
    let snapshot = decode(&priced(&[("gpt-5", 7)])).unwrap();
    assert_eq!(snapshot.price(0, "gpt-4"), Cost::Unknown);
    assert_eq!(input(&snapshot, 0, "gpt-5"), Some(7));
    assert_eq!((snapshot.price(1, "gpt-4"), snapshot.price(1, "gpt-5")), (Cost::Free, Cost::Free));
}

#[test]
fn what_is_configured_goes_before_the_list_of_the_providers_kind() {
    let mut document = priced(&[("gpt-5*", 1)]);
    document["providers"][0]["kind"] = json!("openai");
    document["prices"] = json!([
        price(None, "gpt-5*", 1, 0),
        price(Some("openai"), "gpt-5-mini", 2, 0),
        price(Some("openai"), "gpt-4o", 3, 0),
        price(Some("anthropic"), "claude", 4, 0),
    ]);
    let snapshot = decode(&document).unwrap();
    assert_eq!(input(&snapshot, 0, "gpt-5-mini"), Some(1), "configured, though by a pattern");
    assert_eq!(input(&snapshot, 0, "gpt-4o-2024-08-06"), Some(3));
    assert_eq!(input(&snapshot, 0, "claude"), None, "of another kind");
    document["providers"][0]["kind"] = Value::Null;
    assert_eq!(input(&decode(&document).unwrap(), 0, "gpt-4o"), None);
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
    let cost = |price: &Price, prompt, answer| price.about(prompt, answer, Tier::Standard);
    let usual = simple(1_250_000_000, 10_000_000_000);
    assert_eq!(cost(&usual, 1_000_000, 1_000_000), 11_250_000_000, "1.25 and 10 usd");
    assert_eq!(cost(&usual, 1, 0), 1250);
    assert_eq!(cost(&simple(1, 1), 1, 0), 1);
    assert_eq!(cost(&simple(1, 1), 500_000, 500_001), 2);
    assert_eq!(cost(&simple(1, 0), 0, u64::MAX), 0);
    assert_eq!(cost(&simple(u64::MAX, u64::MAX), u64::MAX, u64::MAX), u64::MAX);
}

#[test]
fn each_kind_of_token_has_its_rate_and_counts_once() {
    let rates = Rates {
        input: 1,
        cached_input: 10,
        cache_write: 100,
        cache_write_1h: 1_000,
        audio_input: 10_000,
        image_input: 100_000,
        output: 1_000_000,
        audio_output: 10_000_000,
        image_output: 100_000_000,
        reasoning: 1_000_000_000,
        audio_second: 10_000_000_000,
        input_character: 1_000_000_000_000,
    };
    let price = Price::new(rates, Vec::new(), Factors::default());
    let million = 1_000_000;
    let usage = Usage {
        prompt_tokens: 9 * million,
        cached_tokens: 2 * million,
        cache_write_tokens: 3 * million,
        cache_write_1h_tokens: million,
        audio_tokens: 2 * million,
        audio_output_tokens: million,
        image_tokens: 3 * million,
        image_output_tokens: million,
        completion_tokens: 5 * million,
        reasoning_tokens: million,
        audio_seconds: 2 * million,
        input_characters: 3 * million,
        longest_prompt_tokens: 0,
        has_other_model: false,
        is_waived: false,
        tier: None,
    };
    assert_eq!(price.cost(&usage, Tier::Standard), Some(3_021_112_211_221));
    let overlapping = Usage { cached_tokens: 9 * million, audio_tokens: 9 * million, ..usage };
    let cost = price.cost(&overlapping, Tier::Standard).unwrap();
    assert_eq!(cost % million, 90, "no token of the prompt is paid for twice");
}

#[test]
fn a_long_prompt_is_dearer_as_a_whole_and_a_tier_has_its_factor() {
    let steps = vec![Step { above: 100, rates: plain(2, 4) }, Step { above: 1_000, rates: plain(8, 16) }];
    let factors =
        Factors { batch: WHOLE / 2, flex: WHOLE / 4, priority: 2 * WHOLE, ultrafast: 6 * WHOLE, fast: Some(3 * WHOLE) };
    let price = Price::new(plain(1, 1), steps, factors);
    let of = |prompt: u64, tier| price.about(prompt * 1_000_000, 1_000_000, tier);
    assert_eq!(of(0, Tier::Standard), 1);
    let small = |prompt| price.about(prompt, 1_000_000_000_000, Tier::Standard);
    assert_eq!([100, 101, 1_000, 1_001].map(small), [1_000_001, 4_000_001, 4_000_001, 16_000_001]);
    assert_eq!(of(1, Tier::Standard), 24);
    let tiers = [Tier::Batch, Tier::Flex, Tier::Priority, Tier::Ultrafast, Tier::Fast];
    assert_eq!(tiers.map(|tier| of(1, tier)), [12, 6, 48, 144, 72]);
    let summed = |longest| Usage { prompt_tokens: 1_000_000, longest_prompt_tokens: longest, ..Usage::default() };
    let costs = [0, 100, 101, 1_001].map(|longest| price.cost(&summed(longest), Tier::Standard));
    assert_eq!(costs, [8, 1, 2, 8].map(Some), "of several prompts the longest decides");
    let stated = Usage { prompt_tokens: 1_000_000, tier: Some(Tier::Flex), ..Usage::default() };
    assert_eq!(price.cost(&stated, Tier::Standard), Some(2), "the answer's word goes before the request's");
}

#[test]
fn what_nobody_knows_the_price_of_has_none() {
    let price = simple(1, 1);
    let usage = Usage { prompt_tokens: 1, ..Usage::default() };
    let stated = Usage { tier: Some(Tier::Fast), ..usage };
    assert_eq!(price.cost(&stated, Tier::Standard), None, "fast mode, and the price says nothing of it");
    assert_eq!(price.cost(&stated, Tier::Fast), None);
    assert_eq!(price.cost(&usage, Tier::Fast), Some(1), "it was asked for, and nobody says that it was given");
    assert_eq!((price.about(1, 0, Tier::Fast), price.at_most(1, 0, Tier::Fast)), (1, 1));
    assert_eq!(price.cost(&Usage { tier: Some(Tier::Standard), ..usage }, Tier::Fast), Some(1));
    assert!(!price.knows(Tier::Fast) && price.knows(Tier::Batch));
    let by = |audio_second, input_character| {
        Price::new(Rates { audio_second, input_character, ..plain(0, 0) }, Vec::new(), Factors::default())
    };
    let cost = |price: &Price, audio_seconds, input_characters| {
        price.cost(&Usage { audio_seconds, input_characters, ..usage }, Tier::Standard)
    };
    assert_eq!(cost(&by(7_000_000, 0), 0, 0), None, "paid by the second, and nobody says how many");
    assert_eq!(cost(&by(7_000_000, 0), 3, 0), Some(21));
    assert_eq!(cost(&by(0, 7_000_000), 0, 0), None, "the same by characters");
    assert_eq!(cost(&by(0, 7_000_000), 0, 2), Some(14));
    let measured = Usage { audio_seconds: 3, input_characters: 2, ..usage };
    assert_eq!(by(1_000_000, 7_000_000).measured(&measured, Tier::Standard), 17);
    assert_eq!(by(1_000_000, 7_000_000).measured(&measured, Tier::Fast), 17);
    assert_eq!(cost(&by(0, 0), 0, 0), Some(0), "what costs nothing costs nothing");
    let both = Price::new(Rates { audio_second: 7_000_000, ..plain(1, 0) }, Vec::new(), Factors::default());
    assert_eq!(cost(&both, 0, 0), Some(1), "tokens are paid for too");
}

/// Amounts of any size.
fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 0..1_u64 << 20, 0..1_u64 << 50]
}

proptest! {
    #[test]
    fn a_cost_is_the_exact_one_or_less_than_a_nano_dollar_above(
        input in 0..1_u64 << 50, output in 0..1_u64 << 50, read in 0..1_u64 << 20, written in 0..1_u64 << 20,
    ) {
        let exact = u128::from(input) * u128::from(read) + u128::from(output) * u128::from(written);
        let cost = u128::from(simple(input, output).about(read, written, Tier::Standard)) * 1_000_000;
        prop_assert!(cost >= exact && cost - exact < 1_000_000 || cost / 1_000_000 == u128::from(u64::MAX));
    }

    #[test]
    fn no_usage_costs_more_than_the_most_that_is_reserved_for_so_many_tokens(
        rates in proptest::array::uniform10(amount()), more in proptest::array::uniform10(amount()),
        tokens in proptest::array::uniform10(amount()), above in 1..1_u64 << 20,
    ) {
        let of = |r: [u64; 10]| Rates {
            input: r[0], cached_input: r[1], cache_write: r[2], cache_write_1h: r[3], audio_input: r[4],
            image_input: r[5], output: r[6], audio_output: r[7], image_output: r[8], reasoning: r[9], audio_second: 0,
            input_character: 0,
        };
        let price = Price::new(of(rates), vec![Step { above, rates: of(more) }], Factors::default());
        let usage = Usage {
            prompt_tokens: tokens[0], completion_tokens: tokens[1], cached_tokens: tokens[2],
            cache_write_tokens: tokens[3], cache_write_1h_tokens: tokens[4], reasoning_tokens: tokens[5],
            audio_tokens: tokens[6], audio_output_tokens: tokens[7], image_tokens: tokens[8],
            image_output_tokens: tokens[9], ..Usage::default()
        };
        let most = price.at_most(usage.prompt_tokens, usage.completion_tokens, Tier::Standard);
        prop_assert!(price.cost(&usage, Tier::Standard) <= Some(most));
    }
}
