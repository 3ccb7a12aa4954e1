//! Days and months of the zone in which budgets are counted.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use super::Period;

const DAY_US: u64 = 86_400_000_000;

/// The zone of calendar periods.
#[derive(Debug, PartialEq, Eq)]
pub struct Calendar(TimeZone);

impl Default for Calendar {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Calendar {
    /// A zone by its IANA name.
    pub fn of(iana: &str) -> Result<Self, String> {
        TimeZone::get(iana).map(Self).map_err(|error| error.to_string())
    }

    /// Begin and end of the period that holds a time, microseconds UTC. The end is later than the time.
    pub(super) fn bounds(&self, period: Period, utc_us: u64) -> (u64, u64) {
        self.local_bounds(period, utc_us).filter(|(from, to)| (*from..*to).contains(&utc_us)).unwrap_or_else(|| {
            // Beyond the calendar's years: periods of one length.
            let length = if period == Period::Day { DAY_US } else { 31 * DAY_US };
            let from = utc_us - utc_us % length;
            (from, from.saturating_add(length))
        })
    }

    fn local_bounds(&self, period: Period, utc_us: u64) -> Option<(u64, u64)> {
        let today =
            Timestamp::from_microsecond(i64::try_from(utc_us).ok()?).ok()?.to_zoned_datetime(self.0.clone()).date();
        let (first, step) = match period {
            Period::Day => (today, 1.day()),
            Period::Month => (today.first_of_month(), 1.month()),
        };
        let next = first.checked_add(step).ok()?;
        let (from, to) = (self.begin(first)?, self.begin(next)?);
        // Clocks that are set back over midnight do not bring the day before back.
        if utc_us < to { Some((from, to)) } else { Some((to, self.begin(next.checked_add(step).ok()?)?)) }
    }

    /// The first instant of a date: its midnight, or what comes in the place of a midnight that is skipped.
    fn begin(&self, date: Date) -> Option<u64> {
        let time = date.to_zoned_datetime(self.0.clone()).ok()?.timestamp();
        // Before 1970 there is nothing to count.
        Some(u64::try_from(time.as_microsecond()).unwrap_or(0))
    }
}
