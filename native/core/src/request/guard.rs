//! What a request holds while it runs, and what becomes of it when it ends.

use std::{cell::Cell, rc::Rc};

use super::{admit::Admission, estimate::Answers};
use crate::{
    dialects::usage::{Tier, Usage},
    limits::{Counted, Habit, Held, Met, Standing, Used},
    observe::{Record, record::Source},
    server::worker::{LocalSnapshot, Worker},
    snapshot::Cost,
};

/// What a request holds. Dropping it without [`Guard::settle`], as by a panic, charges what was estimated if anything was
/// sent, and releases all of it as unused if not.
#[must_use]
pub struct Guard {
    worker: Rc<Worker>,
    /// Where the prices stand.
    snapshot: LocalSnapshot,
    /// What the request asks to be served as.
    tier: Tier,
    /// Of key, team, model and all together; `None`: nothing is limited, or all is settled.
    held: Cell<Option<Held>>,
    /// Of the provider that is tried, or answers.
    at_provider: Cell<Option<Held>>,
    account: Option<Account>,
    /// What the target takes that is tried.
    price: Cell<Cost>,
    /// The same once something was sent to it; `None`: there is nothing to pay.
    cost: Cell<Option<Cost>>,
    /// An upstream was sent the request: it counts.
    is_sent: Cell<bool>,
    /// The one that is tried was.
    is_sent_there: Cell<bool>,
    used: Cell<Option<Used>>,
    /// What counts it.
    met: Cell<Met>,
    /// Where that outlives the process.
    counted: Cell<Counted>,
    /// What the answer used, once it is settled.
    said: Cell<Option<Said>>,
    /// Text that passes is counted.
    counts_text: bool,
}

/// Who pays, and what is known before the answer.
pub struct Account {
    /// What it uses, about, without its answer: tokens of the prompt, seconds of sound, characters to be spoken.
    pub about: Usage,
    /// How long answers usually are; `None`: they are not made of tokens.
    pub habit: Option<Habit>,
    /// Money is limited.
    pub in_money: bool,
    /// Of an answer that comes by another request: the tokens of prompt and answer that are charged for it.
    pub reserved: Option<(u64, u64)>,
    pub answers: Answers,
}

/// What is known of an answer's size.
#[derive(Clone, Copy, Default)]
pub struct Said {
    pub usage: Option<Usage>,
    pub source: Source,
    /// All of the answer is there.
    pub is_whole: bool,
}

impl Guard {
    /// Not in place, as it is large and handed from one future to the next; the request keeps it for its record.
    pub fn new(
        admission: &Admission<'_>,
        worker: &Rc<Worker>,
        snapshot: &LocalSnapshot,
        held: Option<Held>,
    ) -> Rc<Self> {
        Rc::new(Self {
            worker: worker.clone(),
            snapshot: snapshot.clone(),
            tier: admission.tier,
            said: Cell::default(),
            counts_text: admission.counts_text(),
            at_provider: Cell::default(),
            account: admission.account(),
            price: Cell::new(Cost::Free),
            cost: Cell::default(),
            is_sent: Cell::default(),
            is_sent_there: Cell::default(),
            used: Cell::default(),
            counted: Cell::default(),
            met: Cell::new(if held.is_some() { admission.met() } else { Met::default() }),
            held: Cell::new(held),
        })
    }

    /// A target is tried next: what its provider lets it have, the limits of that, and what it takes.
    pub fn tries(&self, at_provider: Option<Held>, met: Met, price: Cost) {
        self.met.set(self.met.get().and(met));
        self.at_provider.set(at_provider);
        self.price.set(price);
        self.is_sent_there.set(false);
    }

    /// The target is sent the request: from now on that counts, whatever becomes of it.
    pub fn sends(&self) {
        for place in [&self.held, &self.at_provider] {
            place.set(place.take().map(|mut held| {
                held.keep_requests();
                held
            }));
        }
        self.is_sent.set(true);
        self.is_sent_there.set(true);
        self.cost.set(self.account.as_ref().map(|_| self.price.get()));
    }

    /// Whether the target that is tried was sent the request.
    pub fn has_sent(&self) -> bool {
        self.is_sent_there.get()
    }

    /// What was sent to the target that is tried has reached nobody.
    pub fn has_lost(&self) {
        self.is_sent_there.set(false);
    }

    /// The target gives no answer, or one that nothing is paid for: of its provider's limits only the request stays
    /// counted, if it was sent.
    pub fn fails(&self) {
        self.cost.set(None);
        drop(self.at_provider.take());
    }

    /// The target answers. `is_good`: it does not refuse.
    pub fn answers(&self, is_good: bool) {
        if !is_good {
            self.cost.set(None);
        }
    }

    /// The client leaves before there is an answer: whoever was sent the request works on its prompt at least.
    pub fn leaves(&self) {
        if !self.is_sent_there.get() {
            drop(self.at_provider.take());
        }
        if self.is_sent.get() {
            self.settle(&Said::default());
        }
    }

    /// Nobody was asked: the request is refused, and nothing of it counts.
    pub fn withdraws(&self) {
        drop([self.held.take(), self.at_provider.take()]);
        self.met.set(Met::default());
    }

    /// What its limits leave of the provider that is tried.
    pub fn standing_at_provider(&self) -> Standing {
        let held = self.at_provider.take();
        let standing = held.as_ref().map(Held::standing).unwrap_or_default();
        self.at_provider.set(held);
        standing
    }

    /// Whether text that passes must be counted.
    pub fn counts_text(&self) -> bool {
        self.counts_text
    }

    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The answer has ended early: others need not wait for its slots until what it used is counted.
    pub fn free_slots(&self) {
        for place in [&self.held, &self.at_provider] {
            place.set(place.take().map(|mut held| {
                held.free_slots();
                held
            }));
        }
    }

    /// Whether what the answer used is known.
    pub fn is_settled(&self) -> bool {
        self.said.get().is_some()
    }

    /// What the answer used, as it was settled.
    pub fn settled(&self) -> Said {
        self.said.get().unwrap_or_default()
    }

    /// Replaces what was reserved by what was used, once: before the last bytes of an answer go out, as whoever has them
    /// may ask again.
    pub fn settle(&self, said: &Said) {
        if self.is_settled() {
            return;
        }
        self.said.set(Some(*said));
        let held = [self.held.take(), self.at_provider.take()];
        if held.iter().all(Option::is_none) {
            return;
        }
        let used = self.account.as_ref().zip(self.cost.get()).map(|(account, cost)| {
            let usage = account.used(said);
            let nanousd = self.nanousd(&usage, cost).or_else(|| self.nanousd(&account.about, cost)).unwrap_or(0);
            Used { tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens), nanousd }
        });
        if used.is_some() && said.is_whole {
            self.learn(said.usage);
        }
        self.used.set(used);
        let now = self.worker.shared.limits.now(self.worker.clock());
        let (tokens, nanousd) = used.map_or((0, 0), |used| (used.tokens, used.nanousd));
        let settled = held.into_iter().flatten().map(|held| held.settle(Used { tokens, nanousd }, now));
        self.counted.set(settled.fold(Counted::default(), Counted::and));
    }

    /// Notes what counted the request, and what it was charged, if anything of it was.
    pub fn note(&self, record: &mut Record) {
        record.limits = self.met.get();
        record.counted = self.counted.take();
        if let Some((account, used)) = self.account.as_ref().zip(self.used.get()) {
            record.charged_tokens = Some(used.tokens);
            record.charged_nanousd = account.in_money.then_some(used.nanousd);
        }
    }

    /// What the target takes that answers; `None`: it was not looked up, as money is not limited.
    pub fn price(&self) -> Option<Cost> {
        self.account.as_ref().filter(|account| account.in_money).map(|_| self.price.get())
    }

    /// What a usage costs; `None`: nobody knows.
    pub fn nanousd(&self, usage: &Usage, cost: Cost) -> Option<u64> {
        match cost {
            Cost::Priced(price) => self.snapshot.prices.get(price).cost(usage, self.tier),
            Cost::Free => Some(0),
            Cost::Unknown => None,
        }
    }

    /// Remembers how long answers are that end by themselves.
    fn learn(&self, usage: Option<Usage>) {
        let (Some(account), Some(usage)) = (&self.account, usage) else { return };
        let Answers { own_cap, count, .. } = account.answers;
        // More answers than tokens there were not, whatever was asked for.
        let one = usage.completion_tokens / count.min(usage.completion_tokens).max(1);
        if let Some(habit) = account.habit.filter(|_| own_cap.is_none_or(|cap| one < cap)) {
            self.worker.shared.limits.learn(habit, one);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.leaves();
    }
}

impl Account {
    /// What an answer is charged: what its usage says, else what was estimated before it.
    fn used(&self, said: &Said) -> Usage {
        let of = |(prompt_tokens, completion_tokens)| Usage { prompt_tokens, completion_tokens, ..self.about };
        said.usage.unwrap_or_else(|| self.reserved.map_or(self.about, of))
    }
}
