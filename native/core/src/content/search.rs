//! Finds what must not be read in the texts of a request, within a bound of time.

use std::ops::Range;

use memchr::memmem::Finder;

use super::redact::{Redaction, SHORTEST_SECRET, find_tokens};
use crate::{
    clock::{Clock, thread_cpu_us},
    keys::format::find_keys,
};

/// What stands for what is found.
pub(super) const REDACTED: &str = "[redacted]";
/// So much of a processor a text may take, in microseconds: patterns may take quadratic time, and what they go over comes from
/// clients.
const MOST_US: u64 = 10_000;

/// A text took too long: what must not be read in it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow;

/// The search through one text, or the parts of one.
pub struct Search<'a> {
    redaction: &'a Redaction,
    keys: Vec<Finder<'a>>,
    began_us: u64,
    began_cpu_us: u64,
}

impl<'a> Search<'a> {
    /// `keys`: more secrets. Its time begins.
    pub(super) fn new(redaction: &'a Redaction, keys: &'a [Box<[u8]>]) -> Self {
        let keys = keys.iter().filter(|key| key.len() >= SHORTEST_SECRET).map(Finder::new).collect();
        Self { redaction, keys, began_us: Clock::System.boot_us(), began_cpu_us: thread_cpu_us() }
    }

    /// What is found, in order, none overlapping. `is_open`: the text broke off, so that a secret may have begun at its
    /// end.
    pub fn ranges(&self, text: &str, is_open: bool) -> Result<Vec<Range<usize>>, Slow> {
        let mut found = Vec::new();
        self.in_time()?;
        if text.is_empty() {
            return Ok(found);
        }
        for pattern in self.redaction.patterns() {
            for each in pattern.find_iter(text) {
                found.push(each.range());
                self.in_time()?;
            }
        }
        let bytes = text.as_bytes();
        let mut look_for = |secret: &Finder<'_>| {
            found.extend(secret.find_iter(bytes).map(|at| at..at + secret.needle().len()));
            if is_open {
                found.extend(begun(bytes, secret.needle()));
            }
        };
        self.redaction.secrets().for_each(&mut look_for);
        self.keys.iter().for_each(look_for);
        found.extend(find_keys(bytes));
        found.extend(find_tokens(bytes));
        Ok(merged(found))
    }

    /// While others have the processor no time passes.
    fn in_time(&self) -> Result<(), Slow> {
        let is_over = Clock::System.boot_us().saturating_sub(self.began_us) > MOST_US
            && thread_cpu_us().saturating_sub(self.began_cpu_us) > MOST_US;
        if is_over { Err(Slow) } else { Ok(()) }
    }
}

/// The beginning of a secret at the end of a text that broke off there.
fn begun(text: &[u8], secret: &[u8]) -> Option<Range<usize>> {
    let longest = (SHORTEST_SECRET..secret.len()).rev().find(|length| text.ends_with(&secret[..*length]))?;
    Some(text.len() - longest..text.len())
}

/// In order, with one range for each run that overlaps.
fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.retain(|range| !range.is_empty());
    found.sort_unstable_by_key(|range| range.start);
    found.dedup_by(|next, range| {
        let overlaps = next.start < range.end;
        if overlaps {
            range.end = range.end.max(next.end);
        }
        overlaps
    });
    found
}

/// The first `most` bytes of a text with a mark for each of the ranges.
pub fn replaced(text: &str, found: &[Range<usize>], most: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for range in found.iter().take_while(|range| range.start < most) {
        out.push_str(text.get(done..range.start).unwrap_or_default());
        out.push_str(REDACTED);
        done = range.end;
    }
    out.push_str(text.get(done..most).unwrap_or_default());
    out
}
