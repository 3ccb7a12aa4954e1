//! Usage of unstreamed answers, against a full parse.

use penstock_core::dialects::{
    Dialect,
    usage::{BodyTap, Tier, Usage},
};
use proptest::prelude::*;
use serde_json::Value;

use crate::json_noise;

fn count(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_sign_loss)]
    let from_float = |f: f64| (0.0..9.2e18).contains(&f).then_some(f as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(from_float))
}

/// Seconds that have begun count.
fn seconds(value: &Value) -> Option<u64> {
    let is_cut = value.as_f64().is_some_and(|f| f.fract() > 0.0);
    count(value).map(|whole| whole + u64::from(is_cut))
}

/// What [`BodyTap`] must say of what a model wrote, the slow way.
pub(crate) fn oracle(dialect: Dialect, body: &Value) -> Option<Usage> {
    if dialect == Dialect::Ollama {
        let (prompt, eval) = (count(&body["prompt_eval_count"]), count(&body["eval_count"]));
        return (prompt.is_some() || eval.is_some()).then(|| Usage {
            prompt_tokens: prompt.unwrap_or(0),
            completion_tokens: eval.unwrap_or(0),
            ..Usage::default()
        });
    }
    let usage = &body["usage"];
    let word = |value: &Value| value["service_tier"].as_str().map(|word| Tier::of(word.as_bytes()));
    // Both are never stated, and here the names stand in no order: the case is left out.
    let tier = word(usage).or_else(|| word(body));
    let is_fast = usage["speed"].as_str().map(|word| word == "fast");
    let tier = if is_fast == Some(true) { Some(Tier::Fast) } else { tier.or(is_fast.map(|_| Tier::Standard)) };
    let (mut any, known) = (false, |path: &[&str]| {
        let measured = path[0].ends_with("seconds");
        if measured { seconds(&usage[path[0]]) } else { count(path.iter().fold(usage, |v, name| &v[*name])) }
    });
    let mut first = |paths: &[&[&str]]| {
        let found = paths.iter().find_map(|p| known(p));
        any |= found.is_some();
        found.unwrap_or(0)
    };
    let (prompt, input) = ("prompt_tokens_details", "input_tokens_details");
    let (completion, output) = ("completion_tokens_details", "output_tokens_details");
    let (audio_output, image_output) = (
        first(&[&[completion, "audio_tokens"], &[output, "audio_tokens"]]),
        first(&[&[completion, "image_tokens"], &[output, "image_tokens"]]),
    );
    let openai = Usage {
        prompt_tokens: first(&[&["prompt_tokens"], &["input_tokens"]]),
        completion_tokens: first(&[&["completion_tokens"], &["output_tokens"]]),
        cached_tokens: first(&[
            &[prompt, "cached_tokens"],
            &[input, "cached_tokens"],
            &["prompt_cache_hit_tokens"],
            &["cached_tokens"],
        ]),
        cache_write_tokens: first(&[
            &[prompt, "cache_write_tokens"],
            &[input, "cache_write_tokens"],
            &[prompt, "cache_creation_input_tokens"],
        ]),
        cache_write_1h_tokens: first(&[&[input, "cache_write_tokens_details", "ttl_12h_tokens"]]),
        reasoning_tokens: first(&[&[completion, "reasoning_tokens"], &[output, "reasoning_tokens"]]),
        audio_tokens: first(&[&[prompt, "audio_tokens"], &[input, "audio_tokens"]]).saturating_add(audio_output),
        image_tokens: first(&[&[prompt, "image_tokens"], &[input, "image_tokens"]]).saturating_add(image_output),
        audio_output_tokens: audio_output,
        image_output_tokens: image_output,
        audio_seconds: first(&[&["seconds"], &["prompt_audio_seconds"]]),
        tier,
        ..Usage::default()
    };
    let thought = match (known(&["prompt_tokens"]).or(known(&["input_tokens"])), known(&["prompt_audio_seconds"])) {
        (Some(prompt), None | Some(0)) => {
            let stated = prompt.saturating_add(openai.completion_tokens);
            known(&["total_tokens"]).unwrap_or(0).saturating_sub(stated)
        }
        _ => 0,
    };
    let openai = Usage {
        completion_tokens: openai.completion_tokens.saturating_add(thought),
        reasoning_tokens: openai.reasoning_tokens.max(thought),
        ..openai
    };
    let input = first(&[&["input_tokens"]]);
    let (read, written) = (first(&[&["cache_read_input_tokens"]]), first(&[&["cache_creation_input_tokens"]]));
    let written_1h = first(&[&["cache_creation", "ephemeral_1h_input_tokens"]]);
    let own = [input, read, written, written_1h, first(&[&["output_tokens"]])];
    let Aside { on_top, attempts, has_fallback, longest, states_own, has_advisor } = Aside::of(&usage["iterations"]);
    let own = if has_fallback && attempts != [0; 5] { attempts } else { own };
    let all = plus(own, on_top);
    let is_waived = body["stop_reason"] == "refusal" && all[4] < 2;
    let anthropic = Usage {
        prompt_tokens: prompt_of(all),
        completion_tokens: all[4],
        cached_tokens: all[1],
        cache_write_tokens: all[2],
        reasoning_tokens: first(&[&[output, "thinking_tokens"]]),
        cache_write_1h_tokens: all[3],
        longest_prompt_tokens: if longest == 0 || states_own { longest } else { longest.max(prompt_of(own)) },
        has_other_model: (has_advisor || has_fallback) && !is_waived,
        is_waived,
        tier,
        ..Usage::default()
    };
    any.then_some(if dialect == Dialect::OpenAi { openai } else { anthropic })
}

fn plus(a: [u64; 5], b: [u64; 5]) -> [u64; 5] {
    std::array::from_fn(|at| a[at].saturating_add(b[at]))
}

fn prompt_of([input, read, written, ..]: [u64; 5]) -> u64 {
    input.saturating_add(read).saturating_add(written)
}

/// What Anthropic's iterations say beside a usage.
#[derive(Default)]
struct Aside {
    /// Input, read, written, written for an hour, output.
    on_top: [u64; 5],
    /// What stands in place of the usage itself, if another model answered.
    attempts: [u64; 5],
    has_fallback: bool,
    longest: u64,
    states_own: bool,
    has_advisor: bool,
}

impl Aside {
    fn of(iterations: &Value) -> Self {
        let mut aside = Self::default();
        for each in iterations.as_array().into_iter().flatten() {
            let number = |value: &Value| count(value).unwrap_or(0);
            let here = [
                number(&each["input_tokens"]),
                number(&each["cache_read_input_tokens"]),
                number(&each["cache_creation_input_tokens"]),
                number(&each["cache_creation"]["ephemeral_1h_input_tokens"]),
                number(&each["output_tokens"]),
            ];
            aside.longest = aside.longest.max(prompt_of(here));
            match each["type"].as_str().unwrap_or_default() {
                kind @ ("compaction" | "advisor_message") => {
                    aside.on_top = plus(aside.on_top, here);
                    aside.has_advisor |= kind == "advisor_message";
                }
                kind => {
                    aside.has_fallback |= kind == "fallback_message";
                    aside.states_own |= prompt_of(here) > 0;
                    if here[4] > 1 {
                        aside.attempts = plus(aside.attempts, here);
                    }
                }
            }
        }
        aside
    }
}

fn tapped<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> BodyTap {
    let mut tap = BodyTap::new(dialect, true);
    pieces.into_iter().for_each(|piece| tap.feed(piece));
    tap
}

#[test]
fn each_dialects_usage_is_read() {
    for (dialect, body, usage) in [
        (
            Dialect::OpenAi,
            r#"{"object":"list","data":[{"embedding":[0.1,-2e3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            Some(crate::drive::tokens(8, 0)),
        ),
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":3,"cache_creation_input_tokens":4,"cache_read_input_tokens":5,"output_tokens":6,"output_tokens_details":{"thinking_tokens":2}}}"#,
            Some(Usage { cached_tokens: 5, cache_write_tokens: 4, reasoning_tokens: 2, ..crate::drive::tokens(12, 6) }),
        ),
        (
            Dialect::Ollama,
            r#"{"model":"m","done":true,"prompt_eval_count":11,"eval_count":18}"#,
            Some(crate::drive::tokens(11, 18)),
        ),
        (
            Dialect::OpenAi,
            r#"{"usage":{"type":"duration","seconds":3}}"#,
            Some(Usage { audio_seconds: 3, ..Usage::default() }),
        ),
        (
            Dialect::OpenAi,
            r#"{"text":"x","usage":{"type":"tokens","input_tokens":9,"output_tokens":2,"input_token_details":{"text_tokens":1,"audio_tokens":8}}}"#,
            Some(Usage { audio_tokens: 8, ..crate::drive::tokens(9, 2) }),
        ),
        (
            Dialect::OpenAi,
            r#"{"service_tier":"flex","usage":{"input_tokens":50,"output_tokens":20,"input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens_details":{"image_tokens":20}}}"#,
            Some(Usage {
                image_tokens: 60,
                image_output_tokens: 20,
                tier: Some(Tier::Flex),
                ..crate::drive::tokens(50, 20)
            }),
        ),
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":1,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},"output_tokens":6,"service_tier":"priority"}}"#,
            Some(Usage {
                cache_write_tokens: 7,
                cache_write_1h_tokens: 4,
                tier: Some(Tier::Priority),
                ..crate::drive::tokens(8, 6)
            }),
        ),
        (Dialect::Ollama, r#"{"embeddings":[[1]],"prompt_eval_count":4}"#, Some(crate::drive::tokens(4, 0))),
        (
            Dialect::OpenAi,
            r#"{"usage":{"prompt_audio_seconds":203.2,"prompt_tokens":4,"completion_tokens":635,"total_tokens":3264}}"#,
            Some(Usage { audio_seconds: 204, ..crate::drive::tokens(4, 635) }),
        ),
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":1,"output_tokens":6,"speed":"fa\u0073t","service_tier":"standard"}}"#,
            Some(Usage { tier: Some(Tier::Fast), ..crate::drive::tokens(1, 6) }),
        ),
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":1,"output_tokens":6,"speed":"standard"}}"#,
            Some(Usage { tier: Some(Tier::Standard), ..crate::drive::tokens(1, 6) }),
        ),
        (Dialect::OpenAi, r#"{"usage":{"total_tokens":7}}"#, None),
        (Dialect::OpenAi, r#"{"usage":null}"#, None),
        (Dialect::OpenAi, r#"{"x":{"usage":{"prompt_tokens":1}}}"#, None),
        (Dialect::OpenAi, "<html>usage</html>", None),
    ] {
        assert_is_read(dialect, body, usage);
    }
}

fn assert_is_read(dialect: Dialect, body: &str, usage: Option<Usage>) {
    assert_eq!(tapped(dialect, [body.as_bytes()]).usage(), usage, "{body}");
    assert_eq!(tapped(dialect, json_noise::bytes(body.as_bytes())).usage(), usage, "{body}");
}

#[test]
fn what_vendors_state_in_places_of_their_own_is_read() {
    for (dialect, body, usage) in [
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":23000,"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"cache_read_input_tokens":7,"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":2},"output_tokens":3500},{"input_tokens":23000,"output_tokens":1000,"type":"message"}]}}"#,
            Some(Usage {
                cached_tokens: 7,
                cache_write_tokens: 5,
                cache_write_1h_tokens: 2,
                longest_prompt_tokens: 180_012,
                ..crate::drive::tokens(203_012, 4_500)
            }),
        ),
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":9,"output_tokens":1,"iterations":[{"model":"claude-opus-4-8","input_tokens":20,"output_tokens":4,"type":"advisor_message"}]}}"#,
            Some(Usage { longest_prompt_tokens: 20, has_other_model: true, ..crate::drive::tokens(29, 5) }),
        ),
        // One declined before it wrote anything, one in the middle; a third answered.
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":500,"output_tokens":264,"iterations":[{"type":"message","model":"a","input_tokens":412,"output_tokens":0},{"type":"message","model":"b","input_tokens":9,"cache_read_input_tokens":560186,"output_tokens":299},{"type":"fallback_message","model":"c","input_tokens":500,"output_tokens":264}]}}"#,
            Some(Usage {
                cached_tokens: 560_186,
                longest_prompt_tokens: 560_195,
                has_other_model: true,
                ..crate::drive::tokens(500 + 9 + 560_186, 264 + 299)
            }),
        ),
        (
            Dialect::Anthropic,
            r#"{"content":[],"stop_reason":"refusal","usage":{"input_tokens":412,"output_tokens":1}}"#,
            Some(Usage { is_waived: true, ..crate::drive::tokens(412, 1) }),
        ),
        (
            Dialect::Anthropic,
            r#"{"content":[{"type":"text","text":"I do"}],"stop_reason":"refusal","usage":{"input_tokens":412,"output_tokens":2}}"#,
            Some(crate::drive::tokens(412, 2)),
        ),
        // All declined.
        (
            Dialect::Anthropic,
            r#"{"content":[{"type":"fallback"}],"stop_reason":"refusal","usage":{"input_tokens":500,"output_tokens":0,"iterations":[{"type":"message","input_tokens":412,"output_tokens":1},{"type":"fallback_message","input_tokens":500,"output_tokens":0}]}}"#,
            Some(Usage { is_waived: true, longest_prompt_tokens: 500, ..crate::drive::tokens(500, 0) }),
        ),
        // The turns of one of its own tools: the usage is their sum, and none is as long.
        (
            Dialect::Anthropic,
            r#"{"usage":{"input_tokens":120000,"output_tokens":100,"iterations":[{"type":"message","input_tokens":60000,"output_tokens":50},{"type":"message","input_tokens":59000,"cache_read_input_tokens":1000,"output_tokens":50}]}}"#,
            Some(Usage { longest_prompt_tokens: 60_000, ..crate::drive::tokens(120_000, 100) }),
        ),
        (
            Dialect::OpenAi,
            "\u{feff}{\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}}",
            Some(crate::drive::tokens(9, 0)),
        ),
        // Moonshot.
        (
            Dialect::OpenAi,
            r#"{"usage":{"prompt_tokens":29567,"completion_tokens":21,"total_tokens":29588,"cached_tokens":29440}}"#,
            Some(Usage { cached_tokens: 29_440, ..crate::drive::tokens(29_567, 21) }),
        ),
        // DashScope.
        (
            Dialect::OpenAi,
            r#"{"usage":{"prompt_tokens":2100,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0,"cache_creation_input_tokens":2000}}}"#,
            Some(Usage { cache_write_tokens: 2_000, ..crate::drive::tokens(2_100, 2) }),
        ),
        (
            Dialect::OpenAi,
            r#"{"usage":{"input_tokens":9,"output_tokens":2,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":8,"cache_write_tokens_details":{"ttl_12h_tokens":6,"ttl_30m_tokens":2}}}}"#,
            Some(Usage { cache_write_tokens: 8, cache_write_1h_tokens: 6, ..crate::drive::tokens(9, 2) }),
        ),
    ] {
        assert_is_read(dialect, body, usage);
    }
}

#[test]
fn thought_that_is_in_the_total_alone_is_part_of_the_answer() {
    let usage = |tokens: &str, is_text| {
        let mut tap = BodyTap::new(Dialect::OpenAi, is_text);
        tap.feed(format!(r#"{{"usage":{{{tokens}}}}}"#).as_bytes());
        tap.usage().unwrap()
    };
    let xai = r#""prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}"#;
    let expected = Usage { reasoning_tokens: 100, ..crate::drive::tokens(10, 105) };
    assert_eq!(usage(xai, true), expected);
    assert_eq!(usage(xai, false), Usage { reasoning_tokens: 100, ..crate::drive::tokens(10, 5) }, "no text");
    let gemini = r#""prompt_tokens":10,"completion_tokens":5,"total_tokens":115"#;
    assert_eq!(usage(gemini, true), expected);
    assert_eq!(
        usage(r#""prompt_tokens":10,"total_tokens":110"#, true),
        Usage { reasoning_tokens: 100, ..crate::drive::tokens(10, 100) }
    );
    let openai = r#""prompt_tokens":10,"completion_tokens":105,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}"#;
    assert_eq!(usage(openai, true), expected, "nothing is missing");
    let odd = r#""prompt_tokens":10,"completion_tokens":5,"total_tokens":9"#;
    assert_eq!(usage(odd, true), crate::drive::tokens(10, 5), "a total that is too small says nothing");
}

#[test]
fn a_name_that_stands_twice_counts_the_second_time() {
    for (body, usage) in [
        (r#"{"usage":{"prompt_tokens":1},"usage":{"completion_tokens":2}}"#, Some(crate::drive::tokens(0, 2))),
        (r#"{"usage":{"prompt_tokens":1},"usage":null}"#, None),
        (r#"{"usage":{"prompt_tokens":1,"prompt_tokens":{}}}"#, None),
        (r#"{"usage":{"prompt_tokens":1,"prompt_tokens":3}}"#, Some(crate::drive::tokens(3, 0))),
    ] {
        assert_eq!(tapped(Dialect::OpenAi, [body.as_bytes()]).usage(), usage, "{body}");
    }
}

#[test]
fn of_an_array_the_last_object_counts() {
    for (body, usage) in [
        (r#"[{"usage":{"prompt_tokens":1}},{"usage":{"prompt_tokens":2}}]"#, Some(crate::drive::tokens(2, 0))),
        (r#"[{"usage":{"prompt_tokens":1}},{}]"#, None),
        (r#"[{"usage":{"prompt_tokens":1}},[],[{"usage":{"prompt_tokens":3}}],4]"#, Some(crate::drive::tokens(1, 0))),
    ] {
        assert_eq!(tapped(Dialect::OpenAi, [body.as_bytes()]).usage(), usage, "{body}");
    }
}

#[test]
fn an_error_body_is_known() {
    for (dialect, body, message) in [
        (Dialect::OpenAi, r#"{"error":{"message":"m"}}"#, Some("m")),
        (Dialect::OpenAi, r#"[{"error":{"message":"m","code":429}}]"#, Some("m")),
        (Dialect::OpenAi, r#"{"object":"error","message":"m"}"#, Some("m")),
        (Dialect::Anthropic, r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#, Some("m")),
        (Dialect::Ollama, r#"{"error":"m"}"#, Some("m")),
        (Dialect::OpenAi, r#"{"error":null,"usage":{}}"#, None),
        (Dialect::OpenAi, r#"{"choices":[{"error":{"message":"m"}}]}"#, None),
    ] {
        let tap = tapped(dialect, [body.as_bytes()]);
        assert_eq!(tap.error().map(|e| e.message).as_deref(), message, "{body}");
    }
}

#[test]
fn an_error_with_whatever_name_in_it_is_one() {
    // Some are longer than any name that is known.
    for length in [1, 31, 32, 33, 191, 192, 193, 5_000] {
        for letter in ["a", r"\u0061", r"\n", "\u{1f600}"] {
            let body = format!(r#"{{"error":{{"{}":null}},"usage":{{"prompt_tokens":1}}}}"#, letter.repeat(length));
            for tap in [
                tapped(Dialect::OpenAi, [body.as_bytes()]),
                tapped(Dialect::OpenAi, json_noise::bytes(body.as_bytes())),
            ] {
                assert!(tap.error().is_some(), "{body}");
                assert_eq!(tap.usage(), Some(crate::drive::tokens(1, 0)), "{body}");
            }
        }
    }
}

fn usage_like() -> impl Strategy<Value = Value> {
    let kind = proptest::sample::select(&["compaction", "advisor_message", "message", "fallback_message"][..]);
    let iteration = (json_noise::object(), kind, any::<bool>()).prop_map(|(mut each, kind, is_told)| {
        if is_told {
            each.insert("type".into(), kind.into());
        }
        Value::from(each)
    });
    let iterations = proptest::collection::vec(iteration, 0..3);
    (json_noise::object(), json_noise::object(), json_noise::object(), json_noise::object(), iterations).prop_map(
        |(mut body, mut usage, details, more, iterations)| {
            usage.insert("prompt_tokens_details".into(), details.into());
            usage.insert("output_tokens_details".into(), more.into());
            usage.insert("iterations".into(), iterations.into());
            body.insert("usage".into(), usage.into());
            body.into()
        },
    )
}

proptest! {
    #[test]
    fn usage_equals_a_full_parse_on_any_json(
        body in prop_oneof![json_noise::value(), usage_like()],
        style in json_noise::style(),
        cuts in proptest::collection::vec(any::<u16>(), 0..8),
    ) {
        let text = json_noise::write(&body, &style);
        // What the text says, since writing may shorten a float.
        let parsed: Value = serde_json::from_str(&text).unwrap();
        for &dialect in Dialect::ALL {
            let expected = match &parsed {
                Value::Array(items) => items.iter().rev().find(|v| v.is_object()).and_then(|v| oracle(dialect, v)),
                other => oracle(dialect, other),
            };
            let has_two = |v: &Value| v["service_tier"].is_string() && v["usage"]["service_tier"].is_string();
            prop_assume!(!has_two(&parsed) && !parsed.as_array().is_some_and(|items| items.iter().any(has_two)));
            prop_assert_eq!(tapped(dialect, [text.as_bytes()]).usage(), expected, "{}", text);
            let chopped = tapped(dialect, json_noise::chop(text.as_bytes(), &cuts));
            prop_assert_eq!(chopped.usage(), expected);
            prop_assert_eq!(tapped(dialect, json_noise::bytes(text.as_bytes())).usage(), expected);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), cuts in proptest::collection::vec(any::<u16>(), 0..8)) {
        for &dialect in Dialect::ALL {
            tapped(dialect, json_noise::chop(&bytes, &cuts)).usage();
        }
    }

    #[test]
    fn json_like_noise_never_panics(text in "[\\[\\]{}\",:\\\\a0 ]{0,60}") {
        for &dialect in Dialect::ALL {
            tapped(dialect, json_noise::bytes(text.as_bytes())).usage();
        }
    }
}
