//! How fast the hot paths are; run by hand, optimised: `cargo test --release --test formats_suite speed -- --ignored --nocapture`.

use std::hint::black_box;

use penstock_core::{
    clock::Clock,
    dialects::{Dialect, StreamKind, usage::BodyTap},
    relay::{frames::Splitter, tap::Tap},
    request::{estimate::Prompt, scan::scan},
};

const CHUNK: &str = "data: {\"id\":\"chatcmpl-BxYz0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
    \"model\":\"gpt-5-mini\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" Hello\"},\
    \"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
    \"delta\":{\"type\":\"text_delta\",\"text\":\" Hello\"}}\n\n";

/// Nanoseconds that one call takes: the best of many short rounds, so that other work on the machine matters little.
fn time(mut work: impl FnMut()) -> f64 {
    let clock = Clock::System;
    let mut round = |calls: u64| {
        let start = clock.boot_us();
        for _ in 0..calls {
            work();
        }
        clock.boot_us() - start
    };
    let calls = 1 + 1_000 * 100 / (round(100) + 1);
    std::iter::repeat_with(|| round(calls)).take(300).min().unwrap_or(0) as f64 * 1000.0 / calls as f64
}

#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn figures() {
    let escaped = CHUNK.replace(" Hello", "\\nHello");
    for (name, kind, frame) in [
        ("chat", StreamKind::Chat, CHUNK),
        ("chat, escape in text", StreamKind::Chat, &escaped),
        ("messages", StreamKind::Messages, DELTA),
    ] {
        let (mut splitter, mut tap) = (Splitter::new(kind), Tap::new(kind, true));
        let ns = time(|| {
            let len = splitter.next(black_box(frame.as_bytes())).unwrap();
            black_box(tap.frame(&frame.as_bytes()[..len]));
        });
        println!("split and tap, {name}, {} bytes: {ns:.0} ns", frame.len());
        tap.count_text();
        let ns = time(|| {
            black_box(tap.frame(black_box(frame.as_bytes())));
        });
        println!("tap that counts text, {name}: {ns:.0} ns");
    }
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20) + "\\n";
    let cjk = "敏捷的棕色狐狸跳过懒狗。".repeat(30);
    for (name, message) in [("text", text.as_str()), ("text not ASCII", &cjk), ("short strings", "ok")] {
        let messages =
            format!("{{\"role\":\"user\",\"content\":\"{message}\"}},").repeat(1_000_000 / (message.len() + 40));
        let body = format!("{{\"model\":\"m\",\"messages\":[{messages}null],\"stream\":true}}");
        let ns = time(|| drop(black_box(scan(black_box(body.as_bytes()), 128))));
        println!("scan, {name}: {:.2} GB/s", body.len() as f64 / ns);
    }
    let body =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"stream\":true,\"max_tokens\":5}";
    let ns = time(|| drop(black_box(scan(black_box(body.as_bytes()), 128))));
    println!("scan, a small body of {} bytes: {ns:.0} ns", body.len());
    let plain = format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
    let picture = "QUJDRA==".repeat(16 * 1024);
    let part = format!("{{\"type\":\"image_url\",\"image_url\":{{\"url\":\"data:image/png;base64,{picture}\"}}}}");
    let seen = format!("{{\"messages\":[{{\"content\":[{part}]}}]}}");
    for (name, body) in [("a small body", body), ("text", &plain), ("a picture", &seen)] {
        let ns = time(|| {
            black_box(Prompt::of_json(black_box(body.as_bytes())));
        });
        println!("estimate, {name}, {} bytes: {ns:.0} ns", body.len());
    }
    let floats = "-0.012345678,".repeat(1536);
    let list = format!("{{\"embedding\":[{floats}1],\"index\":0}},").repeat(50);
    let base64 = format!("{{\"embedding\":\"{}\"}},", "QUJDRA==".repeat(1024)).repeat(100);
    let choice = format!("{{\"message\":{{\"content\":\"{text}\",\"role\":\"assistant\"}}}},").repeat(1000);
    for (name, inner) in [("floats", list), ("base64", base64), ("text", choice)] {
        let body = format!("{{\"data\":[{inner}null],\"usage\":{{\"prompt_tokens\":8}}}}");
        let ns = time(|| {
            let mut tap = BodyTap::new(Dialect::OpenAi, false);
            body.as_bytes().chunks(16 * 1024).for_each(|piece| tap.feed(piece));
            assert!(tap.usage().is_some());
        });
        println!("body tap, {name}: {:.2} GB/s", body.len() as f64 / ns);
    }
}
