//! What the journal knows of limits beyond their checkpoint.

use std::{io, path::PathBuf, sync::Arc};

use super::{limited::with_policy, shared::Shared};
use crate::{
    journal::{Kind, Position, Reader, disk::RealDisk, space},
    limits::{self, Beyond, Mark, Past, Policy, Scope, Span},
    observe::record_settled::settled,
};

/// Bytes of the journal that are read at a time.
const PIECE_BYTES: usize = 4 << 20;
/// How often a segment that was there is looked for.
const TRIES: u32 = 10;

/// Longer than any period of the calendar.
const MONTH_US: u64 = 32 * 86_400_000_000;

/// The journals of this process and of those before it.
pub(super) struct Records {
    pub shared: Arc<Shared>,
    pub instance: String,
    /// Where they are; `None`: nothing is recorded.
    pub journals: Option<PathBuf>,
}

impl Records {
    /// So long what was used counts, at most, in what is limited now.
    fn longest_us(&self) -> u64 {
        let snapshot = self.shared.snapshot.load();
        let limits = snapshot.as_ref().map(|snapshot| &snapshot.limits);
        let places = limits.into_iter().flat_map(|limits| {
            let named = limits.models.values().chain(limits.providers.iter().flatten());
            [&limits.default, &limits.global].into_iter().flatten().chain(named)
        });
        let configured_us = places.map(Policy::longest_window_us).max().unwrap_or(0);
        // A use is forgotten a sub-bucket late at most.
        let window_us = configured_us.max(self.shared.keys.longest_window_us());
        MONTH_US.max(window_us.saturating_add(window_us / 60 + 1))
    }
}

impl Beyond for Records {
    fn mark(&self) -> Option<Mark> {
        self.journals.as_ref()?;
        // Before the journal is there nothing is settled.
        let at = self.shared.journal().map_or_else(Position::default, |journal| *journal.facts().committed.lock());
        Some(Mark { instance: self.instance.clone(), segment: at.segment, offset: at.offset })
    }

    fn journals(&self) -> io::Result<Option<Vec<(String, bool)>>> {
        let Some(journals) = &self.journals else { return Ok(None) };
        space::others(&RealDisk::default(), &journals.join(&self.instance)).map(Some)
    }

    fn lag_us(&self) -> u64 {
        self.shared.journal().map_or(0, |journal| journal.lag_us())
    }

    fn read(&self, from: &Mark, seen: &mut dyn FnMut(&Past<'_>)) -> io::Result<()> {
        let Some(journals) = &self.journals else { return Ok(()) };
        let reader = Reader::new(Arc::new(RealDisk::default()), &journals.join(&from.instance));
        let (mut next, mut in_vain) = (Position { segment: from.segment, offset: from.offset }, 0);
        if next == Position::default() {
            let (begin, skipped) = reader.since(self.shared.clock.utc_us().saturating_sub(self.longest_us()))?;
            next = begin;
            if skipped > 0 {
                self.shared.log.info(
                    "segments of a journal in which nothing counts in any limit now are not read",
                    &[("journal", &from.instance), ("segments", &skipped)],
                );
            }
        }
        loop {
            let (upto, is_end) = reader.visit(next, PIECE_BYTES, false, |_, entry| {
                if entry.kind == Kind::Record as u8 {
                    settled(entry.public, seen);
                }
            })?;
            if is_end {
                return Ok(());
            }
            // A segment may be removed or set aside meanwhile.
            in_vain = if upto == next { in_vain + 1 } else { 0 };
            if in_vain == TRIES {
                return Err(io::ErrorKind::Interrupted.into());
            }
            next = upto;
        }
    }

    fn limits(&self, of: Scope<'_>, seen: &mut dyn FnMut(limits::Kind, Span)) {
        with_policy(&self.shared, of, |policy| {
            policy.all_rates().for_each(|(kind, rate)| seen(kind, Span::of(rate)));
        });
    }
}
