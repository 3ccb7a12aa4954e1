//! From the name a client asks for to the ordered list of targets.

mod order;
mod similar;

use crate::{
    named::Named,
    snapshot::{Overrides, Provider},
};

pub use order::{Attempt, order};
pub use similar::similar;

/// A provider and the model to ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index into the snapshot's providers.
    pub provider: usize,
    /// `None`: the name the client asked for.
    pub model: Option<String>,
    pub weight: u32,
}

/// One configured model.
#[derive(Debug, Default)]
pub struct Model {
    pub name: String,
    pub targets: Vec<Target>,
    pub fallback: Vec<Target>,
    /// Limits of its own, over those of each provider.
    pub timeouts: Overrides,
    /// The most that it answers, where a request does not say.
    pub max_output_tokens: Option<u64>,
}

/// Every name that leads somewhere.
#[derive(Debug, Default)]
pub struct Routes {
    exact: Named<Model>,
    /// Longest first.
    wildcards: Vec<Model>,
    /// Longest first.
    patterns: Vec<(String, usize)>,
}

/// Where a name leads.
#[derive(Debug)]
pub enum Route<'a> {
    Model(&'a Model),
    /// One provider, asked for `model`.
    Direct {
        provider: usize,
        model: &'a str,
    },
}

impl Routes {
    /// Adds a configured model; a name with `*` is a wildcard.
    pub fn add(&mut self, model: Model) {
        if model.name.contains('*') {
            self.wildcards.push(model);
            self.wildcards.sort_by_key(|m| std::cmp::Reverse(m.name.len()));
        } else {
            self.exact.insert(model.name.clone(), model);
        }
    }

    /// Adds a pattern of the catalogue.
    pub fn add_pattern(&mut self, pattern: &str, provider: usize) {
        self.patterns.push((pattern.to_owned(), provider));
        self.patterns.sort_by_key(|(p, _)| std::cmp::Reverse(p.len()));
    }

    /// Exact name, else `provider/rest`, else the longest wildcard, else the catalogue's patterns.
    pub fn find<'a>(&'a self, providers: &[Provider], name: &'a str) -> Option<Route<'a>> {
        if let Some(model) = self.exact.get(name) {
            return Some(Route::Model(model));
        }
        if let Some((provider, model)) = name.split_once('/')
            && !model.is_empty()
            && let Some(provider) = providers.iter().position(|p| p.name == provider)
        {
            return Some(Route::Direct { provider, model });
        }
        if let Some(model) = self.wildcards.iter().find(|m| matches(&m.name, name)) {
            return Some(Route::Model(model));
        }
        let (_, provider) = self.patterns.iter().find(|(p, _)| matches(p, name))?;
        Some(Route::Direct { provider: *provider, model: name })
    }

    /// Names that can be listed as they are: the exact ones, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.exact.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether any name of `provider` can be asked for beyond the exact ones.
    pub fn is_open_ended(&self, provider: usize) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
            || self.patterns.iter().any(|(_, p)| *p == provider)
            || self.wildcards.iter().any(|m| m.targets.iter().any(|t| t.provider == provider && t.model.is_none()))
    }
}

/// Whether `name` fits `pattern`, in which each `*` stands for any run of characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut rest = rest;
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}
