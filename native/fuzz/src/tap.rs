//! The taps: no input breaks them, and every chopping reads alike.

use penstock_core::{
    dialects::{Dialect, StreamKind, usage::BodyTap},
    relay::text::Text,
};

use crate::drive::drive;

/// The first byte chooses the kind of stream, the second how it comes, the rest is the stream.
pub fn tap(data: &[u8]) {
    let &[first, second, ref body @ ..] = data else { return };
    let kind = StreamKind::ALL[usize::from(first) % StreamKind::ALL.len()];
    let (swallow, size) = (second & 1 == 1, usize::from(second >> 1) + 1);
    let whole = drive(kind, swallow, usize::MAX, [body]);
    assert_eq!(drive(kind, swallow, usize::MAX, body.chunks(size)), whole);
    drive(kind, swallow, usize::from(first), body.chunks(size));
    for &dialect in Dialect::ALL {
        let (mut once, mut chopped) = (BodyTap::new(dialect, swallow), BodyTap::new(dialect, swallow));
        once.feed(body);
        body.chunks(size).for_each(|piece| chopped.feed(piece));
        assert_eq!((once.usage(), once.error()), (chopped.usage(), chopped.error()));
        let (mut once, mut chopped) = (Text::of_body(dialect), Text::of_body(dialect));
        once.feed(body);
        body.chunks(size).for_each(|piece| chopped.feed(piece));
        assert_eq!(once.bytes(), chopped.bytes());
    }
}
