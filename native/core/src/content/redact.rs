//! What must not be read in a text is replaced: keys, secrets of the configuration, what patterns find.

use std::ops::Range;

use memchr::memmem::{self, Finder};
use regex::{Regex, RegexBuilder};

use crate::keys::format::find_keys;

/// What stands for each of them.
const REDACTED: &str = "[redacted]";
/// A secret that is shorter would be found in what is none.
const SHORTEST_SECRET: usize = 8;
/// Bytes that a pattern may take once it is compiled, and the tables that it makes as it runs.
const PATTERN_BYTES: usize = 512 << 10;
/// What admin tokens begin with.
const TOKEN_PREFIX: &[u8] = b"pen-admin-";

/// What is replaced. `Debug` shows none of it.
pub struct Redaction {
    patterns: Vec<Regex>,
    secrets: Vec<Finder<'static>>,
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({} patterns, {} secrets)", self.patterns.len(), self.secrets.len())
    }
}

/// A pattern made ready. The error says what is wrong with it, in one line.
fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build();
    match built {
        Ok(found) if found.is_match("") => Err("matches an empty text, and would match anywhere".to_owned()),
        Ok(found) => Ok(found),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(format!("takes more than {} KiB once it is compiled", PATTERN_BYTES >> 10))
        }
        Err(error) => {
            // The last line says what, those before show where.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            Err(last.trim_start_matches("error: ").to_owned())
        }
    }
}

/// What is wrong with a pattern; `None`: nothing.
pub fn check_pattern(pattern: &str) -> Option<String> {
    compile(pattern).err()
}

impl Redaction {
    /// The error names the pattern by its place.
    pub fn new(patterns: &[String], mut secrets: Vec<String>) -> Result<Self, String> {
        let named = |(at, pattern): (usize, &String)| compile(pattern).map_err(|e| format!("redact[{at}]: {e}"));
        let patterns = patterns.iter().enumerate().map(named).collect::<Result<_, _>>()?;
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.sort_unstable();
        secrets.dedup();
        let secrets = secrets.iter().map(|secret| Finder::new(secret.as_bytes()).into_owned()).collect();
        Ok(Self { patterns, secrets })
    }

    /// The text with all of it replaced. `key`: one more secret. Time is linear in the text.
    pub fn apply(&self, text: &str, key: &[u8]) -> String {
        let mut found: Vec<Range<usize>> = Vec::new();
        for pattern in &self.patterns {
            found.extend(pattern.find_iter(text).map(|found| found.range()));
        }
        let bytes = text.as_bytes();
        for secret in &self.secrets {
            found.extend(secret.find_iter(bytes).map(|at| at..at + secret.needle().len()));
            found.extend(begun(bytes, secret.needle()));
        }
        if key.len() >= SHORTEST_SECRET {
            found.extend(memmem::find_iter(bytes, key).map(|at| at..at + key.len()));
            found.extend(begun(bytes, key));
        }
        found.extend(find_keys(bytes));
        found.extend(find_tokens(bytes));
        replaced(text, found)
    }
}

/// The beginning of a secret at the end of a text that broke off there.
fn begun(text: &[u8], secret: &[u8]) -> Option<Range<usize>> {
    let longest = (SHORTEST_SECRET..secret.len()).rev().find(|length| text.ends_with(&secret[..*length]))?;
    Some(text.len() - longest..text.len())
}

/// Tokens of the admin port, whole or cut.
fn find_tokens(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    memmem::find_iter(text, TOKEN_PREFIX).filter_map(|at| {
        let rest = &text[at + TOKEN_PREFIX.len()..];
        let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
        (length >= SHORTEST_SECRET).then_some(at..at + TOKEN_PREFIX.len() + length)
    })
}

/// The text with one mark for each run of what was found.
fn replaced(text: &str, mut found: Vec<Range<usize>>) -> String {
    found.retain(|range| !range.is_empty());
    found.sort_unstable_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    let mut ranges = found.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start < range.end) {
            range.end = range.end.max(next.end);
        }
        out.push_str(text.get(done..range.start).unwrap_or_default());
        out.push_str(REDACTED);
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-pen-0123456789Ab-0123456789012345678901234567890123456789012abcdef";

    fn redaction(patterns: &[&str]) -> Redaction {
        let patterns: Vec<_> = patterns.iter().map(|&each| each.to_owned()).collect();
        Redaction::new(&patterns, vec!["sk-provider-secret".to_owned(), "short".to_owned()]).unwrap()
    }

    #[test]
    fn keys_and_secrets_are_always_replaced() {
        let none = redaction(&[]);
        for (text, shown) in [
            (format!("a {KEY} b"), "a [redacted] b"),
            (format!("a {}", &KEY[..30]), "a [redacted]"),
            (format!("{KEY}{KEY}"), "[redacted]"),
            ("x sk-provider-secret, short".to_owned(), "x [redacted], short"),
            ("it ends in sk-provider".to_owned(), "it ends in [redacted]"),
            ("and sk-provider goes on".to_owned(), "and sk-provider goes on"),
            ("own-key-of-another-gateway!".to_owned(), "[redacted]!"),
            ("pen-admin-AAAAAAAAAAAAAAAAAAAAAAAA-_A.".to_owned(), "[redacted]."),
            ("nothing of that kind, sk-pen- nor pen-admin-".to_owned(), "nothing of that kind, sk-pen- nor pen-admin-"),
        ] {
            assert_eq!(none.apply(&text, b"own-key-of-another-gateway"), shown);
        }
    }

    #[test]
    fn what_patterns_find_is_replaced_once_where_they_meet() {
        let two = redaction(&[r"(?i)[\w.+-]+@[\w-]+\.[\w.-]+", r"\b\d{4}-\d{4}\b", "example"]);
        assert_eq!(two.apply("Ünal@Example.com, 1234-5678; 12345-6789é", b""), "[redacted], [redacted]; 12345-6789é");
        assert_eq!(two.apply("", b""), "");
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused_with_the_reason() {
        assert_eq!(check_pattern(r"\d+"), None);
        for (pattern, said) in [
            ("(", "unclosed group"),
            ("(?=a)", "look-around"),
            ("a*", "empty text"),
            (r"\w{100}{100}", "more than 512 KiB"),
        ] {
            let why = check_pattern(pattern).unwrap();
            assert!(why.contains(said) && !why.contains('\n'), "{pattern}: {why}");
        }
        let error = Redaction::new(&["a".to_owned(), "(".to_owned()], Vec::new()).unwrap_err();
        assert!(error.starts_with("redact[1]: "), "{error}");
    }

    #[test]
    fn no_secret_is_shown_by_debug() {
        assert_eq!(format!("{:?}", redaction(&["a"])), "Redaction(1 patterns, 1 secrets)");
    }
}
