//! The limits that counted a request, for its record.

use super::{Kind, Layered, Scope};

const KINDS: usize = Kind::ALL.len();

/// What they are called: scope by scope, kind by kind.
const NAMES: [&str; Scope::KINDS * KINDS] = [
    "key:concurrent",
    "key:requests",
    "key:tokens",
    "key:budget",
    "team:concurrent",
    "team:requests",
    "team:tokens",
    "team:budget",
    "model:concurrent",
    "model:requests",
    "model:tokens",
    "model:budget",
    "provider:concurrent",
    "provider:requests",
    "provider:tokens",
    "provider:budget",
    "global:concurrent",
    "global:requests",
    "global:tokens",
    "global:budget",
];

/// Kinds of limits, each at a kind of scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met(u32);

impl Met {
    /// Those of a policy. `in_use`: tokens and money of the request count.
    pub fn of(scope: Scope<'_>, policy: &Layered<'_>, in_use: bool) -> Self {
        let is_met = |kind: &Kind| match kind {
            Kind::Concurrent => policy.slots().is_some(),
            Kind::Requests => !policy.rates(Kind::Requests).is_empty(),
            Kind::Tokens | Kind::Budget => in_use && !policy.rates(*kind).is_empty(),
        };
        let met = Kind::ALL.iter().filter(|kind| is_met(kind));
        Self(met.fold(0, |bits, kind| bits | 1 << (scope.rank() * KINDS + *kind as usize)))
    }

    /// The one of this name, if it is known.
    pub fn named(name: &str) -> Self {
        Self(NAMES.iter().position(|known| *known == name).map_or(0, |place| 1 << place))
    }

    /// Whether a kind of limit at a scope of this rank is among them.
    pub fn has(self, rank: usize, kind: Kind) -> bool {
        self.0 >> (rank * KINDS + kind as usize) & 1 == 1
    }

    /// These and others.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// `key:requests`, `global:budget` …
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let place = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            NAMES.get(place).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Policy, *};

    #[test]
    fn the_names_are_those_of_scopes_and_kinds() {
        let names = Scope::NAMES.iter().flat_map(|scope| Kind::ALL.map(|kind| format!("{scope}:{}", kind.name())));
        assert_eq!(names.collect::<Vec<_>>(), NAMES);
    }

    #[test]
    fn a_policy_is_met_by_the_kinds_that_it_sets_and_that_the_request_has() {
        let policy: Policy = serde_json::from_str(
            r#"{"requests": [{"amount": 9, "window_us": 60000000}], "tokens": [], "concurrent": [{"amount": 1}],
                "budget": [{"amount": 9, "period": "day"}]}"#,
        )
        .unwrap();
        let policy = Layered { own: None, default: Some(&policy) };
        let names = |met: Met| met.names().collect::<Vec<_>>();
        assert_eq!(names(Met::of(Scope::Key("k"), &policy, false)), ["key:concurrent", "key:requests"]);
        let both = Met::of(Scope::Global, &policy, true).and(Met::of(Scope::Team("t"), &policy, false));
        let all = ["team:concurrent", "team:requests", "global:concurrent", "global:requests", "global:budget"];
        assert_eq!((names(both), both.len()), (all.to_vec(), 5));
        assert!(Met::default().is_empty() && !both.is_empty());
        assert_eq!(both.names().map(Met::named).fold(Met::named("of another release"), Met::and), both);
        assert!(both.has(Scope::Team("t").rank(), Kind::Requests) && !both.has(Scope::Team("t").rank(), Kind::Budget));
    }
}
