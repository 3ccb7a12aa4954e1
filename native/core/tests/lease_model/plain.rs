//! What the script must answer, said as plainly as can be: a list of leases, and sums over it.

use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Debug)]
struct Lease {
    instance: String,
    number: u64,
    bucket: u64,
    counted: u64,
    /// It stays counted, and nothing that is told changes it.
    is_sealed: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    now: u64,
    epoch: u64,
    sequence: u64,
    resets: u64,
    pressed: Option<u64>,
    ends: u64,
    leases: Vec<Lease>,
    expires: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Plain {
    state: Option<State>,
    /// The number of each instance's last call, and until when it is known.
    last: HashMap<String, (u64, u64)>,
}

impl Plain {
    pub fn reset(&mut self, time: u64) {
        self.expire(time);
        if let Some(state) = &mut self.state {
            state.now = time;
            state.sequence += 1;
            state.resets = time.max(state.resets + 1);
            state.pressed = None;
            state.leases.clear();
        }
    }

    pub fn call(&mut self, args: &[String], time: u64) -> [i64; 12] {
        self.expire(time);
        let number = |at: usize| args[at - 1].parse::<u64>().unwrap();
        let (length, begin, ends, limit, lease) = (number(1), number(2), number(3), number(4), number(5));
        let (instance, call) = (&args[5], number(7));
        let (seen, resets, reposts) = ((number(8), number(9)), number(10), args[10] == "1");
        let (nodes, need, want) = (number(12), number(13), number(14));
        let slides = length > 0;
        let now = self.state.as_ref().map_or(time, |state| state.now.max(time));
        let here = if slides { now / length } else { begin };
        let oldest = if slides { here - 60 } else { begin };
        let counts = |bucket: u64| bucket >= oldest && (slides || bucket < ends);

        let nothing = |status, state: Option<&State>| {
            let (epoch, sequence, resets) = state.map_or((0, 0, 0), |s| (s.epoch, s.sequence, s.resets));
            let bucket = if slides { here } else { 0 };
            signed([status, now, epoch, sequence, resets, 0, 0, 0, 0, 0, 0, bucket])
        };
        if self.last.get(instance).is_some_and(|(last, _)| *last >= call) {
            return nothing(2, self.state.as_ref());
        }
        let is_lost = match &self.state {
            Some(state) => state.epoch != seen.0 || state.sequence < seen.1,
            None => true,
        };
        if !reposts && seen.0 != 0 && is_lost {
            return nothing(1, self.state.as_ref());
        }
        let epoch = now.max(seen.0 + 1);
        let state = self.state.get_or_insert_with(|| State { epoch, ..State::default() });
        if reposts && (state.epoch, state.sequence) < seen {
            state.epoch = epoch;
        }
        if reposts && resets > state.resets {
            state.resets = resets;
            state.leases.iter_mut().for_each(|lease| lease.is_sealed = true);
        }
        (state.now, state.sequence, state.ends) = (now, state.sequence + 1, state.ends.max(ends));

        let file =
            |number, bucket, counted| Lease { instance: instance.clone(), number, bucket, counted, is_sealed: false };
        for tell in args[14..].chunks_exact(3).filter(|_| reposts || resets >= state.resets) {
            let [number, bucket, counted] = [0, 1, 2].map(|at| tell[at].parse::<u64>().unwrap());
            let is_it = |lease: &&mut Lease| !lease.is_sealed && lease.instance == *instance && lease.number == number;
            match state.leases.iter_mut().find(is_it) {
                Some(known) if counts(known.bucket) => known.counted = counted,
                Some(_) => {}
                None => {
                    let furthest = if slides { (now + 2 * lease) / length + 1 } else { bucket };
                    let bucket = if bucket == 0 { here } else { bucket.min(furthest) };
                    if counts(bucket) {
                        state.leases.push(file(number, bucket, counted));
                    }
                }
            }
        }
        state.leases.retain(|lease| lease.counted > 0);

        let mut sums = BTreeMap::<u64, u64>::new();
        for lease in state.leases.iter().filter(|lease| counts(lease.bucket)) {
            *sums.entry(lease.bucket).or_default() += lease.counted;
        }
        let mut sum: u64 = sums.values().sum();
        let (mut granted, mut bucket, mut expiry, mut lapse) = (0, 0, 0, 0);
        if need > 0 && sum + need > limit {
            state.pressed = Some(now);
            let mut left = sum;
            lapse = match (need <= limit, slides) {
                (false, _) => 0,
                (true, false) => ends.max(now + 50_000),
                (true, true) => {
                    let first = sums.iter().find(|(_, amount)| {
                        left -= **amount;
                        left + need <= limit
                    });
                    (first.unwrap().0 + 61) * length
                }
            };
        } else {
            granted = need.max(want.min(limit.saturating_sub(sum) / (2 * nodes)));
        }
        if granted > 0 {
            (bucket, expiry) = if !slides {
                (begin, (now + lease).min(ends).max(now + 50_000))
            } else if lease == length {
                let bucket = (now + lease / 2) / length;
                (bucket, (bucket + 1) * length)
            } else {
                ((now + lease - 1) / length, now + lease)
            };
            state.leases.push(file(call, bucket, granted));
            sum += granted;
        }

        let newest = state.leases.iter().map(|lease| lease.bucket).max().unwrap_or(here).max(here);
        let last = if slides { (newest + 61) * length + 60_000_000 } else { state.ends + 86_400_000_000 };
        state.expires = time + (last - time).div_ceil(1_000).max(1_000) * 1_000;
        self.last.insert(instance.clone(), (call, state.expires));
        let pressed = u64::from(state.pressed.is_some_and(|at| now - at <= lease));
        let here = if slides { here } else { 0 };
        let (epoch, sequence, resets) = (state.epoch, state.sequence, state.resets);
        signed([0, now, epoch, sequence, resets, granted, bucket, expiry, sum, lapse, pressed, here])
    }

    fn expire(&mut self, time: u64) {
        self.state.take_if(|state| state.expires <= time);
        self.last.retain(|_, (_, expires)| *expires > time);
        // What was recorded of an instance is forgotten with its last call.
        let leases = self.state.iter_mut().flat_map(|state| &mut state.leases);
        leases.filter(|lease| !self.last.contains_key(&lease.instance)).for_each(|lease| lease.is_sealed = true);
    }
}

fn signed(answer: [u64; 12]) -> [i64; 12] {
    answer.map(|number| i64::try_from(number).unwrap())
}
