//! The leases of one limit: those that are spent, and those that still count.

use super::lease::{Charged, Lease};

/// More than the moment of anything.
pub(super) const NEVER: u64 = u64::MAX;
/// Beyond so many leases those that nothing is told of any more become one for each bucket.
const MOST: usize = 128;

/// What an instance tells of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tell {
    pub number: u64,
    pub bucket: u64,
    pub counted: u64,
}

/// What became of an amount that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freed {
    /// It may be spent again.
    Spare,
    /// The other nodes may have it, once they are told.
    ToTell,
    /// Its lease is not known any more: it counts as spent.
    Gone,
}

/// Invariant: `spare` is what is left of the leases from `stopped` on, which are in the order of their stops; nothing is
/// left of those before.
#[derive(Debug, Default)]
pub(super) struct Stock {
    leases: Vec<Lease>,
    stopped: usize,
    spare: u64,
    /// The lease of our own that may grow, and when it lapses: what lapses later is not charged to it.
    open: Option<(u64, u64)>,
}

impl Stock {
    /// What may be spent, as of the last [`expire`](Self::expire).
    pub(super) fn spare(&self) -> u64 {
        self.spare
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// When something of it can be spent no more, and when nothing can; `NEVER` where nothing is left.
    pub(super) fn stops_us(&self) -> (u64, u64) {
        let mut left = self.live().iter().filter(|lease| lease.left > 0);
        let first = left.next().map_or(NEVER, |lease| lease.stop_us);
        (first, left.next_back().map_or(first, |lease| lease.stop_us))
    }

    /// What of the counts of all nodes is ours.
    pub(super) fn told_sum(&self) -> u64 {
        self.leases.iter().fold(0, |sum, lease| sum.saturating_add(lease.told))
    }

    /// What was charged to leases, as far as they are known.
    pub(super) fn counted_sum(&self) -> u64 {
        self.leases.iter().fold(0, |sum, lease| sum.saturating_add(lease.counted))
    }

    /// Whether others count anything of it.
    pub(super) fn has_told(&self) -> bool {
        self.leases.iter().any(|lease| lease.told > 0)
    }

    /// Spends nothing any more of what has stopped. `true`: there is something to tell of it.
    pub(super) fn expire(&mut self, now_us: u64) -> bool {
        let mut tells = false;
        while let Some(lease) = self.leases.get_mut(self.stopped).filter(|lease| lease.stop_us <= now_us) {
            self.spare -= std::mem::take(&mut lease.left);
            self.stopped += 1;
            tells |= !lease.is_told();
        }
        tells
    }

    /// Everything stops now.
    pub(super) fn close(&mut self, now_us: u64) -> bool {
        self.leases[self.stopped..].iter_mut().for_each(|lease| lease.stop_us = lease.stop_us.min(now_us));
        self.expire(now_us)
    }

    /// Takes a lease whose stop lies ahead or not.
    pub(super) fn put(&mut self, lease: Lease) {
        self.make_room();
        let at = self.stopped + self.live().partition_point(|known| known.stop_us <= lease.stop_us);
        self.spare = self.spare.saturating_add(lease.left);
        self.leases.insert(at, lease);
    }

    /// Charges what is left, beginning with what stops first, and tells each lease's part. Returns what is lacking.
    pub(super) fn spend(&mut self, amount: u64, mut tell: impl FnMut(Charged)) -> u64 {
        let mut lacking = amount;
        for lease in self.leases[self.stopped..].iter_mut().filter(|lease| lease.left > 0) {
            if lacking == 0 {
                break;
            }
            let taken = lacking.min(lease.left);
            lease.left -= taken;
            lease.counted += taken;
            self.spare -= taken;
            lacking -= taken;
            tell(Charged { number: lease.number, amount: taken });
        }
        lacking
    }

    /// Charges a lease of our own, which nobody granted: the one that is open, or a new one of the next number. Until
    /// somebody is told of it, it lapses when our own counter forgets the charge.
    pub(super) fn spend_own(&mut self, amount: u64, lapse_us: u64, number: impl FnOnce() -> u64) -> Charged {
        let open = self.open.filter(|(_, known_us)| *known_us == lapse_us).map(|(number, _)| number);
        let known =
            open.and_then(|number| self.leases[..self.stopped].iter_mut().rfind(|lease| lease.number == number));
        let number = if let Some(lease) = known {
            lease.counted = lease.counted.saturating_add(amount);
            lease.number
        } else {
            self.make_room();
            let number = number();
            self.leases.insert(
                self.stopped,
                Lease {
                    number,
                    bucket: 0,
                    counted: amount,
                    left: 0,
                    told: 0,
                    is_sent: false,
                    stop_us: 0,
                    lapse_us,
                    is_merged: false,
                },
            );
            self.stopped += 1;
            self.open = Some((number, lapse_us));
            number
        };
        Charged { number, amount }
    }

    /// Gives back some of what was charged.
    pub(super) fn free(&mut self, charged: Charged, amount: u64) -> Freed {
        let at = self.leases.iter().rposition(|lease| lease.number == charged.number && !lease.is_merged);
        let Some(at) = at else { return Freed::Gone };
        let lease = &mut self.leases[at];
        let amount = amount.min(lease.counted);
        lease.counted -= amount;
        if at < self.stopped {
            return Freed::ToTell;
        }
        lease.left += amount;
        self.spare += amount;
        Freed::Spare
    }

    /// What others do not know yet; all there is where they lost it. What is told of our own grows no more.
    pub(super) fn tells(&mut self, all: bool) -> Vec<Tell> {
        self.open = None;
        let those = if all { self.leases.len() } else { self.stopped };
        let tell = |lease: &mut Lease| {
            lease.is_sent = true;
            let Lease { number, bucket, counted, left, .. } = *lease;
            Tell { number, bucket, counted: counted + left }
        };
        self.leases[..those].iter_mut().filter(|lease| all || !lease.is_told()).map(tell).collect()
    }

    /// Others know so much now; what was of no bucket is of this one, and lapses then.
    pub(super) fn told(&mut self, tells: &[Tell], bucket: u64, lapse_us: u64) {
        for tell in tells {
            if let Some(lease) = self.leases.iter_mut().find(|lease| lease.number == tell.number) {
                (lease.told, lease.is_sent) = (tell.counted, false);
                if lease.bucket == 0 {
                    (lease.bucket, lease.lapse_us) = (bucket, lapse_us);
                }
            }
        }
    }

    /// Whether everything is told of what has stopped.
    pub(super) fn is_told(&self) -> bool {
        self.leases[..self.stopped].iter().all(Lease::is_told)
    }

    /// Forgets what counts no more. `true`: there is something to tell of what has stopped.
    pub(super) fn tidy(&mut self, now_us: u64) -> bool {
        let tells = self.expire(now_us);
        let live = self.leases.split_off(self.stopped);
        self.leases.retain(|lease| lease.lapse_us > now_us && (lease.counted > 0 || lease.told > 0 || lease.is_sent));
        self.stopped = self.leases.len();
        self.leases.extend(live);
        if self.leases.capacity() > 4 * self.leases.len().max(1) {
            self.leases.shrink_to(2 * self.leases.len());
        }
        tells
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn live(&self) -> &[Lease] {
        &self.leases[self.stopped..]
    }

    /// For one more.
    fn make_room(&mut self) {
        if self.leases.len() >= MOST {
            self.merge();
        }
        if self.leases.len() == self.leases.capacity() {
            self.leases.reserve_exact(self.leases.len().max(1));
        }
    }

    fn merge(&mut self) {
        self.open = None;
        let mut live = self.leases.split_off(self.stopped);
        // Of what is used up nothing is spent again.
        self.leases.extend(live.extract_if(.., |lease| lease.left == 0));
        self.leases.sort_by_key(|lease| (lease.bucket, !lease.is_told()));
        self.leases.dedup_by(|gone, kept| {
            let is_own = kept.bucket == 0;
            let merges = gone.bucket == kept.bucket && (is_own || (gone.is_told() && kept.is_told()));
            if merges {
                kept.number = kept.number.max(gone.number);
                kept.counted = kept.counted.saturating_add(gone.counted);
                kept.told = if is_own { 0 } else { kept.counted };
                kept.is_sent |= gone.is_sent;
                kept.lapse_us = kept.lapse_us.max(gone.lapse_us);
                kept.is_merged = true;
            }
            merges
        });
        // What is forgotten of a grant counts as spent. Nobody knows of what was not granted: that stays.
        while self.leases.len() + live.len() >= MOST
            && let Some(oldest) = self.leases.iter().position(|lease| lease.bucket != 0)
        {
            self.leases.remove(oldest);
        }
        self.stopped = self.leases.len();
        self.leases.append(&mut live);
    }
}
