//! A Redis that answers by hand: what the script would say, number by number.

use std::{
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, Waker},
};

use penstock_core::{
    clock::Clock,
    limits::{Ask, Held, LeaseAsk, LeaseResult, Limits, Need, Now, Policy, Refused, Scope, Used},
};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::made::{START_US, ask, clock_at, layered, policy, set};

pub const KEY: Scope<'static> = Scope::Key("k");
pub const MINUTE_US: u64 = 60_000_000;
pub const TIMEOUT_US: u64 = 50_000;

/// At most so many requests in a window.
pub fn requests(amount: u64, window_us: u64) -> Policy {
    policy(json!({"requests": [{"amount": amount, "window_us": window_us}]}))
}

pub fn tokens(amount: u64, window_us: u64) -> Policy {
    policy(json!({"tokens": [{"amount": amount, "window_us": window_us}]}))
}

pub fn away(mut of: Policy, policy: &str) -> Policy {
    of.away = serde_json::from_value(json!(policy)).unwrap();
    of
}

/// One node, at a time that stands.
pub struct Node {
    pub limits: Limits,
    pub clock: Clock,
    pub hand: Arc<AtomicU64>,
    /// Its time stands too: nothing is waited for in vain but in [`admit_in_vain`](Self::admit_in_vain).
    runtime: Runtime,
}

impl Node {
    /// Of two, with a Redis that can be asked.
    pub fn new() -> Self {
        Self::at(START_US)
    }

    pub fn at(us: u64) -> Self {
        let (limits, (clock, hand)) = (Limits::new(), clock_at(us));
        limits.share("a1b2", TIMEOUT_US);
        limits.set_shared(false, 2);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        Self { limits, clock, hand, runtime }
    }

    pub fn pass(&self, us: u64) {
        set(&self.hand, self.now_us() + us);
    }

    pub fn now_us(&self) -> u64 {
        self.clock.boot_us()
    }

    /// A request that has not begun.
    pub fn request<'a>(&'a self, asks: &[Ask<'a>]) -> Request<'a> {
        let asks = asks.to_vec();
        Request { node: self, admission: Box::pin(async move { self.limits.admit(&asks, &self.clock).await }) }
    }

    /// A request that waits.
    pub fn begin<'a>(&'a self, scope: Scope<'a>, policy: &'a Policy, need: Need) -> Request<'a> {
        let mut request = self.request(&[ask(scope, policy, need)]);
        assert!(request.poll().is_none(), "it does not wait");
        request
    }

    pub fn settle(&self, held: Held, tokens: u64) {
        held.settle(Used { tokens, nanousd: 0 }, Now::of(&self.clock));
    }

    /// One that must not wait.
    pub fn admit(&self, scope: Scope<'_>, policy: &Policy, need: Need) -> Result<Held, Refused> {
        self.request(&[ask(scope, policy, need)]).poll().expect("it waits")
    }

    /// One that is admitted without a lease, or is not, once no answer came for so long.
    pub fn admit_in_vain(&self, asks: &[Ask<'_>]) -> Result<Held, Refused> {
        self.runtime.block_on(self.limits.admit(asks, &self.clock))
    }

    /// Whether who carries asks would return at once.
    pub fn wakes_carrier(&self) -> bool {
        let _entered = self.runtime.enter();
        let wants = std::pin::pin!(self.limits.wants_leases(&self.clock));
        wants.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    pub fn asks(&self) -> Vec<LeaseAsk> {
        self.limits.lease_asks(&self.clock)
    }

    /// The only one.
    pub fn ask(&self) -> LeaseAsk {
        let mut asks = self.asks();
        assert_eq!(asks.len(), 1, "{asks:?}");
        asks.remove(0)
    }

    pub fn asks_nothing(&self) {
        let asks = self.asks();
        assert!(asks.is_empty(), "{asks:?}");
    }

    pub fn answer(&self, ask: LeaseAsk, answer: &Answer) -> LeaseResult {
        self.limits.lease_answered(ask, Some(&answer.numbers()), &self.clock)
    }

    /// Nobody answers.
    pub fn lose(&self, ask: LeaseAsk) {
        assert_eq!(self.limits.lease_answered(ask, None, &self.clock), LeaseResult::Unanswered);
    }

    /// The only ask is granted so much, by a Redis whose clock is ours. Returns what it said.
    pub fn grant(&self, granted: u64) -> Args {
        let ask = self.ask();
        let args = Args::of(&ask);
        assert_eq!(self.answer(ask, &self.reply(&args).granting(granted)), LeaseResult::Granted);
        args
    }

    /// The only ask is refused, until so long from now.
    pub fn refuse(&self, lapse_us: u64) -> Args {
        let ask = self.ask();
        let args = Args::of(&ask);
        let answer = Answer { lapse_us: self.now_us() + lapse_us, is_pressed: true, ..self.reply(&args) };
        assert_eq!(self.answer(ask, &answer), LeaseResult::Refused);
        args
    }

    /// The only ask is a tell, which is taken.
    pub fn hear(&self) -> Args {
        let ask = self.ask();
        let args = Args::of(&ask);
        assert_eq!((args.need, args.want), (0, 0), "{args:?}");
        assert_eq!(self.answer(ask, &self.reply(&args)), LeaseResult::Told);
        args
    }

    /// What a Redis whose clock is ours says that grants nothing.
    pub fn reply(&self, args: &Args) -> Answer {
        Answer::of(args, self.now_us())
    }

    /// Whether a need fits now; it is given back at once.
    pub fn fits(&self, scope: Scope<'_>, policy: &Policy, need: Need) -> bool {
        self.request(&[ask(scope, policy, need)]).poll().is_some_and(|outcome| outcome.is_ok())
    }

    pub fn used(&self, scope: Scope<'_>, policy: &Policy) -> u64 {
        self.limits.report(scope, layered(policy), Now::of(&self.clock))[0].used
    }
}

/// A request under way.
pub struct Request<'a> {
    node: &'a Node,
    admission: Pin<Box<dyn Future<Output = Result<Held, Refused>> + 'a>>,
}

impl Request<'_> {
    /// `None`: it waits.
    pub fn poll(&mut self) -> Option<Result<Held, Refused>> {
        let _entered = self.node.runtime.enter();
        match self.admission.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    pub fn held(mut self) -> Held {
        self.poll().expect("it waits").unwrap()
    }

    pub fn refused(mut self) -> Refused {
        self.poll().expect("it waits").unwrap_err()
    }
}

/// What an ask says.
#[derive(Clone, Debug)]
pub struct Args {
    pub tag: String,
    pub length_us: u64,
    pub begin_us: u64,
    pub until_us: u64,
    pub limit: u64,
    pub lease_us: u64,
    pub number: u64,
    /// Epoch and sequence.
    pub seen: (u64, u64),
    pub resets: u64,
    pub reposts: bool,
    pub nodes: u64,
    pub need: u64,
    pub want: u64,
    /// Number, bucket, counted.
    pub tells: Vec<(u64, u64, u64)>,
}

impl Args {
    pub fn of(ask: &LeaseAsk) -> Self {
        assert_eq!(ask.args[5], "a1b2");
        let numbers: Vec<u64> =
            ask.args.iter().enumerate().map(|(at, arg)| if at == 5 { 0 } else { arg.parse().unwrap() }).collect();
        let (named, tells) = numbers.split_at(14);
        Self {
            tag: ask.tag.clone(),
            length_us: named[0],
            begin_us: named[1],
            until_us: named[2],
            limit: named[3],
            lease_us: named[4],
            number: named[6],
            seen: (named[7], named[8]),
            resets: named[9],
            reposts: named[10] == 1,
            nodes: named[11],
            need: named[12],
            want: named[13],
            tells: tells.chunks_exact(3).map(|tell| (tell[0], tell[1], tell[2])).collect(),
        }
    }
}

/// What Redis answers.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u64,
    pub now_us: u64,
    pub epoch: u64,
    pub sequence: u64,
    pub resets: u64,
    pub granted: u64,
    pub bucket: u64,
    pub expiry_us: u64,
    pub sum: u64,
    pub lapse_us: u64,
    pub is_pressed: bool,
    pub bucket_now: u64,
}

impl Answer {
    pub fn of(args: &Args, now_us: u64) -> Self {
        Self {
            status: 0,
            now_us,
            epoch: 77,
            sequence: args.number,
            resets: 0,
            granted: 0,
            bucket: 0,
            expiry_us: 0,
            sum: 0,
            lapse_us: 0,
            is_pressed: false,
            bucket_now: now_us.checked_div(args.length_us).unwrap_or(0),
        }
        .filed(args)
    }

    /// Where a lease would be filed that is granted now.
    fn filed(self, args: &Args) -> Self {
        let (bucket, expiry_us) = if args.length_us == 0 {
            (args.begin_us, (self.now_us + args.lease_us).min(args.until_us))
        } else if args.length_us == args.lease_us {
            let bucket = (self.now_us + args.lease_us / 2) / args.length_us;
            (bucket, (bucket + 1) * args.length_us)
        } else {
            let expiry_us = self.now_us + args.lease_us;
            ((expiry_us - 1) / args.length_us, expiry_us)
        };
        Self { bucket, expiry_us, ..self }
    }

    pub fn granting(self, granted: u64) -> Self {
        Self { granted, sum: self.sum + granted, ..self }
    }

    pub fn numbers(&self) -> [i64; 12] {
        let filed = |number| if self.granted > 0 { number } else { 0 };
        [
            self.status,
            self.now_us,
            self.epoch,
            self.sequence,
            self.resets,
            self.granted,
            filed(self.bucket),
            filed(self.expiry_us),
            self.sum,
            self.lapse_us,
            self.is_pressed.into(),
            self.bucket_now,
        ]
        .map(u64::cast_signed)
    }
}
