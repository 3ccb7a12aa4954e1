//! Notes the fields of the outer object that Penstock reads, and checks their types.

use std::borrow::Cow;

use super::{
    Scan, Span, StreamOptions, Text, UNBOUNDED,
    lexer::{Kind, Lexer},
    names::decoded,
};
use crate::{
    dialects::usage::Tier,
    error::{Code, Error},
    json::{Scalar, unescape},
};

/// Passes the value of the field `name`, and notes it if it is one of ours.
pub(super) fn note<'a>(scan: &mut Scan<'a>, lexer: &mut Lexer<'a>, body: &'a [u8], name: &[u8]) -> Result<(), Error> {
    match name {
        b"stream_options" => {
            scan.stream_options = Some(stream_options(lexer)?);
            return Ok(());
        }
        b"options" => {
            scan.num_predict = num_predict(lexer)?;
            return Ok(());
        }
        b"prompt" => {
            scan.prompts = prompts(lexer)?;
            return Ok(());
        }
        _ => {}
    }
    let (kind, span) = lexer.value()?;
    match name {
        b"model" => scan.model = Some(model(body, kind, span)?),
        b"stream" => scan.stream = boolean("stream", kind)?.map(|on| (span, on)),
        b"max_tokens" => scan.max_tokens = count("max_tokens", lexer, kind, span)?,
        b"max_completion_tokens" => scan.max_completion_tokens = count("max_completion_tokens", lexer, kind, span)?,
        b"max_output_tokens" => scan.max_output_tokens = count("max_output_tokens", lexer, kind, span)?,
        b"n" => scan.n = count("n", lexer, kind, span)?,
        b"best_of" => scan.best_of = count("best_of", lexer, kind, span)?,
        b"user" => scan.user = (kind != Kind::Null).then_some(span),
        b"fallbacks" => scan.others[0] = (kind != Kind::Null).then_some(span),
        b"models" => scan.others[1] = (kind != Kind::Null).then_some(span),
        b"tools" => scan.others[2] = (kind != Kind::Null).then_some(span),
        b"plugins" => scan.others[3] = (kind != Kind::Null).then_some(span),
        b"metadata" => scan.metadata = (kind != Kind::Null).then_some(span),
        b"service_tier" if kind == Kind::Text => scan.tier = Tier::of(&text(body, &span)),
        b"speed" if kind == Kind::Text => scan.is_fast = *text(body, &span) == *b"fast",
        b"background" => scan.background = !matches!(kind, Kind::False | Kind::Null),
        b"n_predict" | b"num_predict" => scan.n_predict = scan.n_predict.max(bound(lexer, kind, &span)),
        _ => return not_misspelt(name),
    }
    Ok(())
}

/// Refuses a name that an upstream may take for one of ours although it is none: Go's decoder, for one, reads `Model` and
/// `ſtream` (with a long s) as `model` and `stream`, and of two the last.
fn not_misspelt(name: &[u8]) -> Result<(), Error> {
    // By length, as nearly every name has another: a long s counts two bytes, and the Kelvin sign three.
    let ours = match name.len() {
        1 => ["n"].as_slice(),
        4 => &["user"],
        5 => &["model", "user"],
        6 => &["stream", "prompt"],
        7 => &["stream", "best_of", "options"],
        8 => &["metadata", "best_of", "options"],
        10..=13 => &["max_tokens"],
        14..=16 => &["stream_options"],
        17..=20 => &["max_output_tokens"],
        21..=24 => &["max_completion_tokens"],
        _ => return Ok(()),
    };
    let Some(meant) = ours.iter().find(|ours| folds_to(name, ours.as_bytes())) else { return Ok(()) };
    let shown = String::from_utf8_lossy(name);
    let message = format!("Some providers take the field \"{shown}\" for \"{meant}\"; write it \"{meant}\".");
    Err(Error::new(Code::UnsupportedField, message).at(&*shown))
}

/// Whether a name is another without regard to case, by Unicode's simple folding: beside ASCII, two letters fold to it.
fn folds_to(mut name: &[u8], lower: &[u8]) -> bool {
    for letter in lower {
        let (folded, rest) = match name {
            [0xc5, 0xbf, rest @ ..] => (b's', rest),
            [0xe2, 0x84, 0xaa, rest @ ..] => (b'k', rest),
            [byte, rest @ ..] => (byte.to_ascii_lowercase(), rest),
            [] => return false,
        };
        if folded != *letter {
            return false;
        }
        name = rest;
    }
    name.is_empty()
}

fn stream_options(lexer: &mut Lexer<'_>) -> Result<StreamOptions, Error> {
    lexer.skip_blanks();
    let start = lexer.pos();
    let mut options = StreamOptions { span: start..start, is_object: true, empty: true, include_usage: None };
    if lexer.peek() != Some(b'{') {
        let (kind, span) = lexer.value()?;
        if kind != Kind::Null {
            return Err(wrong_type("stream_options", "an object or null"));
        }
        return Ok(StreamOptions { span, is_object: false, ..options });
    }
    lexer.members(|lexer, name| {
        let raw = lexer.bytes(&(name.start + 1..name.end - 1));
        let (kind, span) = lexer.nested_value()?;
        options.empty = false;
        if *unescape(raw) == *b"include_usage" {
            options.include_usage = Some((span, boolean("stream_options.include_usage", kind)?));
        }
        Ok(())
    })?;
    options.span.end = lexer.pos();
    Ok(options)
}

/// How many prompts there are: an array of token ids is one.
fn prompts(lexer: &mut Lexer<'_>) -> Result<u64, Error> {
    lexer.skip_blanks();
    if lexer.peek() != Some(b'[') {
        lexer.value()?;
        return Ok(0);
    }
    let mut count = 0;
    lexer.elements(|lexer| {
        let (kind, _) = lexer.nested_value()?;
        count += u64::from(kind != Kind::Number);
        Ok(())
    })?;
    Ok(count)
}

/// Ollama's cap, of its options. It takes 0 for none, and of two its decoder the last.
fn num_predict(lexer: &mut Lexer<'_>) -> Result<Option<u64>, Error> {
    lexer.skip_blanks();
    if lexer.peek() != Some(b'{') {
        lexer.value()?;
        return Ok(None);
    }
    let (mut found, mut seen) = (None, false);
    lexer.members(|lexer, name| {
        let is_cap = *decoded(lexer.bytes(&(name.start + 1..name.end - 1))) == *b"num_predict";
        let (kind, span) = lexer.nested_value()?;
        if is_cap {
            found = if seen { Some(UNBOUNDED) } else { bound(lexer, kind, &span) };
            seen = true;
        }
        Ok(())
    })?;
    Ok(found.map(|tokens| if tokens == 0 { UNBOUNDED } else { tokens }))
}

/// A number of tokens that nobody but the upstream checks; `null` is none.
fn bound(lexer: &Lexer<'_>, kind: Kind, span: &Span) -> Option<u64> {
    match kind {
        Kind::Null => None,
        Kind::Number => Some(Scalar::Atom(lexer.bytes(span)).whole().unwrap_or(UNBOUNDED)),
        _ => Some(UNBOUNDED),
    }
}

/// A string as it reads.
fn text<'a>(body: &'a [u8], span: &Span) -> Cow<'a, [u8]> {
    decoded(&body[span.start + 1..span.end - 1])
}

fn model(body: &[u8], kind: Kind, span: Span) -> Result<Text<'_>, Error> {
    if kind != Kind::Text {
        return Err(wrong_type("model", "a string"));
    }
    let raw = &body[span.start + 1..span.end - 1];
    let no_text = |_| wrong_type("model", "a string without lone surrogates");
    let text = if raw.contains(&b'\\') {
        Cow::Owned(String::from_utf8(unescape(raw)).map_err(|e| no_text(e.utf8_error()))?)
    } else {
        Cow::Borrowed(std::str::from_utf8(raw).map_err(no_text)?)
    };
    Ok(Text { span, text })
}

fn boolean(name: &str, kind: Kind) -> Result<Option<bool>, Error> {
    match kind {
        Kind::True => Ok(Some(true)),
        Kind::False => Ok(Some(false)),
        Kind::Null => Ok(None),
        _ => Err(wrong_type(name, "true, false or null")),
    }
}

fn count(name: &str, lexer: &Lexer<'_>, kind: Kind, span: Span) -> Result<Option<(Span, u64)>, Error> {
    let value = match kind {
        Kind::Null => return Ok(None),
        Kind::Number => Scalar::Atom(lexer.bytes(&span)).whole(),
        _ => None,
    };
    match value {
        Some(value) => Ok(Some((span, value))),
        None => Err(wrong_type(name, "a whole number not below 0")),
    }
}

fn wrong_type(name: &str, expected: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("The field \"{name}\" must be {expected}.")).at(name)
}
