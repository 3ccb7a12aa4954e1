//! Whether a request may go on now; what it reserved is given back on every way out.

use super::authenticate::Principal;
use crate::error::Error;

/// What a request holds while it runs. Dropping it without [`Guard::settle`] releases everything as unused.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    /// When the request was admitted, microseconds since boot.
    pub admitted_us: u64,
}

/// Reserves what the request may use. There are no limits yet: everything is admitted.
#[expect(clippy::unnecessary_wraps, reason = "a limit refuses; none is configurable yet")]
pub fn admit(_principal: &Principal, now_us: u64) -> Result<Guard, Error> {
    Ok(Guard { admitted_us: now_us })
}

impl Guard {
    /// Replaces the reservation by what was used.
    #[expect(clippy::unused_self, reason = "consuming the guard is the point: nothing is settled twice")]
    pub fn settle(self, _usage: Option<&crate::dialects::usage::Usage>) {}
}
