//! A row of the records' table as `PostgreSQL`'s binary COPY takes it, and read again for a store that takes values.
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format"; big-endian.

use std::borrow::Cow;

use super::{log_line::json_text, record_read::Columns};
use crate::journal::{entry::Entry, pack::has_nul};

/// Types of the columns, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Small,
    Int,
    Big,
    Bytes,
    Text,
    Json,
}

use Type::{Big, Bytes, Int, Json, Small, Text};

/// day, instance, sequence, kind · hash, digest, private, public · number, started, count · request, key, team, model,
/// target · status, outcome, error, tags · seven kinds of token · cost, total.
const TYPES: [Type; 29] = [
    Int, Text, Big, Small, Bytes, Bytes, Bytes, Bytes, Big, Big, Int, Text, Text, Text, Text, Text, Small, Text, Text,
    Json, Big, Big, Big, Big, Big, Big, Big, Big, Big,
];
/// `PostgreSQL`'s mark of `jsonb` in its first form.
const JSONB: u8 = 1;

/// A value that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Appends the row of an entry.
pub fn write(day: i32, instance: &str, entry: &Entry<'_>, columns: &Columns<'_>, out: &mut Vec<u8>) {
    let mut row = Row { out };
    row.out.extend((TYPES.len() as u16).to_be_bytes());
    row.value(&day.to_be_bytes());
    row.value(instance.as_bytes());
    row.big(Some(entry.sequence));
    row.small(Some(u64::from(entry.kind)));
    row.value(&entry.hash);
    row.perhaps(entry.digest.as_ref().map(|digest| &digest[..]));
    row.perhaps(entry.sealed);
    row.value(entry.public);
    row.big(columns.number);
    row.big(columns.started_us);
    row.perhaps(columns.count.map(|count| i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes()));
    for text in [columns.request_id, columns.key_id, columns.team, columns.model, columns.target] {
        row.text(text);
    }
    row.small(columns.status);
    row.text(columns.outcome);
    row.text(columns.error);
    row.tags(&columns.tags);
    columns.tokens.into_iter().for_each(|count| row.big(count));
    row.big(columns.cost_nanousd);
    row.big(columns.total_us);
}

struct Row<'a> {
    out: &'a mut Vec<u8>,
}

impl Row<'_> {
    fn value(&mut self, bytes: &[u8]) {
        self.out.extend((bytes.len() as u32).to_be_bytes());
        self.out.extend(bytes);
    }

    fn null(&mut self) {
        self.out.extend((-1_i32).to_be_bytes());
    }

    fn perhaps(&mut self, bytes: Option<impl AsRef<[u8]>>) {
        match bytes {
            Some(bytes) => self.value(bytes.as_ref()),
            None => self.null(),
        }
    }

    fn big(&mut self, number: Option<u64>) {
        let Some(number) = number else { return self.null() };
        let mut cell = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        cell[4..].copy_from_slice(&i64::try_from(number).unwrap_or(i64::MAX).to_be_bytes());
        self.out.extend(cell);
    }

    fn small(&mut self, number: Option<u64>) {
        self.perhaps(number.map(|number| i16::try_from(number).unwrap_or(i16::MAX).to_be_bytes()));
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.value(storable(text).as_bytes()),
            None => self.null(),
        }
    }

    fn tags(&mut self, tags: &[(&str, &str)]) {
        if tags.is_empty() {
            return self.null();
        }
        let mut json = vec![JSONB];
        for (index, (name, value)) in tags.iter().enumerate() {
            json.push(if index == 0 { b'{' } else { b',' });
            json_text(&mut json, &storable(name));
            json.push(b':');
            json_text(&mut json, &storable(value));
        }
        json.push(b'}');
        self.value(&json);
    }
}

/// `PostgreSQL` has no NUL in texts: U+FFFD stands for it, in every store.
fn storable(text: &str) -> Cow<'_, str> {
    if has_nul(text.as_bytes()) { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The row that begins at the first byte, and what stands behind it. `None`: there is none.
pub fn read(bytes: &[u8]) -> Option<(Vec<Cell<'_>>, &[u8])> {
    let (_, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut cells = Vec::with_capacity(TYPES.len());
    for kind in TYPES {
        let (length, after) = rest.split_first_chunk()?;
        let Ok(length) = u32::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            cells.push(Cell::Null);
            continue;
        };
        let (value, after) = after.split_at_checked(length as usize)?;
        rest = after;
        cells.push(match kind {
            Small => Cell::Number(i16::from_be_bytes(value.try_into().ok()?).into()),
            Int => Cell::Number(i32::from_be_bytes(value.try_into().ok()?).into()),
            Big => Cell::Number(i64::from_be_bytes(value.try_into().ok()?)),
            Bytes => Cell::Bytes(value),
            Text => Cell::Text(std::str::from_utf8(value).ok()?),
            Json => Cell::Text(std::str::from_utf8(value.get(1..)?).ok()?),
        });
    }
    Some((cells, rest))
}
