//! The text in an answer is counted as its bytes pass, wherever they are cut.

use penstock_core::{
    content::{Kept, Policy, Redaction, Room},
    dialects::{Dialect, StreamKind},
    relay::{tap::Tap, text::Text},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn of_stream(kind: StreamKind, frame: &str) -> u64 {
    let mut tap = Tap::new(kind, false);
    tap.count_text();
    tap.frame(frame.as_bytes());
    tap.text().map_or(0, |text| text.bytes())
}

fn of_body(dialect: Dialect, body: &[u8]) -> u64 {
    let mut text = Text::of_body(dialect);
    text.feed(body);
    text.bytes()
}

#[test]
fn a_frame_counts_for_what_the_model_wrote_in_it() {
    let data = |value: &Value| format!("data: {value}\n\n");
    let named = |name: &str, value: &Value| format!("event: {name}\n{}", data(value));
    let delta = |value: Value| json!({"id": "content", "model": "text", "choices": [{"index": 0, "delta": value, "finish_reason": null}]});
    for (kind, frame, bytes) in [
        (StreamKind::Chat, data(&delta(json!({"role": "assistant", "content": "hello"}))), 5),
        (StreamKind::Chat, data(&delta(json!({"content": "größe"}))), 7),
        (StreamKind::Chat, data(&delta(json!({"content": null, "reasoning_content": "hm"}))), 2),
        (
            StreamKind::Chat,
            data(&delta(json!({"tool_calls": [{"function": {"name": "f", "arguments": "{\"a\":1}"}}]}))),
            7,
        ),
        (StreamKind::Chat, data(&delta(json!({"content": "\"content\": \"no\""}))), 15),
        (
            StreamKind::Chat,
            "data: {\"choices\":[{\"delta\":{\"content\" : \"a\\u00fcb\\ud83d\\ude00\\u20ac\\n\"}}]}\n\n".to_owned(),
            12,
        ),
        (StreamKind::Chat, "data: [DONE]\n\n".to_owned(), 0),
        (StreamKind::Completions, data(&json!({"choices": [{"text": "hey"}]})), 3),
        (
            StreamKind::Responses,
            named("response.output_text.delta", &json!({"type": "response.output_text.delta", "delta": "hey"})),
            3,
        ),
        (
            StreamKind::Responses,
            named("response.output_text.done", &json!({"type": "response.output_text.done", "text": "hey"})),
            0,
        ),
        (
            StreamKind::Messages,
            named(
                "content_block_delta",
                &json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hey"}}),
            ),
            3,
        ),
        (
            StreamKind::Messages,
            named(
                "content_block_delta",
                &json!({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
            ),
            2,
        ),
        (
            StreamKind::OllamaChat,
            "{\"message\":{\"role\":\"assistant\",\"content\":\"hey\"},\"done\":false}\n".to_owned(),
            3,
        ),
        (StreamKind::OllamaGenerate, "{\"response\":\"hey\",\"done\":false}\n".to_owned(), 3),
        // What some servers say twice, and what others nest.
        (StreamKind::Chat, data(&delta(json!({"reasoning": "hmm", "reasoning_content": "hmm", "content": "a"}))), 4),
        (
            StreamKind::Chat,
            data(&delta(json!({"reasoning": "hmm", "reasoning_details": [{"type": "reasoning.text", "text": "hmm"}]}))),
            3,
        ),
        (
            StreamKind::Chat,
            data(&delta(json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}]}))),
            3,
        ),
        (StreamKind::Chat, data(&delta(json!({"reasoning": null, "reasoning_content": "hmm"}))), 3),
        (StreamKind::Chat, data(&delta(json!({"reasoning": "", "reasoning_content": "hm\n"}))), 3),
        (StreamKind::Chat, data(&delta(json!({"reasoning_details": [{"type": "reasoning.text", "text": "hmm"}]}))), 3),
        (StreamKind::Chat, data(&delta(json!({"tool_calls": [{"custom": {"name": "sql", "input": "SELECT"}}]}))), 6),
        (StreamKind::Chat, data(&delta(json!({"audio": {"id": "x", "transcript": "hey", "data": "AAAA"}}))), 3),
        (
            StreamKind::OllamaChat,
            "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"content\":\"a}\\\"\",\"b\":[1]}}}]},\"done\":false}\n"
                .to_owned(),
            26,
        ),
    ] {
        assert_eq!(of_stream(kind, &frame), bytes, "{frame}");
    }
}

struct Endless;

impl Room for Endless {
    fn grow_to(&mut self, _: usize) -> bool {
        true
    }
}

fn policy() -> Policy {
    let redaction = Redaction::new(&[r"\w+@example\.com".to_owned()], Vec::new()).unwrap();
    Policy { prompts: true, answers: true, max_bytes: 1_000, redaction }
}

fn shown(text: &mut Text) -> Option<String> {
    text.take_kept().and_then(|kept| kept.finish(&policy(), &[])).map(|piece| piece.text)
}

#[test]
fn the_text_of_a_stream_is_kept_as_it_was_written() {
    let mut tap = Tap::new(StreamKind::Chat, false);
    tap.count_text();
    tap.text().unwrap().keep(Some(Box::new(Kept::new(&policy(), Box::new(Endless)))));
    for delta in [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "hm"}),
        json!({"reasoning_content": "m"}),
        json!({"content": "write to some"}),
        json!({"content": "body@exa"}),
        json!({"content": "mple.com \"\n😀"}),
        json!({"tool_calls": [{"function": {"name": "f", "arguments": "{\"a\":"}}]}),
        json!({"tool_calls": [{"function": {"arguments": "1}"}}]}),
    ] {
        tap.frame(format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]})).as_bytes());
    }
    let text = tap.text().unwrap();
    assert_eq!(shown(text).unwrap(), "hmm\nwrite to [redacted] \"\n😀\n{\"a\":1}");
    assert_eq!(shown(text), None, "it is taken once");
    assert!(text.tally().end(None).0 > 0, "it is counted all the same");
}

#[test]
fn an_index_that_is_no_alternatives_hides_no_text() {
    let block = |index: u8, delta: Value| {
        format!("data: {}\n\n", json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let line = |text: &str| format!("{}\n", json!({"index": 1, "message": {"content": text}}));
    let response = |text: &str| format!("{}\n", json!({"index": 1, "response": text}));
    let part =
        |index: u8, text: &str| format!("data: {}\n\n", json!({"output_index": index, "index": index, "delta": text}));
    for (kind, frames, expected) in [
        (
            StreamKind::Messages,
            vec![
                block(0, json!({"type": "thinking_delta", "thinking": "hm"})),
                block(1, json!({"type": "text_delta", "text": "first"})),
                block(2, json!({"type": "input_json_delta", "partial_json": "{}"})),
            ],
            "hm\nfirst\n{}",
        ),
        (StreamKind::OllamaChat, vec![line("some"), line("body")], "somebody"),
        (StreamKind::OllamaGenerate, vec![response("some"), response("body")], "somebody"),
        (StreamKind::Responses, vec![part(0, "some"), part(1, "body")], "somebody"),
    ] {
        let mut tap = Tap::new(kind, false);
        tap.count_text();
        tap.text().unwrap().keep(Some(Box::new(Kept::new(&policy(), Box::new(Endless)))));
        frames.iter().for_each(|frame| drop(tap.frame(frame.as_bytes())));
        let text = tap.text().unwrap();
        let bytes: u64 = frames.iter().map(|frame| of_stream(kind, frame)).sum();
        assert_eq!(text.bytes(), bytes, "{kind:?}: what is kept is counted as what is not");
        assert_eq!(bytes, expected.replace('\n', "").len() as u64, "{kind:?}");
        assert_eq!(shown(text).as_deref(), Some(expected), "{kind:?}");
    }
}

#[test]
fn of_several_alternatives_of_a_stream_the_first_is_kept() {
    let choice = |index: Value, delta: Value| json!({"index": index, "delta": delta});
    let call = |index: u8, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    let mut frames = vec![
        json!({"choices": [choice(json!(0), json!({"content": "some"}))]}),
        json!({"choices": [choice(json!(1), json!({"content": "other"}))]}),
        json!({"choices": [{"delta": {"content": "no"}, "index": 1}, {"delta": {"content": "body"}, "index": 0}]}),
        json!({"choices": [choice(json!(null), json!({"content": "@example.com"}))]}),
        json!({"choices": [choice(json!(0), call(0, "zero")), choice(json!(1), call(0, "none"))]}),
        json!({"choices": [choice(json!(0), call(1, "one"))]}),
        json!({"index": 7, "choices": [{"delta": {"content": "!"}}]}),
    ]
    .into_iter()
    .map(|frame| format!("data: {frame}\n\n"))
    .collect::<Vec<_>>();
    frames.push("data: {\"choices\":[{\"index\":1,\ndata: \"delta\":{\"content\":\"lines\"}}]}\n\n".to_owned());
    let bytes: u64 = frames.iter().map(|frame| of_stream(StreamKind::Chat, frame)).sum();
    for whole in [true, false] {
        let mut tap = Tap::new(StreamKind::Chat, false);
        tap.count_text();
        tap.text().unwrap().keep(Some(Box::new(Kept::new(&policy(), Box::new(Endless)))));
        frames.iter().for_each(|frame| drop(tap.frame(frame.as_bytes())));
        if !whole {
            tap.piece(b"data: {\"choices\":[{\"delta\":{\"content\":\"of whom?\"}}]}", false);
            tap.piece(b"\n\n", true);
        }
        let text = tap.text().unwrap();
        assert_eq!(text.bytes(), bytes + if whole { 0 } else { 8 }, "all of it is counted");
        assert_eq!(shown(text).unwrap(), "[redacted]\nzeroone\n!");
    }
}

#[test]
fn texts_of_a_body_have_a_line_each_and_need_not_be_counted() {
    let mut text = Text::of_body(Dialect::OpenAi);
    text.keep(Some(Box::new(Kept::new(&policy(), Box::new(Endless)))));
    text.set_told();
    let body =
        json!({"choices": [{"message": {"content": "one\u{1F600}"}}, {"message": {"content": "two"}}]}).to_string();
    body.as_bytes().chunks(3).for_each(|piece| text.feed(piece));
    assert_eq!(shown(&mut text).unwrap(), "one😀\ntwo");
    assert_eq!(text.tally().end(None).0, 0);
}

#[test]
fn thoughts_under_one_of_two_names_count_alike_in_every_frame() {
    for other in ["null", "\"\""] {
        let frame = |text: &str| {
            format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"reasoning\":{other},\"reasoning_content\":\"{text}\"}}}}]}}\n\n"
            )
        };
        let mut tap = Tap::new(StreamKind::Chat, false);
        tap.count_text();
        let mut alike = 0;
        for text in ["hmm", "so", "then", "a\\nb", "yes", "no"] {
            let frame = frame(text);
            match tap.alike(frame.as_bytes()) {
                Some(length) => {
                    assert_eq!(length, frame.len());
                    alike += 1;
                }
                None => drop(tap.frame(frame.as_bytes())),
            }
        }
        assert!(other != "null" || alike > 0, "some are known by their form");
        assert_eq!(tap.text().unwrap().bytes(), 17, "{other}");
    }
}

#[test]
fn of_a_frame_that_comes_in_parts_nothing_counts_before_what_stands_before_all_text() {
    let block = json!({"type": "mcp_tool_result", "content": [{"type": "text", "text": "x".repeat(500)}]});
    let start = format!("data: {}\n\n", json!({"type": "content_block_start", "content_block": block}));
    let delta = json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "y".repeat(500)}});
    let delta = format!("data: {delta}\n\n");
    for size in [1, 7, 100] {
        let mut tap = Tap::new(StreamKind::Messages, false);
        tap.count_text();
        for frame in [&start, &delta] {
            let mut parts = frame.as_bytes().chunks(size).peekable();
            while let Some(part) = parts.next() {
                tap.piece(part, parts.peek().is_none());
            }
        }
        assert_eq!(tap.text().unwrap().bytes(), 500, "{size}");
    }
}

#[test]
fn nothing_is_counted_unless_it_matters() {
    let mut tap = Tap::new(StreamKind::Chat, false);
    tap.frame(b"data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n");
    assert!(tap.text().is_none());
}

#[test]
fn a_body_counts_for_what_the_model_wrote_in_it() {
    for (dialect, body, bytes) in [
        (Dialect::OpenAi, json!({"choices": [{"message": {"role": "assistant", "content": "hello"}}]}), 5),
        (Dialect::OpenAi, json!({"output": [{"content": [{"type": "output_text", "text": "hello"}]}]}), 5),
        (
            Dialect::Anthropic,
            json!({"content": [{"type": "text", "text": "hello"}, {"type": "thinking", "thinking": "a"}]}),
            6,
        ),
        (Dialect::Ollama, json!({"message": {"content": "hello", "thinking": "a"}}), 6),
        (
            Dialect::Anthropic,
            json!({"content": [{"type": "tool_use", "name": "w", "input": {"path": "a", "text": "b"}}]}),
            23,
        ),
        (Dialect::OpenAi, json!({"output": [{"type": "custom_tool_call", "input": "SELECT"}]}), 6),
        (
            Dialect::OpenAi,
            json!({
                "tools": [{"parameters": {"properties": {"input": {"type": "string"}}}}],
                "metadata": {"transcript": "no"}, "instructions": "no", "text": {"format": {"schema": {"input": {}}}},
                "output": [{"content": [{"type": "output_text", "text": "hello", "annotations": [{"text": "no"}]}]}],
            }),
            5,
        ),
    ] {
        assert_eq!(of_body(dialect, body.to_string().as_bytes()), bytes, "{body}");
    }
}

proptest! {
    #[test]
    fn cuts_do_not_matter(text in "[a-zé\\\\\"😀]{0,40}", at in 0_usize..300, then in 0_usize..300) {
        let input = json!({"text": text, "list": [text, {"a": 1}]});
        let again = json!([{"text": text}]);
        let message = json!({"role": "assistant", "content": text, "name": "x", "annotations": again, "input": input});
        let body = json!({"choices": [{"message": message}]}).to_string();
        let body = body.as_bytes();
        let whole = of_body(Dialect::OpenAi, body);
        prop_assert_eq!(whole, (text.len() + input.to_string().len()) as u64);
        let (first, second) = (at.min(then).min(body.len()), at.max(then).min(body.len()));
        let mut pieces = Text::of_body(Dialect::OpenAi);
        for piece in [&body[..first], &body[first..second], &body[second..]] {
            pieces.feed(piece);
        }
        prop_assert_eq!(pieces.bytes(), whole);
        // Without an encoding the text is counted by its bytes.
        prop_assert_eq!(pieces.tally().end(None).0, whole.div_ceil(3));
    }

    #[test]
    fn no_bytes_count_for_more_text_than_they_are(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(of_body(Dialect::OpenAi, &body) <= 2 * body.len() as u64);
    }
}
