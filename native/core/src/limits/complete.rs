//! What was recorded after a checkpoint is counted where that lacks it, once.

use super::{
    Beyond, Kind, Limits, Mark, Now, Past, Span,
    cell::amount,
    counter::{Moment, is_kept},
    record::Kept,
};

/// What completes a file.
struct Completing<'a> {
    kept: &'a Kept,
    /// All others that are here, as [`Beyond::journals`] has them.
    journals: Option<Vec<(String, bool)>>,
}

impl Completing<'_> {
    /// The journals of which nothing is to be counted any more, once this is done but for those left; `None`: nobody
    /// knows.
    fn known(&self, left: &[&str]) -> Option<Vec<String>> {
        // A file that names none is of a release that counted no more than the one it marks.
        let all = self.kept.journals.is_none();
        let is_known = |(name, is_gone): &&(String, bool)| {
            *is_gone && (all || !left.contains(&name.as_str())) || self.is_marked(name) || self.was_known(name)
        };
        Some(self.journals.as_ref()?.iter().filter(is_known).map(|(name, _)| name.clone()).collect())
    }

    /// The same where nobody can tell which there are: those that are not counted now are the next time.
    fn was_known_or_marked(&self) -> Option<Vec<String>> {
        let marked = self.kept.mark.iter().map(|mark| &mark.instance);
        Some(self.kept.journals.as_ref()?.iter().chain(marked).cloned().collect())
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

/// What was completed.
#[derive(Debug, Default)]
pub(super) struct Completed {
    /// How many records it were.
    pub records: usize,
    /// Something could not be read to its end.
    pub is_incomplete: bool,
    /// The journals of which nothing is to be counted any more; `None`: nobody knows.
    pub known: Option<Vec<String>>,
}

impl Limits {
    /// Each journal on its own: one that cannot be read holds up no other.
    pub(super) fn complete(&self, kept: &Kept, beyond: &dyn Beyond, now: Now) -> Completed {
        let listed = beyond.journals();
        let (mut completed, mut left) =
            (Completed { is_incomplete: listed.is_err(), ..Completed::default() }, Vec::new());
        let is_listed = listed.is_ok();
        let completing = Completing { kept, journals: listed.unwrap_or_default() };
        let mut count = |from: &Mark, is_told: &dyn Fn(&Past<'_>) -> bool| {
            let before = completed.records;
            let read = beyond.read(from, &mut |past| {
                if !is_told(past) {
                    completed.records += 1;
                    self.count_past(past, beyond, now.into());
                }
            });
            completed.is_incomplete |= read.is_err();
            read.is_ok() || completed.records > before
        };
        if let Some(mark) = &kept.mark {
            count(mark, &|past| past.told < kept.told(past.scope));
        }
        for name in completing.unknown() {
            // Of one that breaks off, too, nothing counts twice.
            if !count(&Mark { instance: name.to_owned(), ..Mark::default() }, &|_| false) {
                left.push(name);
            }
        }
        completed.known = if is_listed { completing.known(&left) } else { completing.was_known_or_marked() };
        completed
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
