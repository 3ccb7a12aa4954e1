//! What is shared of the limits of one cell.

use super::{Kind, Span, counter::Moment, leased::Leased, ledger::Ledger};

/// Of one cell, by kind and span.
#[derive(Debug, Default)]
pub(super) struct Leases(
    #[expect(clippy::box_collection, reason = "8 bytes where nothing is shared")] Option<Box<Vec<Leased>>>,
);

impl Leases {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn find(&mut self, kind: Kind, span: Span) -> Option<&mut Leased> {
        self.0.as_mut()?.iter_mut().find(|leased| leased.kind == kind && leased.span == span)
    }

    /// It is made if need be.
    pub(super) fn get(&mut self, kind: Kind, span: Span) -> &mut Leased {
        let all = self.0.get_or_insert_default();
        let known = all.iter().position(|leased| leased.kind == kind && leased.span == span);
        let at = known.unwrap_or_else(|| {
            all.reserve_exact(1);
            all.push(Leased::new(kind, span));
            all.len() - 1
        });
        &mut all[at]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Leased> {
        self.0.iter_mut().flat_map(|all| all.iter_mut())
    }

    /// Has those look again for whom there is enough.
    pub(super) fn wake(&mut self) {
        self.iter_mut().for_each(|leased| leased.line.wake_for(leased.stock.spare()));
    }

    /// Drops what says nothing. `true`: nothing is left.
    pub(super) fn sweep(&mut self, now: Moment, ledger: &Ledger) -> bool {
        if let Some((all, broker)) = self.0.as_mut().zip(ledger.broker.get()) {
            for leased in all.extract_if(.., |leased| leased.is_idle(now)) {
                broker.cancel(leased.timer);
            }
            if all.is_empty() {
                self.0 = None;
            }
        }
        self.0.is_none()
    }
}
