//! What tokens cost, by a model's name at its provider.

use std::{cmp::Reverse, collections::HashMap};

use super::document;
use crate::route::matches;

const MILLION: u128 = 1_000_000;

/// Nano-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    pub input: u64,
    pub output: u64,
}

/// What is known of the cost of a model at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The provider takes no money.
    Free,
    Priced(Price),
    Unknown,
}

/// The configured prices.
#[derive(Debug, Default)]
pub struct Prices {
    exact: HashMap<String, Price>,
    /// In the order in which they are tried.
    patterns: Vec<(String, Price)>,
}

impl Price {
    /// Nano-dollars for so many tokens, rounded up; the largest number if it does not fit.
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let input = u128::from(self.input) * u128::from(input_tokens);
        let output = u128::from(self.output) * u128::from(output_tokens);
        u64::try_from(input.saturating_add(output).div_ceil(MILLION)).unwrap_or(u64::MAX)
    }
}

impl Prices {
    pub(super) fn new(prices: Vec<document::Price>) -> Result<Self, String> {
        let mut made = Self::default();
        for document::Price { pattern, input, output } in prices {
            let price = Price { input, output };
            if made.exact.contains_key(&pattern) || made.patterns.iter().any(|(p, _)| *p == pattern) {
                return Err(format!("snapshot: the price of {pattern} stands twice"));
            }
            if pattern.contains('*') {
                made.patterns.push((pattern, price));
            } else {
                made.exact.insert(pattern, price);
            }
        }
        made.patterns.sort_by_key(|(p, _)| (Reverse(p.find('*')), Reverse(p.len())));
        Ok(made)
    }

    /// The price under the exact name, else under the pattern with the longest literal beginning, of those the
    /// longest.
    pub fn of(&self, model: &str) -> Option<Price> {
        let exact = self.exact.get(model).copied();
        exact.or_else(|| self.patterns.iter().find(|(p, _)| matches(p, model)).map(|(_, price)| *price))
    }
}
