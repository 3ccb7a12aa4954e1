//! What a key may do: patterns, paths, networks.

use penstock_core::keys::access::{Access, Lists};
use proptest::prelude::*;

fn list(texts: &[&str]) -> Box<[Box<str>]> {
    texts.iter().map(|t| (*t).into()).collect()
}

fn models(patterns: &[&str]) -> Access {
    Access::new(Lists { models: Some(list(patterns)), ..Lists::default() }).unwrap()
}

#[test]
fn without_a_list_all_is_allowed_and_by_an_empty_one_nothing() {
    let all = Access::new(Lists::default()).unwrap();
    assert!(all.allows_model("any") && all.allows_path("/any") && all.allows_client(None));
    let none =
        Access::new(Lists { models: Some(list(&[])), paths: Some(list(&[])), networks: Some(list(&[])) }).unwrap();
    assert!(!none.allows_model("any") && !none.allows_path("/any") && !none.allows_client("::1".parse().ok()));
}

#[test]
fn a_star_stands_for_any_characters_and_all_else_for_itself() {
    let access = models(&["gpt-*", "exact", "*/mini-*-x"]);
    for (name, allowed) in [
        ("gpt-", true),
        ("gpt-5/x", true),
        ("exact", true),
        ("openai/mini-5-x", true),
        ("mini-5-x", false),
        ("openai/mini-x", false),
        ("Exact", false),
        ("exact ", false),
        ("agpt-", false),
        ("", false),
    ] {
        assert_eq!(access.allows_model(name), allowed, "{name}");
    }
}

#[test]
fn many_stars_cost_no_more_than_the_name_is_long() {
    let hostile = models(&[&"*a".repeat(5_000)]);
    assert!(!hostile.allows_model(&"a".repeat(4_999)));
    assert!(hostile.allows_model(&"a".repeat(5_000)));
    assert!(!models(&[&format!("{}b", "*a".repeat(40))]).allows_model(&"a".repeat(100_000)));
}

#[test]
fn a_path_is_matched_whole() {
    let access = Access::new(Lists { paths: Some(list(&["/chat/*", "/embeddings"])), ..Lists::default() }).unwrap();
    for (path, allowed) in
        [("/chat/completions", true), ("/embeddings", true), ("/embeddings/x", false), ("/chat", false)]
    {
        assert_eq!(access.allows_path(path), allowed, "{path}");
    }
}

#[test]
fn a_client_is_looked_for_in_the_networks_and_one_without_address_is_in_none() {
    let access =
        Access::new(Lists { networks: Some(list(&["10.0.0.0/8", "2001:db8::/32"])), ..Lists::default() }).unwrap();
    for (client, allowed) in
        [("10.255.0.1", true), ("11.0.0.1", false), ("2001:db8::1", true), ("::ffff:10.1.1.1", true), ("::1", false)]
    {
        assert_eq!(access.allows_client(client.parse().ok()), allowed, "{client}");
    }
    assert!(!access.allows_client(None));
    let error =
        Access::new(Lists { networks: Some(list(&["10.0.0.0/33"])), ..Lists::default() }).expect_err("no network");
    assert!(error.contains("10.0.0.0/33"), "{error}");
}

/// The meaning of a pattern, written so that nobody can doubt it.
fn means(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| means(rest, &name[at..])),
        Some((first, rest)) => name.first() == Some(first) && means(rest, &name[1..]),
    }
}

#[test]
fn a_name_among_many_is_found() {
    let names: Vec<String> = (0..1_000).rev().map(|n| format!("model-{n}")).collect();
    let access = models(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(names.iter().all(|name| access.allows_model(name)));
    assert!(!access.allows_model("model-1000") && !access.allows_model("model-"));
}

proptest! {
    #[test]
    fn a_pattern_means_what_it_says(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
        prop_assert_eq!(models(&[&pattern]).allows_model(&name), means(pattern.as_bytes(), name.as_bytes()));
    }
}
