//! The request scanner: judges as `serde_json` does, and what it notes can be edited.

#![expect(clippy::expect_used, reason = "to panic is what a target does when it finds something")]

use penstock_core::content::{Kept, Policy, Redaction, Room, write_prompt};
use penstock_core::request::{
    endpoint::Api,
    estimate::{Answers, Prompt},
    scan::scan as scan_body,
    splice::{Splice, stream_usage_edit},
};

use serde::de::IgnoredAny;

use crate::scan_oracle::agree;

/// The body of a request.
pub fn scan(data: &[u8]) {
    agree(data);
    let prompt = Prompt::of_json(data);
    assert!(prompt.text_bytes <= data.len() as u64 && prompt.images <= data.len() as u64);
    let (whole, redacted) = (recorded(data, &[]), recorded(data, &[r"\W|\d|[a-e]+"]));
    let Ok(scanned) = scan_body(data, 128) else { return };
    if let Some(whole) = whole {
        scan_body(whole.as_bytes(), 128).expect("a body is recorded as JSON");
    }
    if let Some(redacted) = redacted {
        serde_json::from_str::<IgnoredAny>(&redacted).expect("a redacted body is JSON");
    }
    for api in [Api::Chat, Api::Completions, Api::OllamaChat, Api::Embeddings] {
        assert!(Answers::of(api, Some(&scanned), None).count > 0);
    }
    let mut splice = Splice::new();
    splice.set_model(&scanned, "model \"x\"");
    if let Some(edit) = stream_usage_edit(&scanned) {
        splice.add(edit);
    }
    let edited = splice.apply(data);
    assert_eq!(edited.len(), splice.len(data));
    let again = scan_body(&edited, 128).expect("an edited body is valid");
    assert_eq!(again.model.expect("it has a model").text, "model \"x\"");
    assert_eq!(stream_usage_edit(&scan_body(&edited, 128).expect("an edited body is valid")), None);
}

struct Endless;

impl Room for Endless {
    fn grow_to(&mut self, _: usize) -> bool {
        true
    }
}

/// The body as a record has it, whole but for what patterns find; `None`: that took too long.
fn recorded(data: &[u8], patterns: &[&str]) -> Option<String> {
    let patterns: Vec<_> = patterns.iter().map(|&each| each.to_owned()).collect();
    let redaction = Redaction::new(&patterns, Vec::new()).expect("the patterns can be used");
    let policy = Policy { prompts: true, answers: false, max_bytes: 1 << 30, redaction };
    let mut kept = Kept::new(&policy, Box::new(Endless));
    write_prompt(data, &mut kept);
    kept.finish(&policy, &[]).filter(|piece| piece.note.is_none()).map(|piece| piece.text)
}
