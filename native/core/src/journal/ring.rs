//! What waits to be written: request threads append under a short lock, the writer takes all of it at once.

use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    alarm::Alarm,
    entry::{Kind, MAX_PARTS_BYTES},
};

/// Kind, length of the public and of the private part.
const ITEM_BYTES: usize = 9;
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
    /// The writer sleeps, and what comes may wake it before its time.
    nap: Option<Nap>,
    stops: bool,
    fails: bool,
}

/// Until when the writer sleeps, microseconds since boot, and how long what comes may wait for other entries.
#[derive(Clone, Copy, Debug)]
struct Nap {
    until_us: u64,
    group_us: u64,
}

impl State {
    /// When what waits is to be written, see [`Ring::due_us`].
    fn due_us(&self, group_us: u64) -> Option<u64> {
        if self.lost.entries > 0 || self.stops {
            return Some(0);
        }
        let urgent_us = self.urgent_us.map(|since| since + group_us);
        let patience_us = if group_us == 0 { 0 } else { group_us.max(BEGINS_US) };
        let any_us = (!self.front.is_empty()).then(|| self.front_us + patience_us);
        urgent_us.into_iter().chain(any_us).min()
    }
}

/// Bounded: what the writer has taken counts until it is on disk.
#[derive(Debug)]
pub struct Ring {
    state: Mutex<State>,
    alarm: Alarm,
    /// The writer is to look after the directory now; set with the state locked.
    looks: AtomicBool,
    most_bytes: usize,
}

impl Ring {
    pub fn new(most_bytes: usize) -> io::Result<Self> {
        let alarm = Alarm::new()?;
        Ok(Self { state: Mutex::default(), alarm, looks: AtomicBool::new(false), most_bytes })
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
            self.wake_in_time(&mut state, boot_us());
            return None;
        }
        let is_first = state.front.is_empty();
        let is_first_urgent = state.urgent_us.is_none() && item.kind != Kind::Begin as u8;
        item.write(&mut state.front);
        state.accepted += 1;
        if is_first || is_first_urgent {
            let now_us = boot_us();
            state.front_us = if is_first { now_us } else { state.front_us };
            state.urgent_us = if is_first_urgent { Some(now_us) } else { state.urgent_us };
            self.wake_in_time(&mut state, now_us);
        }
        Some(state.accepted)
    }

    /// Gives all that waits in exchange for an empty `work`.
    pub fn take(&self, work: &mut Vec<u8>) -> Taken {
        let mut state = self.state.lock();
        std::mem::swap(&mut state.front, work);
        state.urgent_us = None;
        state.work_bytes = work.len();
        state.work_us = (!work.is_empty()).then_some(state.front_us);
        Taken { upto: state.accepted, lost: std::mem::take(&mut state.lost) }
    }

    /// All entries up to this number are as safe as they get; the writer holds so many bytes until others are.
    pub fn durable(&self, upto: u64, work_bytes: usize) {
        let mut state = self.state.lock();
        (state.durable, state.work_bytes) = (upto, work_bytes);
        state.work_us = state.work_us.filter(|_| work_bytes > 0);
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

    /// Returns once something is due, as [`Ring::due_us`] says, at `until_us` since boot, or at the end.
    pub fn rest(&self, now_us: u64, until_us: u64, group_us: u64) {
        let mut state = self.state.lock();
        let until_us = state.due_us(group_us).map_or(until_us, |due_us| due_us.min(until_us));
        if until_us <= now_us || self.looks.load(Relaxed) {
            return;
        }
        self.alarm.set(until_us - now_us);
        state.nap = Some(Nap { until_us, group_us });
        drop(state);
        self.alarm.wait();
        self.state.lock().nap = None;
    }

    /// Returns after `time`, or at the end.
    pub fn pause(&self, time: Duration) {
        let state = self.state.lock();
        if state.stops {
            return;
        }
        self.alarm.set(time.as_micros() as u64);
        drop(state);
        self.alarm.wait();
    }

    fn wake_in_time(&self, state: &mut State, now_us: u64) {
        let Some(nap) = state.nap else { return };
        let due_us = state.due_us(nap.group_us).unwrap_or(u64::MAX);
        if due_us < nap.until_us {
            state.nap = Some(Nap { until_us: due_us, ..nap });
            self.alarm.set(due_us.saturating_sub(now_us));
        }
    }

    /// The writer looks after the directory before its time.
    pub fn look(&self) {
        let state = self.state.lock();
        self.looks.store(true, Relaxed);
        self.alarm.set(0);
        drop(state);
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
    /// a stream has begun is mostly written with the record of another one, unless nothing may wait. `None`: nothing waits.
    pub fn due_us(&self, group_us: u64) -> Option<u64> {
        self.state.lock().due_us(group_us)
    }

    /// Takes nothing more; the writer writes what is here and ends.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stops = true;
        self.alarm.set(0);
    }

    pub fn stops(&self) -> bool {
        self.state.lock().stops
    }

    /// Entries that were taken, and are neither on disk nor lost.
    pub fn unwritten(&self) -> u64 {
        let state = self.state.lock();
        state.accepted - state.durable
    }

    /// Bytes that are not on disk yet; of a long batch all, until its last part is written.
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
        let ring = Ring::new(1 << 10).unwrap();
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
        let ring = Ring::new(20).unwrap();
        push(&ring, Kind::Begin, 10);
        assert_eq!(ring.due_us(5), Some(20_010));
        push(&ring, Kind::Begin, 10);
        assert_eq!(ring.due_us(5), Some(0), "one found no room");
        let ring = Ring::new(20).unwrap();
        ring.stop();
        assert_eq!(ring.due_us(5), Some(0));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the thread is a real one, and so is its time")]
    fn what_comes_while_the_writer_sleeps_wakes_it_when_it_is_due() {
        let clock = crate::clock::Clock::System;
        for (kind, group_us, least_us) in
            [(Kind::Record, 0, 0), (Kind::Record, 30_000, 30_000), (Kind::Begin, 5_000, BEGINS_US), (Kind::Begin, 0, 0)]
        {
            let ring = Ring::new(1 << 10).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(5));
                    ring.push(Item { kind: kind as u8, public: b"entry", private: b"" }, || clock.boot_us(), || 0);
                });
                while ring.due_us(group_us).is_none_or(|due_us| due_us > clock.boot_us()) {
                    let now_us = clock.boot_us();
                    ring.rest(now_us, now_us + 60_000_000, group_us);
                }
            });
            let waited_us = ring.lag_us(clock.boot_us());
            assert!((least_us..30_000_000).contains(&waited_us), "{kind:?}: {waited_us} µs");
        }
    }
}
