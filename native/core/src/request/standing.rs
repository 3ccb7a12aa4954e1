//! Where a request stands with its limits, as headers say it.

use std::io::{self, Write};

use super::Reply;
use crate::{
    clock::write_utc,
    dialects::Dialect,
    limits::{Away, Left, Standing},
};

/// What the head of an answer says of limits; nothing, while there are none.
#[derive(Clone, Copy, Default)]
pub struct LimitFields {
    pub standing: Standing,
    /// How long the request waited for its turn.
    pub waited_us: u64,
    /// It was judged without Redis, by this policy.
    pub away: Option<Away>,
}

/// Names of the fields: limit, remaining, reset.
type Names = [&'static str; 3];

const OPENAI: [Names; 2] = [
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
];
const ANTHROPIC: [Names; 2] = [
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"],
];

impl LimitFields {
    /// Adds the headers of a dialect. `utc_us` is asked only if a time has to be told.
    pub fn write(&self, reply: &mut Reply, dialect: Dialect, utc_us: impl Fn() -> u64) {
        let names = if dialect == Dialect::Anthropic { &ANTHROPIC } else { &OPENAI };
        for (left, [limit, remaining, reset]) in [self.standing.requests, self.standing.tokens].into_iter().zip(names) {
            let Some(Left { limit: amount, remaining: rest, reset_us }) = left else { continue };
            reply.number(limit, amount);
            reply.number(remaining, rest);
            let mut text = ShortText::new();
            if dialect == Dialect::Anthropic {
                text.instant(utc_us().saturating_add(reset_us));
            } else {
                text.duration(reset_us);
            }
            reply.raw_field(reset.as_bytes(), text.get());
        }
        if self.waited_us > 0 {
            reply.number("x-penstock-queued-ms", self.waited_us.div_ceil(1_000));
        }
        if let Some(policy) = self.away {
            reply.field("x-penstock-limits-away", policy.name().as_bytes());
        }
    }
}

/// A short text without a place in memory of its own.
struct ShortText {
    bytes: [u8; ROOM],
    len: usize,
}

const ROOM: usize = 40;

impl ShortText {
    const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// As `OpenAI` writes a time to wait: `120ms`, `1s`, `6m0s`, `23h59m58s`; rounded up.
    fn duration(&mut self, us: u64) {
        let ms = us.div_ceil(1_000);
        let s = ms.div_ceil(1_000);
        match s {
            _ if (1..1_000).contains(&ms) => self.number(ms, "ms"),
            _ if s < 60 && !ms.is_multiple_of(1_000) => {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(ms);
                let (whole, fraction) = digits.split_at(digits.len() - 3);
                [whole, ".", fraction, "s"].into_iter().for_each(|part| self.text(part));
            }
            _ => {
                if s >= 3_600 {
                    self.number(s / 3_600, "h");
                }
                if s >= 60 {
                    self.number(s / 60 % 60, "m");
                }
                self.number(s % 60, "s");
            }
        }
    }

    fn number(&mut self, number: u64, unit: &str) {
        self.text(itoa::Buffer::new().format(number));
        self.text(unit);
    }

    /// What has no room is left out.
    fn text(&mut self, text: &str) {
        self.put(text.as_bytes());
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let room = &mut self.bytes[self.len..];
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.len += fits;
        fits
    }

    /// RFC 3339, whole seconds, rounded up.
    fn instant(&mut self, utc_us: u64) {
        write_utc(utc_us.div_ceil(1_000_000) * 1_000_000, self);
        self.len = self.len.min(SECONDS);
        self.text("Z");
    }
}

impl Write for ShortText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.put(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `2026-01-31T23:59:59`
const SECONDS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_written_as_openai_does() {
        for (us, text) in [
            (0, "0s"),
            (1, "1ms"),
            (120_000, "120ms"),
            (999_001, "1s"),
            (1_000_000, "1s"),
            (1_000_001, "1.001s"),
            (59_000_000, "59s"),
            (59_999_900, "1m0s"),
            (360_000_000, "6m0s"),
            (86_398_000_000, "23h59m58s"),
            (u64::MAX, "5124095576h1m50s"),
        ] {
            let mut out = ShortText::new();
            out.duration(us);
            assert_eq!(std::str::from_utf8(out.get()), Ok(text));
        }
    }

    #[test]
    fn an_instant_is_the_whole_second_after_it() {
        for (us, text) in
            [(1_735_689_599_000_000, "2024-12-31T23:59:59Z"), (1_735_689_599_000_001, "2025-01-01T00:00:00Z")]
        {
            let mut out = ShortText::new();
            out.instant(us);
            assert_eq!(std::str::from_utf8(out.get()), Ok(text));
        }
    }
}
