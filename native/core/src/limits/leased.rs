//! One limit that is shared between nodes: what this one may spend of it, and when to ask and to tell.

use std::sync::Arc;

use super::{
    Kind, Span,
    broker::{Broker, Due, Timer},
    cell::Cell,
    counter::{Counter, Moment, WHOLE, length},
    demand::{Demand, Pace},
    lease::Charged,
    ledger::Ledger,
    line::Line,
    stock::{Freed, NEVER, Stock},
};

/// Lease time of a period.
const PERIOD_LEASE_US: u64 = 60_000_000;
/// The shortest lease time.
const SHORTEST_US: u64 = 50_000;
/// How often a limit that is reached is asked for again.
const AGAIN_US: (u64, u64) = (SHORTEST_US, 1_000_000);
/// What is freed later than its lease has stopped is told so much later at most.
const TELL_US: u64 = 100_000;

/// Of what a call said that the limit is reached by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub need: u64,
    /// Whoever needs as much is refused until then.
    pub until_us: u64,
    /// When so much would fit.
    pub lapse_us: u64,
}

/// The last answer's state: what it must not fall behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub epoch: u64,
    pub sequence: u64,
    /// `None`: nothing was answered yet.
    pub resets: Option<u64>,
}

/// The call under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnderWay {
    pub number: u64,
    pub asked_us: u64,
    /// All counts began anew since: what it is granted is not taken.
    pub is_void: bool,
}

#[derive(Debug)]
pub(super) struct Leased {
    pub kind: Kind,
    pub span: Span,
    pub(super) stock: Stock,
    /// The limit as it was seen last, and for which one the leases were granted.
    pub(super) limit: u64,
    pub(super) limit_of_leases: u64,
    /// Of a period; 0 of a window.
    pub(super) begin_us: u64,
    pub(super) until_us: u64,
    pub(super) line: Line,
    pub(super) demand: Demand,
    pub(super) pace: Pace,
    pub(super) under_way: Option<UnderWay>,
    pub(super) seen: Seen,
    /// Calls without an answer that may have been granted something, and when they were written.
    pub(super) ghosts: Vec<(u64, u64)>,
    pub(super) refusal: Option<Refusal>,
    /// What other nodes counted at the last answer, and until when that is said.
    pub(super) others: (u64, u64),
    /// What of it our own counter has too: it was used by the process before this one.
    pub(super) before: u64,
    /// The last call was not answered. Until when nothing is told by itself.
    pub(super) is_silent: bool,
    pub(super) rest_us: u64,
    /// Redis lost what it counted: all that we know is to be told.
    pub(super) is_lost: bool,
    /// Somebody was refused: not noted yet, and until when that is remembered.
    pub(super) is_pressed: bool,
    pub(super) pressed_until_us: u64,
    /// Nothing is asked ahead of need before.
    pub(super) ahead_after_us: u64,
    /// When there is something to tell.
    pub(super) tell_us: u64,
    /// When it was last heard of, and when it is asked whether all counts began anew since.
    pub(super) heard_us: u64,
    pub(super) doubt_us: u64,
    pub(super) timer: Timer,
}

impl Leased {
    pub(super) fn new(kind: Kind, span: Span) -> Self {
        let window_us = if let Span::Window(us) = span { Some(us) } else { None };
        Self {
            kind,
            span,
            stock: Stock::default(),
            limit: 0,
            limit_of_leases: 0,
            begin_us: 0,
            until_us: 0,
            line: Line::default(),
            demand: Demand::default(),
            pace: Pace::of(window_us),
            under_way: None,
            seen: Seen::default(),
            ghosts: Vec::new(),
            refusal: None,
            others: (0, 0),
            before: 0,
            is_silent: false,
            rest_us: 0,
            is_lost: false,
            is_pressed: false,
            pressed_until_us: 0,
            ahead_after_us: 0,
            tell_us: NEVER,
            heard_us: 0,
            doubt_us: NEVER,
            timer: Timer::NONE,
        }
    }

    /// Of a sub-bucket; 0 of a period.
    pub(super) fn length_us(&self) -> u64 {
        if let Span::Window(us) = self.span { length(us) } else { 0 }
    }

    pub(super) fn lease_us(&self) -> u64 {
        if let Span::Window(us) = self.span { length(us).max(SHORTEST_US) } else { PERIOD_LEASE_US }
    }

    /// How long to leave a limit alone that is reached.
    pub(super) fn again_us(&self) -> u64 {
        (self.lease_us() / 2).clamp(AGAIN_US.0, AGAIN_US.1)
    }

    /// Brings it to a moment, and to the period of its counter. To be called before anything is spent.
    pub(super) fn advance(&mut self, counter: Option<&Counter>, now: Moment, ledger: &Ledger) {
        if let Span::Period(period) = self.span {
            let until_us = match counter.map_or(0, Counter::until_us) {
                0 if now.utc_us < self.until_us => self.until_us,
                0 => ledger.calendar.load().bounds(period, now.utc_us).1,
                until_us => until_us,
            };
            if until_us != self.until_us {
                // All nodes of a zone find the same begin, whatever became of their clocks and counts before.
                self.begin_us = ledger.calendar.load().bounds(period, until_us - 1).0;
                self.until_us = until_us;
                self.forget();
            }
        }
        if self.stock.expire(now.us) {
            self.tell_us = 0;
        }
    }

    /// Takes note of the limit. Of a lower one nothing is spent that was granted for a higher one.
    pub(super) fn set_limit(&mut self, limit: u64, now: Moment) {
        if limit < self.limit_of_leases {
            self.limit_of_leases = limit;
            if self.stock.close(now.us) {
                self.tell_us = 0;
            }
        }
        if limit > self.limit {
            self.refusal = None;
        }
        self.limit = limit;
    }

    /// Charges a request what there is a lease for, and the rest to a lease of our own.
    pub(super) fn spend(&mut self, amount: u64, now: Moment, broker: &Broker, tell: impl FnMut(Charged)) {
        self.demand.came(now.us);
        self.spend_more(amount, now, broker, tell);
    }

    /// The same of what a request used beyond what it reserved.
    pub(super) fn spend_more(&mut self, amount: u64, now: Moment, broker: &Broker, mut tell: impl FnMut(Charged)) {
        self.demand.spent(amount);
        let lacking = self.stock.spend(amount, &mut tell);
        if lacking == 0 {
            return;
        }
        self.tell_by(now.us.saturating_add(self.tell_after_us()));
        let lapse_us = match self.span {
            Span::Window(us) => (now.us / length(us)).saturating_add(WHOLE + 1).saturating_mul(length(us)),
            Span::Period(_) | Span::AtOnce => NEVER,
        };
        tell(self.stock.spend_own(lacking, lapse_us, || broker.number()));
    }

    /// Gives back some of what was charged, beginning with what was charged last.
    pub(super) fn free(&mut self, charges: impl Iterator<Item = Charged>, amount: u64, now: Moment) {
        if self.stock.expire(now.us) {
            self.tell_us = 0;
        }
        let mut rest = amount;
        for charged in charges {
            let freed = rest.min(charged.amount);
            rest -= freed;
            match self.stock.free(charged, freed) {
                Freed::Spare => self.line.wake_for(self.stock.spare()),
                Freed::ToTell => self.tell_by(now.us.saturating_add(self.tell_after_us())),
                Freed::Gone => {}
            }
            if rest == 0 {
                break;
            }
        }
    }

    /// All that was known of what is spent holds no more.
    pub(super) fn forget(&mut self) {
        self.stock.clear();
        self.refusal = None;
        (self.others, self.before) = ((0, 0), 0);
        self.demand.forget();
        self.is_lost = false;
        self.tell_us = if self.ghosts.is_empty() { NEVER } else { 0 };
        if let Some(call) = &mut self.under_way {
            call.is_void = true;
        }
        self.line.wake();
    }

    /// Whoever came later may try what this one waited for.
    pub(super) fn give_up(&mut self, ticket: u64) {
        self.line.leave(ticket);
        self.line.wake_for(self.stock.spare());
    }

    /// Nothing of it is spent any more. Whether others know what was.
    pub(super) fn give_back(&mut self, now: Moment) -> bool {
        self.stock.close(now.us);
        let is_known = self.stock.is_told() && self.ghosts.is_empty();
        if !is_known {
            self.tell_us = 0;
        }
        is_known && self.under_way.is_none()
    }

    /// What others use of it, and for how long that is said.
    pub(super) fn others(&self, now: Moment) -> (u64, u64) {
        let (amount, until_us) = (self.others.0.saturating_sub(self.before), self.others.1);
        if amount > 0 && now.us < until_us { (amount, until_us - now.us) } else { (0, 0) }
    }

    /// When it has something to ask or to tell.
    pub(super) fn due_us(&self) -> u64 {
        if self.under_way.is_some() {
            return NEVER;
        }
        let (spare, (first_us, last_us)) = (self.stock.spare(), self.stock.stops_us());
        if self.is_pressed {
            return 0;
        }
        let lacks_us = if self.line.lacks(spare).0 > 0 || (self.is_lost && self.stock.has_told()) { 0 } else { NEVER };
        let tells_us = self.tell_us.min(self.doubt_us).min(first_us).min(self.closes_us()).max(self.rest_us);
        let at_us = lacks_us.min(tells_us).min(self.ahead_us(last_us));
        at_us.max(self.pace.next_us())
    }

    /// When to ask ahead of need.
    pub(super) fn ahead_us(&self, last_stop_us: u64) -> u64 {
        let at_us = self.demand.ahead_us(self.stock.spare(), last_stop_us, self.lease_us());
        if at_us == NEVER || self.is_silent {
            return NEVER;
        }
        at_us.max(self.ahead_after_us).max(self.pressed_until_us)
    }

    /// When what is idle is given back, as others lack it.
    pub(super) fn closes_us(&self) -> u64 {
        let idle_us = self.demand.last_us.saturating_add(self.lease_us() / 4);
        if self.stock.spare() > 0 && idle_us < self.pressed_until_us { idle_us } else { NEVER }
    }

    /// Has the broker look at it when it is due. To be called after every change.
    pub(super) fn touch(&mut self, cell: &Arc<Cell>, broker: &Broker) {
        let due_us = self.due_us();
        if due_us < self.timer.at_us {
            let due = Due { at_us: due_us, cell: Arc::downgrade(cell), kind: self.kind, span: self.span };
            broker.schedule(&mut self.timer, due);
        }
    }

    /// The broker looks at it. `false`: it was scheduled anew since.
    pub(super) fn is_timer(&mut self, at_us: u64) -> bool {
        let is_timer = self.timer.at_us == at_us;
        if is_timer {
            self.timer.at_us = NEVER;
        }
        is_timer
    }

    /// Whether there is nothing to keep.
    pub(super) fn is_idle(&mut self, now: Moment) -> bool {
        if matches!(self.span, Span::Period(_)) && now.utc_us >= self.until_us {
            self.forget();
            self.ghosts.clear();
        }
        self.tidy(now);
        self.stock.is_empty()
            && self.line.is_empty()
            && self.ghosts.is_empty()
            && self.under_way.is_none()
            && (self.others.0 == 0 || self.others.1 <= now.us)
    }

    /// Forgets what has lapsed; what a call without an answer was granted has some time.
    pub(super) fn tidy(&mut self, now: Moment) {
        if self.stock.tidy(now.us) {
            self.tell_us = 0;
        }
        if let Span::Window(us) = self.span {
            let lapse_us = us + 3 * self.lease_us() + PERIOD_LEASE_US;
            self.ghosts.retain(|(_, asked_us)| now.us < asked_us.saturating_add(lapse_us));
        }
    }

    /// Our own counter says that the limit is reached, and no lease would help. Whether all counts began anew elsewhere
    /// only Redis knows: it is asked now and then.
    pub(super) fn doubt(&mut self) {
        self.doubt_us = self.heard_us.saturating_add(AGAIN_US.1);
    }

    pub(super) fn tell_by(&mut self, at_us: u64) {
        self.tell_us = self.tell_us.min(at_us);
    }

    /// What is freed is told with what else is freed soon.
    pub(super) fn tell_after_us(&self) -> u64 {
        (self.lease_us() / 4).min(TELL_US)
    }
}
