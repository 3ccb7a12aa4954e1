//! What must not be read in a text is replaced: keys, secrets of the configuration, what patterns find.

use std::ops::Range;

use memchr::memmem::{self, Finder};
use regex::{Regex, RegexBuilder};

use super::search::Search;

/// A secret that is shorter would be found in what is none.
pub(super) const SHORTEST_SECRET: usize = 8;
/// Bytes that a pattern may take once it is compiled, and the tables that it makes as it runs.
const PATTERN_BYTES: usize = 512 << 10;
/// What admin tokens begin with.
const TOKEN_PREFIX: &[u8] = b"pen-admin-";

/// Credentials of others by their shapes: keys of `OpenAI` and those who took over its form, Anthropic, `OpenRouter`, Google,
/// Groq, xAI, Hugging Face, Perplexity, Replicate, NVIDIA; key ids of AWS; tokens of GitHub.
macro_rules! known {
    ($before:literal) => {
        concat!(
            r"(?-u)",
            $before,
            r"(?:sk-[A-Za-z0-9]{20,}|sk-(?:ant|proj|svcacct|admin|or)-[A-Za-z0-9_-]{20,}",
            r"|AIza[A-Za-z0-9_-]{35,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{30,}",
            r"|pplx-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{30,}|nvapi-[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b",
            r"|gh[opsru]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
        )
    };
}

const KNOWN: &str = known!(r"\b");
/// In JSON within a text an escape may stand before one, which ends in a letter or a digit.
const KNOWN_ESCAPED: &str = known!(r"\\(?:[bfnrt]|u[0-9A-Fa-f]{4})");

/// What is replaced. `Debug` shows none of it.
pub struct Redaction {
    known: [Regex; 2],
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
        Ok(Self { known: [compile(KNOWN)?, compile(KNOWN_ESCAPED)?], patterns, secrets })
    }

    /// Looks for it all in a text of a request. `keys`: more secrets.
    pub fn search<'a>(&'a self, keys: &'a [Box<[u8]>]) -> Search<'a> {
        Search::new(self, keys)
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = &Regex> {
        self.known.iter().chain(&self.patterns)
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &Finder<'static>> {
        self.secrets.iter()
    }
}

/// Tokens of the admin port, whole or cut.
pub(super) fn find_tokens(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    memmem::find_iter(text, TOKEN_PREFIX).filter_map(|at| {
        let rest = &text[at + TOKEN_PREFIX.len()..];
        let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
        (length >= SHORTEST_SECRET).then_some(at..at + TOKEN_PREFIX.len() + length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::search::{Slow, replaced};

    const KEY: &str = "sk-pen-0123456789Ab-0123456789012345678901234567890123456789012abcdef";

    /// A text that broke off, redacted.
    fn shown(redaction: &Redaction, text: &str, key: &[u8]) -> String {
        replaced(text, &redaction.search(&[key.into()]).ranges(text, true).unwrap(), text.len())
    }

    fn redaction(patterns: &[&str]) -> Redaction {
        let patterns: Vec<_> = patterns.iter().map(|&each| each.to_owned()).collect();
        Redaction::new(&patterns, vec!["sk-provider-secret".to_owned(), "short".to_owned()]).unwrap()
    }

    #[test]
    fn keys_and_secrets_are_always_replaced() {
        let none = redaction(&[]);
        for (text, expected) in [
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
            assert_eq!(shown(&none, &text, b"own-key-of-another-gateway"), expected);
        }
    }

    #[test]
    fn what_patterns_find_is_replaced_once_where_they_meet() {
        let two = redaction(&[r"(?i)[\w.+-]+@[\w-]+\.[\w.-]+", r"\b\d{4}-\d{4}\b", "example"]);
        let text = "Ünal@Example.com, 1234-5678; 12345-6789é";
        assert_eq!(shown(&two, text, b""), "[redacted], [redacted]; 12345-6789é");
        assert_eq!(shown(&two, "", b""), "");
    }

    #[test]
    fn credentials_of_others_are_known_by_their_shape() {
        let none = redaction(&[]);
        for begin in
            ["sk-", "sk-ant-api03-", "sk-proj-_", "sk-or-v1-", "AIza", "gsk_", "xai-", "hf_", "pplx-", "r8_", "nvapi-"]
        {
            let text = format!("key={begin}{}.", "aB3dE6".repeat(7));
            assert_eq!(shown(&none, &text, b""), "key=[redacted].", "{text}");
        }
        let others =
            "AKIAIOSFODNN7EXAMPLE, ghp_0123456789abcdefghijABCDEFGHIJ456789; Bearer sk-proj-0123456789abcdefghij";
        assert_eq!(shown(&none, others, b""), "[redacted], [redacted]; Bearer [redacted]");
        for (text, expected) in [
            (r#"{"out":"\nsk-proj-0123456789abcdefghij"}"#, r#"{"out":"[redacted]"}"#),
            (r"\u003eghp_0123456789abcdefghijABCDEFGHIJ456789.", "[redacted]."),
        ] {
            assert_eq!(shown(&none, text, b""), expected, "behind what is escaped");
        }
        for text in [
            "risk-management-of-something-that-is-long, task-0123456789012345678901",
            "sk-learn, sk-SK, AIza, xai-grok, gsk_short, hf_hub_download, AKIAIOSFODNN7EXAMPLES, r8_, sk-proj-short",
        ] {
            assert_eq!(shown(&none, text, b""), text);
        }
    }

    #[test]
    fn a_text_that_takes_too_long_is_not_shown() {
        let quadratic = redaction(&["A.*X|A"]);
        assert_eq!(quadratic.search(&[]).ranges(&"A".repeat(26 << 10), true), Err(Slow));
        assert_eq!(shown(&quadratic, "A few", b""), "[redacted] few");
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
