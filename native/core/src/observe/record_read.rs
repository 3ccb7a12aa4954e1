//! What a store sorts and sums records by, read from the public part of an entry; `record_form` is the other side.
//!
//! Older forms have fewer places, newer ones more: what is missing is not known, what is beyond is passed over.

use crate::journal::{Kind, unpack::Unpack};

/// A text in a column is cut here, as in the record itself, whatever the entry says.
const TEXT_BYTES: usize = 256;
/// More tags than this are none of ours.
const MOST_TAGS: usize = 64;
/// Kinds of token in a usage.
const TOKENS: usize = 7;

/// What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns<'a> {
    pub number: Option<u64>,
    /// Microseconds UTC.
    pub started_us: Option<u64>,
    pub count: Option<u64>,
    pub request_id: Option<&'a str>,
    pub key_id: Option<&'a str>,
    pub team: Option<&'a str>,
    pub model: Option<&'a str>,
    pub target: Option<&'a str>,
    pub status: Option<u64>,
    /// `None`: it is no finished request.
    pub outcome: Option<&'a str>,
    pub error: Option<&'a str>,
    /// By name, each once.
    pub tags: Vec<(&'a str, &'a str)>,
    /// In the order of the record's usage.
    pub tokens: [Option<u64>; TOKENS],
    pub cost_nanousd: Option<u64>,
    pub total_us: Option<u64>,
}

/// Nothing for kinds that are no request, and for what cannot be read.
pub fn columns(kind: u8, public: &[u8]) -> Columns<'_> {
    let read = match kind {
        kind if kind == Kind::Record as u8 => record(public),
        kind if kind == Kind::Begin as u8 => begin(public),
        _ => None,
    };
    read.unwrap_or_default()
}

fn record(public: &[u8]) -> Option<Columns<'_>> {
    let mut list = List::new(public)?;
    list.skip(1)?; // the form
    let (number, count) = (list.number()?, list.number()?);
    let request_id = list.text()?;
    list.skip(2)?; // the upstream's id, the trace
    let started_us = list.number()?;
    let (key_id, team) = (list.text()?, list.text()?);
    list.skip(4)?; // dialect, api, method, path
    let (model, target) = (list.text()?, list.text()?);
    let (status, outcome, error) = (list.number()?, list.text()?, list.text()?);
    list.skip(1)?; // attempts
    let tokens = list.inner(|usage| {
        let mut tokens = [None; TOKENS];
        for count in &mut tokens {
            *count = usage.number()?;
        }
        Some(tokens)
    })?;
    list.skip(1)?; // where the usage comes from
    let cost_nanousd = list.number()?;
    list.skip(2)?; // what its limits were charged
    let total_us = list.inner(|phases| {
        phases.skip(5)?;
        phases.number()
    })?;
    list.skip(6)?; // admission, queue, overhead, stream, bytes in and out
    let tags = list.tags()?;
    list.skip(2)?; // the limits that counted it, and where
    let is_unpriced = list.number()? == Some(1);
    Some(Columns {
        number,
        started_us,
        count,
        request_id,
        key_id,
        team,
        model,
        target,
        status,
        outcome,
        error,
        tags,
        tokens: tokens.unwrap_or_else(|| unknown(is_unpriced)),
        cost_nanousd,
        total_us: total_us.flatten(),
    })
}

/// Tokens that nobody stated: none, unless there is something to be paid for. Sums count that as used and without a price.
fn unknown(is_unpriced: bool) -> [Option<u64>; TOKENS] {
    let mut tokens = [None; TOKENS];
    tokens[0] = is_unpriced.then_some(0);
    tokens
}

fn begin(public: &[u8]) -> Option<Columns<'_>> {
    let mut list = List::new(public)?;
    list.skip(1)?; // the form
    let number = list.number()?;
    let request_id = list.text()?;
    let started_us = list.number()?;
    let (key_id, team) = (list.text()?, list.text()?);
    list.skip(2)?; // dialect, api
    let (model, target) = (list.text()?, list.text()?);
    let tags = list.tags()?;
    Some(Columns { number, started_us, request_id, key_id, team, model, target, tags, ..Columns::default() })
}

/// The values of a list one after another; behind its end nothing is known. `None`: the value is of another kind.
pub(super) struct List<'a> {
    values: Unpack<'a>,
    left: usize,
}

impl<'a> List<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut values = Unpack::new(bytes);
        let left = values.list()?;
        Some(Self { values, left })
    }

    /// Whether there is a next value, and it is not nil.
    fn has_next(&mut self) -> bool {
        let is_there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_there && !self.values.nil()
    }

    /// Whether there are more.
    pub(super) fn is_open(&self) -> bool {
        self.left > 0
    }

    pub(super) fn skip(&mut self, values: usize) -> Option<()> {
        for _ in 0..values.min(self.left) {
            self.left -= 1;
            self.values.skip()?;
        }
        Some(())
    }

    #[allow(clippy::option_option, reason = "not of that kind, or not known")]
    pub(super) fn number(&mut self) -> Option<Option<u64>> {
        if self.has_next() { self.values.number().map(Some) } else { Some(None) }
    }

    #[allow(clippy::option_option, reason = "not of that kind, or not known")]
    pub(super) fn text(&mut self) -> Option<Option<&'a str>> {
        if self.has_next() { self.values.text().map(|text| Some(cut(text))) } else { Some(None) }
    }

    /// A list inside this one, of which `read` may leave an end unread.
    #[allow(clippy::option_option, reason = "not of that kind, or not known")]
    pub(super) fn inner<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if !self.has_next() {
            return Some(None);
        }
        let left = self.values.list()?;
        let mut inner = Self { values: self.values, left };
        let found = read(&mut inner)?;
        inner.skip(inner.left)?;
        self.values = inner.values;
        Some(Some(found))
    }

    fn tags(&mut self) -> Option<Vec<(&'a str, &'a str)>> {
        if !self.has_next() {
            return Some(Vec::new());
        }
        let pairs = self.values.map().filter(|pairs| *pairs <= MOST_TAGS)?;
        let mut tags = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            tags.push((cut(self.values.text()?), cut(self.values.text()?)));
        }
        tags.sort_unstable();
        tags.dedup_by_key(|(name, _)| *name);
        Some(tags)
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=TEXT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_release_writes_is_read_with_its_tags_and_what_the_first_wrote_without() {
        let files: [(Kind, &[u8], usize); 4] = [
            (Kind::Record, include_bytes!("../../../../tests/data/record_35.msgpack"), 3),
            (Kind::Record, include_bytes!("../../../../tests/data/record_1.msgpack"), 0),
            (Kind::Begin, include_bytes!("../../../../tests/data/begin_11.msgpack"), 3),
            (Kind::Begin, include_bytes!("../../../../tests/data/begin_1.msgpack"), 0),
        ];
        for (kind, public, tags) in files {
            let read = columns(kind as u8, public);
            assert_eq!((read.number, read.target, read.tags.len()), (Some(7), Some("up/real"), tags), "{kind:?}");
        }
    }
}
