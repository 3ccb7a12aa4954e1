//! What a request may use: windows, slots and budgets, counted for the whole process.

mod policy;

pub use policy::{Kind, Period, Policy, Rate, Reserve, Slots};
