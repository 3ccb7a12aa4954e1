//! Tells the alternatives (`n`) in the frames of a stream apart.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::sse;

/// Prepared once, as each frame is searched for it.
static INDEX: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"index\""));

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
}

/// Shows each alternative in a frame, and whether it is the first; what cannot be read is none. `false`: the frame has the
/// first one alone, and nothing was shown.
pub(super) fn each(frame: &[u8], mut seen: impl FnMut(bool, &[u8])) -> bool {
    if !names_another(frame) {
        return false;
    }
    let joined = sse::data_lines(frame).collect::<Vec<_>>().join(&b'\n');
    let Ok(Chunk { choices }) = serde_json::from_slice(&joined) else {
        seen(false, frame);
        return true;
    };
    for choice in choices {
        let is_first = serde_json::from_str(choice.get()).is_ok_and(|Choice { index }| index.unwrap_or(0) == 0);
        seen(is_first, choice.get().as_bytes());
    }
    true
}

/// Whether an `index` of a frame is not 0: of an alternative, or of a call.
pub(super) fn names_another(frame: &[u8]) -> bool {
    INDEX.find_iter(frame).any(|at| {
        let value = frame[at + INDEX.needle().len()..].trim_ascii_start();
        let value = value.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| value.first() != Some(&b'0'))
    })
}
