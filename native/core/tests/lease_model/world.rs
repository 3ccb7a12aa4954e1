//! Nodes, a Redis, and what is on its way between them. Each spending is noted, so that it can be judged.

use std::collections::{BTreeMap, HashSet};

use crate::{
    node::{Call, Era, Limit, Node, Reading, Span},
    plain::Plain,
    redis::{Data, Redis},
};

const KEY: &str = "penstock:{key:AbC:tokens}";
/// A time of the year 2026.
const START_US: u64 = 1_774_000_000_000_000;
pub const NODES: usize = 3;
/// How much faster a node's clock runs, millionths.
const DRIFTS: [i64; NODES] = [0, 900, -900];
/// How far a node's UTC is off, microseconds.
const SKEWS: [i64; NODES] = [0, 400_000, -300_000];

/// Of what there is several of, a number names one, whatever their count.
#[derive(Clone, Debug)]
pub enum Event {
    Passes(u64),
    /// Until so many sub-buckets from now begin, and some microseconds more or less.
    PassesTo(u64, i64),
    /// A question that is answered at once.
    Trip(usize, (u64, u64)),
    Asks(usize, (u64, u64)),
    /// One of the questions on their way is read by Redis; with `true` it comes once more.
    Arrives(usize, bool),
    /// One of the answers on their way reaches its node.
    Returns(usize),
    /// A question or an answer on its way is never seen again.
    Vanishes(usize),
    GivesUp(usize),
    Spends(usize, u64),
    Overruns(usize, u64),
    Closes(usize),
    Frees(usize, u64),
    Dies(usize),
    /// A replica has all until now.
    IsCopied,
    /// The replica takes over, or with nothing in it: restarted empty.
    IsLost(Option<usize>),
    IsReset,
    /// The clock of Redis is set back so far; a clock that is set on is data loss by another name.
    ClockGoesBack(u64),
}

/// Somebody spent so much of a lease.
#[derive(Debug)]
pub struct Spending {
    at_us: u64,
    amount: u64,
    era: Era,
    period: u64,
    lease: (String, u64),
}

struct Flight {
    node: usize,
    instance: String,
    call: Call,
    answer: Option<([i64; 12], Era)>,
}

pub struct World {
    limit: Limit,
    pub redis: Redis,
    plain: Plain,
    pub at_us: u64,
    set_back_us: u64,
    pub nodes: Vec<Node>,
    lives: usize,
    flights: Vec<Flight>,
    pub spendings: Vec<Spending>,
    copies: Vec<(Data, Plain)>,
    era: Era,
}

impl World {
    pub fn new(limit: Limit) -> Self {
        let nodes = (0..NODES).map(|n| Node::new(format!("{n:x}"))).collect();
        let (redis, plain, spendings) = (Redis::new(), Plain::default(), Vec::new());
        let (flights, copies) = (Vec::new(), Vec::new());
        let (at_us, set_back_us, lives, era) = (1_000_000, 0, NODES, (0, 0));
        Self { limit, redis, plain, at_us, set_back_us, nodes, lives, flights, spendings, copies, era }
    }

    pub fn happens(&mut self, event: &Event) {
        match event {
            Event::Passes(us) => self.at_us += us,
            Event::PassesTo(sub_buckets, us) => {
                let length_us = self.limit.length_us().max(1);
                let to_us = (self.redis_us() / length_us + sub_buckets) * length_us + self.set_back_us - START_US;
                self.at_us = self.at_us.max(to_us.saturating_add_signed(*us));
            }
            Event::Trip(node, amounts) => {
                self.trip(*node, *amounts);
            }
            Event::Asks(node, amounts) if !self.nodes[*node].is_waiting() => {
                let flight = self.asks(*node, *amounts);
                self.flights.push(flight);
            }
            Event::Asks(..) => {}
            Event::Arrives(which, again) => self.arrives(*which, *again),
            Event::Returns(which) => {
                if let Some(flight) = self.take(*which, true) {
                    self.returns(&flight);
                }
            }
            Event::Vanishes(which) => {
                self.take(which / 2, which % 2 == 0);
            }
            Event::GivesUp(node) => self.nodes[*node].give_up(),
            Event::Spends(node, amount) => {
                self.spends(*node, *amount);
            }
            Event::Overruns(node, amount) => {
                let now = self.reading(*node);
                self.nodes[*node].overrun(*amount, &self.limit, now);
            }
            Event::Closes(node) => self.nodes[*node].close(),
            Event::Frees(which, amount) => self.frees(*which, *amount),
            Event::Dies(node) => {
                self.nodes[*node] = Node::new(format!("{:x}", self.lives));
                self.lives += 1;
            }
            Event::IsCopied => self.copies.push((self.redis.copy(), self.plain.clone())),
            Event::IsLost(which) => {
                let copy = which.and_then(|which| self.copies.get(which % self.copies.len().max(1)));
                let (data, plain) = copy.cloned().unwrap_or_default();
                self.redis.put_back(data);
                self.plain = plain;
                self.era.0 += 1;
            }
            Event::IsReset => {
                self.redis.set_now(self.redis_us());
                self.redis.reset(KEY);
                self.plain.reset(self.redis_us());
                self.era.1 += 1;
            }
            Event::ClockGoesBack(us) => self.set_back_us += us,
        }
    }

    /// Asks, and has the answer at once. The status.
    pub fn trip(&mut self, node: usize, amounts: (u64, u64)) -> i64 {
        self.nodes[node].give_up();
        let mut flight = self.asks(node, amounts);
        let answer = self.reads(&flight.call);
        flight.answer = Some((answer, self.era));
        self.returns(&flight);
        answer[0]
    }

    /// The same; how much was granted, and when a refused need would fit, in the time of Redis.
    pub fn gets(&mut self, node: usize, amounts: (u64, u64)) -> (i64, i64) {
        self.nodes[node].give_up();
        let mut flight = self.asks(node, amounts);
        let answer = self.reads(&flight.call);
        flight.answer = Some((answer, self.era));
        self.returns(&flight);
        (answer[5], answer[9])
    }

    pub fn spends(&mut self, node: usize, amount: u64) -> u64 {
        let now = self.reading(node);
        let parts = self.nodes[node].spend(amount, &self.limit, now);
        for (lease, amount) in &parts {
            self.spendings.push(Spending {
                at_us: self.at_us,
                amount: *amount,
                era: lease.era,
                period: self.limit.period(now.utc_us).0,
                lease: (self.nodes[node].instance.clone(), lease.number),
            });
        }
        parts.iter().map(|(_, amount)| amount).sum()
    }

    /// The most that was spent within one interval of the window's length, or one period; and in how many parts of time,
    /// cut by losses and resets, the leases that were spent in it were granted.
    pub fn most_spent(&self) -> Vec<(u64, usize)> {
        let within = |last: &Spending, one: &Spending| match self.limit.span {
            Span::Window(us) => one.at_us + us >= last.at_us && one.at_us <= last.at_us,
            Span::Period(_) => one.period == last.period,
        };
        let intervals = self.spendings.iter().map(|last| {
            let inside: Vec<_> = self.spendings.iter().filter(|one| within(last, one)).collect();
            let eras: HashSet<_> = inside.iter().map(|one| one.era).collect();
            (inside.iter().map(|one| one.amount).sum(), eras.len())
        });
        intervals.collect()
    }

    /// Of each era the most that was spent of its leases within one interval.
    pub fn most_spent_of_an_era(&self) -> u64 {
        let mut eras = BTreeMap::<Era, Vec<&Spending>>::new();
        self.spendings.iter().for_each(|one| eras.entry(one.era).or_default().push(one));
        let within = |last: &Spending, one: &Spending| match self.limit.span {
            Span::Window(us) => one.at_us + us >= last.at_us && one.at_us <= last.at_us,
            Span::Period(_) => one.period == last.period,
        };
        let sums = eras.values().flat_map(|era| {
            era.iter().map(move |last| era.iter().filter(|one| within(last, one)).map(|one| one.amount).sum())
        });
        sums.max().unwrap_or(0)
    }

    fn asks(&mut self, node: usize, amounts: (u64, u64)) -> Flight {
        let now = self.reading(node);
        let call = self.nodes[node].ask(&self.limit, now, amounts, NODES);
        Flight { node, instance: self.nodes[node].instance.clone(), call, answer: None }
    }

    fn arrives(&mut self, which: usize, again: bool) {
        if let Some(mut flight) = self.take(which, false) {
            let answer = self.reads(&flight.call);
            if again {
                let (instance, call) = (flight.instance.clone(), flight.call.clone());
                self.flights.push(Flight { node: flight.node, instance, call, answer: None });
            }
            flight.answer = Some((answer, self.era));
            self.flights.push(flight);
        }
    }

    fn reads(&mut self, call: &Call) -> [i64; 12] {
        self.redis.set_now(self.redis_us());
        let answer = self.redis.lease(KEY, &call.args);
        assert_eq!(answer, self.plain.call(&call.args, self.redis_us()), "{:?}", call.args);
        answer
    }

    fn returns(&mut self, flight: &Flight) {
        let now = self.reading(flight.node);
        let node = &mut self.nodes[flight.node];
        // Not to who has taken the place of one that died.
        if let Some((answer, era)) = flight.answer.filter(|_| node.instance == flight.instance) {
            node.answered(&flight.call, answer, &self.limit, now, era);
        }
    }

    fn frees(&mut self, which: usize, amount: u64) {
        if self.spendings.is_empty() {
            return;
        }
        let at = which % self.spendings.len();
        let spending = &mut self.spendings[at];
        let (instance, number) = &spending.lease;
        let amount = amount.min(spending.amount);
        let node = self.nodes.iter_mut().find(|node| node.instance == *instance);
        if node.is_some_and(|node| node.free(*number, amount)) {
            spending.amount -= amount;
        }
    }

    fn take(&mut self, which: usize, answered: bool) -> Option<Flight> {
        let flights = self.flights.iter().enumerate();
        let places: Vec<_> =
            flights.filter(|(_, flight)| flight.answer.is_some() == answered).map(|(at, _)| at).collect();
        (!places.is_empty()).then(|| self.flights.remove(places[which % places.len()]))
    }

    fn redis_us(&self) -> u64 {
        START_US + self.at_us - self.set_back_us
    }

    fn reading(&self, node: usize) -> Reading {
        let at = i64::try_from(self.at_us).unwrap();
        let boot_us = u64::try_from(at + at * DRIFTS[node] / 1_000_000).unwrap();
        Reading { boot_us, utc_us: (START_US + self.at_us).saturating_add_signed(SKEWS[node]) }
    }
}
