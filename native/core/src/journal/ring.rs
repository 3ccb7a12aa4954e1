//! What waits to be written: request threads append under a short lock, the writer takes all of it at once.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::entry::{Kind, MAX_PARTS_BYTES};

/// Kind, length of the public and of the private part.
const ITEM_BYTES: usize = 9;
/// What the writer's storage may keep between two batches.
const KEPT_BYTES: usize = 1 << 20;
/// How long beginnings of streams wait for a record that they are written with.
const BEGINS_US: u64 = 20_000;

/// Entries that could not be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub entries: u64,
    pub bytes: u64,
    /// When the first and the last came, microseconds UTC.
    pub first_us: u64,
    pub last_us: u64,
}

impl Lost {
    pub fn add(&mut self, other: Self) {
        if other.entries == 0 {
            return;
        }
        self.first_us = if self.entries == 0 { other.first_us } else { self.first_us };
        self.last_us = other.last_us;
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// One entry on its way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub kind: u8,
    pub public: &'a [u8],
    pub private: &'a [u8],
}

impl<'a> Item<'a> {
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut head = [self.kind; ITEM_BYTES];
        head[1..5].copy_from_slice(&(self.public.len() as u32).to_le_bytes());
        head[5..].copy_from_slice(&(self.private.len() as u32).to_le_bytes());
        out.reserve(self.bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(self.public);
        out.extend_from_slice(self.private);
    }

    /// The first of `bytes`, and what stands behind it.
    pub fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&kind, rest) = bytes.split_first()?;
        let (public, rest) = rest.split_first_chunk()?;
        let (private, rest) = rest.split_first_chunk()?;
        let private = u32::from_le_bytes(*private) as usize;
        let (public, rest) = rest.split_at_checked(u32::from_le_bytes(*public) as usize)?;
        let (private, rest) = rest.split_at_checked(private)?;
        Some((Self { kind, public, private }, rest))
    }

    fn bytes(&self) -> usize {
        ITEM_BYTES + self.public.len() + self.private.len()
    }
}

/// What the writer took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Entries accepted since the start, these included.
    pub upto: u64,
    pub lost: Lost,
}

#[derive(Debug, Default)]
struct State {
    front: Vec<u8>,
    /// When the first of `front`, and of what the writer has, came; microseconds since boot.
    front_us: u64,
    /// The same of what tells more than that a stream has begun.
    urgent_us: Option<u64>,
    work_us: Option<u64>,
    work_bytes: usize,
    accepted: u64,
    durable: u64,
    lost: Lost,
    waiting: VecDeque<(u64, Waker)>,
    /// The writer sleeps until somebody wakes it.
    rests: bool,
    stops: bool,
    fails: bool,
}

/// Bounded: what the writer has taken counts until it is on disk.
#[derive(Debug)]
pub struct Ring {
    state: Mutex<State>,
    told: Condvar,
    /// The writer is to look after the directory now; set with the state locked.
    looks: AtomicBool,
    most_bytes: usize,
}

impl Ring {
    pub fn new(most_bytes: usize) -> Self {
        Self { state: Mutex::default(), told: Condvar::new(), looks: AtomicBool::new(false), most_bytes }
    }

    /// Appends an entry; its number, for [`Ring::poll_durable`]. `None`: there is no room, or it is too long, and it is
    /// counted as lost. Both times are read only where they are needed.
    pub fn push(&self, item: Item<'_>, boot_us: impl Fn() -> u64, utc_us: impl Fn() -> u64) -> Option<u64> {
        let bytes = item.bytes();
        let mut state = self.state.lock();
        let is_long = item.public.len() + item.private.len() > MAX_PARTS_BYTES;
        if state.stops || is_long || state.front.len() + state.work_bytes + bytes > self.most_bytes {
            let now_us = utc_us();
            state.lost.add(Lost { entries: 1, bytes: bytes as u64, first_us: now_us, last_us: now_us });
            return None;
        }
        let is_first = state.front.is_empty();
        let is_first_urgent = state.urgent_us.is_none() && item.kind != Kind::Begin as u8;
        if is_first || is_first_urgent {
            let now_us = boot_us();
            state.front_us = if is_first { now_us } else { state.front_us };
            state.urgent_us = if is_first_urgent { Some(now_us) } else { state.urgent_us };
        }
        item.write(&mut state.front);
        state.accepted += 1;
        let number = state.accepted;
        let rests = std::mem::take(&mut state.rests);
        drop(state);
        if rests {
            self.told.notify_one();
        }
        Some(number)
    }

    /// Gives all that waits in exchange for an empty `work`.
    pub fn take(&self, work: &mut Vec<u8>) -> Taken {
        if work.capacity() > KEPT_BYTES {
            *work = Vec::new();
        }
        let mut state = self.state.lock();
        std::mem::swap(&mut state.front, work);
        state.urgent_us = None;
        state.work_bytes = work.len();
        state.work_us = (!work.is_empty()).then_some(state.front_us);
        Taken { upto: state.accepted, lost: std::mem::take(&mut state.lost) }
    }

    /// All entries up to this number are as safe as they get.
    pub fn durable(&self, upto: u64) {
        let mut state = self.state.lock();
        (state.durable, state.work_bytes, state.work_us) = (upto, 0, None);
        let ready = state.waiting.iter().take_while(|(number, _)| *number <= upto).count();
        let ready: Vec<_> = state.waiting.drain(..ready).collect();
        drop(state);
        ready.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Whether the disk refuses; whoever waits looks again when that changes.
    pub fn set_failing(&self, fails: bool) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.fails, fails) == fails {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub fn is_failing(&self) -> bool {
        self.state.lock().fails
    }

    /// Whether an entry is on disk. `patient`: not even a disk that refuses ends the wait.
    pub fn poll_durable(&self, number: u64, patient: bool, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.durable >= number || state.fails && !patient || state.stops && state.fails {
            return Poll::Ready(());
        }
        let at = state.waiting.partition_point(|(other, _)| *other < number);
        match state.waiting.get_mut(at).filter(|(other, _)| *other == number) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => state.waiting.insert(at, (number, cx.waker().clone())),
        }
        Poll::Pending
    }

    /// Returns once there is something to write, after `time`, or at the end.
    pub fn rest(&self, time: Duration) {
        let mut state = self.state.lock();
        let empty = |state: &mut State| {
            state.front.is_empty() && state.lost.entries == 0 && !state.stops && !self.looks.load(Relaxed)
        };
        state.rests = true;
        self.told.wait_while_for(&mut state, empty, time);
        state.rests = false;
    }

    /// Returns after `time`, or at the end.
    pub fn pause(&self, time: Duration) {
        let mut state = self.state.lock();
        self.told.wait_while_for(&mut state, |state| !state.stops, time);
    }

    /// The writer looks after the directory before its time.
    pub fn look(&self) {
        let state = self.state.lock();
        self.looks.store(true, Relaxed);
        drop(state);
        self.told.notify_all();
    }

    /// Whether it is to, said once.
    pub fn looks(&self) -> bool {
        self.looks.swap(false, Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.front.is_empty() && state.lost.entries == 0
    }

    /// When what waits is to be written, microseconds since boot, where nothing is to wait longer than `group_us`; but that
    /// a stream has begun is mostly written with the record of another one. `None`: nothing waits.
    pub fn due_us(&self, group_us: u64) -> Option<u64> {
        let state = self.state.lock();
        if state.lost.entries > 0 || state.stops {
            return Some(0);
        }
        let urgent_us = state.urgent_us.map(|since| since + group_us);
        let any_us = (!state.front.is_empty()).then(|| state.front_us + group_us.max(BEGINS_US));
        urgent_us.into_iter().chain(any_us).min()
    }

    /// Takes nothing more; the writer writes what is here and ends.
    pub fn stop(&self) {
        self.state.lock().stops = true;
        self.told.notify_all();
    }

    pub fn stops(&self) -> bool {
        self.state.lock().stops
    }

    /// Bytes that are not on disk yet.
    pub fn held_bytes(&self) -> usize {
        let state = self.state.lock();
        state.front.len() + state.work_bytes
    }

    /// Whether so many bytes more would find room.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.held_bytes() + bytes <= self.most_bytes
    }

    /// How long the oldest entry that is not on disk has waited, at `now_us` since boot.
    pub fn lag_us(&self, now_us: u64) -> u64 {
        let state = self.state.lock();
        let waits_since = if state.front.is_empty() { None } else { Some(state.front_us) };
        state.work_us.or(waits_since).map_or(0, |since| now_us.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &Ring, kind: Kind, now_us: u64) {
        ring.push(Item { kind: kind as u8, public: b"entry", private: b"" }, || now_us, || now_us);
    }

    #[test]
    fn the_beginning_of_a_stream_waits_for_a_record_but_not_for_long() {
        let ring = Ring::new(1 << 10);
        assert_eq!(ring.due_us(5), None);
        push(&ring, Kind::Begin, 1_000);
        assert_eq!(ring.due_us(5), Some(21_000));
        push(&ring, Kind::Record, 2_000);
        push(&ring, Kind::Record, 2_003);
        assert_eq!(ring.due_us(5), Some(2_005));
        assert_eq!(ring.lag_us(2_005), 1_005);
        ring.take(&mut Vec::new());
        push(&ring, Kind::Begin, 3_000);
        assert_eq!(ring.due_us(5), Some(23_000), "the record is taken");
    }

    #[test]
    fn what_is_lost_is_told_soon_and_the_end_waits_for_nothing() {
        let ring = Ring::new(20);
        push(&ring, Kind::Begin, 10);
        assert_eq!(ring.due_us(5), Some(20_010));
        push(&ring, Kind::Begin, 10);
        assert_eq!(ring.due_us(5), Some(0), "one found no room");
        let ring = Ring::new(20);
        ring.stop();
        assert_eq!(ring.due_us(5), Some(0));
    }
}
