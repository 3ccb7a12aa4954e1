//! Whether leases let a request through, and what becomes of it if not.

use super::{broker::Broker, leased::Leased};

/// How much longer than for one answer a request waits where answers come, but others are served before it.
const PATIENCE_US: u64 = 100_000;

/// How a request has waited for leases so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Waited {
    #[default]
    No,
    /// Something has changed since.
    Woken,
    /// No answer came in time. Whether any came at all, of any limit.
    InVain { heard: bool },
    /// It came to nothing for too long.
    TooLong,
}

/// What leases say to a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    /// It may be worth waiting, until then.
    Wait {
        until_us: u64,
    },
    /// All nodes together have used the limit.
    Refused {
        retry_after_us: u64,
    },
    /// Redis does not answer.
    Away,
}

/// How long a request waits for leases at most, all in all.
pub(super) fn patience_us(broker: &Broker) -> u64 {
    broker.timeout_us.saturating_add(PATIENCE_US)
}

impl Leased {
    /// Whether more is needed than there is, and than those need who came before.
    pub(super) fn lacks(&self, need: u64, ticket: u64) -> bool {
        need.saturating_add(self.line.ahead_of(ticket)) > self.stock.spare()
    }

    /// To be called after [`advance`](Leased::advance).
    pub(super) fn judge(&self, need: u64, ticket: u64, waited: Waited, now_us: u64, broker: &Broker) -> Fit {
        let spare = self.stock.spare();
        let is_away = broker.is_away();
        // Who waits in vain lets nobody else wait.
        let is_last = is_away || matches!(waited, Waited::InVain { .. } | Waited::TooLong);
        let fits = if is_last { need <= spare } else { !self.lacks(need, ticket) };
        if fits {
            return Fit::Fits;
        }
        if is_away {
            return Fit::Away;
        }
        if let Some(refusal) = self.refusal.filter(|refusal| now_us < refusal.until_us)
            && need.saturating_sub(spare) >= refusal.need
        {
            return Fit::Refused { retry_after_us: refusal.lapse_us.saturating_sub(now_us).max(1) };
        }
        let is_late = self.under_way.is_some_and(|call| now_us >= call.asked_us.saturating_add(broker.timeout_us));
        let is_unanswered = match waited {
            Waited::No => is_late,
            Waited::Woken | Waited::TooLong => is_late || self.is_silent,
            Waited::InVain { heard } => !heard || self.is_silent || self.under_way.is_some(),
        };
        match waited {
            _ if is_unanswered => Fit::Away,
            Waited::InVain { .. } | Waited::TooLong => Fit::Refused { retry_after_us: self.again_us() },
            Waited::No | Waited::Woken => {
                let asks_us = self.under_way.map_or_else(|| self.pace.next_us().max(now_us), |call| call.asked_us);
                Fit::Wait { until_us: asks_us.saturating_add(broker.timeout_us) }
            }
        }
    }
}
