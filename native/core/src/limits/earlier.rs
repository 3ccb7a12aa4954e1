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
    /// Counts it where limits are that survive a restart, as if all of it had been used at the end: rather too long than
    /// too short.
    pub fn count_earlier(&self, earlier: &Earlier<'_>, beyond: &dyn Beyond, now: Now) {
        let at_us = earlier.until_us.min(now.utc_us);
        let past = Past { scope: earlier.scope, told: 0, charged: earlier.used, charged_us: at_us, ended_us: at_us };
        self.count_past(&past, beyond, now.into());
    }
}
