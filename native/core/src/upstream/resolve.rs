//! Addresses of one host name: looked up once, refreshed in the background while used, kept when a look-up fails.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch, time::timeout};

use crate::clock::Clock;

/// An answer older than this is refreshed in the background when it is used.
const REFRESH_AFTER_US: u64 = 30_000_000;
/// An answer older than this is not used before a refresh was tried,
const STALE_AFTER_US: u64 = 300_000_000;
/// for at most this long.
const STALE_WAIT: Duration = Duration::from_secs(1);
/// Pause between look-ups that were asked for because connecting failed.
const DOUBT_PAUSE_US: u64 = 1_000_000;

/// Turns a name into addresses. Blocks; called on threads that may block.
pub trait Resolve: Send + Sync {
    fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver (`getaddrinfo`): hosts file, nsswitch, DNS.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((name, port).to_socket_addrs()?.collect())
    }
}

/// The addresses of one name, shared by all workers.
pub(super) struct Names {
    name: String,
    port: u16,
    resolver: Arc<dyn Resolve>,
    clock: Clock,
    /// Somebody used this host since the last refresh.
    used: AtomicBool,
    state: Mutex<State>,
    /// Counts finished look-ups; first users wait for the next one.
    finished: watch::Sender<u64>,
}

struct State {
    /// In the order in which they are to be tried.
    addresses: Vec<SocketAddr>,
    /// The first address is known to work.
    proven: bool,
    /// When `addresses` were learned; `u64::MAX` for literals, which never age.
    learned_us: u64,
    /// When the last look-up ended, well or not.
    asked_us: u64,
    running: bool,
    problem: String,
}

impl Names {
    pub(super) fn new(name: &str, port: u16, resolver: Arc<dyn Resolve>, clock: Clock) -> Arc<Self> {
        let literal = name.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
        let state = State {
            learned_us: if literal.is_some() { u64::MAX } else { 0 },
            addresses: literal.into_iter().collect(),
            proven: false,
            asked_us: 0,
            running: false,
            problem: String::new(),
        };
        let name = name.to_owned();
        Arc::new(Self {
            name,
            port,
            resolver,
            clock,
            used: AtomicBool::new(false),
            state: Mutex::new(state),
            finished: watch::Sender::new(0),
        })
    }

    /// Notes that the host is in use, so that its addresses are kept fresh.
    pub(super) fn touch(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// The addresses in the order to try them; waits only when there is no usable answer yet.
    pub(super) async fn addresses(self: &Arc<Self>) -> Result<Vec<SocketAddr>, String> {
        self.touch();
        let (mut finished, known) = {
            let now = self.clock.boot_us();
            let mut state = self.state.lock();
            let known = state.addresses.clone();
            let age = now.saturating_sub(state.learned_us);
            let asked_lately = now.saturating_sub(state.asked_us) <= REFRESH_AFTER_US;
            if !known.is_empty() && (age <= STALE_AFTER_US || asked_lately) {
                if age > REFRESH_AFTER_US && !asked_lately {
                    self.start(&mut state);
                }
                return Ok(known);
            }
            let finished = self.finished.subscribe();
            self.start(&mut state);
            (finished, known)
        };
        if known.is_empty() {
            // The sender lives in `self`: this ends with the look-up, well or not.
            let _ = finished.changed().await;
        } else {
            let _ = timeout(STALE_WAIT, finished.changed()).await;
        }
        let state = self.state.lock();
        if state.addresses.is_empty() { Err(state.problem.clone()) } else { Ok(state.addresses.clone()) }
    }

    /// Starts the first look-up, or a refresh when the answer is used and old. Needs a runtime; else does nothing.
    pub(super) fn refresh_if_due(self: &Arc<Self>) {
        let now = self.clock.boot_us();
        let mut state = self.state.lock();
        let never = state.addresses.is_empty() && state.problem.is_empty();
        let last = state.asked_us.max(state.learned_us);
        let old = now.saturating_sub(last) > REFRESH_AFTER_US;
        if never || (old && self.used.swap(false, Ordering::Relaxed)) {
            self.start(&mut state);
        }
    }

    /// Connecting to these addresses failed: they may have moved.
    pub(super) fn doubt(self: &Arc<Self>) {
        let now = self.clock.boot_us();
        let mut state = self.state.lock();
        if state.learned_us != u64::MAX && now.saturating_sub(state.asked_us) > DOUBT_PAUSE_US {
            self.start(&mut state);
        }
    }

    /// A connection to this address was made: the next one tries it first.
    pub(super) fn prefer(&self, address: SocketAddr) {
        let mut state = self.state.lock();
        if let Some(at) = state.addresses.iter().position(|known| *known == address) {
            state.addresses[..=at].rotate_right(1);
            state.proven = true;
        }
    }

    /// This address did not answer: the others come first now.
    pub(super) fn demote(&self, address: SocketAddr) {
        let mut state = self.state.lock();
        if let Some(at) = state.addresses.iter().position(|known| *known == address) {
            state.proven &= at != 0;
            state.addresses[at..].rotate_left(1);
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.lock().running
    }

    /// One look-up at a time, on a thread that may block; nobody has to wait for it.
    fn start(self: &Arc<Self>, state: &mut State) {
        if state.running {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        state.running = true;
        let lookup = Lookup(Arc::clone(self));
        runtime.spawn_blocking(move || {
            let answer = lookup.0.resolver.resolve(&lookup.0.name, lookup.0.port);
            lookup.0.learn(answer);
        });
    }

    fn learn(&self, answer: io::Result<Vec<SocketAddr>>) {
        let now = self.clock.boot_us();
        let mut state = self.state.lock();
        state.asked_us = now;
        match answer {
            Ok(found) if !found.is_empty() => {
                let good = state.addresses.first().copied().filter(|_| state.proven);
                state.addresses = by_turns(&found);
                state.learned_us = now;
                let at = good.and_then(|good| state.addresses.iter().position(|known| *known == good));
                state.proven = at.is_some();
                if let Some(at) = at {
                    state.addresses[..=at].rotate_right(1);
                }
            }
            Ok(_) => "the name has no addresses".clone_into(&mut state.problem),
            Err(error) => state.problem = error.to_string(),
        }
    }
}

/// A look-up under way; its end wakes those who wait even if it never ran (shutdown) or panicked.
struct Lookup(Arc<Names>);

impl Drop for Lookup {
    fn drop(&mut self) {
        {
            let mut state = self.0.state.lock();
            state.running = false;
            if state.problem.is_empty() {
                "the look-up was interrupted".clone_into(&mut state.problem);
            }
        }
        self.0.finished.send_modify(|count| *count += 1);
    }
}

/// The resolver's order with families alternating (RFC 8305 §4), so that a broken family costs one attempt at a time.
fn by_turns(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_family = found.first().is_some_and(SocketAddr::is_ipv6);
    let mut same = found.iter().filter(|address| address.is_ipv6() == first_family);
    let mut other = found.iter().filter(|address| address.is_ipv6() != first_family);
    let mut ordered: Vec<SocketAddr> = Vec::with_capacity(found.len());
    loop {
        let pair = (same.next(), other.next());
        for address in [pair.0, pair.1].into_iter().flatten() {
            if !ordered.contains(address) {
                ordered.push(*address);
            }
        }
        if pair == (None, None) {
            return ordered;
        }
    }
}
