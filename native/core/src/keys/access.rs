//! What a key or a team may do. Equal ones are kept once, however many keys share them.

use std::net::IpAddr;

use crate::{request::client_address::Networks, route::matches};

/// Three lists; `None` allows all, an empty list nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lists {
    pub models: Option<Box<[Box<str>]>>,
    pub paths: Option<Box<[Box<str>]>>,
    pub networks: Option<Box<[Box<str>]>>,
}

/// The same, made ready to be asked.
#[derive(Debug, Default)]
pub struct Access {
    lists: Lists,
    models: Option<Patterns>,
    paths: Option<Patterns>,
    networks: Option<Networks>,
}

/// A list in which names without a star, however many, are found by a few comparisons.
#[derive(Debug)]
struct Patterns {
    /// Sorted.
    names: Vec<Box<str>>,
    globs: Vec<Box<str>>,
}

impl Patterns {
    fn new(list: &[Box<str>]) -> Self {
        let (globs, mut names): (Vec<_>, Vec<_>) = list.iter().cloned().partition(|text| text.contains('*'));
        names.sort_unstable();
        Self { names, globs }
    }

    fn hold(&self, name: &str) -> bool {
        self.names.binary_search_by(|known| (**known).cmp(name)).is_ok() || self.globs.iter().any(|g| matches(g, name))
    }
}

impl Access {
    /// Makes the lists ready; the error names the network that is none.
    pub fn new(lists: Lists) -> Result<Self, String> {
        let texts = lists.networks.as_ref().map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        let networks = texts.as_deref().map(Networks::parse).transpose()?;
        let patterns = |list: &Option<Box<[Box<str>]>>| list.as_deref().map(Patterns::new);
        Ok(Self { models: patterns(&lists.models), paths: patterns(&lists.paths), lists, networks })
    }

    /// As they were given.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Whether a model may be asked for by this name.
    pub fn allows_model(&self, name: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.hold(name))
    }

    /// Whether a path, without `/v1`, may be called.
    pub fn allows_path(&self, path: &str) -> bool {
        self.paths.as_ref().is_none_or(|paths| paths.hold(path))
    }

    /// Whether a client at this address may ask; one without an address (a Unix socket's) is in no network.
    pub fn allows_client(&self, client: Option<IpAddr>) -> bool {
        self.networks.as_ref().is_none_or(|networks| client.is_some_and(|c| networks.contains(c)))
    }
}
