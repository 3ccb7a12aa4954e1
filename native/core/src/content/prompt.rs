//! A request's JSON as a record has it: as it came, but letters stand for themselves where escapes stood, so that what is to
//! be redacted is found, and a note stands for pictures, sound and files.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

use super::{
    Kept,
    strings::{end_of_string, escaped_letter},
};

/// A shorter string is no file.
const SHORTEST_DATA: usize = 512;
/// So much of a string is looked at to tell whether it is one.
const LOOKED_AT: usize = 4 * 1024;
/// Where the type of a `data:` address ends.
const LONGEST_TYPE: usize = 128;

/// How files begin in base64.
const BEGINNINGS: &[(&str, &str)] = &[
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp or audio/wav"),
    ("JVBERi", "application/pdf"),
    ("SUQz", "audio/mpeg"),
    ("T2dnUw", "audio/ogg"),
    ("UEsDB", "application/zip"),
];

/// Keeps a body, which is JSON. Of what is not kept only strings that are files are looked at, to tell how long they are.
pub fn write_prompt(mut body: &[u8], kept: &mut Kept) {
    kept.set_json();
    while !kept.is_full() {
        let Some(quote) = memchr(b'"', within(body, kept)) else { return kept.push(body) };
        let (before, rest) = body.split_at(quote + 1);
        kept.push(before);
        let used = match file(rest) {
            Some((note, length)) => {
                kept.push(note.as_bytes());
                length
            }
            None => write_string(rest, kept),
        };
        body = &rest[used..];
        if let Some((quote, rest)) = body.split_at_checked(1) {
            kept.push(quote);
            body = rest;
        }
    }
}

/// What there may be room for, and a byte more.
fn within<'a>(text: &'a [u8], kept: &Kept) -> &'a [u8] {
    &text[..text.len().min(kept.left() + 1)]
}

/// What stands for a string that is a file, and how long it is. `text`: all that comes from its beginning on.
fn file(text: &[u8]) -> Option<(String, usize)> {
    let (kind, at) = match text.strip_prefix(b"data:") {
        Some(address) => {
            let shown = &address[..address.len().min(LONGEST_TYPE)];
            let at = memmem::find(shown, b";base64,").filter(|at| end_of_string(&shown[..*at]) == *at)?;
            (String::from_utf8(shown[..at].to_vec()).ok(), b"data:".len() + at + b";base64,".len())
        }
        None if is_base64(text) => (None, 0),
        None => return None,
    };
    let data = &text[at..];
    let length = memchr(b'"', data).unwrap_or(data.len());
    // In base64 there are no quotes.
    let data = Some(&data[..length]).filter(|data| data.last() != Some(&b'\\'))?;
    let is_plain = |kind: &String| kind.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
    let known = || BEGINNINGS.iter().find(|(beginning, _)| starts_with(data, beginning)).map(|(_, kind)| *kind);
    let kind = kind.filter(is_plain).map_or_else(|| Cow::from(known().unwrap_or("data")), Cow::from);
    Some((format!("[{kind}, {} bytes]", length / 4 * 3), at + length))
}

/// Whether base64 begins so; some write `\/` for `/`.
fn starts_with(data: &[u8], beginning: &str) -> bool {
    data.iter().filter(|byte| **byte != b'\\').take(beginning.len()).eq(beginning.as_bytes())
}

/// Whether a long string that begins here is base64, and no word.
fn is_base64(text: &[u8]) -> bool {
    let (mut upper, mut lower, mut digit) = (false, false, false);
    let shown = &text[..text.len().min(LOOKED_AT)];
    let mut bytes = shown.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'A'..=b'Z' => upper = true,
            b'a'..=b'z' => lower = true,
            b'0'..=b'9' => digit = true,
            b'+' | b'/' | b'-' | b'_' | b'=' => {}
            b'\\' if matches!(bytes.next(), Some(b'/' | b'n' | b'r') | None) => {}
            b'"' if shown.len() - bytes.len() > SHORTEST_DATA => break,
            _ => return false,
        }
    }
    upper && lower && digit && shown.len() - bytes.len() >= SHORTEST_DATA
}

/// A string, its letters as they are: only what JSON demands stays escaped. How many bytes of it were looked at: all up to
/// its quote, or what there was room for.
fn write_string(text: &[u8], kept: &mut Kept) -> usize {
    let mut at = 0;
    while !kept.is_full() {
        let rest = &text[at..];
        let Some(found) = memchr2(b'"', b'\\', within(rest, kept)) else {
            kept.push(rest);
            return text.len();
        };
        kept.push(&rest[..found]);
        at += found;
        if text[at] == b'"' {
            break;
        }
        at += write_escape(&text[at..], kept);
    }
    at
}

/// What begins with a backslash; how many bytes that took.
fn write_escape(text: &[u8], kept: &mut Kept) -> usize {
    let stays = |used: usize| (&text[..used.min(text.len())], used.min(text.len()));
    let mut room = [0; 4];
    let (written, used) = match (text.get(1), escaped_letter(text)) {
        (Some(b'/'), _) => (&b"/"[..], 2),
        (_, Some((letter, used))) if letter < ' ' || matches!(letter, '"' | '\\') => stays(used),
        (_, Some((letter, used))) => (letter.encode_utf8(&mut room).as_bytes(), used),
        (_, None) => stays(2),
    };
    kept.push(written);
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Note, Piece, Policy, Redaction, Room};

    struct Endless;

    impl Room for Endless {
        fn grow_to(&mut self, _: usize) -> bool {
            true
        }
    }

    fn prompt(body: &str, max_bytes: usize, patterns: &[String]) -> Piece {
        let redaction = Redaction::new(patterns, Vec::new()).unwrap();
        let policy = Policy { prompts: true, answers: false, max_bytes, redaction };
        let mut kept = Kept::new(&policy, Box::new(Endless));
        write_prompt(body.as_bytes(), &mut kept);
        kept.finish(&policy, &[]).unwrap()
    }

    fn shown(body: &str) -> String {
        let Piece { text, note } = prompt(body, 10_000, &[]);
        assert_eq!(note, None);
        text
    }

    #[test]
    fn a_body_stays_as_it_came() {
        for body in [
            r#"{"model": "m", "messages": [{"role":"user","content":"say \"hi\"\n\\ or C:\\u0041"}], "n": 1}"#,
            "[1, 2]",
            "",
        ] {
            if !body.is_empty() {
                assert_eq!(shown(body), body);
            }
        }
    }

    #[test]
    fn escaped_letters_stand_for_themselves_and_it_is_still_json() {
        let body = r#"{"a\u0062":"\u00e9\ud83d\ude00 \/ \u0022 \u005c \u000a \ud800x \u12"}"#;
        assert_eq!(shown(body), r#"{"ab":"é😀 / \u0022 \u005c \u000a �x \u12"}"#);
        let body = r#"{"text":"\u00e9 \u0022 \u005c \u0000 \ud83d\ude00\ud800"}"#;
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown(body))["text"], "é \" \\ \0 😀\u{fffd}");
    }

    #[test]
    fn a_pattern_finds_what_was_escaped() {
        let body = r#"{"text":"m\u0075eller@example.\u0063om \u0073k-pen-0123456789Ab-01234567890123"}"#;
        let shown = prompt(body, 1_000, &[r"\w+@\w+\.com".to_owned()]);
        assert_eq!(shown.text, r#"{"text":"[redacted] [redacted]"}"#);
    }

    #[test]
    fn a_note_stands_for_what_is_no_text() {
        let data = format!("iVBORw0KGgo{}aB1+", "AbC0".repeat(1_000));
        let escaped = format!(r"\/9j\/{}\n{}", "AbC0".repeat(200), "aB1_".repeat(100));
        let body = format!(
            r#"{{"u":"data:image/webp;base64,{data}","b":"{data}","e":"{escaped}","short":"{}","word":"{}"}}"#,
            &data[..500],
            "a".repeat(900)
        );
        let shown = shown(&body);
        assert!(
            shown.starts_with(r#"{"u":"[image/webp, 3009 bytes]","b":"[image/png, 3009 bytes]","e":"[image/jpeg, "#)
        );
        assert!(shown.contains(&data[..500]) && shown.contains(&"a".repeat(900)), "{shown}");
        let odd = format!(r#"{{"u":"data:a\"b;base64,{data}"}}"#);
        assert_eq!(self::shown(&odd), r#"{"u":"[image/png, 3009 bytes]"}"#);
    }

    #[test]
    fn only_the_beginning_of_a_long_body_is_looked_at() {
        let body = format!(r#"{{"text":"{}"}}"#, "x y ".repeat(1_000_000));
        let Piece { text, note } = prompt(&body, 100, &[]);
        assert_eq!((text.len(), note), (100, Some(Note::Cut)));
        assert!(body.starts_with(&text));
    }
}
