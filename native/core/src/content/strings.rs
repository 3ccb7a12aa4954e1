//! Redacts JSON: each string is searched as what it says, and what is left of it is written as JSON again, so that no
//! pattern can break it.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{
    border,
    search::{REDACTED, Search, Slow, replaced},
};
use crate::json;

/// The first `most` bytes of `json`, redacted; what stands behind them is looked at, as a match may reach there. It may
/// end anywhere.
pub fn redacted(json: &str, most: usize, search: &Search<'_>) -> Result<String, Slow> {
    let mut out = String::with_capacity(json.len());
    let mut at = 0;
    while at < most {
        let begin = memchr(b'"', &json.as_bytes()[at..]).map_or(json.len(), |quote| at + quote);
        between(&json[at..begin], most - at, search, &mut out)?;
        at = begin + 1;
        if at > most {
            break;
        }
        out.push('"');
        let end = at + end_of_string(&json.as_bytes()[at..]);
        string(&json[at..end], most - at, end == json.len(), search, &mut out)?;
        if end < most {
            out.push('"');
        }
        at = end + 1;
    }
    Ok(out)
}

/// Where the string that begins here ends.
pub(super) fn end_of_string(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', &text[at..]) {
        at += found;
        if text[at] == b'"' {
            return at;
        }
        at = (at + 2).min(text.len());
    }
    text.len()
}

/// What stands within a string's quotes. `is_open`: it broke off.
fn string(json: &str, most: usize, is_open: bool, search: &Search<'_>, out: &mut String) -> Result<(), Slow> {
    let text = unescaped(json);
    let found = search.ranges(&text, is_open)?;
    let shown = &json[..border(json, most)];
    if found.is_empty() {
        out.push_str(shown);
        return Ok(());
    }
    let most = if shown.len() < json.len() { border(&text, unescaped(shown).len()) } else { text.len() };
    json::escaped(&replaced(&text, &found, most), |piece| out.push_str(piece));
    Ok(())
}

/// What stands between two strings: a number in which something is found becomes a string.
fn between(json: &str, most: usize, search: &Search<'_>, out: &mut String) -> Result<(), Slow> {
    let most = border(json, most);
    let mut at = 0;
    while let Some(begin) = json[at..most].find(|letter: char| letter == '-' || letter.is_ascii_digit()) {
        out.push_str(&json[at..at + begin]);
        at += begin;
        let end = json[at..].find(is_behind_number).map_or(json.len(), |length| at + length);
        if search.ranges(&json[at..end], false)?.is_empty() {
            out.push_str(&json[at..end.min(most)]);
        } else {
            out.extend(["\"", REDACTED, "\""]);
        }
        at = end.min(most);
    }
    out.push_str(&json[at..most]);
    Ok(())
}

fn is_behind_number(letter: char) -> bool {
    !matches!(letter, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')
}

/// What a string says. What is no escape stands for itself.
fn unescaped(json: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'\\', json.as_bytes()) else { return Cow::Borrowed(json) };
    let mut text = String::with_capacity(json.len());
    text.push_str(&json[..first]);
    let mut rest = &json[first..];
    loop {
        let (code, used) = json::escape(rest.as_bytes());
        let letter = code.map_or('\\', letter);
        text.push(letter);
        rest = &rest[used..];
        let next = memchr(b'\\', rest.as_bytes());
        text.push_str(&rest[..next.unwrap_or(rest.len())]);
        let Some(next) = next else { return Cow::Owned(text) };
        rest = &rest[next..];
    }
}

/// The letter that `\u` and four digits stand for, twice where it takes two halves, and how many bytes that is; half a
/// letter is U+FFFD. `None`: they are no digits.
pub(super) fn escaped_letter(text: &[u8]) -> Option<(char, usize)> {
    let (code, used) = if text.starts_with(b"\\u") { json::escape(text) } else { (None, 0) };
    Some((letter(code?), used))
}

fn letter(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Redaction;

    fn shown(json: &str, patterns: &[&str]) -> String {
        let patterns: Vec<_> = patterns.iter().map(|&each| each.to_owned()).collect();
        let redaction = Redaction::new(&patterns, vec!["a\"quoted\\secret".to_owned()]).unwrap();
        redacted(json, json.len(), &redaction.search(&[])).unwrap()
    }

    #[test]
    fn a_string_is_searched_as_what_it_says() {
        for (json, pattern, expected) in [
            (r#"{"text":"first\nsecret 12"}"#, r"\bsecret\b", r#"{"text":"first\n[redacted] 12"}"#),
            (r#"["name","a\nname: x\tend"]"#, r"(?m)^name.*$", r#"["[redacted]","a\n[redacted]"]"#),
            (r#"["secret","no secret"]"#, "^secret", r#"["[redacted]","no secret"]"#),
            (r#"["one\ntwo\nthree"]"#, r"one\n\w+", r#"["[redacted]\nthree"]"#),
            (r#"["say \"hi\" to \u000a me\\"]"#, r#""hi""#, r#"["say [redacted] to \n me\\"]"#),
            (r#"["x a\"quoted\\secret y\u0001"]"#, "none", r#"["x [redacted] y\u0001"]"#),
            (r#"["\u0022 stays \/ as \u000a it came"]"#, "none", r#"["\u0022 stays \/ as \u000a it came"]"#),
        ] {
            assert_eq!(shown(json, &[pattern]), expected, "{pattern}");
        }
    }

    #[test]
    fn no_pattern_breaks_the_json() {
        let json = r#"{"a": [1, -20.5e+3, true, null, "x"], "b":4111111111111111,"c":{}}"#;
        for pattern in [r"\W", r"[\s\S]", r#"""#, "[a-z]+", r"\d{16}", "^1$", "e", r"\\"] {
            let text = shown(json, &[pattern]);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{pattern}: {text}");
        }
        assert_eq!(
            shown(json, &[r"\d{4}", r"20\.5"]),
            r#"{"a": [1, "[redacted]", true, null, "x"], "b":"[redacted]","c":{}}"#
        );
    }

    #[test]
    fn what_breaks_off_is_shown_as_far_as_is_asked() {
        let redaction = Redaction::new(&["é+".to_owned(), "9".to_owned()], Vec::new()).unwrap();
        let json = r#"{"a":"xéé\n\u0001y" , 19, 2, "z\"#;
        for most in 0..=json.len() {
            let most = border(json, most);
            let whole = r#"{"a":"x[redacted]\n\u0001y" , "[redacted]", 2, "z\"#;
            let text = redacted(json, most, &redaction.search(&[])).unwrap();
            assert!(whole.starts_with(text.trim_end_matches('\\')), "{most}: {text}");
            assert!(most < json.len() || text == whole, "{text}");
        }
    }
}
