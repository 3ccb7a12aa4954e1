//! What models cost, by their names at their providers.

use std::cmp::Reverse;

use super::{Price, document};
use crate::{named::Named, route::matches};

/// What is known of the cost of a model at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The provider takes no money.
    Free,
    Priced(PriceId),
    Unknown,
}

/// A price of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceId(u32);

/// The configured prices, and the list of each kind of provider behind them.
#[derive(Debug, Default)]
pub struct Prices {
    all: Vec<Price>,
    configured: Book,
    of_kinds: Named<Book>,
}

/// Prices by names and patterns.
#[derive(Debug, Default)]
struct Book {
    exact: Named<PriceId>,
    /// In the order in which they are tried.
    patterns: Vec<(String, PriceId)>,
}

impl Prices {
    pub(super) fn new(prices: Vec<document::Price>) -> Result<Self, String> {
        let mut made = Self::default();
        for document::Price { kind, pattern, rates, above, factors } in prices {
            let id = PriceId(made.all.len() as u32);
            made.all.push(Price::new(rates, above, factors));
            let book = match kind {
                Some(kind) => made.of_kinds.entry(kind).or_default(),
                None => &mut made.configured,
            };
            book.add(pattern, id)?;
        }
        made.of_kinds.values_mut().chain([&mut made.configured]).for_each(Book::sort);
        Ok(made)
    }

    pub fn get(&self, id: PriceId) -> &Price {
        &self.all[id.0 as usize]
    }

    /// The configured price of a model, else that of the list for the kind of its provider.
    pub fn of(&self, kind: Option<&str>, model: &str) -> Option<PriceId> {
        let listed = || kind.and_then(|kind| self.of_kinds.get(kind))?.find(model);
        self.configured.find(model).or_else(listed)
    }
}

impl Book {
    fn add(&mut self, pattern: String, id: PriceId) -> Result<(), String> {
        if self.exact.contains_key(&pattern) || self.patterns.iter().any(|(p, _)| *p == pattern) {
            return Err(format!("snapshot: the price of {pattern} stands twice"));
        }
        if pattern.contains('*') {
            self.patterns.push((pattern, id));
        } else {
            self.exact.insert(pattern, id);
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.patterns.sort_by_key(|(p, _)| (Reverse(p.find('*')), Reverse(p.len())));
    }

    /// The price under the exact name, else under the name without its date, else under the pattern with the longest
    /// literal beginning, of those the longest.
    fn find(&self, model: &str) -> Option<PriceId> {
        let exact = |name: &str| self.exact.get(name).copied();
        exact(model)
            .or_else(|| undated(model).and_then(exact))
            .or_else(|| self.patterns.iter().find(|(p, _)| matches(p, model)).map(|(_, price)| *price))
    }
}

/// The name of a model without the date of its version behind it: `gpt-5-mini-2025-08-07`, `claude-haiku-4-5-20251001`,
/// `claude-haiku-4-5@20251001`.
fn undated(model: &str) -> Option<&str> {
    let shaped = |shape: &str| {
        let (name, tail) = model.split_at_checked(model.len().checked_sub(shape.len())?)?;
        let fits = |(byte, shape): (u8, u8)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
        (!name.is_empty() && tail.bytes().zip(shape.bytes()).all(fits)).then_some(name)
    };
    ["-0000-00-00", "-00000000", "@00000000"].into_iter().find_map(shaped)
}

#[cfg(test)]
mod tests {
    use super::undated;

    #[test]
    fn a_date_behind_a_name_is_known() {
        for (model, name) in [
            ("gpt-5-mini-2025-08-07", Some("gpt-5-mini")),
            ("claude-haiku-4-5-20251001", Some("claude-haiku-4-5")),
            ("claude-haiku-4-5@20251001", Some("claude-haiku-4-5")),
            ("gpt-4-0613", None),
            ("gpt-5-2025-8-07", None),
            ("-2025-08-07", None),
            ("ü-20251001", Some("ü")),
            ("2025-08-07", None),
            ("üüüüüü", None),
            ("", None),
        ] {
            assert_eq!(undated(model), name, "{model}");
        }
    }
}
