//! What of a counter is reserved by requests that have not ended, by the bucket in which it was counted.

use super::counter::Bucket;

/// Mostly one bucket or two. One of nothing is free for another number.
#[derive(Debug, Default)]
pub(super) struct Reserved(Box<[Bucket]>);

impl Reserved {
    pub(super) fn add(&mut self, number: u64, amount: u64) {
        let is_same = |one: &&mut Bucket| one.amount > 0 && one.number == number;
        if let Some(one) = self.0.iter_mut().find(is_same) {
            one.amount = one.amount.saturating_add(amount);
        } else if let Some(free) = self.0.iter_mut().find(|one| one.amount == 0) {
            *free = Bucket { number, amount };
        } else {
            let mut more = std::mem::take(&mut self.0).into_vec();
            more.reserve_exact(1);
            more.push(Bucket { number, amount });
            self.0 = more.into_boxed_slice();
        }
    }

    pub(super) fn take(&mut self, number: u64, amount: u64) {
        if let Some(one) = self.0.iter_mut().find(|one| one.number == number) {
            one.amount = one.amount.saturating_sub(amount);
        }
    }

    /// What was counted after one bucket, and up to another.
    pub(super) fn between(&self, after: Option<u64>, upto: u64) -> u64 {
        let is_within = |one: &&Bucket| one.number <= upto && after.is_none_or(|after| one.number > after);
        self.0.iter().filter(is_within).fold(0, |sum, one| sum.saturating_add(one.amount))
    }

    /// Whether some of what was counted under a number has not ended.
    pub(super) fn has(&self, number: u64) -> bool {
        self.0.iter().any(|one| one.number == number && one.amount > 0)
    }

    /// Of buckets up to this number nothing is known any more.
    pub(super) fn forget_upto(&mut self, number: u64) {
        self.0.iter_mut().filter(|one| one.number <= number).for_each(|one| one.amount = 0);
    }

    pub(super) fn clear(&mut self) {
        self.0 = Box::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_makes_room_for_what_begins() {
        let mut reserved = Reserved::default();
        for number in 1..100 {
            reserved.add(number, 5);
            reserved.add(number, 2);
            assert_eq!((reserved.between(Some(number - 1), number), reserved.between(None, number)), (7, 7));
            reserved.take(number, 7);
        }
        assert_eq!(reserved.0.len(), 1);
        (1..4).for_each(|number| reserved.add(number, 1));
        reserved.take(9, 1);
        assert_eq!((reserved.between(None, 3), reserved.between(Some(1), 2)), (3, 1));
        reserved.forget_upto(2);
        assert_eq!((reserved.between(None, 9), reserved.has(2), reserved.has(3)), (1, false, true));
        reserved.clear();
        assert_eq!(reserved.between(None, 9), 0);
    }
}
