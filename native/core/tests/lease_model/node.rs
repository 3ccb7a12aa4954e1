//! A node as the model has it: it asks for leases of one limit, spends them by a clock of its own, and tells.

/// What is limited.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub amount: u64,
    pub span: Span,
}

#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// Of so many microseconds.
    Window(u64),
    /// One after the other, each so long.
    Period(u64),
}

impl Limit {
    /// Of a sub-bucket; 0 of a period.
    pub fn length_us(&self) -> u64 {
        match self.span {
            Span::Window(us) => us.div_ceil(60),
            Span::Period(_) => 0,
        }
    }

    pub fn lease_us(&self) -> u64 {
        match self.span {
            Span::Window(_) => self.length_us().max(50_000),
            Span::Period(_) => 60_000_000,
        }
    }

    /// Begin and end of the period that holds a time; zeros of a window.
    pub fn period(&self, utc_us: u64) -> (u64, u64) {
        match self.span {
            Span::Window(_) => (0, 0),
            Span::Period(us) => (utc_us / us * us, (utc_us / us + 1) * us),
        }
    }
}

/// A clock's reading: boot time of the node, and its UTC.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub boot_us: u64,
    pub utc_us: u64,
}

/// Of what happened to the data in Redis until now: losses and resets.
pub type Era = (usize, usize);

#[derive(Clone, Debug)]
pub struct Lease {
    pub number: u64,
    /// 0: in that of the moment when it is told.
    bucket: u64,
    granted: u64,
    pub spent: u64,
    told: u64,
    is_closed: bool,
    stop_us: u64,
    lapse_us: u64,
    pub era: Era,
}

impl Lease {
    fn is_live(&self, limit: &Limit, now: Reading) -> bool {
        let is_current = limit.length_us() > 0 || self.bucket == limit.period(now.utc_us).0;
        !self.is_closed && now.boot_us < self.stop_us && is_current
    }

    fn counts(&self, limit: &Limit, now: Reading) -> u64 {
        if self.is_live(limit, now) { self.granted } else { self.spent }
    }
}

/// A call on its way: to Redis, or back.
#[derive(Clone, Debug)]
pub struct Call {
    pub number: u64,
    pub args: Vec<String>,
    asked_us: u64,
    told: Vec<(u64, u64)>,
    reposts: bool,
}

#[derive(Debug)]
pub struct Node {
    pub instance: String,
    pub leases: Vec<Lease>,
    numbers: u64,
    under_way: Option<u64>,
    unanswered: Vec<u64>,
    epoch: u64,
    sequence: u64,
    resets: u64,
    reposts: bool,
}

impl Node {
    pub fn new(instance: String) -> Self {
        let (leases, unanswered) = (Vec::new(), Vec::new());
        let (numbers, epoch, sequence, resets) = (0, 0, 0, 0);
        Self { instance, leases, numbers, under_way: None, unanswered, epoch, sequence, resets, reposts: false }
    }

    pub fn is_waiting(&self) -> bool {
        self.under_way.is_some()
    }

    /// The question under way is not waited for any longer.
    pub fn give_up(&mut self) {
        self.unanswered.extend(self.under_way.take());
    }

    pub fn ask(&mut self, limit: &Limit, now: Reading, (need, want): (u64, u64), nodes: usize) -> Call {
        self.leases.retain(|lease| now.boot_us < lease.lapse_us);
        self.numbers += 1;
        let number = self.numbers;
        let seen = if self.leases.is_empty() { (0, 0) } else { (self.epoch, self.sequence) };
        let (begin_us, until_us) = limit.period(now.utc_us);
        let numbers = [limit.length_us(), begin_us, until_us, limit.amount, limit.lease_us()];
        let mut args: Vec<_> = numbers.map(|number| number.to_string()).into();
        args.push(self.instance.clone());
        let rest = [number, seen.0, seen.1, self.resets, u64::from(self.reposts), nodes as u64, need, want];
        args.extend(rest.map(|number| number.to_string()));
        let mut told = Vec::new();
        for lease in &self.leases {
            let counts = lease.counts(limit, now);
            if self.reposts || counts != lease.told {
                told.push((lease.number, counts));
                args.extend([lease.number, lease.bucket, counts].map(|number| number.to_string()));
            }
        }
        for number in &self.unanswered {
            args.extend([*number, 0, 0].map(|number| number.to_string()));
            told.push((*number, 0));
        }
        self.under_way = Some(number);
        Call { number, args, asked_us: now.boot_us, told, reposts: self.reposts }
    }

    pub fn answered(&mut self, call: &Call, answer: [i64; 12], limit: &Limit, now: Reading, era: Era) {
        if self.under_way != Some(call.number) {
            return;
        }
        self.under_way = None;
        let [status, redis_now, epoch, sequence, resets, granted, bucket, expiry, .., here] =
            answer.map(|number| u64::try_from(number).unwrap());
        match status {
            0 => {}
            1 => {
                self.reposts = true;
                return;
            }
            // It was read before, and that answer was lost: nobody knows what it said.
            _ => {
                self.unanswered.push(call.number);
                return;
            }
        }
        (self.epoch, self.sequence) = (epoch, sequence);
        self.reposts &= !call.reposts;
        self.unanswered.retain(|number| !call.told.contains(&(*number, 0)));
        for lease in &mut self.leases {
            if let Some((_, counted)) = call.told.iter().find(|(number, _)| *number == lease.number) {
                lease.told = *counted;
                if lease.bucket == 0 {
                    lease.bucket = if limit.length_us() > 0 { here } else { limit.period(now.utc_us).0 };
                }
            }
        }
        if resets > self.resets {
            self.resets = resets;
            self.leases.clear();
            self.unanswered.clear();
        }
        if granted > 0 {
            let lasts_us = expiry - redis_now;
            let counted_us = match limit.span {
                Span::Window(_) => lasts_us + 61 * limit.length_us(),
                Span::Period(us) => bucket + us - redis_now.min(bucket + us),
            };
            let (number, told, spent, is_closed) = (call.number, granted, 0, false);
            let stop_us = call.asked_us + lasts_us * 999 / 1_000;
            let lapse_us = now.boot_us + counted_us + counted_us.div_ceil(1_000) + 1;
            self.leases.push(Lease { number, bucket, granted, spent, told, is_closed, stop_us, lapse_us, era });
        }
    }

    /// Spends as much of it as live leases have; what was spent of which.
    pub fn spend(&mut self, mut amount: u64, limit: &Limit, now: Reading) -> Vec<(Lease, u64)> {
        let mut spent = Vec::new();
        for lease in self.leases.iter_mut().filter(|lease| lease.is_live(limit, now)) {
            let part = amount.min(lease.granted - lease.spent);
            lease.spent += part;
            amount -= part;
            if part > 0 {
                spent.push((lease.clone(), part));
            }
        }
        spent
    }

    /// Something was used that no lease covers: it is told with the next call.
    pub fn overrun(&mut self, amount: u64, limit: &Limit, now: Reading) {
        self.numbers += 1;
        let lapse_us = match limit.span {
            Span::Window(_) => now.boot_us + 70 * limit.length_us(),
            Span::Period(us) => now.boot_us + us,
        };
        self.leases.push(Lease {
            number: self.numbers,
            bucket: 0,
            granted: amount,
            spent: amount,
            told: 0,
            is_closed: true,
            stop_us: 0,
            lapse_us,
            era: (0, 0),
        });
    }

    pub fn close(&mut self) {
        self.leases.iter_mut().for_each(|lease| lease.is_closed = true);
    }

    /// Of a lease that it can still tell, so much was not used after all.
    pub fn free(&mut self, number: u64, amount: u64) -> bool {
        let lease = self.leases.iter_mut().find(|lease| lease.number == number);
        lease.is_some_and(|lease| {
            lease.spent = lease.spent.saturating_sub(amount);
            true
        })
    }
}
