//! Walks over JSON that was found valid, without making a tree of it.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Calls back for each element of an array; anything else has none.
pub(crate) fn each<'a>(list: &'a RawValue, mut work: impl FnMut(&'a RawValue)) {
    if list.get().starts_with('[') {
        walk(list, Walk(|_, value| work(value)));
    }
}

/// Calls back for each member of an object; anything else has none.
pub(super) fn members<'a>(object: &'a RawValue, work: impl FnMut(Cow<'a, [u8]>, &'a RawValue)) {
    if object.get().starts_with('{') {
        walk(object, Walk(work));
    }
}

/// A string without its escapes, as UTF-8; each lone surrogate in it as U+FFFD. `None`: it is no string.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, [u8]>> {
    serde_json::Deserializer::from_str(value.get()).deserialize_bytes(Text).ok()
}

/// What is read here was read before, so that there is nothing to report.
fn walk<'a>(value: &'a RawValue, walk: Walk<impl FnMut(Cow<'a, [u8]>, &'a RawValue)>) {
    let walked = serde_json::Deserializer::from_str(value.get()).deserialize_any(walk);
    debug_assert!(walked.is_ok());
}

struct Walk<F>(F);

impl<'de, F: FnMut(Cow<'de, [u8]>, &'de RawValue)> Visitor<'de> for Walk<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<&RawValue>()? {
            (self.0)(Cow::Borrowed(b""), value);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((name, value)) = object.next_entry::<Name<'de>, &RawValue>()? {
            (self.0)(name.0, value);
        }
        Ok(())
    }
}

struct Name<'a>(Cow<'a, [u8]>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Text).map(Self)
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.as_bytes().to_vec()))
    }

    fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_bytes<E>(self, text: &[u8]) -> Result<Self::Value, E> {
        let mut text = text.to_vec();
        if simdutf8::basic::from_utf8(&text).is_err() {
            replace_surrogates(&mut text);
        }
        Ok(Cow::Owned(text))
    }
}

/// Escapes of lone surrogates come as three bytes that stand nowhere in UTF-8.
fn replace_surrogates(text: &mut [u8]) {
    for at in 0..text.len().saturating_sub(2) {
        if let [0xed, 0xa0..=0xbf, 0x80..=0xbf] = text[at..at + 3] {
            text[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        }
    }
}
