//! Tokens of text: exact for `OpenAI`'s encodings, by a stated approximation for other vendors' models.

mod ascii;
mod chat;
mod classes;
mod encodings;
mod images;
mod json;
mod map;
mod merge;
mod models;
mod picture;
mod split;
mod table;
mod tally;
mod tools;

use std::path::Path;

pub use chat::{count_chat, measure_chat};
use classes::CLASSES;
pub use encodings::Encodings;
pub(crate) use images::{Detail, picture_tokens};
pub(crate) use json::{each, text};
use merge::Merge;
pub use models::{Measure, approximate};
use split::{Pattern, Pieces};
use table::Table;
pub use table::TableError;
pub use tally::Tally;

/// An encoding whose vocabulary is at hand.
#[derive(Debug)]
pub struct Encoding {
    table: Table,
    pattern: Pattern,
}

impl Encoding {
    /// Names that [`Self::open`] knows.
    pub const NAMES: [&str; 2] = ["o200k_base", "cl100k_base"];

    /// Maps the table of an encoding, `<name>.table` in a directory, and checks it.
    pub fn open(directory: &Path, name: &str) -> Result<Self, TableError> {
        let (name, pattern) = match name {
            "o200k_base" => ("o200k_base", Pattern::O200k),
            "cl100k_base" => ("cl100k_base", Pattern::Cl100k),
            _ => return Err(TableError::Unknown),
        };
        let table = Table::open(&directory.join(name).with_extension("table"), name)?;
        Ok(Self { table, pattern })
    }
}

/// Tokens of a text, special tokens counted as the text that they are. Bytes that are not UTF-8 count as U+FFFD, as
/// whoever decodes them would see them. Time is linear in the length, whatever the text.
///
/// Source: `encode_ordinary` of tiktoken 0.14.
pub fn count(encoding: &Encoding, text: &[u8]) -> u64 {
    match simdutf8::basic::from_utf8(text) {
        Ok(text) => count_text(encoding, text),
        Err(_) => count_text(encoding, &String::from_utf8_lossy(text)),
    }
}

fn count_text(encoding: &Encoding, text: &str) -> u64 {
    let (words, mut merge) = (&encoding.table.view(), Merge::default());
    let pieces = Pieces::new(text, &CLASSES, encoding.pattern);
    pieces.map(|(begin, end)| merge.count(words, text.as_bytes(), begin, end) as u64).sum()
}
