//! One thread, one runtime: the connections it serves, its buffers, its idle upstream connections.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    runtime::LocalOptions,
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    task::{AbortHandle, spawn_local},
    time::Instant,
};

use super::{
    Role,
    audit::Audit,
    connection,
    cuts::Cuts,
    lag, leases, limited, listener,
    parking::Parking,
    shared::{Shared, Stage},
    stream::Accepted,
    timer::{Moment, Timers},
};
use crate::{
    clock::Clock,
    http::{
        buffer::Buffers,
        head::{RequestHead, ResponseHead},
    },
    keys::table::Cut,
    observe::{Record, Shard, metrics::OpenConnection},
    snapshot::Snapshot,
    upstream::Pool,
};

/// Buffers that a worker keeps for its next requests: 256 × 16 KiB.
const FREE_BUFFERS: usize = 256;
const FREE_SCRATCH: usize = 256;
/// How long a worker that was told to stop waits for blocking work (name look-ups).
const STOP_BLOCKING: Duration = Duration::from_millis(200);

/// A snapshot as one worker shares it: counted without touching memory that other workers write.
pub type LocalSnapshot = Rc<Arc<Snapshot>>;

/// What a worker is told.
pub enum Order {
    Serve(Accepted, Role, Option<std::net::IpAddr>, OpenConnection),
    Listen(OwnedFd, Role),
    CloseListeners,
    /// End requests of a key.
    Cut(Cut),
    /// End all of them.
    CutAll,
    WatchLag,
    AskForLeases,
    Stop,
}

/// The outside of a worker: how others reach it and what they may know of it.
pub struct Handle {
    pub inbox: UnboundedSender<Order>,
    pub tasks: AtomicUsize,
    /// Buffers in use, as of the last second.
    pub buffers: AtomicUsize,
}

impl Handle {
    pub fn new(inbox: UnboundedSender<Order>) -> Self {
        Self { inbox, tasks: AtomicUsize::new(0), buffers: AtomicUsize::new(0) }
    }
}

/// The inside of a worker.
pub struct Worker {
    pub index: usize,
    pub shared: Arc<Shared>,
    pub pool: Rc<Pool>,
    pub buffers: Buffers,
    pub parking: Parking,
    pub cuts: Cuts,
    pub timers: Timers,
    pub audit: Audit,
    pub rng: RefCell<fastrand::Rng>,
    shard: Arc<Shard>,
    snapshot: RefCell<Option<LocalSnapshot>>,
    /// Another worker has clearly fewer connections, as of the last second.
    crowded: Cell<bool>,
    #[expect(clippy::vec_box, reason = "what is taken and given back is one pointer")]
    scratch: RefCell<Vec<Box<Scratch>>>,
    heads: RefCell<Vec<ResponseHead>>,
    data_listeners: RefCell<Vec<AbortHandle>>,
    spawned: Cell<usize>,
    /// A moment of the last second.
    moment: Cell<Option<Moment>>,
}

/// Storage that a request needs and the next one uses again.
#[derive(Default)]
pub struct Scratch {
    pub request: RequestHead,
    /// Its method and target.
    pub line: Vec<u8>,
    pub record: Record,
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        let buffers = Buffers::new(FREE_BUFFERS);
        Rc::new(Self {
            index,
            moment: Cell::new(Moment::read(&shared.clock)),
            shard: shared.metrics.shard(index).clone(),
            pool: Pool::new(shared.network.clone(), buffers.clone()),
            shared,
            buffers,
            parking: Parking::default(),
            cuts: Cuts::default(),
            timers: Timers::default(),
            audit: Audit::default(),
            rng: RefCell::new(fastrand::Rng::new()),
            snapshot: RefCell::default(),
            crowded: Cell::new(false),
            scratch: RefCell::default(),
            heads: RefCell::default(),
            data_listeners: RefCell::default(),
            spawned: Cell::new(0),
        })
    }

    pub fn handle(&self) -> &Handle {
        &self.shared.workers[self.index]
    }

    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// When timers take it to be, at a reading of the clock that was just made: they need none of their own.
    pub fn instant(&self, boot_us: u64) -> Instant {
        self.moment.get().map_or_else(Instant::now, |moment| moment.instant(boot_us))
    }

    pub fn metrics(&self) -> &Arc<Shard> {
        &self.shard
    }

    /// The newest snapshot; `None` before the first.
    pub fn snapshot(&self) -> Option<LocalSnapshot> {
        let newest = self.shared.snapshot.load();
        let mut mine = self.snapshot.borrow_mut();
        match (newest.as_ref(), mine.as_ref()) {
            (Some(newest), Some(mine)) if Arc::ptr_eq(newest, mine) => {}
            (newest, _) => *mine = newest.cloned().map(Rc::new),
        }
        mine.clone()
    }

    pub fn take_scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give_scratch(&self, scratch: Box<Scratch>) {
        let mut free = self.scratch.borrow_mut();
        if free.len() < FREE_SCRATCH {
            free.push(scratch);
        }
    }

    pub fn take_response_head(&self) -> ResponseHead {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give_response_head(&self, head: ResponseHead) {
        let mut free = self.heads.borrow_mut();
        if free.len() < FREE_SCRATCH {
            free.push(head);
        }
    }

    /// Spawns a task that is counted until it ends.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        let counted = Counted::new(self.clone());
        spawn_local(async move {
            let _counted = counted;
            task.await;
        })
        .abort_handle()
    }

    /// Whether a parked connection had better be served by another worker, and by which.
    pub fn drifted(&self) -> Option<usize> {
        if !self.crowded.get() {
            return None;
        }
        let least = self.less_crowded();
        self.crowded.set(least.is_some());
        least
    }

    /// The worker with clearly fewer connections than this one, if there is one.
    fn less_crowded(&self) -> Option<usize> {
        let workers = self.shared.workers.len();
        if workers < 2 {
            return None;
        }
        let open = |worker: usize| self.shared.metrics.shard(worker).open_connections();
        let least = (0..workers).min_by_key(|w| open(*w))?;
        let fewest = open(least);
        (open(self.index) > fewest + 1 + fewest / 8).then_some(least)
    }

    fn obey(self: &Rc<Self>, order: Order) -> bool {
        match order {
            Order::Serve(stream, role, peer, open) => {
                if let Ok(stream) = stream.open() {
                    self.spawn(connection::serve(stream, role, peer, open, self.clone()));
                }
            }
            Order::Listen(fd, role) => match listener::Listener::open(fd) {
                Ok(listener) => {
                    let task = self.spawn(listener::accept(listener, role, self.clone()));
                    if role == Role::Data {
                        self.data_listeners.borrow_mut().push(task);
                    }
                }
                Err(e) => self.shared.log.error("a listener could not be opened", &[("error", &e.to_string())]),
            },
            Order::CloseListeners => {
                self.data_listeners.borrow_mut().drain(..).for_each(|l| l.abort());
                self.pool.close_idle();
                self.parking.wake(usize::MAX);
            }
            Order::Cut(cut) => self.cuts.cut(cut),
            Order::CutAll => self.cuts.cut_all(),
            Order::WatchLag => drop(self.spawn(lag::measure(self.clone()))),
            Order::AskForLeases => drop(self.spawn(leases::ask(self.clone()))),
            Order::Stop => return false,
        }
        true
    }

    /// Once a second: idle upstream connections, drifted clients.
    fn tick(&self, due: Instant) {
        self.moment.set(Moment::read(self.clock()));
        self.shard.lagged(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.pool.sweep();
        self.audit.tick(&self.shared);
        if self.index == 0 {
            self.shared.limits.sweep(self.clock());
            limited::renew(&self.shared);
        }
        self.handle().buffers.store(self.buffers.lent(), Relaxed);
        if self.shared.stage() >= Stage::Closing {
            self.pool.close_idle();
            self.parking.wake(usize::MAX);
        } else {
            self.crowded.set(self.less_crowded().is_some());
            if self.crowded.get() {
                self.parking.wake(64);
            }
        }
    }
}

/// Runs a worker until it is told to stop; returns when all its tasks are gone.
pub fn run(index: usize, shared: &Arc<Shared>, mut inbox: UnboundedReceiver<Order>) -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().build_local(LocalOptions::default())?;
    let mine = shared.clone();
    runtime.block_on(async move {
        let worker = Worker::new(index, mine);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => {
                        if !worker.obey(order) {
                            break;
                        }
                    }
                    None => break,
                },
                due = second.tick() => worker.tick(due),
            }
        }
        worker.audit.tick(&worker.shared);
    });
    runtime.shutdown_timeout(STOP_BLOCKING);
    shared.workers[index].buffers.store(0, Relaxed);
    Ok(())
}

/// One task in the worker's count.
struct Counted(Rc<Worker>);

impl Counted {
    fn new(worker: Rc<Worker>) -> Self {
        worker.spawned.set(worker.spawned.get() + 1);
        worker.handle().tasks.store(worker.spawned.get(), Relaxed);
        Self(worker)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.spawned.set(self.0.spawned.get() - 1);
        self.0.handle().tasks.store(self.0.spawned.get(), Relaxed);
    }
}
