//! Counting tokens: as many as the slow way counts, and no chat breaks it.

use penstock_core::tokens::{count, count_chat};

use crate::tokens_oracle::BOTH;

/// Longer than a window of the encoder; the slow way is quadratic in this.
const LONG: usize = 4_300;

/// The bits of the first byte choose: the second encoding, a chat, a text that is repeated until it is long.
pub fn tokens(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let (fast, slow) = &BOTH[usize::from(first & 1)];
    if first & 2 != 0 {
        for model in ["gpt-4o", "gpt-3.5-turbo-0301", "gpt-5.5", "claude-opus-5"] {
            let counted = count_chat(fast, model, text);
            assert!(counted.is_ok_and(|tokens| tokens >= 3) || !is_chat(text));
        }
    } else if first & 4 != 0 && !text.is_empty() {
        let long = text.repeat(LONG.div_ceil(text.len()));
        assert_eq!(count(fast, &long), slow.count(&long));
    } else {
        assert_eq!(count(fast, text), slow.count(text));
    }
}

/// Whether a body is certain to be read: an object whose names differ, with messages.
fn is_chat(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chat {
        #[serde(rename = "messages")]
        _messages: serde_json::Value,
    }
    let is_whole = serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|body| body.is_object());
    is_whole && serde_json::from_slice::<Chat>(body).is_ok()
}
