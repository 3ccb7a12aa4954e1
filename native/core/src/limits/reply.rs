//! What the reply to a call means.

use super::{
    LeaseResult,
    broker::Broker,
    call::{Call, LARGEST},
    counter::{Moment, WHOLE},
    lease::{Lease, at_least, at_most},
    leased::{Leased, Refusal},
    stock::NEVER,
};

/// So many calls without an answer are remembered; what earlier ones were granted counts as spent.
const MOST_GHOSTS: usize = 64;
/// Where no answer came, nothing but what requests wait for is asked or told again before.
const REST_US: u64 = 250_000;

/// The script's reply, number by number.
#[derive(Clone, Copy, Debug)]
struct Reply {
    status: u64,
    now_us: u64,
    epoch: u64,
    sequence: u64,
    resets: u64,
    granted: u64,
    bucket: u64,
    expiry_us: u64,
    sum: u64,
    lapse_us: u64,
    is_pressed: bool,
    bucket_now: u64,
}

impl Reply {
    /// `None`: it is none.
    fn read(answer: &[i64]) -> Option<Self> {
        let numbers: &[i64; 12] = answer.try_into().ok()?;
        let mut all = [0; 12];
        for (to, from) in all.iter_mut().zip(numbers) {
            *to = u64::try_from(*from).ok().filter(|number| *number <= LARGEST)?;
        }
        let [status, now_us, epoch, sequence, resets, granted, bucket, expiry_us, sum, lapse_us, pressed, bucket_now] =
            all;
        let is_pressed = pressed != 0;
        Some(Self {
            status,
            now_us,
            epoch,
            sequence,
            resets,
            granted,
            bucket,
            expiry_us,
            sum,
            lapse_us,
            is_pressed,
            bucket_now,
        })
    }
}

impl Leased {
    /// Takes the reply. Whether an admin has begun all counts of this limit anew meanwhile comes second. `own` is what
    /// our own counter says.
    pub(super) fn answered(
        &mut self,
        call: &Call,
        answer: Option<&[i64]>,
        own: u64,
        now: Moment,
        broker: &Broker,
    ) -> (LeaseResult, bool) {
        let Some(under_way) = self.under_way.take_if(|known| known.number == call.number) else {
            return (LeaseResult::Unanswered, false);
        };
        let Some(reply) = answer.and_then(Reply::read).filter(|reply| reply.status <= 2) else {
            self.unanswered(call, now);
            return (LeaseResult::Unanswered, false);
        };
        broker.answered();
        (self.is_silent, self.rest_us) = (reply.status == 2, 0);
        self.line.wake();
        if reply.status != 0 {
            self.is_lost |= reply.status == 1;
            self.tell_by(0);
            if reply.status == 2 {
                // It came twice: what the first one was granted is not known.
                self.disown(call);
                self.rest(now);
            }
            return (if reply.status == 1 { LeaseResult::Lost } else { LeaseResult::Stale }, false);
        }
        let is_void = under_way.is_void || call.begin_us != self.begin_us;
        // Of who knows less than all resets Redis takes nothing but what is asked.
        let is_taken = call.reposts || call.resets >= reply.resets;
        let was_reset = self.seen.resets.is_some_and(|known| known < reply.resets);
        if was_reset {
            self.forget();
        } else if !is_void && is_taken {
            self.take_told(call, &reply, now);
        }
        self.heard_us = now.us;
        self.seen.epoch = reply.epoch;
        self.seen.sequence = reply.sequence;
        self.seen.resets = Some(self.seen.resets.unwrap_or(0).max(reply.resets));
        self.is_lost = false;
        self.ghosts.retain(|(number, _)| !is_taken || !call.ghosts.contains(number));
        if reply.is_pressed {
            self.pressed_until_us = now.us.saturating_add(self.lease_us());
        }
        let result = if reply.granted > 0 {
            if is_void {
                self.disown(call);
            } else {
                self.take_grant(call, &reply, now);
            }
            LeaseResult::Granted
        } else if call.need > 0 {
            self.refused(call, &reply, now);
            LeaseResult::Refused
        } else {
            if call.want > 0 {
                self.demand.forget();
                self.ahead_after_us = now.us.saturating_add(self.again_us());
            }
            LeaseResult::Told
        };
        let others = reply.sum.saturating_sub(self.stock.told_sum());
        let until_us = self.lapse_us(reply.bucket_now, &reply, now);
        self.others = if is_void { (0, 0) } else { (others, until_us) };
        self.before = if was_reset { 0 } else { own.saturating_sub(self.stock.counted_sum()) };
        // What was freed while this was under way, or is not taken yet.
        if !self.stock.is_told() || !self.ghosts.is_empty() {
            self.tell_by(now.us.saturating_add(self.tell_after_us()));
        }
        (result, was_reset)
    }

    /// What it told holds; what it was granted nobody may spend.
    pub(super) fn unanswered(&mut self, call: &Call, now: Moment) {
        self.under_way = None;
        self.is_silent = true;
        self.rest(now);
        self.disown(call);
        self.tell_by(0);
        self.line.wake();
    }

    fn rest(&mut self, now: Moment) {
        self.rest_us = now.us.saturating_add(REST_US);
    }

    /// What a call may have been granted is not spent, and given back with the next one.
    fn disown(&mut self, call: &Call) {
        if call.want > 0 {
            if self.ghosts.len() >= MOST_GHOSTS {
                self.ghosts.remove(0);
            }
            self.ghosts.push((call.number, call.asked_us));
        }
    }

    fn take_told(&mut self, call: &Call, reply: &Reply, now: Moment) {
        let bucket = if self.length_us() > 0 { reply.bucket_now } else { call.begin_us };
        self.stock.told(&call.tells, bucket, self.lapse_us(bucket, reply, now));
    }

    fn take_grant(&mut self, call: &Call, reply: &Reply, now: Moment) {
        // Nothing of a limit that is lower by now is spent.
        let is_spent = call.limit <= self.limit;
        let lasts_us = if is_spent { at_least(reply.expiry_us.saturating_sub(reply.now_us)) } else { 0 };
        let lapse_us = self.lapse_us(reply.bucket, reply, now);
        let known = if self.stock.spare() > 0 { self.limit_of_leases } else { 0 };
        self.limit_of_leases = known.max(call.limit);
        self.stock.put(Lease {
            number: call.number,
            bucket: reply.bucket,
            counted: 0,
            left: reply.granted,
            told: reply.granted,
            is_sent: false,
            stop_us: call.asked_us.saturating_add(lasts_us),
            lapse_us,
            is_merged: false,
        });
        self.demand.granted(reply.granted, now.us);
        if self.stock.expire(now.us) {
            self.tell_us = 0;
        }
    }

    fn refused(&mut self, call: &Call, reply: &Reply, now: Moment) {
        let again_us = now.us.saturating_add(self.again_us());
        let lapse_us = match reply.lapse_us {
            0 => again_us,
            at_us => now.us.saturating_add(at_us.saturating_sub(reply.now_us)),
        };
        // Other nodes may give something back before it lapses.
        self.refusal = Some(Refusal { need: call.need, until_us: again_us.min(lapse_us), lapse_us });
        self.ahead_after_us = again_us;
    }

    /// When a bucket counts no more, by our clock and not too early. That of a period is forgotten with the period.
    fn lapse_us(&self, bucket: u64, reply: &Reply, now: Moment) -> u64 {
        if self.length_us() == 0 {
            return NEVER;
        }
        let at_us = bucket.saturating_add(WHOLE + 1).saturating_mul(self.length_us());
        now.us.saturating_add(at_most(at_us.saturating_sub(reply.now_us)))
    }
}
