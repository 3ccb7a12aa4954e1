//! Prompts as they are recorded: still the JSON that came, and nothing of a secret wherever they are cut.

use std::fmt::Write as _;

use penstock_core::content::{Kept, Piece, Policy, Redaction, Room, write_prompt};
use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

const SECRET: &str = "sk-of-a-provider-0123456789-abcdefghijklmnopqrstuvwxyz";

struct Endless;

impl Room for Endless {
    fn grow_to(&mut self, _: usize) -> bool {
        true
    }
}

fn recorded(body: &[u8], max_bytes: usize) -> Option<Piece> {
    recorded_without(&["a{30,40}@example"], body, max_bytes)
}

fn recorded_without(patterns: &[&str], body: &[u8], max_bytes: usize) -> Option<Piece> {
    let patterns: Vec<_> = patterns.iter().map(|&each| each.to_owned()).collect();
    let redaction = Redaction::new(&patterns, vec![SECRET.to_owned()]).unwrap();
    let policy = Policy { prompts: true, answers: false, max_bytes, redaction };
    let mut kept = Kept::new(&policy, Box::new(Endless));
    write_prompt(body, &mut kept);
    kept.finish(&policy, &[])
}

/// JSON in which each text is redacted, and each number in which the pattern finds something.
fn without(pattern: &Regex, value: &Value) -> Value {
    let redacted = |text: &str| pattern.replace_all(text, "[redacted]").into_owned();
    match value {
        Value::String(text) => redacted(text).into(),
        Value::Number(number) if pattern.is_match(&number.to_string()) => "[redacted]".into(),
        Value::Array(each) => each.iter().map(|each| without(pattern, each)).collect(),
        Value::Object(each) => each.iter().map(|(name, each)| (redacted(name), without(pattern, each))).collect(),
        other => other.clone(),
    }
}

/// JSON as clients write it: some of its letters escaped.
fn written(value: &Value, escapes: &[bool]) -> String {
    let mut escapes = escapes.iter().cycle();
    let text = value.to_string();
    let mut out = String::new();
    for letter in text.chars() {
        if letter.is_ascii() || !escapes.next().unwrap() {
            out.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[test]
fn no_part_of_a_secret_is_shown_wherever_the_text_is_cut() {
    for before in 0..200 {
        let body = json!([format!("{}{SECRET}{}", "x ".repeat(before), " y".repeat(3_000))]).to_string();
        let Piece { text, .. } = recorded(body.as_bytes(), 200).unwrap();
        let shown = text.trim_end_matches(|c| "[redacted]".contains(c));
        assert!(!text.contains(&SECRET[..8]) && shown.len() >= (2 * before + 2).min(140), "{before}: {text}");
        let ends = json!([format!("{}{}", "x ".repeat(before), &SECRET[..20])]).to_string();
        assert!(!recorded(&ends.as_bytes()[..ends.len() - 2], 1_000).unwrap().text.contains(&SECRET[..8]));
    }
}

#[test]
fn what_could_be_the_beginning_of_a_match_is_not_shown_though_much_before_it_was_replaced() {
    for before in 0..50 {
        let body = format!("\"{}{}\"", "x".repeat(before), format!("{}@example ", "a".repeat(35)).repeat(200));
        let Piece { text, .. } = recorded(body.as_bytes(), 2_000).unwrap();
        assert!(!text.replace("[redacted]", "").contains('a'), "{before}: {text}");
    }
}

proptest! {
    #[test]
    fn what_is_recorded_is_the_json_that_came(
        texts in proptest::collection::vec("[a-zé\\\\\"/\n\u{1}😀 ]{0,30}", 0..6),
        escapes in proptest::collection::vec(any::<bool>(), 1..9),
    ) {
        let value = json!({"model": "m", "messages": texts, "n": 1});
        let piece = recorded(written(&value, &escapes).as_bytes(), 24 * 1024).unwrap();
        prop_assert_eq!(piece.note, None);
        prop_assert_eq!(serde_json::from_str::<Value>(&piece.text).unwrap(), value);
    }

    #[test]
    fn patterns_see_what_a_string_says_and_leave_json(
        texts in proptest::collection::vec("[a-cé\\\\\"\n\u{1}😀 1]{0,12}", 0..6),
        number in any::<i32>(),
        escapes in proptest::collection::vec(any::<bool>(), 1..9),
        pattern in prop::sample::select(vec![r"\bab*", "^a", "c$", r"(?m)^.", r"\n", r#""|\\"#, "é+", "1", r"\W+", "[^a]"]),
    ) {
        let value = json!({"model": number, "messages": texts, "n": null});
        let text = recorded_without(&[pattern], written(&value, &escapes).as_bytes(), 24 * 1024).unwrap().text;
        let shown = serde_json::from_str::<Value>(&text).unwrap();
        prop_assert_eq!(shown, without(&Regex::new(pattern).unwrap(), &value), "{}", text);
    }

    #[test]
    fn any_bytes_are_recorded_within_the_bound(body in proptest::collection::vec(any::<u8>(), 0..400), max in 64_usize..300) {
        if let Some(piece) = recorded(&body, max) {
            prop_assert!(piece.text.len() <= max);
        }
    }
}
