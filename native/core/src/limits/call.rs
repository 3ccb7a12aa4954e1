//! One call of the script: what it asks for, and what it tells.

use super::{
    broker::Broker,
    counter::Moment,
    leased::{Leased, UnderWay},
    stock::{NEVER, Tell},
};

/// Integers beyond this one are not exact in Lua.
pub(super) const LARGEST: u64 = (1 << 53) - 1;
/// How an ask ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseResult {
    /// Some was granted.
    Granted,
    /// All nodes together have used the limit.
    Refused,
    /// Redis has lost what it counted. It is told anew.
    Lost,
    /// A later call was there before.
    Stale,
    /// It was told what is counted here; nothing was asked, or nothing more was to be had ahead of need.
    Told,
    /// It may have reached Redis or not.
    Unanswered,
}

impl LeaseResult {
    pub const ALL: [Self; 6] = [Self::Granted, Self::Refused, Self::Lost, Self::Stale, Self::Told, Self::Unanswered];

    /// As metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Stale => "stale",
            Self::Told => "told",
            Self::Unanswered => "unanswered",
        }
    }
}

/// What was asked and told.
#[derive(Debug)]
pub(super) struct Call {
    pub number: u64,
    pub asked_us: u64,
    pub begin_us: u64,
    pub limit: u64,
    pub resets: u64,
    pub reposts: bool,
    pub need: u64,
    pub want: u64,
    pub tells: Vec<Tell>,
    /// Calls whose grants are given up.
    pub ghosts: Vec<u64>,
}

impl Call {
    /// In the order in which the script takes them.
    pub(super) fn args(&self, leased: &Leased, broker: &Broker) -> Vec<String> {
        let is_known = leased.stock.has_told();
        let seen = |of: u64| if is_known { of } else { 0 };
        let numbers = [leased.length_us(), leased.begin_us, leased.until_us, self.limit, leased.lease_us()];
        let more = [
            self.number,
            seen(leased.seen.epoch),
            seen(leased.seen.sequence),
            self.resets,
            self.reposts.into(),
            broker.nodes().max(1),
            self.need,
            self.want,
        ];
        let ghosts = self.ghosts.iter().flat_map(|number| [*number, leased.begin_us, 0]);
        let tells = self.tells.iter().flat_map(|tell| [tell.number, tell.bucket, tell.counted.min(LARGEST)]);
        let mut args: Vec<_> = numbers.iter().map(u64::to_string).collect();
        args.push(broker.instance.to_string());
        args.extend(more.into_iter().chain(ghosts).chain(tells).map(|number| number.to_string()));
        args
    }
}

impl Leased {
    /// What is to be asked and told now, if anything is; it is under way then. `asked_us` was read before `now`. To be
    /// called after [`advance`](Leased::advance).
    pub(super) fn call(&mut self, asked_us: u64, now: Moment, broker: &Broker) -> Option<Call> {
        if std::mem::take(&mut self.is_pressed) {
            self.pressed_until_us = now.us.saturating_add(self.lease_us());
        }
        self.demand.fade(now.us, self.lease_us());
        if self.closes_us() <= now.us && self.stock.close(now.us) {
            self.tell_us = 0;
        }
        let ahead_us = self.ahead_us(self.stock.stops_us().1);
        if self.due_us() > now.us {
            return None;
        }
        self.tidy(now);
        self.tell_us = NEVER;
        let reposts = self.is_lost && self.stock.has_told();
        let (need, lacking) = self.line.lacks(self.stock.spare());
        let is_asked = need > 0 || ahead_us <= now.us;
        let foresees = is_asked && now.us >= self.pressed_until_us;
        let foreseen = if foresees { self.demand.foreseen(now.us, self.lease_us()) } else { 0 };
        let want = lacking.saturating_add(foreseen).min(LARGEST);
        let tells = self.stock.tells(reposts);
        let ghosts: Vec<_> = self.ghosts.iter().map(|(number, _)| *number).collect();
        let doubts = std::mem::replace(&mut self.doubt_us, NEVER) <= now.us;
        if want == 0 && tells.is_empty() && ghosts.is_empty() && !reposts && !doubts {
            self.demand.forget();
            return None;
        }
        let number = broker.number();
        self.pace.take(now.us);
        self.under_way = Some(UnderWay { number, asked_us, is_void: false });
        let (limit, begin_us, resets) = (self.limit, self.begin_us, self.seen.resets.unwrap_or(0));
        Some(Call { number, asked_us, begin_us, limit, resets, reposts, need: need.min(LARGEST), want, tells, ghosts })
    }
}
