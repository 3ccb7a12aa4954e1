//! Nodes with the limits that the server has, each with a clock of its own, on the model's Redis.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use penstock_core::{
    clock::Clock,
    limits::{Ask, Held, Layered, LeaseAsk, Limits, Need, Now, Policy, Refused, Scope, Used},
};
use serde_json::json;
use tokio::{runtime::Runtime, time::Duration};

use crate::{
    plain::Plain,
    redis::{Data, Redis},
};

/// A time of the year 2026, 22 minutes before midnight.
const START_US: u64 = 1_774_049_880_000_000;
pub const MIDNIGHT_US: u64 = 22 * 60_000_000;
const DAY_US: u64 = 86_400_000_000;
const TIMEOUT_US: u64 = 50_000;
pub const NODES: usize = 3;
const DRIFTS: [i64; NODES] = [0, 900, -900];
const SCOPE: Scope<'static> = Scope::Key("AbC");

/// Over a window of so many microseconds, or a day.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub amount: u64,
    pub window_us: Option<u64>,
}

impl Limit {
    pub fn lease_us(&self) -> u64 {
        self.window_us.map_or(60_000_000, |us| us.div_ceil(60).max(50_000))
    }

    fn policy(&self) -> Policy {
        let over = match self.window_us {
            Some(us) => json!({"amount": self.amount, "window_us": us}),
            None => json!({"amount": self.amount, "period": "day"}),
        };
        serde_json::from_value(json!({"tokens": [over], "away": "closed"})).unwrap()
    }
}

/// Of what there is several of, a number names one, whatever their count.
#[derive(Clone, Debug)]
pub enum Event {
    Passes(u64),
    /// A request that needs so much.
    Comes(usize, u64),
    /// All that a node has to ask is asked, and answered at once.
    Talks(usize),
    /// It is on its way.
    Asks(usize),
    /// One that is on its way reaches Redis; with `true` it comes once more.
    Arrives(usize, bool),
    Returns(usize),
    Vanishes(usize),
    /// The node waits no longer; what it asked may still come to Redis.
    GivesUp(usize),
    /// A request ends, and has used so much.
    Settles(usize, u64),
    Leaves(usize),
    IsAway(usize, bool),
    IsPressed(usize),
    Sweeps(usize),
    Dies(usize),
    IsCopied,
    IsLost(Option<usize>),
    /// By way of this node.
    IsReset(usize),
}

type Admission = Pin<Box<dyn Future<Output = Result<Held, Refused>>>>;

struct Node {
    limits: Arc<Limits>,
    hand: Arc<AtomicU64>,
    waiting: Vec<(u64, Admission)>,
}

struct Flight {
    node: usize,
    args: Vec<String>,
    /// `None`: nobody waits for it.
    ask: Option<LeaseAsk>,
    answer: Option<[i64; 12]>,
}

struct Spending {
    at_us: u64,
    day: u64,
    amount: u64,
    node: usize,
    held: Option<Held>,
}

pub struct Fleet {
    limit: Limit,
    policy: Arc<Policy>,
    runtime: Runtime,
    redis: Redis,
    plain: Plain,
    pub at_us: u64,
    nodes: Vec<Node>,
    lives: usize,
    flights: Vec<Flight>,
    spendings: Vec<Spending>,
    copies: Vec<(Data, Plain)>,
    /// When data was lost, or counts began anew.
    breaks: Vec<u64>,
    /// When each node asked.
    pub asked: Vec<(usize, u64)>,
}

impl Fleet {
    pub fn new(limit: Limit) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let policy = Arc::new(limit.policy());
        let mut fleet = Self {
            limit,
            policy,
            runtime,
            redis: Redis::new(),
            plain: Plain::default(),
            at_us: 0,
            nodes: Vec::new(),
            lives: 0,
            flights: Vec::new(),
            spendings: Vec::new(),
            copies: Vec::new(),
            breaks: Vec::new(),
            asked: Vec::new(),
        };
        (0..NODES).for_each(|at| {
            let node = fleet.born(at);
            fleet.nodes.push(node);
        });
        fleet
    }

    pub fn happens(&mut self, event: &Event) {
        match *event {
            Event::Passes(us) => self.passes(us),
            Event::Comes(node, need) => self.comes(node, need),
            Event::Talks(node) => self.talks(node),
            Event::Asks(node) => self.asks(node),
            Event::Arrives(which, again) => self.arrives(which, again),
            Event::Returns(which) => self.returns(which),
            Event::Vanishes(which) => {
                if !self.flights.is_empty() {
                    self.flights.swap_remove(which % self.flights.len());
                }
            }
            Event::GivesUp(which) => {
                let count = self.flights.len().max(1);
                if let Some(flight) = self.flights.get_mut(which % count) {
                    flight.ask = None;
                }
            }
            Event::Settles(which, used) => self.ends(which, Some(used)),
            Event::Leaves(which) => self.ends(which, None),
            Event::IsAway(node, away) => self.nodes[node].limits.set_shared(away, NODES as u32),
            Event::IsPressed(node) => self.nodes[node].limits.press(&self.tag()),
            Event::Sweeps(node) => self.nodes[node].limits.sweep(&self.clock(node)),
            Event::Dies(node) => self.dies(node),
            Event::IsCopied => self.copies.push((self.redis.copy(), self.plain.clone())),
            Event::IsLost(which) => {
                let copy = which.and_then(|which| self.copies.get(which % self.copies.len().max(1)));
                let (data, plain) = copy.cloned().unwrap_or_default();
                self.redis.put_back(data);
                self.plain = plain;
                self.breaks.push(self.at_us);
            }
            Event::IsReset(node) => {
                self.redis.set_now(START_US + self.at_us);
                self.redis.reset(&self.tag());
                self.plain.reset(START_US + self.at_us);
                self.nodes[node].limits.reset(SCOPE);
                self.breaks.push(self.at_us);
            }
        }
        self.poll();
    }

    /// Of each interval of the window's length, or of each day: what was spent in it, and how many losses and resets
    /// reach into it, for leases of before were spent in it too.
    pub fn intervals(&self) -> impl Iterator<Item = (u64, u64)> {
        let lease_us = 2 * self.limit.lease_us();
        self.spendings.iter().map(move |last| {
            let is_in = |one: &&Spending| match self.limit.window_us {
                Some(us) => one.at_us + us >= last.at_us && one.at_us <= last.at_us,
                None => one.day == last.day,
            };
            let first_us = self.spendings.iter().filter(is_in).map(|one| one.at_us).min().unwrap_or(0);
            let last_us = self.spendings.iter().filter(is_in).map(|one| one.at_us).max().unwrap_or(0);
            let reaches = |at_us: &&u64| **at_us + lease_us >= first_us && **at_us <= last_us;
            let breaks = self.breaks.iter().filter(reaches).count() as u64;
            (self.spendings.iter().filter(is_in).map(|one| one.amount).sum(), breaks)
        })
    }

    /// All that was spent between two moments.
    pub fn spent(&self, from_us: u64, to_us: u64) -> u64 {
        let is_between = |one: &&Spending| (from_us..to_us).contains(&one.at_us);
        self.spendings.iter().filter(is_between).map(|one| one.amount).sum()
    }

    /// How many requests were admitted.
    pub fn admitted(&self) -> usize {
        self.spendings.len()
    }

    /// Requests that have neither been admitted nor refused.
    pub fn waiting(&self) -> usize {
        self.nodes.iter().map(|node| node.waiting.len()).sum()
    }

    fn passes(&mut self, us: u64) {
        self.at_us += us;
        (0..NODES).for_each(|at| self.nodes[at].hand.store(self.clock_us(at), Relaxed));
        self.runtime.block_on(tokio::time::advance(Duration::from_micros(us)));
    }

    fn comes(&mut self, node: usize, need: u64) {
        let (limits, policy, clock) = (self.nodes[node].limits.clone(), self.policy.clone(), self.clock(node));
        let admission = async move {
            let need = Need { requests: 1, tokens: need, nanousd: 0 };
            let policy = Layered { own: Some(&policy), default: None };
            limits.admit(&[Ask { scope: SCOPE, policy, need }], &clock).await
        };
        self.nodes[node].waiting.push((need, Box::pin(admission)));
    }

    /// Goes on with whoever waits, and notes what they got.
    fn poll(&mut self) {
        let _timers = self.runtime.enter();
        let day_of = |us: u64| us / DAY_US;
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let now_us = node.hand.load(Relaxed);
            node.waiting.retain_mut(|(need, admission)| {
                match admission.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => return true,
                    Poll::Ready(Err(_)) => {}
                    Poll::Ready(Ok(held)) => {
                        assert_eq!(held.away(), None);
                        let (at_us, day, amount, held) = (self.at_us, day_of(now_us), *need, Some(held));
                        self.spendings.push(Spending { at_us, day, amount, node: at, held });
                    }
                }
                false
            });
        }
    }

    fn asks(&mut self, node: usize) {
        for ask in self.nodes[node].limits.lease_asks(&self.clock(node)) {
            assert_eq!(ask.tag, self.tag());
            self.asked.push((node, self.at_us));
            let args = ask.args.clone();
            self.flights.push(Flight { node, args, ask: Some(ask), answer: None });
        }
    }

    fn talks(&mut self, node: usize) {
        // Each answer may be followed by one more question, such as after a loss.
        for _ in 0..4 {
            let before = self.flights.len();
            self.asks(node);
            for mut flight in self.flights.split_off(before) {
                flight.answer = Some(self.reads(&flight.args));
                self.hears(flight);
            }
            self.poll();
        }
    }

    fn arrives(&mut self, which: usize, again: bool) {
        let places: Vec<_> = (0..self.flights.len()).filter(|at| self.flights[*at].answer.is_none()).collect();
        if places.is_empty() {
            return;
        }
        let at = places[which % places.len()];
        let args = self.flights[at].args.clone();
        let answer = self.reads(&args);
        self.flights[at].answer = Some(answer);
        if again {
            let node = self.flights[at].node;
            self.flights.push(Flight { node, args, ask: None, answer: None });
        }
    }

    fn returns(&mut self, which: usize) {
        let places: Vec<_> = (0..self.flights.len()).filter(|at| self.flights[*at].answer.is_some()).collect();
        if !places.is_empty() {
            let flight = self.flights.swap_remove(places[which % places.len()]);
            self.hears(flight);
        }
    }

    fn hears(&mut self, flight: Flight) {
        if let (Some(ask), Some(answer)) = (flight.ask, flight.answer) {
            let clock = self.clock(flight.node);
            self.nodes[flight.node].limits.lease_answered(ask, Some(&answer), &clock);
        }
    }

    fn reads(&mut self, args: &[String]) -> [i64; 12] {
        self.redis.set_now(START_US + self.at_us);
        let answer = self.redis.lease(&self.tag(), args);
        assert_eq!(answer, self.plain.call(args, START_US + self.at_us), "{args:?}");
        answer
    }

    fn ends(&mut self, which: usize, used: Option<u64>) {
        let count = self.spendings.len().max(1);
        let Some(spending) = self.spendings.get_mut(which % count) else { return };
        let Some(held) = spending.held.take() else { return };
        // What is used beyond what was reserved is charged too, but no limit has promised to stay above it.
        spending.amount = spending.amount.min(used.unwrap_or(0));
        if let Some(tokens) = used {
            let clock = Clock::Manual(self.nodes[spending.node].hand.clone());
            held.settle(Used { tokens, nanousd: 0 }, Now::of(&clock));
        }
    }

    fn dies(&mut self, node: usize) {
        self.flights.iter_mut().filter(|flight| flight.node == node).for_each(|flight| flight.ask = None);
        for spending in self.spendings.iter_mut().filter(|spending| spending.node == node) {
            // Its requests were sent: they count.
            if let Some(held) = spending.held.take() {
                std::mem::forget(held);
            }
        }
        self.nodes[node] = self.born(node);
    }

    fn born(&mut self, at: usize) -> Node {
        let (limits, hand) = (Arc::new(Limits::new()), Arc::new(AtomicU64::new(self.clock_us(at))));
        limits.share(&format!("{:x}", self.lives), TIMEOUT_US);
        limits.set_shared(false, NODES as u32);
        self.lives += 1;
        Node { limits, hand, waiting: Vec::new() }
    }

    fn clock(&self, node: usize) -> Clock {
        Clock::Manual(self.nodes[node].hand.clone())
    }

    fn clock_us(&self, node: usize) -> u64 {
        let at = i64::try_from(self.at_us).unwrap();
        START_US.saturating_add_signed(at + at * DRIFTS[node] / 1_000_000)
    }

    fn tag(&self) -> String {
        match self.limit.window_us {
            Some(us) => format!("key:AbC:tokens:{us}"),
            None => "key:AbC:tokens:day".to_owned(),
        }
    }
}
