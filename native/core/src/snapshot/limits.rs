//! The limits of a configuration, each where it holds.

use std::sync::Arc;

use super::document::{self, Unpriced};
use crate::{
    limits::{Calendar, Policy},
    named::Named,
};

/// What is limited beside keys and teams, which have their own in the key table.
#[derive(Debug, Default)]
pub struct Limits {
    /// Of each key, kind by kind, where it has none of its own.
    pub default: Option<Policy>,
    /// Of all requests together.
    pub global: Option<Policy>,
    /// By configured name, wildcards included, or by a name as it is asked for.
    pub models: Named<Policy>,
    /// By the index of the provider.
    pub providers: Vec<Option<Policy>>,
    /// A model without a price costs nothing; else it is not asked while money is limited.
    pub unpriced_allowed: bool,
    /// When days and months begin.
    pub calendar: Arc<Calendar>,
}

impl Limits {
    /// `index` finds a provider among `providers`.
    pub(super) fn new(
        document: document::Limits,
        providers: usize,
        index: impl Fn(&str) -> Result<usize, String>,
    ) -> Result<Self, String> {
        let mut by_index = vec![None; providers];
        for (name, policy) in document.providers {
            by_index[index(&name)?] = Some(policy);
        }
        Ok(Self {
            default: document.default,
            global: document.global,
            models: document.models.into_iter().collect(),
            providers: by_index,
            unpriced_allowed: document.unpriced == Unpriced::Allow,
            calendar: Arc::new(Calendar::of(&document.zone).map_err(|e| format!("limits.zone: {e}"))?),
        })
    }
}
