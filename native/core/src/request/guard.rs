//! What a request holds while it runs, and what becomes of it when it ends.

use std::{cell::Cell, rc::Rc};

use super::{
    admit::Admission,
    estimate::{Answers, TOKEN_BYTES},
};
use crate::{
    dialects::usage::Usage,
    limits::{Held, Now, ScopeOwned, Used},
    route::Attempt,
    server::worker::Worker,
    snapshot::{Cost, Snapshot},
};

/// What a request holds. Dropping it without [`Guard::settle`] releases all of it as unused.
#[must_use]
pub struct Guard {
    worker: Rc<Worker>,
    /// Of key, team, model and all together; `None`: nothing is limited, or all is settled.
    held: Cell<Option<Held>>,
    /// Of the provider that answered.
    at_provider: Cell<Option<Held>>,
    account: Option<Account>,
    /// What the one that answered takes; `None`: nobody did.
    cost: Cell<Option<Cost>>,
    used: Cell<Option<Used>>,
}

/// Who pays, and what is known before the answer.
pub struct Account {
    /// Tokens of the prompt, about.
    pub prompt: u64,
    /// The answer is made of tokens.
    pub in_tokens: bool,
    /// Of an answer that comes by another request: the tokens of prompt and answer that are charged for it.
    pub reserved: Option<(u64, u64)>,
    pub answers: Answers,
    pub key: ScopeOwned,
    pub model: Box<str>,
}

/// What is known of an answer's size.
#[derive(Clone, Copy, Default)]
pub struct Said {
    pub usage: Option<Usage>,
    /// Bytes of text that passed.
    pub text_bytes: u64,
    /// All of the answer is there.
    pub is_whole: bool,
}

impl Guard {
    pub fn new(admission: &Admission<'_>, worker: &Rc<Worker>, held: Option<Held>) -> Self {
        Self {
            worker: worker.clone(),
            held: Cell::new(held),
            at_provider: Cell::default(),
            account: admission.account(),
            cost: Cell::default(),
            used: Cell::default(),
        }
    }

    /// An upstream answers: from now on the request counts, whatever becomes of it. `is_good`: it does not refuse.
    pub fn answered(&self, snapshot: &Snapshot, target: &Attempt<'_>, is_good: bool, at_provider: Option<Held>) {
        for (place, held) in [(&self.held, self.held.take()), (&self.at_provider, at_provider)] {
            place.set(held.map(|mut held| {
                held.keep_requests();
                held
            }));
        }
        if self.account.is_some() && is_good {
            self.cost.set(Some(snapshot.price(target.provider, target.model)));
        }
    }

    /// Whether text that passes must be counted.
    pub fn counts_text(&self) -> bool {
        self.cost.get().is_some() && self.account.as_ref().is_some_and(|a| a.in_tokens)
    }

    /// Replaces what was reserved by what was used, once: before the last bytes of an answer go out, as whoever has them
    /// may ask again.
    pub fn settle(&self, said: &Said) {
        let held = [self.held.take(), self.at_provider.take()];
        if held.iter().all(Option::is_none) {
            return;
        }
        let used = self.account.as_ref().zip(self.cost.get()).map(|(account, cost)| account.used(said, cost));
        if used.is_some() && said.is_whole {
            self.learn(said.usage);
        }
        self.used.set(used);
        let now = Now::of(self.worker.clock());
        let (tokens, nanousd) = used.map_or((0, 0), |used| (used.tokens, used.nanousd));
        for held in held.into_iter().flatten() {
            held.settle(Used { tokens, nanousd }, now);
        }
    }

    /// What the request was charged, if anything of it was counted.
    pub fn used(&self) -> Option<Used> {
        self.used.get()
    }

    /// Remembers how long answers are that end by themselves.
    fn learn(&self, usage: Option<Usage>) {
        let (Some(account), Some(usage)) = (&self.account, usage) else { return };
        let Answers { own_cap, count, .. } = account.answers;
        // More answers than tokens there were not, whatever was asked for.
        let one = usage.completion_tokens / count.min(usage.completion_tokens).max(1);
        if account.in_tokens && own_cap.is_none_or(|cap| one < cap) {
            self.worker.shared.limits.learn_output(account.key.as_scope(), &account.model, one);
        }
    }
}

impl Account {
    /// What an answer is charged: what its usage says, else the prompt as it was estimated and the text that passed. Of
    /// an answer that stops in the middle the usage may say less than what was there.
    fn used(&self, said: &Said, cost: Cost) -> Used {
        let passed = if self.in_tokens { said.text_bytes.div_ceil(TOKEN_BYTES) } else { 0 };
        let (prompt, completion) = match said.usage {
            Some(usage) if said.is_whole => (usage.prompt_tokens, usage.completion_tokens),
            Some(usage) => (usage.prompt_tokens, usage.completion_tokens.max(passed)),
            None => self.reserved.map_or((self.prompt, passed), |(prompt, answer)| (prompt, answer.max(passed))),
        };
        let nanousd = match cost {
            Cost::Priced(price) => price.cost(prompt, completion),
            Cost::Free | Cost::Unknown => 0,
        };
        Used { tokens: prompt.saturating_add(completion), nanousd }
    }
}
