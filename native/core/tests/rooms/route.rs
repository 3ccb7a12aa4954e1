//! From names to targets: which rule wins, in which order targets are tried, which names are alike.

use std::{cell::Cell, collections::HashMap};

use fastrand::Rng;
use penstock_core::{
    route::{Attempt, Model, Route, Routes, Target, matches, order, similar},
    snapshot::Provider,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::document::{decode, minimal, provider};

fn target(provider: usize, weight: u32) -> Target {
    Target { provider, model: None, weight }
}

fn configured(name: &str, targets: Vec<Target>, fallback: Vec<Target>) -> Model {
    Model { name: name.to_owned(), targets, fallback, ..Model::default() }
}

/// Providers `p0`, `p1`, …
fn providers(n: usize) -> Vec<Provider> {
    let mut document = minimal();
    document["providers"] = (0..n).map(|i| provider(&format!("p{i}"), 1)).collect::<Vec<Value>>().into();
    decode(&document).unwrap().providers
}

fn model(targets: Vec<Target>, fallback: Vec<Target>) -> Routes {
    let mut routes = Routes::default();
    routes.add(configured("m", targets, fallback));
    routes
}

/// The providers tried for the model `m`, in order.
fn tried(routes: &Routes, rng: &mut Rng, serves: &[usize], down: &[usize]) -> Vec<usize> {
    let route = routes.find(&[], "m").unwrap();
    let attempts = order(&route, "m", rng, |p| serves.contains(&p), |p| down.contains(&p));
    attempts.iter().map(|a| a.provider).collect()
}

/// What a name leads to, as text: the configured model, or `=provider:model`.
fn lead(routes: &Routes, providers: &[Provider], name: &str) -> String {
    match routes.find(providers, name) {
        None => "nothing".into(),
        Some(Route::Model(m)) => m.name.clone(),
        Some(Route::Direct { provider, model }) => format!("={provider}:{model}"),
    }
}

#[test]
fn an_exact_name_wins_over_a_provider_a_wildcard_and_a_pattern() {
    let providers = providers(3);
    let mut routes = Routes::default();
    routes.add_pattern("p1/gpt*", 2);
    routes.add_pattern("gpt-*", 2);
    routes.add(configured("*", vec![target(0, 1)], vec![]));
    routes.add(configured("gpt-*", vec![target(0, 1)], vec![]));
    routes.add(configured("p1/gpt-5", vec![target(0, 1)], vec![]));
    assert_eq!(lead(&routes, &providers, "p1/gpt-5"), "p1/gpt-5", "exact");
    assert_eq!(lead(&routes, &providers, "p1/gpt-4"), "=1:gpt-4", "provider/rest before wildcards");
    assert_eq!(lead(&routes, &providers, "gpt-4"), "gpt-*", "longest wildcard before patterns");
    assert_eq!(lead(&routes, &providers, "claude"), "*");
    assert_eq!(lead(&routes, &providers, "p9/gpt-4"), "*", "an unknown provider is no provider");
    assert_eq!(lead(&routes, &providers, "p1/"), "*", "a provider without a model is a name like any other");
    assert_eq!(lead(&routes, &providers, "p1"), "*");
}

#[test]
fn only_the_first_slash_separates_provider_and_model() {
    let routes = Routes::default();
    assert_eq!(lead(&routes, &providers(1), "p0/meta/llama-4"), "=0:meta/llama-4");
    assert_eq!(lead(&routes, &providers(1), "p0//x"), "=0:/x");
    assert_eq!(lead(&routes, &providers(1), "/p0/x"), "nothing");
    assert_eq!(lead(&routes, &providers(1), "P0/x"), "nothing");
}

#[test]
fn the_longest_wildcard_wins_in_whatever_order_they_were_added() {
    for names in [["*", "gpt-*", "gpt-5*"], ["gpt-5*", "gpt-*", "*"], ["gpt-*", "*", "gpt-5*"]] {
        let mut routes = Routes::default();
        for name in names {
            routes.add(configured(name, vec![target(0, 1)], vec![]));
        }
        assert_eq!(lead(&routes, &[], "gpt-5-mini"), "gpt-5*");
        assert_eq!(lead(&routes, &[], "gpt-4"), "gpt-*");
        assert_eq!(lead(&routes, &[], "o3"), "*");
    }
}

#[test]
fn patterns_of_the_catalogue_come_last_and_the_longest_first() {
    let mut routes = Routes::default();
    routes.add_pattern("gpt-*", 0);
    routes.add_pattern("gpt-oss-*", 1);
    assert_eq!(lead(&routes, &[], "gpt-oss-20b"), "=1:gpt-oss-20b");
    assert_eq!(lead(&routes, &[], "gpt-5"), "=0:gpt-5");
    assert_eq!(lead(&routes, &[], "claude"), "nothing");
}

#[test]
fn a_wildcard_target_without_a_model_is_asked_for_the_name_as_it_came() {
    let mut routes = Routes::default();
    let named = Target { provider: 1, model: Some("fixed".into()), weight: 0 };
    routes.add(configured("gpt-*", vec![target(0, 1)], vec![named]));
    let route = routes.find(&[], "gpt-9").unwrap();
    let attempts = order(&route, "gpt-9", &mut Rng::with_seed(1), |_| true, |_| false);
    assert_eq!(attempts, [Attempt::new(0, "gpt-9"), Attempt::new(1, "fixed")]);
}

/// Chi-square of counts against expected shares.
fn chi_square(counts: &[u32], shares: &[f64]) -> f64 {
    let total: f64 = counts.iter().map(|c| f64::from(*c)).sum();
    counts.iter().zip(shares).map(|(c, share)| (f64::from(*c) - total * share).powi(2) / (total * share)).sum()
}

#[test]
fn the_first_choice_is_in_proportion_to_the_weights() {
    let weights = [9, 1, 5, 5];
    let routes = model(weights.iter().enumerate().map(|(i, w)| target(i, *w)).collect(), vec![]);
    let mut rng = Rng::with_seed(11);
    let mut first = [0; 4];
    for _ in 0..40_000 {
        first[tried(&routes, &mut rng, &[0, 1, 2, 3], &[])[0]] += 1;
    }
    let statistic = chi_square(&first, &[0.45, 0.05, 0.25, 0.25]);
    assert!(statistic < 16.27, "3 degrees of freedom, p = 0.001: {statistic} for {first:?}");
}

#[test]
fn the_second_choice_is_in_proportion_among_those_that_are_left() {
    let routes = model(vec![target(0, 6), target(1, 3), target(2, 1)], vec![]);
    let mut rng = Rng::with_seed(12);
    let mut second = HashMap::<usize, [u32; 3]>::new();
    for _ in 0..60_000 {
        let order = tried(&routes, &mut rng, &[0, 1, 2], &[]);
        second.entry(order[0]).or_default()[order[1]] += 1;
    }
    for (first, [a, b], shares) in [(0, [1, 2], [0.75, 0.25]), (1, [0, 2], [6.0 / 7.0, 1.0 / 7.0])] {
        let counts = [second[&first][a], second[&first][b]];
        let statistic = chi_square(&counts, &shares);
        assert!(statistic < 10.83, "1 degree of freedom, p = 0.001: {statistic} for {counts:?} after {first}");
    }
}

#[test]
fn the_choice_among_targets_of_one_dialect_keeps_their_proportion() {
    let routes = model(vec![target(0, 1), target(1, 98), target(2, 3)], vec![]);
    let mut rng = Rng::with_seed(13);
    let mut first = [0; 2];
    for _ in 0..20_000 {
        first[usize::from(tried(&routes, &mut rng, &[0, 2], &[])[0] == 2)] += 1;
    }
    let statistic = chi_square(&first, &[0.25, 0.75]);
    assert!(statistic < 10.83, "{statistic} for {first:?}");
}

#[test]
fn a_target_of_weight_zero_is_tried_only_after_those_with_weight() {
    let routes = model(vec![target(0, 0), target(1, 1), target(2, 0), target(3, 5)], vec![]);
    let mut rng = Rng::with_seed(14);
    for _ in 0..1_000 {
        let order = tried(&routes, &mut rng, &[0, 1, 2, 3], &[]);
        assert!(order[..2].iter().all(|p| [1, 3].contains(p)), "{order:?}");
    }
    let none = model(vec![target(0, 0), target(1, 0)], vec![]);
    assert_eq!(tried(&none, &mut rng, &[0, 1], &[]).len(), 2, "weights of zero alone still serve");
}

#[test]
fn the_largest_weights_do_not_overflow() {
    let routes = model((0..5).map(|p| target(p, u32::MAX)).collect(), vec![]);
    let mut order = tried(&routes, &mut Rng::with_seed(15), &[0, 1, 2, 3, 4], &[]);
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn the_fallback_follows_in_its_order() {
    let routes = model(vec![target(0, 1), target(1, 1)], vec![target(4, 1), target(2, 900), target(3, 5)]);
    let mut rng = Rng::with_seed(16);
    for _ in 0..100 {
        assert_eq!(tried(&routes, &mut rng, &[0, 1, 2, 3, 4], &[])[2..], [4, 2, 3]);
    }
}

#[test]
fn targets_that_failed_lately_go_last_even_behind_the_fallback() {
    let routes = model(vec![target(0, 1)], vec![target(1, 1), target(2, 1)]);
    let mut rng = Rng::with_seed(17);
    assert_eq!(tried(&routes, &mut rng, &[0, 1, 2], &[0]), [1, 2, 0]);
    assert_eq!(tried(&routes, &mut rng, &[0, 1, 2], &[0, 1]), [2, 0, 1]);
    assert_eq!(tried(&routes, &mut rng, &[0, 1, 2], &[0, 1, 2]), [0, 1, 2], "all down: the usual order");
}

#[test]
fn a_direct_route_has_one_attempt_if_its_provider_speaks_the_dialect() {
    let routes = Routes::default();
    let providers = providers(1);
    let route = routes.find(&providers, "p0/x").unwrap();
    let mut rng = Rng::with_seed(18);
    let attempts = order(&route, "p0/x", &mut rng, |_| true, |_| true);
    assert_eq!(attempts, [Attempt::new(0, "x")]);
    assert!(order(&route, "p0/x", &mut rng, |_| false, |_| false).is_empty());
}

proptest! {
    #[test]
    fn every_target_that_can_serve_is_tried_once(
        weights in prop::collection::vec(0u32..5, 0..6),
        fallback in 0usize..4,
        serves in prop::collection::vec(any::<bool>(), 10),
        down in prop::collection::vec(any::<bool>(), 10),
        seed: u64,
    ) {
        let n = weights.len();
        let targets = weights.iter().enumerate().map(|(i, w)| target(i, *w)).collect();
        let routes = model(targets, (n..n + fallback).map(|i| target(i, 1)).collect());
        let route = routes.find(&[], "m").unwrap();
        let asked = Cell::new(0);
        let attempts = order(&route, "m", &mut Rng::with_seed(seed), |p| { asked.set(asked.get() + 1); serves[p] }, |p| down[p]);
        let tried: Vec<usize> = attempts.iter().map(|a| a.provider).collect();
        let able = (0..n + fallback).filter(|p| serves[*p]).count();
        prop_assert_eq!(tried.len(), able);
        let mut once = tried.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), tried.len(), "each once");
        prop_assert!(tried.iter().all(|p| serves[*p]), "only those that speak the dialect");
        prop_assert!(tried.is_sorted_by_key(|p| down[*p]), "those that failed lately last");
        for group in [true, false] {
            let of_group: Vec<usize> = tried.iter().copied().filter(|p| down[*p] == group).collect();
            prop_assert!(of_group.is_sorted_by_key(|p| *p >= n), "targets before the fallback");
            prop_assert!(of_group.iter().copied().filter(|p| *p >= n).is_sorted(), "the fallback in order");
        }
        prop_assert_eq!(asked.get(), n + fallback, "each is looked at once");
    }

    #[test]
    fn matches_agrees_with_trying_every_split(pattern in "[ab*é]{0,7}", name in "[abé]{0,9}") {
        prop_assert_eq!(matches(&pattern, &name), slowly(&pattern, &name), "{} {}", pattern, name);
    }

    #[test]
    fn a_pattern_made_from_a_name_matches_it(name in "[a-c*/.-]{1,12}", cuts in prop::collection::vec(any::<bool>(), 12)) {
        let pattern: String = name.chars().zip(cuts).map(|(c, cut)| if cut { '*' } else { c }).collect();
        prop_assert!(matches(&pattern, &name));
        let wider = format!("*{pattern}*");
        prop_assert!(matches(&wider, &name));
    }
}

/// The same question by recursion over every possible length of each star.
fn slowly(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    if first == '*' {
        return (0..=name.len()).filter(|i| name.is_char_boundary(*i)).any(|i| slowly(rest, &name[i..]));
    }
    name.strip_prefix(first).is_some_and(|tail| slowly(rest, tail))
}

#[test]
fn similar_names_come_closest_first_and_at_most_three() {
    let names = ["gpt-5", "gpt-5-mini", "gpt-4", "claude-haiku", "gpt-5-nano", "llama"];
    let near = |asked| similar(asked, names.iter().copied());
    assert_eq!(near("gpt5"), ["gpt-5", "gpt-4"]);
    assert_eq!(near("gpt-5-min"), ["gpt-5-mini", "gpt-5-nano", "gpt-5"]);
    assert_eq!(near("claude-hiaku"), ["claude-haiku"]);
    assert_eq!(near("gemini-3-pro-preview"), Vec::<&str>::new());
    assert_eq!(near("gpt-5")[0], "gpt-5");
    assert_eq!(similar("aaaa", ["aaab", "aaac", "aaad", "aaae"].into_iter()), ["aaab", "aaac", "aaad"]);
}

#[test]
fn similar_names_cope_with_empty_long_and_foreign_text() {
    let long = "x".repeat(100_000);
    assert!(similar("", [].into_iter()).is_empty());
    assert!(similar(&long, ["gpt-5"].into_iter()).is_empty());
    assert_eq!(similar("modèle", ["modele"].into_iter()), ["modele"]);
}
