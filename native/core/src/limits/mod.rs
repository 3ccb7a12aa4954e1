//! What a request may use: windows, slots and budgets, counted for the whole process.
//!
//! A [`Scope`] is where limits sit, its [`Policy`] what they are. [`Limits`] keeps one cell of counters a scope.
//! A request is admitted by all of its scopes or consumes nothing; what it was admitted with is in [`Held`].

mod admission;
mod answer;
mod beyond;
mod broker;
mod calendar;
mod call;
mod cell;
mod checkpoint;
mod complete;
mod counted;
mod counter;
mod demand;
mod earlier;
mod held;
mod keeper;
mod layered;
mod learned;
mod lease;
mod leased;
mod leases;
mod ledger;
mod line;
mod met;
mod party;
mod policy;
mod queue;
mod record;
mod reply;
mod reserved;
mod scope;
mod sharing;
mod short;
mod stock;
mod table;
mod tag;
mod verdict;

pub use admission::{Ask, Need};
pub use answer::{Left, Refused, Standing, Use};
pub use beyond::{Beyond, Mark};
pub use calendar::Calendar;
pub use call::LeaseResult;
pub use checkpoint::{Checkpoint, Loaded};
pub use counted::{Counted, Past};
pub use earlier::Earlier;
pub use held::{Held, Used};
pub use keeper::{Event, Keeper};
pub use layered::Layered;
pub use learned::Habit;
pub use met::Met;
pub use policy::{Away, Kind, Period, Policy, Rate, Reserve, Slots};
pub use scope::{Now, Scope, ScopeOwned, Span};
pub use sharing::LeaseAsk;
pub use table::Limits;
