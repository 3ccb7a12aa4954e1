//! The frame splitter: loses nothing, and cuts alike however the bytes come.

use penstock_core::{dialects::StreamKind, relay::frames::Splitter};

/// The first byte chooses the kind and the size of the pieces, the rest is the stream.
pub fn frames(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let kind = if first & 1 == 0 { StreamKind::Chat } else { StreamKind::OllamaChat };
    let whole = cut(kind, [body]);
    assert_eq!(whole.concat(), body);
    assert_eq!(cut(kind, body.chunks(usize::from(first >> 1) + 1)), whole);
}

/// The frames, and what is left.
fn cut<'a>(kind: StreamKind, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let (mut splitter, mut payload, mut frames) = (Splitter::new(kind), Vec::new(), Vec::new());
    for piece in pieces {
        payload.extend_from_slice(piece);
        while let Some(len) = splitter.next(&payload) {
            frames.push(payload.drain(..len).collect());
        }
    }
    frames.push(payload);
    frames
}
