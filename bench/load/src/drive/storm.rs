//! Wrong keys in great numbers: what good requests notice of them. Calm, storm and calm again, each measured alike; in calm
//! as many cores are busy with nothing as the gateway has threads to hash.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    runtime,
    task::{JoinSet, LocalSet},
    time::timeout,
};

use crate::{
    Outcome,
    args::Args,
    clock::{SECOND, now_ns},
    drive::{
        alarm::Alarm,
        busy::Busy,
        client::{Client, Reply},
        keys::{self, PATIENCE, Refusals},
        open,
        plan::Plan,
        window::{self, Aside},
    },
};

/// Behind the last answer to a wrong key, for the gateway to come to rest.
const REST: Duration = Duration::from_millis(1500);

/// The wrong keys on their way, one a request and none twice.
struct Storm {
    plan: Plan,
    keys: Vec<String>,
    rate: u64,
    over: AtomicBool,
}

/// What became of them.
struct Told {
    refusals: Refusals,
    /// From the first to the last of them being sent.
    sent_for_ns: u64,
    longest_ns: u64,
}

pub(crate) fn run(plan: &Plan, args: &Args) -> Outcome<Value> {
    let (keys, rate) = (keys::read(args)?, args.or("wrong-rate", 5000_u64)?.max(1));
    let storm = Arc::new(Storm { plan: plan.clone(), keys, rate, over: AtomicBool::new(false) });
    let (hashing, past) = (args.or("hashing", 1_usize)?, plan.past(args)?);
    let alone = good(plan, &past)?;
    let busy = Busy::start(hashing);
    let calm = good(plan, &past)?;
    drop(busy);
    let (rising, risen) = mpsc::channel();
    let theirs = storm.clone();
    let raging = thread::spawn(move || {
        step_back();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, rage(theirs, rising))
    });
    // An error here is told by the thread's own end.
    let _ = risen.recv();
    let stormy = good(plan, &past);
    storm.over.store(true, Ordering::Relaxed);
    let told = raging.join().map_err(|_| "the storm's thread panicked")??;
    let stormy = stormy?;
    window::wait(REST);
    let busy = Busy::start(hashing);
    let again = good(plan, &past)?;
    drop(busy);
    Ok(json!({
        "alone": alone,
        "calm": calm,
        "storm": stormy,
        "calm_again": again,
        "refused": told.refusals.summary(),
        "refused_per_s": told.refusals.count() as f64 / (told.sent_for_ns.max(1) as f64 / 1e9),
        "longest_refusal_s": told.longest_ns as f64 / 1e9,
    }))
}

/// Good requests, and beside them others that go past the gateway: what those notice is the machine's doing.
fn good(plan: &Plan, past: &Plan) -> Outcome<Value> {
    let aside = Aside::start(past, open::work);
    aside.end(window::measure(plan.clone(), open::work)?)
}

/// Whoever shows wrong keys does so from other machines: here it takes what is left, but not behind the gateway's hashing.
/// Kept waiting by that, it would send at once what it is late with, and bursts are not what is measured.
fn step_back() {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_nice: 19,
        // The longest: from Linux 6.12 on, whoever wakes does not wait for the end of a slice longer than its own.
        sched_runtime: 100_000_000,
        sched_flags: 0,
        sched_priority: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the attributes outlive the call, which touches nothing else; 0 is this thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// Sends one wrong key after another until told to end, then waits for every answer.
async fn rage(storm: Arc<Storm>, rising: mpsc::Sender<()>) -> Outcome<Told> {
    let told = Rc::new(RefCell::new(Told { refusals: Refusals::default(), sent_for_ns: 0, longest_ns: 0 }));
    let idle = Rc::new(RefCell::new(Vec::new()));
    let mut tasks: JoinSet<Outcome<()>> = JoinSet::new();
    let alarm = Alarm::new()?;
    let begin_ns = now_ns();
    let mut due_ns = begin_ns;
    for number in 0.. {
        due_ns += SECOND / storm.rate;
        alarm.ring_at(due_ns).await?;
        if storm.over.load(Ordering::Relaxed) {
            break;
        }
        while let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        if number == storm.keys.len() {
            return Err(format!("{number} wrong keys were too few").into());
        }
        tasks.spawn_local(show(storm.clone(), number, idle.clone(), told.clone()));
        if number == 0 {
            rising.send(())?;
        }
    }
    told.borrow_mut().sent_for_ns = now_ns() - begin_ns;
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(Rc::into_inner(told).ok_or("a wrong key is still on its way")?.into_inner())
}

async fn show(
    storm: Arc<Storm>,
    number: usize,
    idle: Rc<RefCell<Vec<Client>>>,
    told: Rc<RefCell<Told>>,
) -> Outcome<()> {
    let free = idle.borrow_mut().pop();
    let mut client = match free {
        Some(client) => client,
        None => Client::connect(storm.plan.target, 0).await?,
    };
    let sent_ns = now_ns();
    let request = storm.plan.request_as(&storm.keys[number]);
    let reply = timeout(PATIENCE, client.try_ask(&request, &storm.plan)).await;
    let Reply::Refused { status, text } = reply.map_err(|_| "a wrong key was told nothing")?? else {
        return Err("a wrong key was let in".into());
    };
    let mut told = told.borrow_mut();
    told.refusals.note(status, &text)?;
    told.longest_ns = told.longest_ns.max(now_ns() - sent_ns);
    if client.is_open() {
        idle.borrow_mut().push(client);
    }
    Ok(())
}
