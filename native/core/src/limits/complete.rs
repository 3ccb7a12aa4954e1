//! What was recorded after a checkpoint is counted where that lacks it, once.

use std::io;

use super::{
    Beyond, Kind, Limits, Mark, Now, Past, Span,
    cell::amount,
    counter::{Moment, is_kept},
    record::Kept,
};

/// What completes a file.
pub(super) struct Completing<'a> {
    kept: &'a Kept,
    beyond: &'a dyn Beyond,
    /// All others that are here, as [`Beyond::journals`] has them.
    journals: Option<Vec<(String, bool)>>,
}

impl<'a> Completing<'a> {
    pub(super) fn of(kept: &'a Kept, beyond: &'a dyn Beyond) -> io::Result<Self> {
        Ok(Self { kept, beyond, journals: beyond.journals()? })
    }

    /// The journals of which nothing is to be counted any more, once this is done; `None`: nobody knows.
    pub(super) fn known(&self) -> Option<Vec<String>> {
        // A file that names none is of a release that counted no more than the one it marks.
        let all = self.kept.journals.is_none();
        let is_known =
            |(name, is_gone): &&(String, bool)| all || *is_gone || self.is_marked(name) || self.was_known(name);
        Some(self.journals.as_ref()?.iter().filter(is_known).map(|(name, _)| name.clone()).collect())
    }

    /// The journals of processes that are gone and never wrote a file.
    fn unknown(&self) -> impl Iterator<Item = &str> {
        let journals = self.journals.as_ref().filter(|_| self.kept.journals.is_some()).into_iter().flatten();
        let gone = journals.filter(|(_, is_gone)| *is_gone).map(|(name, _)| name.as_str());
        gone.filter(|name| !self.is_marked(name) && !self.was_known(name))
    }

    fn is_marked(&self, name: &str) -> bool {
        self.kept.mark.as_ref().is_some_and(|mark| mark.instance == name)
    }

    fn was_known(&self, name: &str) -> bool {
        self.kept.journals.as_ref().is_some_and(|known| known.contains(name))
    }
}

impl Limits {
    /// How many records it were.
    pub(super) fn complete(&self, completing: &Completing<'_>, now: Now) -> io::Result<usize> {
        let Completing { kept, beyond, .. } = *completing;
        let mut records = 0;
        let mut count = |from: &Mark, is_told: &dyn Fn(&Past<'_>) -> bool| {
            beyond.read(from, &mut |past| {
                if !is_told(past) {
                    records += 1;
                    self.count_past(past, beyond, now.into());
                }
            })
        };
        if let Some(mark) = &kept.mark {
            count(mark, &|past| past.told < kept.told(past.scope))?;
        }
        for name in completing.unknown() {
            count(&Mark { instance: name.to_owned(), ..Mark::default() }, &|_| false)?;
        }
        Ok(records)
    }

    /// By the limits of now, and by all that the checkpoint counts.
    pub(super) fn count_past(&self, past: &Past<'_>, beyond: &dyn Beyond, now: Moment) {
        let mut spans = Vec::new();
        let mut note = |kind: Kind, span: Span| {
            if is_kept(span) && amount(&past.charged, kind) > 0 && !spans.contains(&(kind, span)) {
                spans.push((kind, span));
            }
        };
        beyond.limits(past.scope, &mut note);
        let cell = self.cell(past.scope);
        let mut state = cell.state.lock();
        state.counters.iter().for_each(|counter| note(counter.kind, counter.span));
        let now = state.moment(now);
        for (kind, span) in spans {
            let place = state.counter(kind, span, now, self.ledger());
            let when = (past.charged_us, past.ended_us);
            state.counters[place].complete(amount(&past.charged, kind), when, now, self.ledger());
        }
        state.note(&cell);
    }
}
