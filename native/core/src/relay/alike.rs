//! Knows the frame that is like an earlier one but for its text, as most of a stream are: it needs no further look.

use std::ops::Range;

use memchr::memchr;

use super::{
    choices,
    text::{AGAIN, CALLS, Names, has_choices, places},
};
use crate::{
    dialects::StreamKind,
    json::strings::{Passed, pass, plain},
};

/// A longer frame is not learned.
const MOST_BYTES: usize = 1024;
/// So many values may differ.
const MOST_HOLES: usize = 5;
/// So many frames pass at most before the next may be learned.
const MOST_WAIT: u32 = 64;
/// Values that differ from frame to frame and say nothing to a relay.
const FREE: Names = &[b"id", b"created", b"created_at", b"obfuscation", b"sequence_number"];

/// The frame that others are compared with.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// Empty: there is none.
    frame: Vec<u8>,
    holes: [Hole; MOST_HOLES],
    count: usize,
    /// Where the name of the text stands in those of its kind.
    place: usize,
    /// What the text stands behind, which must not come earlier.
    mark: &'static [u8],
    learned: u32,
    wait: u32,
}

/// Where a value stands that may be another.
#[derive(Clone, Copy, Debug, Default)]
struct Hole {
    begin: u16,
    end: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// A string that means nothing: without an escape, and not the mark, behind which the text would be found elsewhere.
    #[default]
    String,
    /// Digits.
    Number,
    /// What the model wrote.
    Text,
}

/// A frame that is like the known one.
#[derive(Debug)]
pub(super) struct Found {
    pub length: usize,
    /// Its text, with the quote behind it, and whether it has no escape.
    pub text: Range<usize>,
    pub is_plain: bool,
    /// Where the name of the text stands in those of its kind.
    pub place: usize,
}

impl Alike {
    /// The frame that `payload` begins with, if it is like the known one.
    pub fn find(&self, payload: &[u8]) -> Option<Found> {
        if self.frame.is_empty() {
            return None;
        }
        let (mut at, mut from, mut text, mut is_plain) = (0, 0, 0..0, true);
        for hole in &self.holes[..self.count] {
            at = self.same(from..hole.begin.into(), payload, at)?;
            let end = match hole.kind {
                Kind::Number => at + number_end(&payload[at..])?,
                Kind::String => plain(payload, at).filter(|end| &payload[at - 1..=*end] != self.mark)?,
                Kind::Text => {
                    let end = plain(payload, at);
                    is_plain = end.is_some();
                    let end = end.or_else(|| string_end(payload, at))?;
                    text = at..end + 1;
                    end
                }
            };
            (at, from) = (end, hole.end.into());
        }
        let length = self.same(from..self.frame.len(), payload, at)?;
        Some(Found { length, text, is_plain, place: self.place })
    }

    /// Where what must be the same ends, which begins `at` in the payload.
    fn same(&self, part: Range<usize>, payload: &[u8], at: usize) -> Option<usize> {
        let end = at + part.len();
        (payload.get(at..end)? == &self.frame[part]).then_some(end)
    }

    /// Takes a frame that only carries text as the one to compare with, every now and then; whether it did.
    pub fn learn(&mut self, kind: StreamKind, frame: &[u8]) -> bool {
        if self.wait > 0 {
            self.wait -= 1;
            return false;
        }
        self.learned += 1;
        self.wait = (self.learned - 1).min(MOST_WAIT);
        self.frame.clear();
        let is_alone = !has_choices(kind) || !choices::names_another(frame);
        if frame.len() <= MOST_BYTES && frame.ends_with(b"\n") && is_alone && self.dig(kind, frame).is_some() {
            self.frame.extend_from_slice(frame);
        }
        !self.frame.is_empty()
    }

    /// Finds what may differ in a frame; `None` if it has not one text, or an escape.
    fn dig(&mut self, kind: StreamKind, frame: &[u8]) -> Option<()> {
        let (before, names) = places(kind);
        let text_from = before.find(frame)?;
        if memchr(b'\\', frame).is_some() {
            return None;
        }
        (self.count, self.mark) = (0, before.needle());
        let (mut at, mut texts) = (memchr(b'{', frame)?, 0);
        while let Some(quote) = memchr(b'"', &frame[at..]) {
            let begin = at + quote + 1;
            let end = begin + memchr(b'"', &frame[begin..])?;
            at = end + 1;
            let Some(value) = value(frame, at) else { continue };
            let name = &frame[begin..end];
            let place = names.iter().position(|known| *known == name).filter(|_| begin > text_from);
            let hole = match frame.get(value)? {
                b'"' => {
                    let end = value + 1 + memchr(b'"', &frame[value + 1..])?;
                    at = end + 1;
                    if value == text_from {
                        return None;
                    }
                    let kind = if place.is_some() { Kind::Text } else { Kind::String };
                    Hole { begin: value as u16 + 1, end: end as u16, kind }
                }
                b'0'..=b'9' if place.is_none() => {
                    let end = value + number_end(&frame[value..])?;
                    Hole { begin: value as u16, end: end as u16, kind: Kind::Number }
                }
                b'{' | b'[' if CALLS.contains(&name) || AGAIN.contains(&name) => return None,
                _ => continue,
            };
            if let (Some(place), Kind::Text) = (place, hole.kind) {
                texts += 1;
                self.place = place;
            } else if !FREE.contains(&name) {
                continue;
            }
            *self.holes.get_mut(self.count)? = hole;
            self.count += 1;
        }
        (texts == 1).then_some(())
    }
}

/// Where the value begins whose name ends at `at`; `None` if that was no name.
fn value(frame: &[u8], at: usize) -> Option<usize> {
    let rest = blanks_off(&frame[at..]).strip_prefix(b":")?;
    Some(frame.len() - blanks_off(rest).len())
}

fn blanks_off(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    &bytes[blanks..]
}

/// How many digits there are, if any.
fn number_end(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then_some(digits)
}

/// Where the quote stands that ends a string of JSON, which goes on at `at`; `None` if there is none, or what JSON does not
/// allow before it.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    match pass(bytes, at) {
        Passed::Whole(at) => Some(at),
        Passed::Wrong(_) | Passed::Short(_) => None,
    }
}
