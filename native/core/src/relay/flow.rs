//! Reads the lines of an oversize event as its bytes flow by, cut anywhere.

use super::sse::Line;
use crate::dialects::fields::Short;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    /// In the field's name.
    #[default]
    Name,
    /// Before the blank that may follow the colon.
    DataStart,
    Data,
    EventStart,
    Event,
    Other,
}

/// Where an event stands in the middle of its lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    field: Field,
    /// The name of the field so far.
    name: Short,
    /// The event's name.
    event: Short,
    has_event: bool,
    /// Any data came.
    pub(super) has_data: bool,
}

impl Flow {
    /// The event's name, if a line gave one.
    pub(super) fn event(&self) -> Option<&[u8]> {
        self.has_event.then(|| self.event.get())
    }

    /// Hands each run of data bytes in `bytes` to `data`; the end of a line counts as one newline.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut data: impl FnMut(&[u8])) {
        while let Some(&byte) = bytes.first() {
            if matches!(byte, b'\n' | b'\r') {
                self.end_line();
                if matches!(self.field, Field::Data | Field::DataStart) {
                    data(b"\n");
                }
                self.field = Field::Name;
                self.name.clear();
                bytes = &bytes[1..];
                continue;
            }
            let mut used = 1;
            match self.field {
                Field::Name if byte == b':' => self.field = self.named(),
                Field::Name => self.name.push(byte),
                Field::DataStart => {
                    self.field = Field::Data;
                    used = usize::from(byte == b' ');
                }
                Field::EventStart => {
                    self.field = Field::Event;
                    used = usize::from(byte == b' ');
                }
                Field::Event => self.event.push(byte),
                Field::Data | Field::Other => {
                    used = memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
                    if self.field == Field::Data {
                        self.has_data |= !bytes[..used].trim_ascii().is_empty();
                        data(&bytes[..used]);
                    }
                }
            }
            bytes = &bytes[used..];
        }
    }

    /// The field that the name before a colon stands for.
    fn named(&mut self) -> Field {
        match Line::of(self.name.get()) {
            Line::Data(_) => Field::DataStart,
            Line::Event(_) => {
                self.event.clear();
                self.has_event = true;
                Field::EventStart
            }
            _ => Field::Other,
        }
    }

    /// A line that is a name without a colon sets that field to nothing.
    fn end_line(&mut self) {
        if self.field == Field::Name && self.name.get() == b"event" {
            self.event.clear();
            self.has_event = true;
        }
    }
}
