//! Where a request was counted for longer than its process may live, and what its record says of that.

use super::{Need, Scope};

const MODEL: usize = 2;
const PROVIDER: usize = 3;

/// The scopes whose long windows and periods count a request. Each with the number of its latest telling to a checkpoint
/// before the request was settled: what was told with that number or an earlier one is without the request, all that was
/// told later is with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By the scope's rank; 0: not there.
    told: [u64; Scope::KINDS],
    /// Whose names a record has nowhere else.
    model: Box<str>,
    provider: Box<str>,
}

impl Counted {
    /// It is counted here too.
    pub fn note(&mut self, scope: Scope<'_>, told: u64) {
        self.told[scope.rank()] = told;
        match scope {
            Scope::Model(name) => self.model = name.into(),
            Scope::Provider(name) => self.provider = name.into(),
            Scope::Key(_) | Scope::Team(_) | Scope::Global => {}
        }
    }

    /// Here and there.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (one, told) in self.told.iter_mut().zip(other.told) {
            *one = told.max(*one);
        }
        self.model = if self.model.is_empty() { other.model } else { self.model };
        self.provider = if self.provider.is_empty() { other.provider } else { self.provider };
        self
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.told.iter().filter(|told| **told > 0).count()
    }

    /// Of each scope its rank, the number, and the name where a record has it nowhere else.
    pub fn each(&self) -> impl Iterator<Item = (usize, u64, &str)> {
        let name = |rank| match rank {
            MODEL => &*self.model,
            PROVIDER => &*self.provider,
            _ => "",
        };
        let all = self.told.iter().enumerate().filter(|(_, told)| **told > 0);
        all.map(move |(rank, told)| (rank, *told, name(rank)))
    }
}

/// What an earlier process recorded of one request in one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past<'a> {
    pub scope: Scope<'a>,
    /// See [`Counted`].
    pub told: u64,
    /// What it was charged, 0 where no limit counts it.
    pub charged: Need,
    /// When limits counted it, and when it ended, microseconds UTC.
    pub charged_us: u64,
    pub ended_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_stands_once_with_the_names_that_a_record_lacks() {
        let mut counted = Counted::default();
        assert!(counted.is_empty());
        for (scope, told) in [(Scope::Key("k"), 1), (Scope::Model("gpt-*"), 2), (Scope::Provider("up"), 3)] {
            counted.note(scope, told);
        }
        counted.note(Scope::Provider("other"), 4);
        assert_eq!(counted.each().collect::<Vec<_>>(), [(0, 1, ""), (2, 2, "gpt-*"), (3, 4, "other")]);
        assert_eq!(counted.len(), 3);
        let mut global = Counted::default();
        global.note(Scope::Global, 5);
        let both = global.and(counted);
        assert_eq!(both.each().map(|(rank, ..)| rank).collect::<Vec<_>>(), [0, 2, 3, 4]);
        assert_eq!(both.each().nth(1), Some((2, 2, "gpt-*")));
    }
}
