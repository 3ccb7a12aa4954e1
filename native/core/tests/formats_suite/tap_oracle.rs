//! Streams read the same however they are cut, and as a full parse reads them.

use penstock_core::{
    dialects::{Dialect, StreamKind, usage::Usage},
    relay::tap::Meaning,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{
    body_tap::oracle,
    drive::drive,
    json_noise::{self, bytes, chop, write},
};

/// Frames and bits of frames, good and bad, of all dialects.
const BITS: &[&str] = &[
    "data: {\"choices\":[{\"delta\":{\"content\":\"é😀北\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n",
    "data: {\"error\":{\"message\":\"m \\\"x\\\"\",\"code\":429}}\n\n",
    "data: {\"object\":\"error\",\"message\":\"m\"}\n\n",
    "data: [DONE]\n\n",
    "data: \"[DONE]\"\n\n",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "data: {\"type\":\"response.created\",\"response\":{}}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
    "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"m\"}}}\n\n",
    "{\"message\":{\"content\":\"x\"},\"done\":false}\n",
    "{\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":11,\"eval_count\":18}\n",
    "{\"error\":\"m\"}\n",
    ": comment\n\n",
    "id: 1\n",
    "retry: 5\n\n",
    "event: x\n",
    "data:\n",
    "data: {\"a\":\n",
    "data: 1}\n\n",
    "\n",
    "\u{feff}",
    "data",
    ":",
    "x",
];

/// A stream of them, with line ends of every kind; its last bytes are missing if `cut`.
fn body(cut: bool) -> impl Strategy<Value = Vec<u8>> {
    (vec(select(BITS), 0..10), 0..4_u8, any::<u8>()).prop_map(move |(bits, ends, mix)| {
        let mut out = Vec::new();
        for (n, &byte) in bits.concat().as_bytes().iter().enumerate() {
            match (byte, ends) {
                (b'\n', 1) => out.extend_from_slice(b"\r\n"),
                (b'\n', 2) => out.push(b'\r'),
                (b'\n', 3) => out.extend_from_slice([&b"\n"[..], b"\r", b"\r\n"][(n + usize::from(mix)) % 3]),
                _ => out.push(byte),
            }
        }
        if cut {
            out.truncate(out.len().saturating_sub(usize::from(mix) % 40));
        }
        out
    })
}

fn kind() -> impl Strategy<Value = StreamKind> {
    select(StreamKind::ALL)
}

/// A chunk of a chat with whatever else in it.
fn chunk() -> impl Strategy<Value = Value> {
    let reason = prop_oneof![Just(json!(null)), Just(json!("")), "[a-z]{1,8}".prop_map(Value::from)];
    let choice = (reason, json_noise::value()).prop_map(|(r, d)| json!({"finish_reason": r, "delta": d}));
    let usage = prop_oneof![Just(None), Just(Some(json!(null))), json_noise::object().prop_map(|o| Some(o.into()))];
    let error = prop_oneof![6 => Just(None), 1 => json_noise::value().prop_map(Some)];
    (json_noise::object(), vec(choice, 0..3), usage, error).prop_map(|(mut all, choices, usage, error)| {
        for name in ["type", "object", "message", "code", "usage", "error"] {
            all.remove(name);
        }
        all.insert("choices".into(), choices.into());
        all.extend(usage.map(|u| ("usage".into(), u)));
        all.extend(error.map(|e| ("error".into(), e)));
        all.into()
    })
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

proptest! {
    #[test]
    fn a_stream_reads_the_same_however_it_is_cut(
        kind in kind(), swallow in any::<bool>(), body in any::<bool>().prop_flat_map(body), cuts in vec(any::<u16>(), 0..8),
    ) {
        let whole = drive(kind, swallow, usize::MAX, [body.as_slice()]);
        prop_assert_eq!(&drive(kind, swallow, usize::MAX, chop(&body, &cuts)), &whole);
        prop_assert_eq!(&drive(kind, swallow, usize::MAX, bytes(&body)), &whole);
    }

    #[test]
    fn an_oversize_frame_is_read_as_a_whole_one(
        kind in kind(), mut body in body(false), max in 0_usize..40, cuts in vec(any::<u16>(), 0..8),
    ) {
        // An end mark is never oversize, and the first piece never shorter than a byte order mark.
        if memchr::memmem::find(&body, b"DONE").is_some() || body.starts_with(b"\xef") {
            return Ok(());
        }
        body.extend_from_slice(b"\n\n\n");
        let whole = drive(kind, false, usize::MAX, [body.as_slice()]);
        let flowed = drive(kind, false, max, chop(&body, &cuts));
        prop_assert_eq!(flowed.usage, whole.usage);
        prop_assert_eq!(flowed.finish, whole.finish);
        prop_assert_eq!(flowed.frames, whole.frames);
    }

    #[test]
    fn a_chat_is_read_as_a_full_parse_reads_it(chunks in vec((chunk(), json_noise::style()), 1..4)) {
        let mut body = String::new();
        let (mut usage, mut finish, mut meanings) = (None, None, Vec::new());
        for (chunk, style) in &chunks {
            let data = write(chunk, style).replace(['\r', '\n'], " ");
            let chunk: Value = serde_json::from_str(&data).unwrap();
            body.extend(["data: ", &data, "\n\n"]);
            if truthy(&chunk["error"]) {
                meanings.push(true);
                continue;
            }
            meanings.push(false);
            usage = oracle(Dialect::OpenAi, &chunk).or(usage);
            let reasons = chunk["choices"].as_array().unwrap().iter().filter_map(|c| c["finish_reason"].as_str());
            finish = { reasons }.rfind(|r| !r.is_empty()).map(str::to_owned).or(finish);
        }
        let seen = drive(StreamKind::Chat, false, usize::MAX, [body.as_bytes()]);
        let errors: Vec<bool> = seen.meanings.iter().map(|m| matches!(m, Meaning::Error(_))).collect();
        prop_assert_eq!(errors, meanings, "{}", body);
        prop_assert_eq!(seen.finish, finish, "{}", body);
        // What it was served as may stand in any chunk; see `the_tier_of_service_is_read_where_it_stands`.
        let untiered = |usage: Option<Usage>| usage.map(|usage| Usage { tier: None, ..usage });
        prop_assert!(untiered(seen.usage) == untiered(usage) || usage.is_none(), "{:?} {:?} {}", seen.usage, usage, body);
        prop_assert!(seen.out.starts_with(&body));
    }
}
