//! In which order the targets of a route are tried.

use super::{Route, Target};
use crate::snapshot::Cost;

/// One target of a request: whom to ask, for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Index into the snapshot's providers.
    pub provider: usize,
    /// The upstream's name of the model.
    pub model: &'a str,
    /// What it takes, as far as money is limited.
    pub price: Cost,
}

impl<'a> Attempt<'a> {
    pub fn new(provider: usize, model: &'a str) -> Self {
        Self { provider, model, price: Cost::Free }
    }
}

/// The weighted choice, the other targets once each by weight, then the fallback in order; targets that `is_down`
/// says failed lately go last. `can_serve` filters.
pub fn order<'a>(
    route: &Route<'a>,
    asked: &'a str,
    rng: &mut fastrand::Rng,
    can_serve: impl Fn(usize) -> bool,
    is_down: impl Fn(usize) -> bool,
) -> Vec<Attempt<'a>> {
    let mut attempts = Vec::new();
    match route {
        Route::Direct { provider, model } => {
            if can_serve(*provider) {
                attempts.push(Attempt::new(*provider, model));
            }
        }
        Route::Model(model) => {
            weighted(&model.targets, rng, |t| attempts.push(attempt(t, asked)), &can_serve);
            attempts.extend(model.fallback.iter().filter(|t| can_serve(t.provider)).map(|t| attempt(t, asked)));
            if attempts.len() > 1 {
                attempts.sort_by_key(|a| is_down(a.provider));
            }
        }
    }
    attempts
}

fn attempt<'a>(target: &'a Target, asked: &'a str) -> Attempt<'a> {
    Attempt::new(target.provider, target.model.as_deref().unwrap_or(asked))
}

/// Draws every target once, each time with a chance in proportion to its weight.
fn weighted<'a>(
    targets: &'a [Target],
    rng: &mut fastrand::Rng,
    mut take: impl FnMut(&'a Target),
    can_serve: impl Fn(usize) -> bool,
) {
    if let [only] = targets {
        if can_serve(only.provider) {
            take(only);
        }
        return;
    }
    let mut left: Vec<&Target> = targets.iter().filter(|t| can_serve(t.provider)).collect();
    while !left.is_empty() {
        let total: u64 = left.iter().map(|t| u64::from(t.weight)).sum();
        let mut ticket = if total == 0 { 0 } else { rng.u64(..total) };
        let chosen = left
            .iter()
            .position(|t| {
                let hit = ticket < u64::from(t.weight);
                ticket = ticket.saturating_sub(u64::from(t.weight));
                hit
            })
            .unwrap_or(0);
        take(left.remove(chosen));
    }
}
