//! One log line as it is built: JSON, or text for people.

use std::io::Write;

use crate::clock::write_utc;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Json,
    Text,
}

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    /// JSON that is ready to be written as it stands.
    Json(&'a [u8]),
}

/// What can stand in a field: `&[("error", &error), ("open", &count)]`.
pub trait Field {
    fn value(&self) -> Value<'_>;
}

impl Field for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

impl Field for &str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Field for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Field for bool {
    fn value(&self) -> Value<'_> {
        Value::Flag(*self)
    }
}

impl Field for u64 {
    fn value(&self) -> Value<'_> {
        Value::Number(*self)
    }
}

impl Field for usize {
    fn value(&self) -> Value<'_> {
        Value::Number(*self as u64)
    }
}

/// A line and its fields. Writing to a `Vec` cannot fail, so results are dropped.
#[derive(Debug)]
pub(super) struct Line {
    format: Format,
    bytes: Vec<u8>,
}

impl Line {
    pub(super) fn new(format: Format, utc_us: u64, level: &str, message: &str) -> Self {
        let mut bytes = Vec::with_capacity(256);
        match format {
            Format::Json => {
                bytes.extend_from_slice(b"{\"ts\":\"");
                write_utc(utc_us, &mut bytes);
                let _ = write!(bytes, "\",\"level\":\"{level}\",\"message\":");
                json_text(&mut bytes, message);
                bytes.extend_from_slice(b",\"component\":\"native\"");
            }
            Format::Text => {
                write_utc(utc_us, &mut bytes);
                let _ = write!(bytes, " {level:<7} native: ");
                plain(&mut bytes, message);
            }
        }
        Self { format, bytes }
    }

    pub(super) fn field(&mut self, name: &str, value: Value<'_>) {
        match self.format {
            Format::Json => {
                let _ = write!(self.bytes, ",\"{name}\":");
                match value {
                    Value::Text(text) => json_text(&mut self.bytes, text),
                    other => self.bare(other),
                }
            }
            Format::Text => {
                let _ = write!(self.bytes, " {name}=");
                match value {
                    Value::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                        plain(&mut self.bytes, text);
                    }
                    Value::Text(text) => json_text(&mut self.bytes, text),
                    other => self.bare(other),
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.format == Format::Json {
            self.bytes.push(b'}');
        }
        self.bytes.push(b'\n');
        self.bytes
    }

    fn bare(&mut self, value: Value<'_>) {
        let _ = match value {
            Value::Number(number) => write!(self.bytes, "{number}"),
            Value::Flag(flag) => write!(self.bytes, "{flag}"),
            Value::Json(json) => self.bytes.write_all(json),
            Value::Text(text) => self.bytes.write_all(text.as_bytes()),
        };
    }
}

/// A JSON string, quotes included.
pub(super) fn json_text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// Text for a terminal: what could move its cursor is replaced.
fn plain(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        let shown = if character.is_control() { '\u{fffd}' } else { character };
        let _ = write!(out, "{shown}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_one_json_object_whatever_the_text() {
        let mut line = Line::new(Format::Json, 1, "info", "a \"b\"\n\u{1}c");
        line.field("text", Value::Text("ü\\\n"));
        line.field("number", Value::Number(3));
        line.field("inner", Value::Json(b"{\"x\":[1]}"));
        let bytes = line.finish();
        assert_eq!(memchr::memchr_iter(b'\n', &bytes).count(), 1);
        let read: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(read["message"], "a \"b\"\n\u{1}c");
        assert_eq!((&read["text"], &read["number"], &read["inner"]["x"][0]), (&"ü\\\n".into(), &3.into(), &1.into()));
        assert_eq!((&read["component"], &read["level"]), (&"native".into(), &"info".into()));
    }

    #[test]
    fn a_text_line_cannot_be_broken_by_what_it_says() {
        let mut line = Line::new(Format::Text, 0, "warning", "closed\x1b[2J\nforged");
        line.field("why", Value::Text("two words\n"));
        line.field("flag", Value::Flag(true));
        let text = String::from_utf8(line.finish()).expect("text");
        let expected = "1970-01-01T00:00:00.000000Z warning native: closed\u{fffd}[2J\u{fffd}forged \
                        why=\"two words\\n\" flag=true\n";
        assert_eq!(text, expected);
    }
}
