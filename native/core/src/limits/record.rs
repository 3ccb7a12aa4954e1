//! What a checkpoint says of one scope, in bytes: little-endian numbers, names with their length before them.
//!
//! A key whose name begins with NUL is none: its name is a remark, which releases that do not know it pass over as a scope
//! without counters.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::{
    Kind, Mark, Period, Scope, ScopeOwned, Span,
    counter::{Bucket, Change},
};

/// Before the number of the telling by which the next scope is told.
const TOLD: &str = "\0told ";
/// Before a place in a journal: segment, offset, instance. What was settled before it is in what was written so far.
const MARK: &str = "\0mark ";
/// Before the number of a telling: a scope that is not named counted nothing then.
const SINCE: &str = "\0since ";
/// Before the names of journals of which all that is to be counted is in what was written so far.
const JOURNALS: &str = "\0journals ";
const BETWEEN_NAMES: char = '/';
/// What was used before anything that was known here is in what was written so far.
const EARLIER: &str = "\0earlier";

/// The changes of one scope's counters, told with this number; nothing for none.
pub(super) fn write<'a>(scope: Scope<'_>, told: u64, changes: impl Iterator<Item = Change<'a>>, out: &mut Vec<u8>) {
    let (begin, mut count) = (out.len(), 0u8);
    remark(&format!("{TOLD}{told}"), out);
    name(scope, out);
    let at = out.len();
    out.push(0);
    for change in changes {
        count += 1;
        let (span, length_us) = match change.span {
            Span::Window(us) => (0, us),
            Span::Period(Period::Day) => (1, 0),
            Span::Period(Period::Month) => (2, 0),
            Span::AtOnce => (3, 0),
        };
        out.extend([change.kind as u8, span]);
        [length_us, change.until_us, change.from].iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.push(change.buckets.len() as u8);
        for bucket in change.settled() {
            out.extend(bucket.number.to_le_bytes());
            out.extend(bucket.amount.to_le_bytes());
        }
    }
    out[at] = count;
    if count == 0 {
        out.truncate(begin);
    }
}

/// All that was settled before this place is written.
pub(super) fn write_mark(mark: &Mark, out: &mut Vec<u8>) {
    remark(&format!("{MARK}{} {} {}", mark.segment, mark.offset, mark.instance), out);
}

/// Scopes that are not written counted nothing when this was the latest telling.
pub(super) fn write_since(told: u64, out: &mut Vec<u8>) {
    remark(&format!("{SINCE}{told}"), out);
}

/// What was used earlier is counted.
pub(super) fn write_earlier(out: &mut Vec<u8>) {
    remark(EARLIER, out);
}

/// Of these journals nothing is to be counted any more, but for what is behind the mark.
pub(super) fn write_journals(names: &[String], out: &mut Vec<u8>) {
    remark(&format!("{JOURNALS}{}", names.join(&BETWEEN_NAMES.to_string())), out);
}

fn remark(text: &str, out: &mut Vec<u8>) {
    name(Scope::Key(text), out);
    out.push(0);
}

fn name(scope: Scope<'_>, out: &mut Vec<u8>) {
    let name = scope.name().as_bytes();
    out.push(scope.rank() as u8);
    out.extend(u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
    out.extend(name);
}

/// Everything that is said.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub counters: HashMap<(ScopeOwned, Kind, Span), KeptCounter, std::hash::RandomState>,
    told: HashMap<ScopeOwned, u64, std::hash::RandomState>,
    /// The number of the telling of all others.
    since: u64,
    pub mark: Option<Mark>,
    /// Of which nothing more is to be counted; `None`: it does not say.
    pub journals: Option<HashSet<String, std::hash::RandomState>>,
    /// See [`Limits::count_earlier`](super::Limits::count_earlier).
    pub has_earlier: bool,
}

impl Kept {
    /// No count, and that these journals are known.
    pub(super) fn of(journals: &[String]) -> Self {
        Self { journals: Some(journals.iter().cloned().collect()), ..Self::default() }
    }

    /// The number of the latest telling of a scope that is known; 0: none is.
    pub(super) fn told(&self, scope: Scope<'_>) -> u64 {
        self.told.get(&ScopeOwned::from(scope)).copied().unwrap_or(self.since)
    }

    fn note(&mut self, remark: &str, told: &mut u64) -> Option<()> {
        if let Some(number) = remark.strip_prefix(TOLD) {
            *told = number.parse().ok()?;
        } else if let Some(number) = remark.strip_prefix(SINCE) {
            self.since = number.parse().ok()?;
        } else if remark == EARLIER {
            self.has_earlier = true;
        } else if let Some(names) = remark.strip_prefix(JOURNALS) {
            self.journals = Some(names.split(BETWEEN_NAMES).map(str::to_owned).collect());
        } else if let Some(mark) = remark.strip_prefix(MARK) {
            let (segment, rest) = mark.split_once(' ')?;
            let (offset, instance) = rest.split_once(' ')?;
            let (segment, offset) = (segment.parse().ok()?, offset.parse().ok()?);
            self.mark = Some(Mark { instance: instance.to_owned(), segment, offset });
        }
        Some(())
    }
}

#[derive(Debug, Default)]
pub(super) struct KeptCounter {
    pub until_us: u64,
    /// Amounts by number.
    pub buckets: BTreeMap<u64, u64>,
}

impl KeptCounter {
    /// What it counts more than an earlier one.
    pub(super) fn beyond(&self, known: Option<&Self>) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().map(move |(number, amount)| {
            let known = known.and_then(|known| known.buckets.get(number)).copied().unwrap_or(0);
            Bucket { number: *number, amount: amount.saturating_sub(known) }
        })
    }
}

/// Takes what [`write`] wrote of any number of scopes, on top of what was there. `None`: it wrote something else.
pub(super) fn read(mut from: &[u8], kept: &mut Kept) -> Option<()> {
    let mut told = 0;
    while !from.is_empty() {
        let scope = scope(&mut from)?;
        if scope.name().starts_with('\0') {
            kept.note(scope.name(), &mut told)?;
        } else {
            kept.told.insert(scope.clone(), std::mem::take(&mut told));
        }
        for _ in 0..byte(&mut from)? {
            let kind = match byte(&mut from)? {
                1 => Kind::Requests,
                2 => Kind::Tokens,
                3 => Kind::Budget,
                _ => return None,
            };
            let (span, length_us) = (byte(&mut from)?, number(&mut from)?);
            let span = match span {
                0 => Span::Window(length_us),
                1 => Span::Period(Period::Day),
                2 => Span::Period(Period::Month),
                _ => return None,
            };
            let (until_us, first) = (number(&mut from)?, number(&mut from)?);
            let counter = kept.counters.entry((scope.clone(), kind, span)).or_default();
            counter.until_us = until_us;
            counter.buckets.split_off(&first);
            for _ in 0..byte(&mut from)? {
                let at = number(&mut from)?;
                counter.buckets.insert(at, number(&mut from)?);
            }
        }
    }
    Some(())
}

fn scope(from: &mut &[u8]) -> Option<ScopeOwned> {
    let rank = byte(from)?;
    let (length, rest) = from.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *from = rest;
    let name = std::str::from_utf8(name).ok()?.into();
    Some(match rank {
        0 => ScopeOwned::Key(name),
        1 => ScopeOwned::Team(name),
        2 => ScopeOwned::Model(name),
        3 => ScopeOwned::Provider(name),
        4 => ScopeOwned::Global,
        _ => return None,
    })
}

fn byte(from: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = from.split_first()?;
    *from = rest;
    Some(*byte)
}

fn number(from: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_le_bytes(*bytes))
}
