//! What a request uses that is measured otherwise than in tokens: seconds of sound, characters to be spoken.

use super::Prompt;
use crate::{
    dialects::usage::Usage,
    limits::Reserve,
    request::{endpoint::Api, scan::UNBOUNDED},
};

/// Bytes of a second of sound: about, at 32 kbit/s, and at least, at 4 kbit/s.
const SECOND_BYTES: u64 = 4_000;
const LEAST_SECOND_BYTES: u64 = 500;

impl Prompt {
    /// At most so much, or about so much.
    pub fn measured(self, api: Api, reserve: Reserve) -> Usage {
        match api {
            Api::Transcription => Usage { audio_seconds: self.seconds(reserve), ..Usage::default() },
            Api::Speech => Usage { input_characters: self.text_bytes, ..Usage::default() },
            _ => Usage::default(),
        }
    }

    fn seconds(self, reserve: Reserve) -> u64 {
        match (reserve, self.bytes_to_come) {
            (Reserve::Cap, to_come) => self.file_bytes.saturating_add(to_come).div_ceil(LEAST_SECOND_BYTES),
            (Reserve::Expected, UNBOUNDED) => self.file_bytes.div_ceil(SECOND_BYTES),
            (Reserve::Expected, to_come) => self.file_bytes.saturating_add(to_come).div_ceil(SECOND_BYTES),
        }
    }
}
