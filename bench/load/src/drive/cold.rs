//! Keys that nobody has shown yet, in turn at a fixed rate: until each was let in, and what the others notice of it. In the
//! calm behind it as many cores are busy with nothing as the gateway has threads to hash.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    runtime,
    task::{JoinSet, LocalSet},
    time::{sleep, timeout},
};

use crate::{
    Outcome,
    args::Args,
    clock::{SECOND, now_ns},
    drive::{
        alarm::Alarm,
        busy::Busy,
        client::{Client, Reply},
        closed::note,
        keys::{self, PATIENCE, Refusals},
        open,
        plan::Plan,
        window::Aside,
    },
    stats::Samples,
};

/// After so long a key that was not let in never will be.
const LIMIT_NS: u64 = 60 * SECOND;
/// Behind the last verification, for memory to be given back.
const REST: Duration = Duration::from_millis(1500);

pub(crate) fn run(plan: Plan, args: &Args) -> Outcome<Value> {
    let (keys, hashing, past) = (keys::read(args)?, args.or("hashing", 1_usize)?, plan.past(args)?);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, measure(plan, past, keys, hashing))
}

struct Turn {
    plan: Plan,
    keys: Vec<String>,
    /// Which of them were let in.
    known: RefCell<Vec<bool>>,
    left: Cell<usize>,
    last_ns: Cell<u64>,
    /// Idle connections: of known keys, and of those that wait; who is known need not open one because others wait.
    idle: [RefCell<Vec<Client>>; 2],
    refusals: RefCell<Refusals>,
}

/// Of requests whose key was known when they were due, and of the others.
#[derive(Default)]
struct Seen {
    known: Samples,
    waited: Samples,
}

async fn measure(plan: Plan, past: Plan, keys: Vec<String>, hashing: usize) -> Outcome<Value> {
    let (processes, window_ns) = (plan.processes.clone(), plan.window_ns);
    let before = processes.pss_kib()?;
    processes.forget_peak()?;
    let (resident, _) = processes.resident_kib()?;
    let turn = Rc::new(Turn {
        known: RefCell::new(vec![false; keys.len()]),
        left: Cell::new(keys.len()),
        last_ns: Cell::new(0),
        idle: Default::default(),
        refusals: RefCell::default(),
        plan,
        keys,
    });
    let aside = Aside::start(&past, open::work);
    let begin_ns = now_ns();
    let cold = phase(&turn, |due_ns| turn.left.get() == 0 || due_ns > begin_ns + LIMIT_NS).await?;
    let known = aside.end(cold.known.summary())?;
    if turn.left.get() > 0 {
        let (left, all, limit) = (turn.left.get(), turn.keys.len(), LIMIT_NS / SECOND);
        return Err(format!("{left} of {all} keys were not let in within {limit} s").into());
    }
    // What comes and goes meanwhile is nobody else's, so that both measures have grown by the same.
    let peak = before + processes.resident_kib()?.1.saturating_sub(resident);
    sleep(REST).await;
    let after = processes.pss_kib()?;
    let mut calm = Vec::new();
    for hashing in [0, hashing, hashing] {
        let _busy = Busy::start(hashing);
        let aside = Aside::start(&past, open::work);
        let end_ns = now_ns() + window_ns;
        let seen = phase(&turn, |due_ns| due_ns > end_ns).await?;
        calm.push(aside.end(seen.known.summary())?);
    }
    Ok(json!({
        "seconds": (turn.last_ns.get() - begin_ns) as f64 / 1e9,
        "cold": known,
        "waited": cold.waited.summary(),
        "calm_again": calm.pop(),
        "calm": calm.pop(),
        "alone": calm.pop(),
        "refused": turn.refusals.borrow().summary(),
        "pss_kib_before": before,
        "pss_kib_peak": peak,
        "pss_kib_after": after,
    }))
}

/// Asks with one key after another until it is over and all are answered.
async fn phase(turn: &Rc<Turn>, is_over: impl Fn(u64) -> bool) -> Outcome<Seen> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let mut tasks: JoinSet<Outcome<()>> = JoinSet::new();
    let alarm = Alarm::new()?;
    let mut due_ns = now_ns();
    for number in (0..turn.keys.len()).cycle() {
        due_ns += SECOND / turn.plan.rate;
        alarm.ring_at(due_ns).await?;
        if is_over(due_ns) {
            break;
        }
        while let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        tasks.spawn_local(turn.clone().ask(number, due_ns, seen.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(seen.take())
}

impl Turn {
    async fn ask(self: Rc<Self>, number: usize, due_ns: u64, seen: Rc<RefCell<Seen>>) -> Outcome<()> {
        let was_known = self.known.borrow()[number];
        let idle = &self.idle[usize::from(was_known)];
        let free = idle.borrow_mut().pop();
        let mut client = match free {
            Some(client) => client,
            None => Client::connect(self.plan.target, 0).await?,
        };
        let request = self.plan.request_as(&self.keys[number]);
        let reply = timeout(PATIENCE, client.try_ask(&request, &self.plan)).await;
        match reply.map_err(|_| "a key was told nothing")?? {
            Reply::Answered(answered) => {
                let seen = &mut *seen.borrow_mut();
                note(if was_known { &mut seen.known } else { &mut seen.waited }, due_ns, &answered);
                if !std::mem::replace(&mut self.known.borrow_mut()[number], true) {
                    self.left.set(self.left.get() - 1);
                    self.last_ns.set(answered.done_ns);
                }
            }
            Reply::Refused { status: 503, text } if !was_known => self.refusals.borrow_mut().note(503, &text)?,
            Reply::Refused { status, text } => return Err(format!("a right key was told {status}: {text}").into()),
        }
        if client.is_open() {
            idle.borrow_mut().push(client);
        }
        Ok(())
    }
}
