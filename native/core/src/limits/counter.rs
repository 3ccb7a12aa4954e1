//! What was used of one kind within one span: 61 sub-buckets of a sliding window, or a period of the calendar.
//!
//! The current sub-bucket and the 60 whole ones before it cover any interval of the window's length that ends now, so in
//! no such interval more than the limit is admitted; a use is forgotten at most one sub-bucket late.

use super::{Kind, Now, Period, Span, ledger::Ledger, reserved::Reserved};

/// Whole sub-buckets that a window is cut into; the current one comes on top.
pub(super) const WHOLE: u64 = 60;
const FULL: usize = WHOLE as usize + 1;
const DAY_US: u64 = 86_400_000_000;
/// A shorter window begins empty after a restart.
const KEPT_WINDOW_US: u64 = 3_600_000_000;
/// So long a period may come back that was left because UTC was wrong, by boot time.
const LEFT_US: u64 = 32 * DAY_US;
/// More than the number of any bucket.
const NOTHING: u64 = u64::MAX;
/// Boot time is counted from so long before boot: uses that were kept over a restart may be older than the boot.
const BEFORE_BOOT_US: u64 = 800 * DAY_US;

/// A moment as cells count it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// Boot time and a constant.
    pub us: u64,
    pub utc_us: u64,
}

impl From<Now> for Moment {
    fn from(now: Now) -> Self {
        Self { us: now.boot_us.saturating_add(BEFORE_BOOT_US), utc_us: now.utc_us }
    }
}

impl Moment {
    /// Whole seconds.
    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.us / 1_000_000).unwrap_or(u32::MAX)
    }

    /// Boot time as clocks tell it.
    pub(super) fn boot_us(&self) -> u64 {
        self.us.saturating_sub(BEFORE_BOOT_US)
    }
}

/// A sub-bucket that is not empty, or the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// The sub-bucket's number since the beginning of time; of a period its begin, microseconds UTC.
    pub number: u64,
    pub amount: u64,
}

/// A counter's buckets from a number on, as a checkpoint keeps them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub kind: Kind,
    pub span: Span,
    pub until_us: u64,
    pub from: u64,
    pub buckets: &'a [Bucket],
    /// The bucket before these.
    before: Option<u64>,
    reserved: &'a Reserved,
}

impl Change<'_> {
    /// The buckets without what is reserved.
    pub(super) fn settled(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().scan(self.before, |before, bucket| {
            let reserved = self.reserved.between(before.replace(bucket.number), bucket.number);
            Some(Bucket { amount: bucket.amount.saturating_sub(reserved), ..*bucket })
        })
    }
}

#[derive(Debug)]
pub(super) struct Counter {
    pub kind: Kind,
    /// The cell's [generation](super::cell::State::generation) in which it began to count: earlier holds are not about it.
    pub since: u32,
    /// When it was last looked at, seconds.
    pub seen_s: u32,
    pub span: Span,
    /// Of a period: its end, microseconds UTC.
    until_us: u64,
    /// Of all buckets.
    sum: u64,
    /// In the order of their numbers. Of a period it is one.
    buckets: Vec<Bucket>,
    /// Of what survives a restart: what of the buckets does not.
    reserved: Reserved,
    /// The lowest number of a bucket that has changed since the last checkpoint.
    changed_from: u64,
    left: Option<Box<Left>>,
}

/// A period that was left because UTC was set to days before it.
#[derive(Debug)]
struct Left {
    begin_us: u64,
    until_us: u64,
    /// Of the periods that ended since.
    sum: u64,
    at: Moment,
}

impl Left {
    /// Whether UTC is in it again because it was set, and not because time went by.
    fn is_corrected(&self, now: Moment) -> bool {
        let (went_by, by_utc) = (now.us.saturating_sub(self.at.us), now.utc_us.saturating_sub(self.at.utc_us));
        now.utc_us < self.until_us && by_utc > went_by.saturating_add(DAY_US)
    }
}

impl Counter {
    pub(super) fn new(kind: Kind, span: Span, since: u32) -> Self {
        Self {
            kind,
            since,
            seen_s: 0,
            span,
            until_us: 0,
            sum: 0,
            buckets: Vec::new(),
            reserved: Reserved::default(),
            changed_from: NOTHING,
            left: None,
        }
    }

    /// What is used, as of the last [`advance`](Self::advance).
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// Whether that much more stays within a limit. Who needs nothing is never in the way.
    pub(super) fn fits(&self, need: u64, limit: u64) -> bool {
        need == 0 || self.sum.checked_add(need).is_some_and(|sum| sum <= limit)
    }

    /// Forgets what is no longer within the span. Boot time does not go back between two calls.
    pub(super) fn advance(&mut self, now: Moment, ledger: &Ledger) {
        match self.span {
            Span::Window(window_us) => {
                let oldest = (now.us / length(window_us)).saturating_sub(WHOLE);
                if self.buckets.first().is_some_and(|bucket| bucket.number < oldest) {
                    let gone = self.buckets.partition_point(|bucket| bucket.number < oldest);
                    let last = self.buckets.drain(..gone).next_back();
                    // What merged into newer ones is with them.
                    last.iter().for_each(|last| self.reserved.forget_upto(last.number));
                    self.add_up();
                }
            }
            Span::Period(period) => {
                // A clock that goes back a little is waited for; one that was days ahead was wrong until now, or is now.
                if self.begin_us().saturating_sub(now.utc_us) > DAY_US {
                    self.leave(period, now, ledger);
                } else if now.utc_us >= self.until_us && !self.comes_back(now, ledger) {
                    self.begin(period, now, ledger);
                }
            }
            Span::AtOnce => {}
        }
    }

    /// The period ended: one begins, with nothing used.
    fn begin(&mut self, period: Period, now: Moment, ledger: &Ledger) {
        let (begin_us, until_us) = ledger.calendar.load().bounds(period, now.utc_us);
        if let Some(left) = &mut self.left {
            left.sum = left.sum.saturating_add(self.sum);
        }
        self.reserved.clear();
        self.go_on(begin_us, until_us, 0, ledger);
    }

    /// UTC went back behind the period: what was used counts in the one that it is now.
    fn leave(&mut self, period: Period, now: Moment, ledger: &Ledger) {
        self.left = Some(Box::new(Left { begin_us: self.begin_us(), until_us: self.until_us, sum: 0, at: now }));
        let (_, until_us) = ledger.calendar.load().bounds(period, now.utc_us);
        // What was counted before the clock went astray was forgotten then: it is of no period that is known.
        self.go_on(now.utc_us, until_us, self.sum, ledger);
    }

    /// Whether it is the period again that was left, because it was left for a clock that was wrong: it goes on, with all
    /// that was used meanwhile.
    fn comes_back(&mut self, now: Moment, ledger: &Ledger) -> bool {
        let Some(left) = self.left.take_if(|left| left.begin_us <= now.utc_us) else { return false };
        let comes_back = left.is_corrected(now);
        if comes_back {
            // Who was let in meanwhile is of another time: what it reserved stays.
            self.reserved.clear();
            self.go_on(left.begin_us, left.until_us, left.sum.saturating_add(self.sum), ledger);
        }
        comes_back
    }

    /// Whether more than [`sum`](Self::sum) says may be used once UTC is right; not for ever, as it may be so now.
    pub(super) fn may_come_back(&self, now: Moment) -> bool {
        self.left.as_ref().is_some_and(|left| left.sum > 0 && now.us < left.at.us.saturating_add(LEFT_US))
    }

    fn go_on(&mut self, begin_us: u64, until_us: u64, sum: u64, ledger: &Ledger) {
        (self.sum, self.until_us) = (sum, until_us);
        self.buckets.clear();
        self.changed_from = 0;
        self.push(Bucket { number: begin_us, amount: sum }, ledger);
    }

    /// Counts a use now. `advance` comes first, as for all that follow.
    pub(super) fn charge(&mut self, amount: u64, now: Moment, ledger: &Ledger) {
        if amount == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(amount);
        let number = self.number(now);
        match self.buckets.last_mut() {
            Some(last) if last.number >= number => {
                last.amount = last.amount.saturating_add(amount);
                self.changed_from = self.changed_from.min(last.number);
            }
            _ => self.push(Bucket { number, amount }, ledger),
        }
    }

    /// The same of a use that is not known yet: [`settle`](Self::settle) is to come.
    pub(super) fn reserve(&mut self, amount: u64, now: Moment, ledger: &Ledger) {
        self.charge(amount, now, ledger);
        if amount > 0 && is_kept(self.span) {
            self.reserved.add(self.reserved_at(now), amount);
        }
    }

    /// Puts what was used in the place of what was reserved at a moment. What was not used is given back, unless it has
    /// left the span already.
    pub(super) fn settle(&mut self, reserved: u64, used: u64, charged: Moment, now: Moment, ledger: &Ledger) {
        let at = match self.span {
            Span::Window(_) => {
                let number = self.number(charged);
                // It is in the first bucket that is not older: old ones merge into the next one, and stay as long.
                let at = self.buckets.partition_point(|bucket| bucket.number < number);
                let is_here = number >= self.number(now).saturating_sub(WHOLE) || self.reserved.has(number);
                is_here.then_some(at)
            }
            Span::Period(_) => (self.begin_us() <= charged.utc_us).then_some(0),
            Span::AtOnce => None,
        };
        if let Some(bucket) = at.and_then(|at| self.buckets.get_mut(at)) {
            bucket.amount = bucket.amount.saturating_sub(reserved.saturating_sub(used));
            self.changed_from = self.changed_from.min(bucket.number);
            self.reserved.take(self.reserved_at(charged), reserved);
            if used < reserved {
                self.add_up();
            }
        }
        self.charge(used.saturating_sub(reserved), now, ledger);
    }

    /// Under which number a reservation stands. Of a period there is one.
    fn reserved_at(&self, charged: Moment) -> u64 {
        if matches!(self.span, Span::Window(_)) { self.number(charged) } else { 0 }
    }

    /// Begin of the period; 0 of a window.
    pub(super) fn begin_us(&self) -> u64 {
        match self.span {
            Span::Period(_) => self.buckets.first().map_or(0, |bucket| bucket.number),
            Span::Window(_) | Span::AtOnce => 0,
        }
    }

    /// End of the period; 0 of a window.
    pub(super) fn until_us(&self) -> u64 {
        self.until_us
    }

    /// How long until so much more fits, which does not now but is within the limit.
    pub(super) fn wait_us(&self, need: u64, limit: u64, now: Moment) -> u64 {
        let mut left: u128 = self.buckets.iter().map(|bucket| u128::from(bucket.amount)).sum();
        let last = self.buckets.iter().find(|bucket| {
            left -= u128::from(bucket.amount);
            left + u128::from(need) <= u128::from(limit)
        });
        last.map_or(0, |bucket| self.gone_us(*bucket, now))
    }

    /// How long until all that is counted now has left the span; of a period until its end.
    pub(super) fn reset_us(&self, now: Moment) -> u64 {
        match self.span {
            Span::Window(_) => {
                self.buckets.iter().rfind(|bucket| bucket.amount > 0).map_or(0, |bucket| self.gone_us(*bucket, now))
            }
            Span::Period(_) => self.until_us.saturating_sub(now.utc_us),
            Span::AtOnce => 0,
        }
    }

    /// Counts begin again at zero, in a new generation.
    pub(super) fn reset(&mut self, since: u32) {
        self.since = since;
        self.sum = 0;
        self.left = None;
        self.buckets.iter_mut().for_each(|bucket| bucket.amount = 0);
        self.reserved.clear();
        self.changed_from = 0;
    }

    /// Gives back memory that it has no use for.
    pub(super) fn shrink(&mut self, ledger: &Ledger) {
        let before = self.buckets.capacity();
        if before > 4 * self.buckets.len().max(2) {
            self.buckets.shrink_to(2 * self.buckets.len());
            ledger.resized(before, self.buckets.capacity());
        }
    }

    /// How many counters it has room for.
    pub(super) fn room(&self) -> usize {
        self.buckets.capacity()
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changed_from != NOTHING && is_kept(self.span)
    }

    /// What has changed since the last call, or all there is.
    pub(super) fn tell(&mut self, all: bool) -> Option<Change<'_>> {
        let from = if all { 0 } else { self.changed_from };
        let says_nothing = if all { self.sum == 0 } else { from == NOTHING };
        self.changed_from = NOTHING;
        if says_nothing || !is_kept(self.span) {
            return None;
        }
        // Of a period there is only one, whatever its number.
        let from = if matches!(self.span, Span::Period(_)) { 0 } else { from };
        let at = self.buckets.partition_point(|bucket| bucket.number < from);
        Some(Change {
            kind: self.kind,
            span: self.span,
            until_us: self.until_us,
            from,
            buckets: &self.buckets[at..],
            before: at.checked_sub(1).map(|at| self.buckets[at].number),
            reserved: &self.reserved,
        })
    }

    /// Counts what an earlier process did, in buckets of this one.
    pub(super) fn restore(&mut self, until_us: u64, bucket: Bucket, now: Moment, ledger: &Ledger) {
        match self.span {
            Span::Window(_) => {
                let at = self.buckets.partition_point(|known| known.number < bucket.number);
                match self.buckets.get_mut(at) {
                    Some(known) => known.amount = known.amount.saturating_add(bucket.amount),
                    None => self.push(bucket, ledger),
                }
            }
            Span::Period(_) if until_us > now.utc_us => {
                // Both hold this moment: where the zone was changed in between, the period that is running goes on.
                let begin_us = if self.sum == 0 { bucket.number } else { self.begin_us() };
                self.until_us = if self.sum == 0 { until_us } else { self.until_us };
                let amount = bucket.amount.saturating_add(self.sum);
                self.buckets.clear();
                self.push(Bucket { number: begin_us, amount }, ledger);
            }
            Span::Period(_) | Span::AtOnce => {}
        }
        self.changed_from = 0;
        self.add_up();
    }

    /// Counts what an earlier process recorded of a request: a period that of one which was charged in it, a window as of
    /// its end. Both microseconds UTC.
    pub(super) fn complete(&mut self, amount: u64, (charged_us, ended_us): (u64, u64), now: Moment, ledger: &Ledger) {
        let ago_us = now.utc_us.saturating_sub(ended_us);
        let number = match self.span {
            Span::Window(_) => self.number(Moment { us: now.us.saturating_sub(ago_us), ..now }),
            Span::Period(_) | Span::AtOnce => self.begin_us(),
        };
        let is_within = match self.span {
            Span::Window(_) => number >= self.number(now).saturating_sub(WHOLE),
            Span::Period(_) | Span::AtOnce => {
                let is_now = (number..=now.utc_us).contains(&charged_us);
                self.left.as_ref().map_or(number <= charged_us, |left| left.begin_us <= charged_us || is_now)
            }
        };
        if is_within {
            self.restore(self.until_us, Bucket { number, amount }, now, ledger);
        }
    }

    fn gone_us(&self, bucket: Bucket, now: Moment) -> u64 {
        match self.span {
            Span::Window(window_us) => {
                bucket.number.saturating_add(WHOLE + 1).saturating_mul(length(window_us)).saturating_sub(now.us)
            }
            Span::Period(_) => self.until_us.saturating_sub(now.utc_us),
            Span::AtOnce => 0,
        }
    }

    fn number(&self, at: Moment) -> u64 {
        match self.span {
            Span::Window(window_us) => at.us / length(window_us),
            Span::Period(_) | Span::AtOnce => self.begin_us(),
        }
    }

    fn add_up(&mut self) {
        self.sum = self.buckets.iter().fold(0, |sum, bucket| sum.saturating_add(bucket.amount));
    }

    fn push(&mut self, bucket: Bucket, ledger: &Ledger) {
        self.changed_from = self.changed_from.min(bucket.number);
        let room = self.buckets.capacity();
        if self.buckets.len() == room {
            if room >= 2 && ledger.is_tight() {
                // Into the newer one: counted too long, never too short.
                let oldest = self.buckets.remove(0);
                self.buckets[0].amount = self.buckets[0].amount.saturating_add(oldest.amount);
                self.changed_from = 0;
            } else {
                let most = if matches!(self.span, Span::Period(_)) { 1 } else { FULL };
                self.buckets.reserve_exact((2 * room).max(2).min(most.max(room + 1)) - room);
                ledger.resized(room, self.buckets.capacity());
            }
        }
        self.buckets.push(bucket);
    }
}

/// Whether what is counted over a span survives a restart.
pub(super) fn is_kept(span: Span) -> bool {
    match span {
        Span::Window(window_us) => window_us >= KEPT_WINDOW_US,
        Span::Period(_) => true,
        Span::AtOnce => false,
    }
}

/// Of a sub-bucket, microseconds.
pub(super) fn length(window_us: u64) -> u64 {
    window_us.div_ceil(WHOLE).max(1)
}
