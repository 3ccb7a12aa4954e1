//! Every cell of this node, and what is asked of them besides admission.

use std::{
    hash::BuildHasher as _,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::{
    Kind, Layered, Now, Scope, Span, Use,
    calendar::Calendar,
    cell::Cell,
    learned::{Habit, Learned},
    ledger::Ledger,
};
use crate::{clock::Clock, named::Hash};

/// So many locks, that requests seldom meet at one, and that to sweep a part is short.
const SHARDS: usize = 256;
/// Cells that one sweep looks at, at least: all of a small table, a part of a large one.
const SWEPT: usize = 2_000;

type Shard = Mutex<HashTable<Arc<Cell>>>;

/// All limits of this process: one cell of counters and slots for each scope in use.
#[derive(Debug)]
pub struct Limits {
    hash: Hash,
    shards: Box<[Shard]>,
    ledger: Arc<Ledger>,
    learned: Learned,
    tickets: AtomicU64,
    /// The shard that is swept next.
    swept: AtomicUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::with(Ledger::default())
    }
}

impl Limits {
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with less memory: from so many counters on, old ones merge into newer ones.
    pub fn with_most_counters(most: usize) -> Self {
        Self::with(Ledger::of(most))
    }

    fn with(ledger: Ledger) -> Self {
        Self {
            hash: Hash::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            ledger: Arc::new(ledger),
            learned: Learned::default(),
            tickets: AtomicU64::new(0),
            swept: AtomicUsize::new(0),
        }
    }

    /// Days and months begin in this zone from now on; one that has begun ends as it would have.
    pub fn set_calendar(&self, calendar: Arc<Calendar>) {
        self.ledger.calendar.store(calendar);
    }

    /// Tells those who wait for slots how many there are by now, where their limits may have changed. `amount` knows: as
    /// many as can be where they are not limited any more, `None` where nobody can say.
    pub fn renew(&self, amount: impl Fn(Scope<'_>) -> Option<u32>) {
        for cell in self.ledger.take_queued().iter().filter_map(Weak::upgrade) {
            let amount = amount(cell.scope.as_scope());
            if cell.state.lock().renew(amount) {
                self.ledger.queued(Arc::downgrade(&cell));
            }
        }
    }

    /// How much of each limit is used.
    pub fn report(&self, scope: Scope<'_>, policy: Layered<'_>, now: Now) -> Vec<Use> {
        let cell = self.find(scope);
        let mut state = cell.as_ref().map(|cell| cell.state.lock());
        let mut uses = Vec::new();
        if let Some(slots) = policy.slots() {
            let used = state.as_ref().map_or(0, |state| state.slots.in_use());
            uses.push(Use {
                kind: Kind::Concurrent,
                amount: slots.amount.into(),
                span: Span::AtOnce,
                used: used.into(),
                reset_us: 0,
            });
        }
        for (kind, rate) in policy.all_rates() {
            let span = Span::of(rate);
            let (used, reset_us) =
                state.as_mut().and_then(|state| state.usage(kind, span, now.into(), &self.ledger)).unwrap_or((0, 0));
            uses.push(Use { kind, amount: rate.amount, span, used, reset_us });
        }
        uses
    }

    /// All counts of a scope begin again at zero; slots in use stay. `false`: there are none.
    pub fn reset(&self, scope: Scope<'_>) -> bool {
        let cell = self.find(scope);
        let reset = |cell: Arc<Cell>| {
            let mut state = cell.state.lock();
            state.reset();
            state.note(&cell);
        };
        cell.map(reset).is_some()
    }

    /// Whether all that counts of a journal's records is in the file of counts, or there is no such file.
    pub fn has_counted(&self, journal: &str) -> bool {
        self.ledger.has_counted(journal)
    }

    /// How many tokens an answer of this model usually has, to this key if it had some, else to all.
    pub fn habit(&self, key: Scope<'_>, model: &str) -> Habit {
        self.learned.habit(key, model)
    }

    /// The moment of whatever is about limits.
    pub fn now(&self, clock: &Clock) -> Now {
        self.ledger.now(clock)
    }

    /// Takes note of an answer's tokens.
    pub fn learn(&self, habit: Habit, tokens: u64) {
        self.learned.learn(habit, tokens);
    }

    /// Drops cells that say nothing. To be called once a second: of a large table each call sweeps a part.
    pub fn sweep(&self, clock: &Clock) {
        let now = self.now(clock);
        let (mut seen, mut shards) = (0, 0);
        while seen < SWEPT && shards < SHARDS {
            let mut cells = self.shards[self.swept.fetch_add(1, Relaxed) % SHARDS].lock();
            seen += cells.len();
            shards += 1;
            // Whoever holds or waits for something of a cell has it too, and nobody gets it but through here.
            cells.retain(|cell| {
                let mut state = cell.state.lock();
                let is_held = Arc::strong_count(cell) > 1;
                if is_held {
                    state.shrink(now.into(), &self.ledger);
                }
                let stays = is_held || !state.sweep(now.into(), &self.ledger);
                if stays {
                    state.note(cell); // a period may have become another
                }
                stays
            });
            if cells.capacity() > 64 && cells.capacity() > 4 * cells.len() {
                let cells = &mut *cells;
                cells.shrink_to(2 * cells.len(), |cell| self.hash.hash_one(cell.scope.as_scope()));
            }
        }
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every cell, a part of them at a time.
    pub(super) fn parts(&self) -> impl Iterator<Item = Vec<Arc<Cell>>> {
        self.shards.iter().map(|shard| shard.lock().iter().cloned().collect())
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn next_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Relaxed)
    }

    /// The cell of a scope, made if need be.
    pub(super) fn cell(&self, scope: Scope<'_>) -> Arc<Cell> {
        let (hash, shard) = self.shard(scope);
        let mut cells = shard.lock();
        if let Some(cell) = cells.find(hash, |cell| cell.scope.as_scope() == scope) {
            return cell.clone();
        }
        let cell = Arc::new(Cell::new(scope.into(), self.ledger.clone()));
        cells.insert_unique(hash, cell.clone(), |cell| self.hash.hash_one(cell.scope.as_scope()));
        cell
    }

    pub(super) fn find(&self, scope: Scope<'_>) -> Option<Arc<Cell>> {
        let (hash, shard) = self.shard(scope);
        shard.lock().find(hash, |cell| cell.scope.as_scope() == scope).cloned()
    }

    fn shard(&self, scope: Scope<'_>) -> (u64, &Shard) {
        let hash = self.hash.hash_one(scope);
        // Not the bits by which the shard itself places and tells its cells.
        (hash, &self.shards[(hash >> 40) as usize % SHARDS])
    }
}
