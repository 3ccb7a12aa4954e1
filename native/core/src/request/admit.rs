//! Whether a request may go on now; what it reserved is given back on every way out.

use std::rc::Rc;

use super::{
    Principal,
    endpoint::{Api, Endpoint},
    estimate::{Answers, Estimate, Prompt, answers_in_tokens, endless, uncapped, uses_tokens},
    guard::Account,
    plan::Plan,
    scan::{Scan, UNBOUNDED},
};
use crate::{
    dialects::usage::{Tier, Usage},
    error::{Code, Error},
    keys::OPEN,
    limits::{Ask, Habit, Held, Kind, Layered, Met, Need, Policy, Refused, Reserve, Scope},
    route::Attempt,
    server::worker::Worker,
    snapshot::{Cost, Snapshot},
};

/// Key, team, model, global.
const SCOPES: usize = 4;

/// What is to be admitted.
pub struct Candidate<'a> {
    pub principal: &'a Principal,
    pub endpoint: &'a Endpoint<'a>,
    /// The whole body, or what is here of one that flows.
    pub body: &'a [u8],
    pub scan: Option<&'a Scan<'a>>,
    /// What it holds if it is a form.
    pub form_prompt: Option<Prompt>,
    /// The name asked for.
    pub model: Option<&'a str>,
}

/// The limits that a request meets, and what it needs of them.
pub struct Admission<'a> {
    worker: &'a Rc<Worker>,
    snapshot: &'a Snapshot,
    endpoint: &'a Endpoint<'a>,
    scopes: [(Scope<'a>, Layered<'a>); SCOPES],
    /// `None`: neither tokens nor money are limited.
    estimate: Option<Estimate>,
    /// Money is limited, and there is somebody to take it.
    in_money: bool,
    /// What the dearest target would take, by what is reserved.
    costs: [Costs; 2],
    /// Tokens of prompt and answer, of a request whose answer comes by another one.
    reserved: Option<(u64, u64)>,
    /// How long answers usually are, where they are made of tokens that count.
    habit: Option<Habit>,
    key: Scope<'a>,
    model: &'a str,
    /// What the request asks to be served as.
    pub tier: Tier,
    /// Any limit may meet the request.
    pub is_limited: bool,
}

/// A key's own limits over those of the default.
pub fn key_scope<'a>(principal: &'a Principal, snapshot: &'a Snapshot) -> (Scope<'a>, Layered<'a>) {
    let default = snapshot.limits.default.as_ref();
    match principal {
        Principal::Open => (Scope::Key(OPEN), Layered { own: None, default }),
        Principal::Key { row, .. } => (Scope::Key(row.id.as_str()), Layered { own: row.limits.as_deref(), default }),
    }
}

/// The pool of a key's team.
pub fn team_scope(principal: &Principal) -> Option<(Scope<'_>, Layered<'_>)> {
    let Principal::Key { team: Some(team), .. } = principal else { return None };
    Some((Scope::Team(&team.id), own(team.limits.as_deref()?)))
}

fn own(policy: &Policy) -> Layered<'_> {
    Layered { own: Some(policy), default: None }
}

fn counts(layered: &Layered<'_>) -> bool {
    layered.limits_tokens() || layered.limits_budget()
}

impl<'a> Admission<'a> {
    /// Collects what limits the request and, if tokens or money are limited, what it may use of them. Leaves targets out
    /// of the plan that have no price where one is needed.
    pub fn new(
        worker: &'a Rc<Worker>,
        snapshot: &'a Snapshot,
        plan: &mut Plan<'a>,
        candidate: &Candidate<'a>,
    ) -> Result<Self, Error> {
        let nothing = (Scope::Global, Layered::default());
        let key = key_scope(candidate.principal, snapshot);
        let mut admission = Self {
            worker,
            snapshot,
            endpoint: candidate.endpoint,
            scopes: [nothing; SCOPES],
            estimate: None,
            in_money: false,
            costs: [Costs::default(); 2],
            reserved: None,
            habit: None,
            key: key.0,
            model: candidate.model.unwrap_or_default(),
            tier: candidate.scan.map_or(Tier::Standard, |scan| scan.asked_tier(candidate.endpoint.dialect)),
            is_limited: false,
        };
        admission.scopes = [
            key,
            team_scope(candidate.principal).unwrap_or(nothing),
            model_scope(snapshot, plan, candidate.model).unwrap_or(nothing),
            (Scope::Global, Layered { own: snapshot.limits.global.as_ref(), default: None }),
        ];
        let of_targets = || plan.attempts.iter().filter_map(|a| provider_policy(snapshot, a)).map(own);
        admission.is_limited =
            admission.scopes.iter().any(|(_, l)| !l.is_empty()) || of_targets().any(|l| !l.is_empty());
        if !admission.is_limited {
            return Ok(admission);
        }
        let of_scopes = || admission.scopes.iter().map(|(_, l)| *l);
        let counted = || of_scopes().chain(of_targets()).filter(counts);
        // What names no model has no price, and its tokens are not ours to guess.
        if candidate.model.is_some() && uses_tokens(candidate.endpoint.api) && counted().next().is_some() {
            let reserves = [Reserve::Expected, Reserve::Cap].map(|reserve| counted().any(|l| l.reserve() == reserve));
            let limits_money = counted().any(|l| l.limits_budget());
            admission.count(plan, candidate, reserves, limits_money)?;
        }
        Ok(admission)
    }

    /// What the request may use, by the limits that count it: whether any reserves what is expected, and any the cap.
    fn count(
        &mut self,
        plan: &mut Plan<'a>,
        candidate: &Candidate<'a>,
        [reserves_expected, reserves_cap]: [bool; 2],
        limits_money: bool,
    ) -> Result<(), Error> {
        let api = candidate.endpoint.api;
        if limits_money {
            plan.attempts.iter_mut().for_each(|a| a.price = self.snapshot.price(a.provider, a.model));
            self.leave_out_unpriced(plan)?;
            self.in_money = !plan.attempts.is_empty();
        }
        let answers = Answers::of(api, candidate.scan, plan.max_output_tokens);
        if answers.cap.is_none() && reserves_cap {
            return Err(uncapped(candidate.endpoint, candidate.scan));
        }
        let prompt = candidate.form_prompt.unwrap_or_else(|| Prompt::of_json(candidate.body));
        if prompt.bytes_to_come == UNBOUNDED && reserves_cap {
            return Err(endless());
        }
        self.habit = answers_in_tokens(api).then(|| self.worker.shared.limits.habit(self.key, self.model));
        let estimate = Estimate::new(prompt, answers, self.habit.and_then(|habit| habit.tokens()), self.tier);
        let dearest = |is_needed, reserve| {
            let targets = plan.attempts.iter().filter(|_| is_needed);
            let each = targets.map(|target| self.costs_of(target.price, &estimate, reserve));
            each.fold(Costs::default(), Costs::max)
        };
        self.costs = [dearest(reserves_expected, Reserve::Expected), dearest(reserves_cap, Reserve::Cap)];
        self.estimate = Some(estimate);
        let is_background = candidate.scan.is_some_and(|scan| scan.background) && api == Api::Responses;
        let reserve = if reserves_cap { Reserve::Cap } else { Reserve::Expected };
        self.reserved = is_background.then(|| estimate.tokens(reserve));
        Ok(())
    }

    /// Whether it is known what the request takes at this price.
    fn is_known(&self, cost: Cost) -> bool {
        match cost {
            Cost::Free => true,
            Cost::Priced(price) => self.snapshot.prices.get(price).knows(self.tier),
            Cost::Unknown => false,
        }
    }

    /// Money that is limited is not spent where nobody knows how much it is.
    fn leave_out_unpriced(&self, plan: &mut Plan<'_>) -> Result<(), Error> {
        let all_are_bound = self.scopes.iter().any(|(_, l)| l.limits_budget());
        let is_bound = |a: &Attempt<'_>| {
            all_are_bound || provider_policy(self.snapshot, a).is_some_and(|p| own(p).limits_budget())
        };
        let fits = |a: &Attempt<'_>| self.is_known(a.price) || !is_bound(a);
        if plan.attempts.iter().all(fits) {
            return Ok(());
        }
        // One that goes on is counted when its usage is known.
        if self.snapshot.limits.unpriced_allowed {
            return Ok(());
        }
        self.worker.metrics().met_unpriced();
        let first = plan.attempts.first().map(|a| (&self.snapshot.providers[a.provider].name, a.model));
        plan.attempts.retain(fits);
        match first.filter(|_| plan.attempts.is_empty()) {
            None => Ok(()),
            Some((provider, model)) => {
                let message = format!(
                    "A budget holds for this request, and what {provider}/{model} costs is not known here; the \
                     operator can add it to prices."
                );
                Err(Error::new(Code::ModelUnpriced, message).at("model"))
            }
        }
    }

    /// Whether text that passes must be counted, as its answer may not tell its usage.
    pub fn counts_text(&self) -> bool {
        answers_in_tokens(self.endpoint.api) && (self.estimate.is_some() || self.worker.shared.records())
    }

    /// Whether the request may have to wait for a slot.
    pub fn may_queue(&self) -> bool {
        self.scopes.iter().any(|(_, layered)| layered.slots().is_some_and(|slots| slots.queue_us > 0))
    }

    /// Reserves what all targets have in common. May wait for its turn.
    pub async fn admit(&self) -> Result<Held, Refused> {
        let ask = |(scope, policy): (Scope<'a>, Layered<'a>)| Ask { scope, policy, need: self.need(&policy, None) };
        let asks = self.scopes.map(ask);
        self.worker.shared.limits.admit(&asks, self.worker.clock()).await
    }

    /// Reserves what the provider of a target is limited to, if it is. `place` is the target's in the plan. May wait for
    /// its turn at the last one: any other is passed over.
    pub async fn admit_at(&self, targets: &[Attempt<'_>], place: usize) -> Result<Option<Held>, Refused> {
        let target = &targets[place];
        let Some(policy) = provider_policy(self.snapshot, target).map(own) else { return Ok(None) };
        let scope = Scope::Provider(&self.snapshot.providers[target.provider].name);
        let asks = [Ask { scope, policy, need: self.need(&policy, Some(target.price)) }];
        let (limits, clock) = (&self.worker.shared.limits, self.worker.clock());
        if place + 1 == targets.len() {
            limits.admit(&asks, clock).await.map(Some)
        } else {
            limits.admit_at_once(&asks, clock).await.map(Some)
        }
    }

    /// The limits that count the request wherever it goes.
    pub fn met(&self) -> Met {
        let each = self.scopes.iter().map(|(scope, policy)| Met::of(*scope, policy, self.estimate.is_some()));
        each.fold(Met::default(), Met::and)
    }

    /// Those of the provider of a target.
    pub fn met_at(&self, target: &Attempt<'_>) -> Met {
        let Some(policy) = provider_policy(self.snapshot, target).map(own) else { return Met::default() };
        Met::of(Scope::Provider(""), &policy, self.estimate.is_some())
    }

    /// What is to be paid for once the answer is known; `None`: nothing is.
    pub fn account(&self) -> Option<Account> {
        let estimate = self.estimate?;
        let measured = estimate.prompt.measured(self.endpoint.api, Reserve::Expected);
        Some(Account {
            about: Usage { prompt_tokens: estimate.tokens(Reserve::Expected).0, ..measured },
            reserved: self.reserved,
            habit: self.habit,
            in_money: self.in_money,
            answers: estimate.answers,
        })
    }

    /// What a target takes at a price.
    fn costs_of(&self, price: Cost, estimate: &Estimate, reserve: Reserve) -> Costs {
        let Cost::Priced(price) = price else { return Costs::default() };
        let price = self.snapshot.prices.get(price);
        let cost = |(prompt, answer)| match reserve {
            Reserve::Expected => price.about(prompt, answer, estimate.tier),
            // What is reserved must do, whatever kinds of tokens there turn out to be.
            Reserve::Cap => price.at_most(prompt, answer, estimate.tier),
        };
        let api = self.endpoint.api;
        let measured = price.measured(&estimate.prompt.measured(api, reserve), estimate.tier);
        // How long sound is can only be guessed.
        let is_certain = reserve == Reserve::Cap || api == Api::Speech;
        Costs {
            whole: cost(estimate.tokens(reserve)).saturating_add(measured),
            certain: cost(estimate.certain(reserve)).saturating_add(if is_certain { measured } else { 0 }),
        }
    }

    /// What one scope would reserve, for a target of this price or for the dearest.
    fn need(&self, policy: &Layered<'_>, price: Option<Cost>) -> Need {
        let Some(estimate) = self.estimate.as_ref().filter(|_| counts(policy)) else {
            return Need { requests: 1, tokens: 0, nanousd: 0 };
        };
        let reserve = policy.reserve();
        let dearest = self.costs[usize::from(reserve == Reserve::Cap)];
        let costs = price.map_or(dearest, |price| self.costs_of(price, estimate, reserve));
        let sum = |(input, output): (u64, u64)| input.saturating_add(output);
        // A guess takes what a limit leaves at most: only what is certain may be more than the limit itself.
        let within = |kind, whole: u64, certain: u64| {
            let smallest = policy.rates(kind).iter().map(|rate| rate.amount).min();
            whole.min(certain.max(smallest.unwrap_or(u64::MAX)))
        };
        Need {
            requests: 1,
            tokens: within(Kind::Tokens, sum(estimate.tokens(reserve)), sum(estimate.certain(reserve))),
            nanousd: within(Kind::Budget, costs.whole, costs.certain),
        }
    }
}

fn provider_policy<'a>(snapshot: &'a Snapshot, attempt: &Attempt<'_>) -> Option<&'a Policy> {
    snapshot.limits.providers.get(attempt.provider)?.as_ref()
}

/// The limits of the name asked for, else those of the configured one that it led to.
fn model_scope<'a>(
    snapshot: &'a Snapshot,
    plan: &Plan<'a>,
    asked: Option<&'a str>,
) -> Option<(Scope<'a>, Layered<'a>)> {
    let models = &snapshot.limits.models;
    if models.is_empty() {
        return None;
    }
    let (name, policy) = asked.and_then(|m| models.get_key_value(m)).or_else(|| models.get_key_value(plan.model?))?;
    Some((Scope::Model(name), own(policy)))
}

/// What a request would cost at a target, in nano-dollars.
#[derive(Clone, Copy, Default)]
struct Costs {
    whole: u64,
    /// What of it is no guess.
    certain: u64,
}

impl Costs {
    fn max(self, other: Self) -> Self {
        Self { whole: self.whole.max(other.whole), certain: self.certain.max(other.certain) }
    }
}
