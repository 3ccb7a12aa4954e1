//! Where limits sit, over what time they hold, and when it is.

use super::{Period, Rate};
use crate::clock::Clock;

/// Where limits sit. A request is asked for in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope<'a> {
    Key(&'a str),
    Team(&'a str),
    Model(&'a str),
    Provider(&'a str),
    Global,
}

impl<'a> Scope<'a> {
    pub(crate) const KINDS: usize = Self::NAMES.len();
    /// What its kinds are called, in that order.
    pub(crate) const NAMES: [&'static str; 5] = ["key", "team", "model", "provider", "global"];

    /// Its kind's place in that order.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Key(_) => 0,
            Self::Team(_) => 1,
            Self::Model(_) => 2,
            Self::Provider(_) => 3,
            Self::Global => 4,
        }
    }

    pub fn kind_name(&self) -> &'static str {
        Self::NAMES[self.rank()]
    }

    /// Empty for global.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Key(name) | Self::Team(name) | Self::Model(name) | Self::Provider(name) => name,
            Self::Global => "",
        }
    }
}

/// A scope that keeps its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ScopeOwned {
    Key(Box<str>),
    Team(Box<str>),
    Model(Box<str>),
    Provider(Box<str>),
    Global,
}

impl ScopeOwned {
    pub fn as_scope(&self) -> Scope<'_> {
        match self {
            Self::Key(name) => Scope::Key(name),
            Self::Team(name) => Scope::Team(name),
            Self::Model(name) => Scope::Model(name),
            Self::Provider(name) => Scope::Provider(name),
            Self::Global => Scope::Global,
        }
    }

    pub fn kind_name(&self) -> &'static str {
        self.as_scope().kind_name()
    }

    /// Empty for global.
    pub fn name(&self) -> &str {
        self.as_scope().name()
    }
}

impl From<Scope<'_>> for ScopeOwned {
    fn from(scope: Scope<'_>) -> Self {
        match scope {
            Scope::Key(name) => Self::Key(name.into()),
            Scope::Team(name) => Self::Team(name.into()),
            Scope::Model(name) => Self::Model(name.into()),
            Scope::Provider(name) => Self::Provider(name.into()),
            Scope::Global => Self::Global,
        }
    }
}

/// The moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub boot_us: u64,
    pub utc_us: u64,
}

impl Now {
    pub fn of(clock: &Clock) -> Self {
        Self { boot_us: clock.boot_us(), utc_us: clock.utc_us() }
    }
}

/// The time over which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// Any interval of so many microseconds.
    Window(u64),
    Period(Period),
    /// What is in flight.
    AtOnce,
}

impl Span {
    /// A limit that names neither window nor period holds for the longest period.
    pub(crate) fn of(rate: &Rate) -> Self {
        match (rate.window_us, rate.period) {
            (Some(window_us), _) => Self::Window(window_us),
            (None, Some(period)) => Self::Period(period),
            (None, None) => Self::Period(Period::Month),
        }
    }
}
