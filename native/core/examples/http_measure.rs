//! How long a typical request head takes to parse and an SSE chunk to decode, in nanoseconds.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::hint::black_box;

use penstock_core::{
    clock::Clock,
    http::{BodyDecoder, BodyLimits, Framing, HeadLimits, RequestHead},
};

/// What the Python SDK of `OpenAI` sends.
const HEAD: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nAccept-Encoding: gzip, deflate\r\n\
Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
User-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 2.8.1\r\n\
X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n\
X-Stainless-Runtime-Version: 3.11.2\r\nAuthorization: Bearer sk-proj-0123456789abcdefghijklmnopqrstuvwxyz0123456789\r\n\
X-Stainless-Async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nContent-Length: 1024\r\n\r\n";

fn per_round(rounds: u64, mut work: impl FnMut()) -> u64 {
    let clock = Clock::System;
    let best = (0..5).map(|_| {
        let start = clock.boot_us();
        (0..rounds).for_each(|_| work());
        (clock.boot_us() - start) * 1000 / rounds
    });
    best.min().unwrap_or(0)
}

fn main() {
    let (mut head, limits) = (RequestHead::default(), HeadLimits::default());
    let ns = per_round(200_000, || {
        let _ = black_box(head.parse(black_box(HEAD), &limits));
    });
    println!("request head, {} fields, {} bytes: {ns} ns", head.fields.len(), HEAD.len());
    let mut room = [httparse::EMPTY_HEADER; 100];
    let ns = per_round(200_000, || {
        let mut request = httparse::Request::new(&mut room);
        let _ = black_box(request.parse(black_box(HEAD)).is_ok());
    });
    println!("of that httparse alone: {ns} ns");
    let chunk = [&b"c8\r\n"[..], &[b'x'; 200], b"\r\n"].concat();
    let (mut decoder, mut room) = (BodyDecoder::new(Framing::Chunked, &BodyLimits::default()), chunk.clone());
    let ns = per_round(200_000, || {
        room.copy_from_slice(&chunk);
        let _ = black_box(decoder.decode(black_box(&mut room)));
    });
    println!("chunk of 200 bytes: {ns} ns");
}
