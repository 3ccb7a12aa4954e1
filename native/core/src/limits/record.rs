//! What a checkpoint says of one scope, in bytes: little-endian numbers, names with their length before them.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{
    Kind, Period, Scope, ScopeOwned, Span,
    counter::{Bucket, Change},
};

/// The changes of one scope's counters; nothing for none.
pub(super) fn write<'a>(scope: Scope<'_>, changes: impl Iterator<Item = Change<'a>>, out: &mut Vec<u8>) {
    let (begin, mut count) = (out.len(), 0u8);
    let name = scope.name().as_bytes();
    out.push(scope.rank() as u8);
    out.extend(u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
    out.extend(name);
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
        for bucket in change.buckets {
            out.extend(bucket.number.to_le_bytes());
            out.extend(bucket.amount.to_le_bytes());
        }
    }
    out[at] = count;
    if count == 0 {
        out.truncate(begin);
    }
}

/// Everything that is said of all scopes.
pub(super) type Kept = HashMap<(ScopeOwned, Kind, Span), KeptCounter, std::hash::RandomState>;

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
    while !from.is_empty() {
        let scope = scope(&mut from)?;
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
            let counter = kept.entry((scope.clone(), kind, span)).or_default();
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
