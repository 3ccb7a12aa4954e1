//! Knows the frames that only carry text, most of a stream, without reading their JSON.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::sse;
use crate::dialects::StreamKind;

/// The searches that a kind of stream needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quick {
    chat: Option<&'static LazyLock<Chat>>,
}

/// Prepared once: a search is large.
static CHAT: LazyLock<Chat> = LazyLock::new(|| Chat {
    finish: Finder::new("\"finish_reason\""),
    usage: Finder::new("\"usage\""),
    error: Finder::new("\"error\""),
});

#[derive(Debug)]
struct Chat {
    finish: Finder<'static>,
    usage: Finder<'static>,
    error: Finder<'static>,
}

impl Quick {
    pub(super) fn new(kind: StreamKind) -> Self {
        Self { chat: matches!(kind, StreamKind::Chat | StreamKind::Completions).then_some(&CHAT) }
    }

    /// True for an object without error, finish and usage, in a chat.
    ///
    /// Without a backslash every quote begins or ends a string, so a name of ours stands there exactly if it does
    /// so between quotes. Only `null` behind a colon tells that it says nothing; anything else needs a closer look.
    pub(super) fn is_plain_chunk(self, data: &[u8]) -> bool {
        let Some(chat) = self.chat else { return false };
        memchr::memchr(b'\\', data).is_none()
            && chat.error.find(data).is_none()
            && all_null(&chat.usage, data)
            && all_null(&chat.finish, data)
    }
}

fn all_null(name: &Finder<'_>, data: &[u8]) -> bool {
    let mut rest = data;
    while let Some(at) = name.find(rest) {
        rest = &rest[at + name.needle().len()..];
        let Some(value) = rest.strip_prefix(b":") else { return false };
        if !value.strip_prefix(b" ").unwrap_or(value).starts_with(b"null") {
            return false;
        }
    }
    true
}

/// True for an event whose name says that it only carries more of the content: its data is not read.
pub(super) fn is_delta(kind: StreamKind, frame: &[u8]) -> bool {
    let Some(rest) = frame.strip_prefix(b"event: ") else { return false };
    let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else { return false };
    let (name, data) = rest.split_at(end);
    let known = match kind {
        StreamKind::Messages => name == b"content_block_delta",
        StreamKind::Responses => name.starts_with(b"response.") && name.ends_with(b".delta"),
        _ => false,
    };
    let data = data.strip_prefix(b"\r\n").or_else(|| data.strip_prefix(b"\n"));
    known && data.and_then(sse::single_data_line).is_some_and(|data| data.starts_with(b"{"))
}
