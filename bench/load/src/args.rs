//! `--name value` pairs of the command line.

use std::{collections::HashMap, str::FromStr};

use crate::Outcome;

pub(crate) struct Args(HashMap<String, String>);

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut pairs = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("expected --name, found {word}"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            pairs.insert(name.to_owned(), value);
        }
        Ok(Self(pairs))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn need<T: FromStr>(&self, name: &str) -> Outcome<T> {
        let text = self.text(name).ok_or_else(|| format!("--{name} is missing"))?;
        text.parse().map_err(|_| format!("--{name} {text}: not understood").into())
    }

    pub(crate) fn or<T: FromStr>(&self, name: &str, default: T) -> Outcome<T> {
        if self.0.contains_key(name) { self.need(name) } else { Ok(default) }
    }
}
