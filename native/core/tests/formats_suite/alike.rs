//! A frame that is like one before it is taken as a closer look would take it.

use std::{path::Path, sync::LazyLock};

use penstock_core::{
    content::{Kept, Policy, Redaction, Room},
    dialects::{
        StreamKind,
        usage::{Tier, Usage},
    },
    relay::{
        frames::Splitter,
        tap::{Closing, Meaning, Tap, Verdict},
    },
    tokens::Encoding,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

struct Endless;

impl Room for Endless {
    fn grow_to(&mut self, _: usize) -> bool {
        true
    }
}

/// What there is to see of a stream whose text is counted, and whether that is exact, and may be kept.
#[derive(Debug, PartialEq)]
struct Seen {
    frames: u64,
    out: Vec<u8>,
    /// But for the tier of service, which is not looked for in each frame.
    usage: Option<Usage>,
    finish: Option<String>,
    closing: Closing,
    bytes: u64,
    tokens: (u64, bool),
    text: Option<String>,
}

static ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/penstock/tokens");
    Encoding::open(&tables, "o200k_base").expect("the table")
});

fn policy() -> Policy {
    let redaction = Redaction::new(&[], Vec::new()).unwrap();
    Policy { prompts: true, answers: true, max_bytes: 100_000, redaction }
}

fn tap(kind: StreamKind, keeps: bool) -> Tap {
    let mut tap = Tap::new(kind, false);
    tap.count_text();
    if keeps {
        tap.text().unwrap().keep(Some(Box::new(Kept::new(&policy(), Box::new(Endless)))));
    }
    tap
}

fn seen(mut tap: Tap, out: Vec<u8>) -> Seen {
    let usage = tap.usage().map(|usage| Usage { tier: None, ..usage });
    let (frames, finish, closing) = (tap.frames(), tap.finish().map(str::to_owned), tap.closing(false));
    let text = tap.text().unwrap();
    let kept = text.take_kept().and_then(|kept| kept.finish(&policy(), &[])).map(|piece| piece.text);
    let (bytes, tokens) = (text.bytes(), text.tally().end(Some(&ENCODING)));
    Seen { frames, out, usage, finish, closing, bytes, tokens, text: kept }
}

fn take((_, verdict): (Meaning, Verdict), frame: &[u8], out: &mut Vec<u8>) {
    match verdict {
        Verdict::Pass => out.extend_from_slice(frame),
        Verdict::Drop => {}
        Verdict::Replace(bytes) => out.extend_from_slice(&bytes),
    }
}

/// As the relay does; also how many frames were known.
fn relayed(kind: StreamKind, keeps: bool, body: &[u8], piece: usize) -> (Seen, usize) {
    let (mut splitter, mut tap) = (Splitter::new(kind), tap(kind, keeps));
    let (mut payload, mut out, mut known) = (Vec::new(), Vec::new(), 0);
    for piece in body.chunks(piece) {
        payload.extend_from_slice(piece);
        loop {
            if splitter.is_at_start()
                && let Some(len) = tap.alike(&payload)
            {
                let mut other = Splitter::new(kind);
                assert_eq!(other.next(&payload), Some(len), "a frame ends where it ends");
                out.extend(payload.drain(..len));
                known += 1;
                continue;
            }
            let Some(len) = splitter.next(&payload) else { break };
            let frame: Vec<u8> = payload.drain(..len).collect();
            take(tap.frame(&frame), &frame, &mut out);
        }
    }
    (seen(tap, out), known)
}

/// By looking at each frame.
fn looked_at(kind: StreamKind, keeps: bool, mut body: &[u8]) -> Seen {
    let (mut splitter, mut tap, mut out) = (Splitter::new(kind), tap(kind, keeps), Vec::new());
    while let Some(len) = splitter.next(body) {
        take(tap.frame(&body[..len]), &body[..len], &mut out);
        body = &body[len..];
    }
    seen(tap, out)
}

fn sse(value: &serde_json::Value) -> String {
    format!("data: {value}\n\n")
}

/// Frames as providers send them, each with this text and number.
fn usual(kind: StreamKind, text: &str, n: usize) -> String {
    match kind {
        StreamKind::Chat => sse(&json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m",
            "choices": [{"index": 0, "delta": {"content": text}, "logprobs": null, "finish_reason": null}],
            "usage": null, "obfuscation": "x".repeat(n % 7),
        })),
        StreamKind::Completions => sse(&json!({
            "id": format!("cmpl-{n}"), "created": n, "choices": [{"text": text, "index": 0, "finish_reason": null}],
        })),
        StreamKind::Responses => format!(
            "event: response.output_text.delta\n{}",
            sse(
                &json!({"type": "response.output_text.delta", "item_id": "msg_1", "sequence_number": n, "delta": text})
            )
        ),
        StreamKind::Messages => format!(
            "event: content_block_delta\n{}",
            sse(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
        ),
        StreamKind::OtherSse => sse(&json!({"type": "speech.audio.delta", "audio": text})),
        StreamKind::OllamaChat => format!(
            "{}\n",
            json!({"created_at": format!("2026-01-01T00:00:00.{n:06}Z"), "message": {"role": "assistant", "content": text}, "done": false})
        ),
        StreamKind::OllamaGenerate => {
            format!("{}\n", json!({"created_at": n.to_string(), "response": text, "done": false}))
        }
    }
}

#[test]
fn most_frames_of_every_usual_stream_are_known() {
    let texts = [" Hello", ",", " world", "!\n", "\n\n", " \"quoted\"", " é😀", "", " \\", "\u{1}"];
    for &kind in StreamKind::ALL {
        let body: String = (0..100).map(|n| usual(kind, texts[n % texts.len()], n)).collect();
        for keeps in [false, true] {
            let (found, known) = relayed(kind, keeps, body.as_bytes(), usize::MAX);
            assert_eq!(found, looked_at(kind, keeps, body.as_bytes()), "{kind:?}");
            let expected = if kind == StreamKind::OtherSse { 0..=0 } else { 80..=99 };
            assert!(expected.contains(&known), "{kind:?}: {known} of 100");
        }
    }
}

#[test]
fn frames_that_say_more_are_looked_at() {
    let plain = |text: &str| usual(StreamKind::Chat, text, 0);
    let other = |from: &str, to: &str| {
        let frame = plain("x");
        assert!(frame.contains(from), "{frame}");
        frame.replace(from, to)
    };
    for frame in [
        other("\"finish_reason\":null", "\"finish_reason\":\"stop\""),
        other("\"usage\":null", "\"usage\":{\"prompt_tokens\":1}"),
        other("\"content\":\"x\"", "\"content\":\"x\",\"content\":\"y\""),
        other("\"index\":0", "\"index\":1"),
        other("\"content\":\"x\"", "\"content\":null"),
        other("\"content\":\"x\"", "\"content\":\"x\ny\""),
        other("\"content\":\"x\"", "\"content\":\"\\x\""),
        other("\"content\":\"x\"", "\"content\":\"\\u12g4\""),
        other("\n\n", "\ndata: 1\n\n"),
        other("data: ", "id: 7\ndata: "),
        "data: [DONE]\n\n".to_owned(),
    ] {
        let mut tap = tap(StreamKind::Chat, false);
        for _ in 0..4 {
            tap.frame(plain(" a").as_bytes());
        }
        assert_eq!(tap.alike(plain(" b").as_bytes()), Some(plain(" b").len()));
        assert_eq!(tap.alike(frame.as_bytes()), None, "{frame}");
    }
}

#[test]
fn text_is_found_where_a_closer_look_finds_it() {
    let frame = |id: &str, first: &str, delta: &str| {
        format!("data: {{\"id\":\"{id}\",\"content\":\"{first}\",\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n")
    };
    let said = |text: &str| format!("{{\"content\":\"{text}\"}}");
    for frames in [
        // The mark of a text is the value of an id, of the frame that is learned or of the next one.
        [frame("delta", "one", "{}"), frame("x", "two", "{}")],
        [frame("x", "fixed", &said("one")), frame("delta", "fixed", &said("two"))],
        [frame("x", "fixed", &said("one")), frame("\\\"delta", "fixed", &said("two"))],
        [frame("x", "fixed", &said("one")), frame("a\\\"delta", "fixed", &said("two"))],
    ] {
        let body = [frames[0].repeat(4), frames[1].clone()].concat();
        for keeps in [false, true] {
            let (found, _) = relayed(StreamKind::Chat, keeps, body.as_bytes(), usize::MAX);
            assert_eq!(found, looked_at(StreamKind::Chat, keeps, body.as_bytes()), "{body}");
        }
    }
}

#[test]
fn the_tier_of_service_is_known_from_frames_that_are_alike() {
    let tier =
        |text: &str| usual(StreamKind::Chat, text, 1).replace("\"model\"", "\"service_tier\":\"priority\",\"model\"");
    let usage = sse(&json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}));
    let body = [tier("a").repeat(5), tier("\n").repeat(5), usage].concat();
    let (mut splitter, mut tap, mut rest) =
        (Splitter::new(StreamKind::Chat), Tap::new(StreamKind::Chat, false), body.as_bytes());
    while !rest.is_empty() {
        let len = tap.alike(rest).unwrap_or_else(|| {
            let len = splitter.next(rest).unwrap();
            tap.frame(&rest[..len]);
            len
        });
        rest = &rest[len..];
    }
    assert_eq!(tap.usage().unwrap().tier, Some(Tier::Priority));
}

#[test]
fn part_of_a_frame_is_no_frame() {
    for &kind in StreamKind::ALL {
        let (mut tap, frame) = (tap(kind, false), usual(kind, " a", 1));
        for _ in 0..4 {
            tap.frame(frame.as_bytes());
        }
        for end in 0..frame.len() {
            assert_eq!(tap.alike(&frame.as_bytes()[..end]), None, "{kind:?} {end}");
        }
    }
}

/// Streams of frames with a few forms and any texts, some broken.
fn body(kind: StreamKind) -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "[a-z \"\\\\\n\u{1}é😀]{0,12}",
        select(vec!["delta", "error", "usage", "finish_reason", "text", "message", "response", "content"])
            .prop_map(str::to_owned),
    ];
    let mend = (any::<u8>(), any::<proptest::sample::Index>(), any::<u8>());
    let frame = (text, 0_usize..9, 0_u8..12, mend).prop_map(move |(text, n, form, (odds, at, byte))| {
        let frame = usual(kind, &text, n);
        let mut frame = match form {
            0 => frame.replace("\"id\":\"c", "\"id\":\"delta"),
            1 => frame.replace("cmpl-1\"", "delta\"").replace("\"cmpl-2\"", "\"text\""),
            2 => frame.replace("\"index\":0", "\"index\":1"),
            3 => frame.replace("\"content\"", "\"reasoning_content\"").replace("\"text\":", "\"thinking\":"),
            4 => frame
                .replace("{\"content\"", "{\"tool_calls\":[{\"index\":0}],\"arguments\"")
                .replace("\"text\":", "\"partial_json\":"),
            5 => frame
                .replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"")
                .replace("\"done\":false", "\"done\":true"),
            _ => frame,
        }
        .into_bytes();
        if odds < 8 {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame
    });
    vec(frame, 0..30).prop_map(|frames| frames.concat())
}

fn any_body() -> impl Strategy<Value = (StreamKind, Vec<u8>)> {
    select(StreamKind::ALL).prop_flat_map(|kind| (Just(kind), body(kind)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_makes_no_difference((kind, body) in any_body(), keeps: bool, piece in 1_usize..400) {
        let (found, _) = relayed(kind, keeps, &body, piece);
        prop_assert_eq!(found, looked_at(kind, keeps, &body));
    }
}
