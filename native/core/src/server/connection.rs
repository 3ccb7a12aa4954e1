//! The task of one client connection: park, serve a request, park again.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use super::{
    Role, admin,
    cuts::{Cuttable, Why},
    shared::Stage,
    stream::ClientStream,
    timer::{self, Timer},
    worker::{Order, Worker},
};
use crate::{
    boxed::boxed,
    error::Code,
    http::conn::Conn,
    observe::{Consumer, Record, metrics::OpenConnection},
    request::{self, Reply},
    snapshot::Snapshot,
};

/// Milliseconds a refused client has to take its answer while what it still sends is thrown away.
const LINGER_MS: u64 = 1_000;
const LINGER_BYTES: usize = 1 << 20;

/// A connected client.
pub struct Client {
    pub conn: Conn<ClientStream>,
    pub timer: Timer,
    /// `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    pub is_head_request: bool,
    /// Bytes of an answer have gone out for the request in hand.
    pub answered: bool,
    /// When its latest request ended, microseconds since boot, until it is waited for the next one.
    pub left_us: Option<u64>,
    /// Set while a request is served that may be cut.
    pub cut: Option<Cuttable>,
}

impl Client {
    /// Whether the request in hand was cut; its task is woken when that happens.
    pub fn poll_cut(&self, cx: &Context<'_>) -> bool {
        self.cut.as_ref().is_some_and(|cut| cut.poll(cx))
    }

    /// Whether it was cut, and why; from now on it no longer can be.
    pub fn take_cut(&mut self) -> Option<Why> {
        self.cut.take().and_then(|cut| cut.why())
    }
}

/// What becomes of a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Keep,
    /// Close after what the client still sends has been read, so that it sees our answer and no reset.
    Linger,
    Close,
}

enum Parked {
    Readable,
    Close,
    Move(usize),
}

/// Serves a connection until either side has enough.
pub async fn serve(stream: ClientStream, role: Role, peer: Option<IpAddr>, open: OpenConnection, worker: Rc<Worker>) {
    let place = Place::enter(worker.clone(), role);
    let mut client = Client {
        conn: Conn::new(stream, worker.buffers.clone()),
        timer: Timer::default(),
        peer,
        is_head_request: false,
        answered: false,
        left_us: None,
        cut: None,
    };
    let mut served = false;
    loop {
        match park(&mut client, &place, served).await {
            Parked::Readable => {}
            Parked::Close => return,
            Parked::Move(to) => {
                let shared = &worker.shared;
                let there = shared.metrics.shard(to).connection(role);
                drop(open);
                if let Ok(stream) = client.conn.into_io().close_over() {
                    let _ = shared.workers[to].inbox.send(Order::Serve(stream, role, peer, there));
                }
                return;
            }
        }
        served = true;
        client.answered = false;
        let busy = (role == Role::Data).then(|| worker.metrics().in_flight());
        let next = match role {
            Role::Data => caught(boxed(|| request::serve(&mut client, &worker))).await,
            Role::Admin => caught(Box::pin(admin::serve(&mut client, &worker))).await,
        };
        let next = match next {
            Ok(next) => next,
            // Boxed, as what follows a request must not make each idle connection larger.
            Err(panic) => Box::pin(after_panic(&mut client, &worker, &panic)).await,
        };
        client.cut = None;
        // At the end of the process whoever still sends is waited for, so that it sees its answer.
        let is_awaited = next == Next::Linger && !client.conn.body_done() && worker.shared.stage() >= Stage::Closing;
        let busy = busy.filter(|_| is_awaited);
        match next {
            Next::Keep => client.conn.finish_message(),
            Next::Linger => {
                Box::pin(linger(&mut client)).await;
                return drop(busy);
            }
            Next::Close => return,
        }
    }
}

async fn park(client: &mut Client, place: &Place, served: bool) -> Parked {
    let worker = &place.worker;
    let idle_ms = |s: &Snapshot| if served { s.timeouts.client_idle_ms } else { s.timeouts.header_read_ms };
    let since_us = client.left_us.take().unwrap_or_else(|| worker.clock().boot_us());
    client.timer.set_at(timer::from(worker.instant(since_us), worker.snapshot().map_or(0, |s| idle_ms(&s))));
    poll_fn(|cx| {
        match client.conn.poll_parked(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Parked::Readable),
            Poll::Ready(Err(_)) => return Poll::Ready(Parked::Close),
            Poll::Pending => {}
        }
        if worker.shared.stage() >= Stage::Closing && place.role == Role::Data || client.timer.poll(cx).is_ready() {
            return Poll::Ready(Parked::Close);
        }
        if let Some(to) = worker.drifted() {
            return Poll::Ready(Parked::Move(to));
        }
        worker.parking.park(place.slot, cx.waker());
        Poll::Pending
    })
    .await
}

/// Runs `work`; if it panics, says with what message.
async fn caught<T>(mut work: impl Future<Output = T> + Unpin) -> Result<T, String> {
    let mut poll = |cx: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut work).poll(cx))) {
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Poll::Ready(Err(text.unwrap_or("no message").to_owned()))
        }
    };
    poll_fn(&mut poll).await
}

async fn after_panic(client: &mut Client, worker: &Rc<Worker>, panic: &str) -> Next {
    worker.metrics().panicked();
    worker.shared.log.error("a request panicked", &[("panic", &panic)]);
    let internal = (!client.answered).then_some(Code::Internal);
    let record = Record { status: internal.map(Code::status), error: Some(Code::Internal), ..Record::default() };
    worker.metrics().record(&record);
    worker.shared.log.record(&record);
    if client.answered {
        return Next::Close;
    }
    Reply::internal_error(client).await;
    Next::Linger
}

/// Ends our side, then reads and drops what the peer still sends, within bounds.
async fn linger(client: &mut Client) {
    client.timer.set(LINGER_MS);
    let mut left = LINGER_BYTES;
    poll_fn(|cx| {
        if client.timer.poll(cx).is_ready() || matches!(client.conn.poll_shutdown(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        client.conn.poll_discard(cx, &mut left)
    })
    .await;
}

/// A connection's place among those of its worker.
struct Place {
    worker: Rc<Worker>,
    role: Role,
    slot: usize,
}

impl Place {
    fn enter(worker: Rc<Worker>, role: Role) -> Self {
        Self { slot: worker.parking.enter(), role, worker }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.parking.leave(self.slot);
    }
}
