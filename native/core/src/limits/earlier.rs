//! What was used before anything that is known here, as a store tells it by the hour: counted in one step.

use super::{Beyond, Limits, Need, Now, Past, Scope};

/// Units that were used in one place by some moment.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    pub scope: Scope<'a>,
    pub used: Need,
    /// When the last of it was used at most, microseconds UTC.
    pub until_us: u64,
}

impl Limits {
    /// Counts all of it where limits are that survive a restart, as if it had been used at the end: rather too long than
    /// too short.
    pub fn count_earlier(&self, all: &[Earlier<'_>], beyond: &dyn Beyond, now: Now) {
        let count = |&Earlier { scope, used, until_us }: &Earlier<'_>| {
            let at_us = until_us.min(now.utc_us);
            let past = Past { scope, told: 0, charged: used, charged_us: at_us, ended_us: at_us };
            self.count_past(&past, beyond, now.into());
        };
        self.ledger().count_earlier(|| all.iter().for_each(count));
    }

    /// Whether what was used earlier was counted, here or by a process before this one, and all of that is in a file that
    /// lasts. `None`: another process has the file, or nobody knows yet whose it is.
    pub fn keeps_earlier(&self) -> Option<bool> {
        let ledger = self.ledger();
        (!ledger.is_elsewhere()).then(|| ledger.earlier() > 0 && !ledger.lacks_earlier())
    }
}
