//! What was recorded after a checkpoint is counted where that lacks it, once.

use std::io;

use super::{
    Beyond, Kind, Limits, Now, Past, Span,
    cell::amount,
    counter::{Moment, is_kept},
    record::Kept,
};

impl Limits {
    /// How many records it were.
    pub(super) fn complete(&self, kept: &Kept, beyond: &dyn Beyond, now: Now) -> io::Result<usize> {
        let Some(mark) = &kept.mark else { return Ok(0) };
        let mut records = 0;
        beyond.read(mark, &mut |past| {
            if past.told >= kept.told(past.scope) {
                records += 1;
                self.count_past(past, beyond, now.into());
            }
        })?;
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
            let ran = (past.began_us, past.ended_us);
            state.counters[place].complete(amount(&past.charged, kind), ran, now, self.ledger());
        }
        state.note(&cell);
    }
}
