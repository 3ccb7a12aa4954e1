//! How fast the hot paths are; run by hand, optimised: `cargo test --release --test formats_suite speed -- --ignored --nocapture`.

use std::hint::black_box;

use penstock_core::{
    clock::Clock,
    content::{Kept, Policy, Redaction, Room, write_prompt},
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

struct Endless;

impl Room for Endless {
    fn grow_to(&mut self, _: usize) -> bool {
        true
    }
}

#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn figures_of_recorded_texts() {
    let policy = |patterns: &[&str], max_bytes| {
        let patterns: Vec<_> = patterns.iter().map(|&each| each.to_owned()).collect();
        let redaction = Redaction::new(&patterns, vec!["sk-of-a-provider-0123456789".to_owned()]).unwrap();
        Policy { prompts: true, answers: true, max_bytes, redaction }
    };
    let message = |text: &str, times: usize| {
        let messages = format!("{{\"role\":\"user\",\"content\":\"{text}\"}},").repeat(times);
        format!("{{\"model\":\"m\",\"messages\":[{messages}null]}}")
    };
    let usual = message(&"The quick brown fox\\n jumps over the lazy dog. ".repeat(20), 17);
    let numbers = format!("{{\"model\":\"m\",\"input\":[{}1]}}", "12345,".repeat(4_000));
    let hostile = message(&"A".repeat(300_000), 1);
    for (name, body, max_bytes, patterns) in [
        ("usual", &usual, 16 << 10, &[][..]),
        ("usual, an address", &usual, 16 << 10, &[r"[\w.+-]+@[\w-]+\.[\w.]+"]),
        (
            "usual, five",
            &usual,
            16 << 10,
            &[r"[\w.+-]+@[\w-]+\.[\w.]+", r"\d{16}", r"\bname\b", "(?i)secret", r"\d{3}-\d{2}"],
        ),
        ("short strings", &message("ok", 700), 24 << 10, &[r"\d{16}"]),
        ("numbers", &numbers, 24 << 10, &[r"\d{16}"]),
        ("quadratic, as configured", &hostile, 24 << 10, &["A.*X|A"]),
        ("quadratic, 256 KiB", &hostile, 256 << 10, &["A.*X|A"]),
    ] {
        let policy = policy(patterns, max_bytes);
        let both = time(|| {
            let mut kept = Kept::new(&policy, Box::new(Endless));
            write_prompt(black_box(body.as_bytes()), &mut kept);
            black_box(kept.finish(&policy, &[b"sk-pen-0123456789Ab-0123456789"[..].into()]));
        });
        let keep = time(|| {
            let mut kept = Kept::new(&policy, Box::new(Endless));
            write_prompt(black_box(body.as_bytes()), &mut kept);
        });
        println!("a prompt of {} bytes, {name}: kept in {keep:.0} ns, redacted in {:.0} ns", body.len(), both - keep);
    }
    let policy = policy(&[], 16 << 10);
    for text in ["\\u0061", "\\\\", "1,", "AbC0", "a"] {
        for begin in ["", "data:a/b;base64,"] {
            let body = format!("[\"{begin}{}\"]", text.repeat((64 << 20) / text.len()));
            let ns = time(|| {
                let mut kept = Kept::new(&policy, Box::new(Endless));
                write_prompt(black_box(body.as_bytes()), &mut kept);
            });
            println!("a prompt of 64 MiB of {begin}{text}: kept in {ns:.0} ns");
        }
    }
}
