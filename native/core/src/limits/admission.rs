//! All or nothing: a request is charged to all of its scopes, or to none.

use std::sync::Arc;

use tokio::{
    sync::Notify,
    time::{Duration, Instant, timeout},
};

use super::{
    Held, Layered, Limits, Now, Refused, Scope,
    cell::Cell,
    counter::Moment,
    party::{Locked, NEWCOMER, Parties, Party, lock, standing},
    short::{Waited, patience_us},
    verdict::{Bar, Verdict},
};
use crate::clock::Clock;

/// What a request would reserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub requests: u64,
    pub tokens: u64,
    pub nanousd: u64,
}

/// What is asked of one scope. One whose policy is empty costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub scope: Scope<'a>,
    pub policy: Layered<'a>,
    pub need: Need,
}

/// A request's place among those who wait. Dropped, it is given up.
#[derive(Debug)]
struct Turn {
    ticket: u64,
    woken: Arc<Notify>,
    /// Since when it has waited for slots.
    queued_us: Option<u64>,
    /// How long it has waited in each place.
    waited: [Duration; Scope::KINDS],
    /// Where it waits.
    at: Option<(usize, Arc<Cell>)>,
    lease: LeaseWait,
}

/// How a request waits for leases.
#[derive(Debug, Default)]
struct LeaseWait {
    /// The cells where it may stand in line.
    at: Vec<Arc<Cell>>,
    took_us: u64,
    waited: Waited,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((_, cell)) = &self.at {
            let mut state = cell.state.lock();
            state.slots.leave(self.ticket);
            state.slots.wake();
        }
        for cell in &self.lease.at {
            cell.state.lock().leases.iter_mut().for_each(|leased| leased.give_up(self.ticket));
        }
    }
}

enum Tried {
    Admitted(Held),
    Refused(Refused),
    Waits(Wait),
}

#[derive(Clone, Copy)]
enum Wait {
    /// A slot is missing in this place, and may be waited for.
    ForSlot(usize),
    /// Leases are lacking, and may come until then.
    ForLeases(u64),
}

impl Limits {
    /// Admits a request to all scopes or none. Of several asks of one kind of scope only the first counts.
    ///
    /// Where slots are missing and the policy has a queue, this waits, in the order of arrival.
    pub async fn admit(&self, asks: &[Ask<'_>], clock: &Clock) -> Result<Held, Refused> {
        self.admit_or_wait(asks, true, clock).await
    }

    /// The same where nobody waits: a slot that is missing refuses.
    pub async fn admit_at_once(&self, asks: &[Ask<'_>], clock: &Clock) -> Result<Held, Refused> {
        self.admit_or_wait(asks, false, clock).await
    }

    async fn admit_or_wait(&self, asks: &[Ask<'_>], may_wait: bool, clock: &Clock) -> Result<Held, Refused> {
        let mut parties: Parties<'_> = [const { None }; Scope::KINDS];
        for ask in asks.iter().filter(|ask| !ask.policy.is_empty()) {
            parties[ask.scope.rank()].get_or_insert_with(|| Party { ask, cell: self.cell(ask.scope) });
        }
        if parties.iter().all(Option::is_none) {
            return Ok(Held::none());
        }
        let mut turn = None;
        loop {
            let tried = match self.attempt(&parties, &mut turn, may_wait, clock) {
                Tried::Admitted(held) => return Ok(held),
                Tried::Refused(refused) => return Err(refused.after(turn.as_deref(), clock)),
                Tried::Waits(wait) => wait,
            };
            let Some(waiting) = &mut turn else { continue };
            // In boxes: hardly any request waits, and all others are smaller for it.
            match tried {
                Wait::ForSlot(place) => {
                    let Some(party) = &parties[place] else { continue };
                    let queue_us = party.ask.policy.slots().map_or(0, |slots| slots.queue_us);
                    if !Box::pin(waiting.wait_for_slot(place, queue_us)).await {
                        let refused =
                            Bar::of_slots(party).refused(None, standing(&mut lock(&parties, self.ledger(), clock)));
                        return Err(refused.after(Some(waiting), clock));
                    }
                }
                Wait::ForLeases(until_us) => Box::pin(self.wait_for_leases(waiting, until_us, clock)).await,
            }
        }
    }

    /// Until something has changed, or it is too late.
    async fn wait_for_leases(&self, turn: &mut Turn, until_us: u64, clock: &Clock) {
        let Some(broker) = self.ledger().broker.get() else { return };
        let (began_us, answers) = (Moment::from(Now::of(clock)).us, broker.answers());
        let (rest_us, patience_us) = (until_us.saturating_sub(began_us), patience_us(broker));
        let patience_us = patience_us.saturating_sub(turn.lease.took_us);
        let most = Duration::from_micros(rest_us.min(patience_us));
        let is_woken = Box::pin(timeout(most, turn.woken.notified())).await.is_ok();
        turn.lease.waited = match () {
            () if is_woken => Waited::Woken,
            () if patience_us < rest_us => Waited::TooLong,
            () => Waited::InVain { heard: broker.answers() > answers },
        };
        turn.lease.took_us += Moment::from(Now::of(clock)).us.saturating_sub(began_us);
    }

    fn attempt(&self, parties: &Parties<'_>, turn: &mut Option<Box<Turn>>, may_wait: bool, clock: &Clock) -> Tried {
        // Freed behind the locks, should anything below panic: to release it takes them.
        let mut holds = Vec::new();
        let mut locked = lock(parties, self.ledger(), clock);
        let ticket = turn.as_ref().map_or(NEWCOMER, |turn| turn.ticket);
        let left = turn.as_mut().and_then(|turn| turn.at.take()).map(|(place, _)| place);
        if let Some(one) = left.and_then(|place| locked[place].as_mut()) {
            one.state.slots.leave(ticket);
        }
        let waited = turn.as_mut().map_or(Waited::No, |turn| turn.leave_lines(&mut locked));
        let mut verdict = Verdict::default();
        locked.iter_mut().flatten().for_each(|one| one.look(ticket, may_wait, waited, &mut verdict));
        let tried = match verdict {
            Verdict { bar: Some(bar), away, .. } => Tried::Refused(bar.refused(away, standing(&mut locked))),
            Verdict { waits: Some(place), .. } => {
                locked[place].iter_mut().for_each(|one| self.enter(one, place, turn));
                Tried::Waits(Wait::ForSlot(place))
            }
            Verdict { lacks_until_us: Some(until_us), .. } => {
                self.enter_lines(&mut locked, turn);
                Tried::Waits(Wait::ForLeases(until_us))
            }
            Verdict { away, .. } => {
                holds.reserve_exact(locked.iter().flatten().count());
                locked.iter_mut().flatten().for_each(|one| holds.push(one.take()));
                let standing = standing(&mut locked);
                Tried::Admitted(Held {
                    holds,
                    standing,
                    admitted_us: locked.iter().flatten().map(|one| one.now.boot_us()).max(),
                    waited_us: waited_us(turn.as_deref(), clock),
                    lease_us: turn.as_ref().map_or(0, |turn| turn.lease.took_us),
                    away,
                })
            }
        };
        // Whoever is next where this one lacks nothing, or lacks too much.
        if ticket != NEWCOMER && !matches!(tried, Tried::Admitted(_)) {
            locked.iter_mut().flatten().for_each(|one| one.state.leases.wake());
        }
        // Whoever is next there, now that it is clear whether this one took a slot.
        if let Some(one) = left.and_then(|place| locked[place].as_mut()) {
            one.state.slots.wake();
        }
        tried
    }

    /// Waits in a place: behind all others, or where it has been since it first had to wait.
    fn enter(&self, one: &mut Locked<'_>, place: usize, turn: &mut Option<Box<Turn>>) {
        let turn = turn.get_or_insert_with(|| Box::new(self.turn()));
        one.state.wait(&one.party.cell, turn.ticket, turn.woken.clone());
        turn.at = Some((place, one.party.cell.clone()));
        turn.queued_us.get_or_insert(one.now.boot_us());
    }

    /// Waits for leases in all places that lack some.
    fn enter_lines(&self, locked: &mut [Option<Locked<'_>>], turn: &mut Option<Box<Turn>>) {
        let Some(broker) = self.ledger().broker.get() else { return };
        for one in locked.iter_mut().flatten() {
            let turn = turn.get_or_insert_with(|| Box::new(self.turn()));
            one.want(turn.ticket, &turn.woken, broker);
            turn.lease.at.push(one.party.cell.clone());
        }
    }

    fn turn(&self) -> Turn {
        Turn {
            ticket: self.next_ticket(),
            woken: Arc::default(),
            queued_us: None,
            waited: [Duration::ZERO; Scope::KINDS],
            at: None,
            lease: LeaseWait::default(),
        }
    }
}

impl Turn {
    /// Each queue has its own time, of which waiting elsewhere takes nothing. `false`: it has passed.
    async fn wait_for_slot(&mut self, place: usize, queue_us: u64) -> bool {
        let began = Instant::now();
        let most = Duration::from_micros(queue_us).saturating_sub(self.waited[place]);
        let is_woken = timeout(most, self.woken.notified()).await.is_ok();
        self.waited[place] += began.elapsed();
        is_woken
    }

    /// Stands in no line any more. How it has waited there.
    fn leave_lines(&mut self, locked: &mut [Option<Locked<'_>>]) -> Waited {
        if !self.lease.at.is_empty() {
            self.lease.at.clear();
            let leases = locked.iter_mut().flatten().flat_map(|one| one.state.leases.iter_mut());
            leases.for_each(|leased| leased.line.leave(self.ticket));
        }
        std::mem::take(&mut self.lease.waited)
    }
}

impl Refused {
    /// With how long it waited before.
    fn after(self, turn: Option<&Turn>, clock: &Clock) -> Self {
        Self { waited_us: waited_us(turn, clock), lease_us: turn.map_or(0, |turn| turn.lease.took_us), ..self }
    }
}

/// How long a request has been waiting for slots, with what it did meanwhile but for leases.
fn waited_us(turn: Option<&Turn>, clock: &Clock) -> u64 {
    let waited_us =
        |turn: &Turn| Some(clock.boot_us().saturating_sub(turn.queued_us?).saturating_sub(turn.lease.took_us));
    turn.and_then(waited_us).unwrap_or(0)
}
