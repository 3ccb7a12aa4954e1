//! Generated JSON, in every spelling that the standard allows.

use std::fmt::Write as _;

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value};

/// Names that the taps and the scanner know, so that noise hits them in wrong places.
const NAMES: &[&str] = &[
    "usage",
    "error",
    "choices",
    "finish_reason",
    "model",
    "stream",
    "stream_options",
    "type",
    "object",
    "message",
    "response",
    "delta",
    "stop_reason",
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_tokens_details",
    "input_tokens_details",
    "completion_tokens_details",
    "output_tokens_details",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "thinking_tokens",
    "audio_tokens",
    "image_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "ephemeral_1h_input_tokens",
    "prompt_cache_hit_tokens",
    "cache_write_tokens_details",
    "ttl_12h_tokens",
    "iterations",
    "compaction",
    "advisor_message",
    "fallback_message",
    "stop_reason",
    "refusal",
    "content",
    "type",
    "seconds",
    "prompt_audio_seconds",
    "total_tokens",
    "speed",
    "fast",
    "service_tier",
    "flex",
    "prompt_eval_count",
    "eval_count",
    "done",
    "code",
    "n",
    "max_tokens",
    "Model",
    "\u{17f}tream",
    "max_to\u{212a}ens",
];

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => proptest::sample::select(NAMES).prop_map(str::to_owned),
        1 => Just("\"usage\":{\"prompt_tokens\":1}".to_owned()),
        2 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
        1 => "[\\x00-\\x7f\"\\\\]{0,40}",
        1 => "[a-z]{0,90}",
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0_u64..5000).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e20_f64..1e20).prop_map(Value::from),
        (0_f64..100.0).prop_map(Value::from),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), text().prop_map(Value::from),];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((text(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

pub(crate) fn object() -> impl Strategy<Value = Map<String, Value>> {
    vec((text(), value()), 0..8).prop_map(|fields| fields.into_iter().collect())
}

/// How a value is spelt: a stream of choices.
pub(crate) fn style() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..40)
}

/// Writes `value`, with blanks and escapes as `style` says.
pub(crate) fn write(value: &Value, style: &[u8]) -> String {
    let mut writer = Writer { style, at: 0, out: String::new() };
    writer.value(value);
    writer.out
}

struct Writer<'a> {
    style: &'a [u8],
    at: usize,
    out: String,
}

impl Writer<'_> {
    fn choose(&mut self, n: u8) -> u8 {
        self.at += 1;
        self.style[self.at % self.style.len()] % n
    }

    fn blank(&mut self) {
        let blank = ["", "", "", " ", "\n", "\t \r\n"][usize::from(self.choose(6))];
        self.out.push_str(blank);
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            let escape = (c as u32) < 0x20 || self.choose(12) == 0;
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                '\n' if self.choose(2) == 0 => self.out.push_str("\\n"),
                '/' if self.choose(2) == 0 => self.out.push_str("\\/"),
                _ if escape => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn value(&mut self, value: &Value) {
        self.blank();
        match value {
            Value::Array(items) => {
                self.out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        self.out.push(',');
                    }
                    self.value(item);
                }
                self.blank();
                self.out.push(']');
            }
            Value::Object(fields) => {
                self.out.push('{');
                for (n, (name, item)) in fields.iter().enumerate() {
                    if n > 0 {
                        self.out.push(',');
                    }
                    self.blank();
                    self.text(name);
                    self.blank();
                    self.out.push(':');
                    self.value(item);
                }
                self.blank();
                self.out.push('}');
            }
            Value::String(text) => self.text(text),
            other => self.out.push_str(&other.to_string()),
        }
        self.blank();
    }
}

/// Cuts `body` at places that `cuts` chooses.
pub(crate) fn chop<'a>(body: &'a [u8], cuts: &[u16]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|&c| usize::from(c) % (body.len() + 1)).collect();
    at.sort_unstable();
    at.push(body.len());
    let mut from = 0;
    at.into_iter()
        .map(|to| {
            let piece = &body[from..to];
            from = to;
            piece
        })
        .collect()
}

/// Each byte alone.
pub(crate) fn bytes(body: &[u8]) -> Vec<&[u8]> {
    body.chunks(1).collect()
}
