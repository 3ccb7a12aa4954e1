//! The limits that hold for a key: its own over the default, kind by kind.

use super::{Away, Kind, Policy, Rate, Reserve, Slots};

/// What a key has of its own over what it has otherwise, kind by kind. A kind of its own that is an empty list lifts
/// the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layered<'a> {
    pub own: Option<&'a Policy>,
    pub default: Option<&'a Policy>,
}

impl<'a> Layered<'a> {
    /// The limits of a kind that is counted over time; none for [`Kind::Concurrent`].
    pub fn rates(&self, kind: Kind) -> &'a [Rate] {
        self.first(|policy| match kind {
            Kind::Concurrent => None,
            Kind::Requests => policy.requests.as_deref(),
            Kind::Tokens => policy.tokens.as_deref(),
            Kind::Budget => policy.budget.as_deref(),
        })
        .unwrap_or_default()
    }

    pub fn slots(&self) -> Option<Slots> {
        self.first(|policy| policy.concurrent.as_deref()).and_then(|slots| slots.first().copied())
    }

    pub fn reserve(&self) -> Reserve {
        self.first(|policy| policy.reserve).unwrap_or_default()
    }

    pub fn away(&self) -> Away {
        self.first(|policy| policy.away).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        (self.own.is_none() && self.default.is_none()) || (self.slots().is_none() && self.all_rates().next().is_none())
    }

    pub fn limits_tokens(&self) -> bool {
        !self.rates(Kind::Tokens).is_empty()
    }

    pub fn limits_budget(&self) -> bool {
        !self.rates(Kind::Budget).is_empty()
    }

    pub(crate) fn all_rates(self) -> impl Iterator<Item = (Kind, &'a Rate)> {
        let of = |kind| self.rates(kind).iter().map(move |rate| (kind, rate));
        of(Kind::Requests).chain(of(Kind::Tokens)).chain(of(Kind::Budget))
    }

    fn first<T>(&self, of: impl Fn(&'a Policy) -> Option<T>) -> Option<T> {
        self.own.and_then(&of).or_else(|| self.default.and_then(&of))
    }
}
