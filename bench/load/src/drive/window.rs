//! The measuring window, shared by the driver's threads: nothing outside it counts.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{runtime, task::LocalSet};

use crate::{Outcome, clock::now_ns, drive::plan::Plan, stats::Samples};

/// Start and end in monotonic nanoseconds; both in the far future until every connection stands.
pub(crate) struct Window {
    start: AtomicU64,
    end: AtomicU64,
}

impl Window {
    pub(crate) fn holds(&self, ns: u64) -> bool {
        self.start.load(Ordering::Relaxed) <= ns && ns < self.end.load(Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self, ns: u64) -> bool {
        ns >= self.end.load(Ordering::Relaxed)
    }
}

/// What a thread of the driver works with.
#[derive(Clone)]
pub(crate) struct Share {
    pub(crate) plan: Arc<Plan>,
    pub(crate) window: Arc<Window>,
    /// Connections of this thread.
    pub(crate) connections: usize,
    /// To be told once all of them stand.
    pub(crate) ready: mpsc::Sender<()>,
}

/// Runs `work` on each of the plan's threads and measures the processes over the window.
pub(crate) fn measure<F, W>(plan: Plan, work: W) -> Outcome<Value>
where
    W: Fn(Share) -> F + Clone + Send + 'static,
    F: Future<Output = Outcome<Samples>>,
{
    let plan = Arc::new(plan);
    let window = Arc::new(Window { start: AtomicU64::new(u64::MAX), end: AtomicU64::new(u64::MAX) });
    let (ready, standing) = mpsc::channel();
    let threads: Vec<_> = (0..plan.threads)
        .map(|n| {
            let connections = plan.connections / plan.threads + usize::from(n < plan.connections % plan.threads);
            let share = Share { plan: plan.clone(), window: window.clone(), connections, ready: ready.clone() };
            spawn(share, work.clone())
        })
        .collect();
    drop(ready);

    // A thread that fails before it stands drops its sender, which ends this loop early: its error follows below.
    let stood = standing.iter().take(plan.threads).count();
    let start = now_ns() + plan.warmup_ns;
    let end = if stood == plan.threads { start + plan.window_ns } else { 0 };
    window.start.store(start, Ordering::Relaxed);
    window.end.store(end, Ordering::Relaxed);
    wait_until(start.min(end));
    let (cpu_from, from) = (plan.processes.cpu_ns()?, now_ns());
    wait_until(end);
    let (cpu_to, to) = (plan.processes.cpu_ns()?, now_ns());

    let mut samples = Samples::default();
    for thread in threads {
        samples.merge(thread.join().map_err(|_| "a thread of the driver panicked")??);
    }
    Ok(report(&plan, samples, cpu_to - cpu_from, to - from))
}

/// A thread of the driver, with a runtime of its own.
fn spawn<F, W>(share: Share, work: W) -> thread::JoinHandle<Outcome<Samples>>
where
    W: Fn(Share) -> F + Send + 'static,
    F: Future<Output = Outcome<Samples>>,
{
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, work(share))
    })
}

fn report(plan: &Plan, samples: Samples, cpu_ns: u64, took_ns: u64) -> Value {
    let (requests, frames) = (samples.added.len(), samples.relay.len());
    let seconds = took_ns as f64 / 1e9;
    let per = |n: usize| (n > 0 && !plan.processes.is_empty()).then(|| cpu_ns as f64 / 1e3 / n as f64);
    let mut value = json!({
        "requests": requests,
        "frames": frames,
        "seconds": seconds,
        "requests_per_s": requests as f64 / seconds,
        "cpu_us_per_request": per(requests),
        "cpu_us_per_chunk": per(frames),
    });
    if let (Value::Object(all), Value::Object(times)) = (&mut value, samples.summary()) {
        all.extend(times);
    }
    value
}

/// Work on a thread of its own beside what is measured, from its start until it is told to end or is dropped.
pub(crate) struct Aside {
    window: Arc<Window>,
    thread: Option<thread::JoinHandle<Outcome<Samples>>>,
}

impl Aside {
    /// Begins; returns once every connection stands.
    pub(crate) fn start<F, W>(plan: &Plan, work: W) -> Self
    where
        W: Fn(Share) -> F + Send + 'static,
        F: Future<Output = Outcome<Samples>>,
    {
        let window = Arc::new(Window { start: AtomicU64::new(u64::MAX), end: AtomicU64::new(u64::MAX) });
        let (ready, standing) = mpsc::channel();
        let share = Share { plan: Arc::new(plan.clone()), window: window.clone(), connections: 1, ready };
        let thread = spawn(share, work);
        // An error here is told by the thread's own end.
        let _ = standing.recv();
        window.start.store(now_ns() + plan.warmup_ns, Ordering::Relaxed);
        Self { window, thread: Some(thread) }
    }

    /// Ends it; what was measured, with what it saw once it was warm as `past`.
    pub(crate) fn end(mut self, mut measured: Value) -> Outcome<Value> {
        self.window.end.store(now_ns(), Ordering::Relaxed);
        let thread = self.thread.take().ok_or("it has ended before")?;
        let samples = thread.join().map_err(|_| "a thread of the driver panicked")??;
        measured["past"] = samples.summary();
        Ok(measured)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.window.end.store(0, Ordering::Relaxed);
    }
}

/// Blocks this thread, which serves nobody.
pub(crate) fn wait(time: Duration) {
    wait_until(now_ns() + time.as_nanos() as u64);
}

fn wait_until(ns: u64) {
    while let Some(left) = ns.checked_sub(now_ns()).filter(|left| *left > 0) {
        thread::park_timeout(Duration::from_nanos(left));
    }
}
