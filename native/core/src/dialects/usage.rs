//! Tokens by kind, as each dialect states them, brought to one meaning.

use super::{
    Dialect,
    fields::{Fields, Place, Shape, UpstreamError},
};
use crate::json::{BOM, Skimmer};

/// Tokens of one answer. `prompt_tokens` includes the cached and the written ones, as `OpenAI` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Part of the prompt that came from a cache.
    pub cached_tokens: u64,
    /// Part of the prompt that was written to a cache.
    pub cache_write_tokens: u64,
    /// Part of the completion that the client may not see.
    pub reasoning_tokens: u64,
    /// Audio tokens of prompt and completion.
    pub audio_tokens: u64,
    /// Image tokens of prompt and completion.
    pub image_tokens: u64,
    /// Those written to a cache that keeps them for an hour or longer.
    pub cache_write_1h_tokens: u64,
    /// Audio and image tokens of the completion alone.
    pub audio_output_tokens: u64,
    pub image_output_tokens: u64,
    /// The length of sound, where that is what is paid for.
    pub audio_seconds: u64,
    /// Characters of a text to be spoken, where those are what is paid for.
    pub input_characters: u64,
    /// Of a prompt that is the sum of several the longest one, which decides whether a long prompt costs more; 0: it is one.
    pub longest_prompt_tokens: u64,
    /// Some of it is another model's, at a price that is not this one's.
    pub has_other_model: bool,
    /// Nothing of it is paid for: one of Anthropic's models declined before it wrote anything.
    /// Source: release notes of the Claude API, 2 June 2026.
    pub is_waived: bool,
    /// What it was served as, where the answer says so.
    pub tier: Option<Tier>,
}

/// A tier of service with a price of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    #[default]
    Standard,
    Batch,
    Flex,
    Priority,
    Ultrafast,
    /// Anthropic's fast mode: not a word of `service_tier`, but of `speed`.
    Fast,
}

impl Tier {
    /// The tier of a `service_tier`, by `OpenAI`'s or Anthropic's word.
    pub fn of(word: &[u8]) -> Self {
        match word {
            b"batch" => Self::Batch,
            b"flex" => Self::Flex,
            b"priority" | b"fast" => Self::Priority,
            b"ultrafast" => Self::Ultrafast,
            _ => Self::Standard,
        }
    }
}

impl Tier {
    /// What is believed of a request that asks for it: whether a cheaper one was given only the answer tells.
    #[must_use]
    pub const fn asked(self) -> Self {
        match self {
            Self::Batch | Self::Flex => Self::Standard,
            other => other,
        }
    }
}

/// What an answer says of how it was served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    pub tier: Option<Tier>,
    pub is_fast: Option<bool>,
}

impl Served {
    /// Takes over what is said later.
    pub fn overlay(&mut self, newer: Self) {
        self.tier = newer.tier.or(self.tier);
        self.is_fast = newer.is_fast.or(self.is_fast);
    }

    /// The tier whose price holds; `None`: nothing is said.
    pub fn tier(self) -> Option<Tier> {
        match self.is_fast {
            Some(true) => Some(Tier::Fast),
            Some(false) => self.tier.or(Some(Tier::Standard)),
            None => self.tier,
        }
    }
}

impl Usage {
    /// Nothing that is paid for: where there is an answer, that is no count of it.
    pub fn is_nothing(&self) -> bool {
        let paid = [self.prompt_tokens, self.completion_tokens, self.audio_seconds, self.input_characters];
        paid == [0; 4]
    }

    /// Whether any of its tokens are of a kind of their own.
    pub fn has_parts(&self) -> bool {
        let parts = [
            self.cached_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            self.audio_tokens,
            self.image_tokens,
            self.cache_write_1h_tokens,
            self.audio_output_tokens,
            self.image_output_tokens,
        ];
        parts != [0; 8]
    }
}

/// Reads usage and errors out of an unstreamed answer as its bytes pass.
#[derive(Clone, Debug)]
pub struct BodyTap {
    dialect: Dialect,
    is_text: bool,
    skimmer: Skimmer<Place>,
    fields: Fields,
    /// Bytes of the mark that have passed; all of them: there can be none any more.
    marked: usize,
}

impl BodyTap {
    /// `is_text`: the answer is what a model wrote.
    pub fn new(dialect: Dialect, is_text: bool) -> Self {
        let shape = if dialect == Dialect::Ollama { Shape::Ollama } else { Shape::Other };
        Self { dialect, is_text, skimmer: Skimmer::new(Place::Body), fields: Fields::new(shape), marked: 0 }
    }

    /// The next bytes of the body, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let bytes = self.behind_mark(bytes);
        self.skimmer.feed(bytes, &mut self.fields);
    }

    /// What of the next bytes is none of a byte order mark's at the beginning.
    fn behind_mark<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let (Some(expected), Some((first, rest))) = (BOM.get(self.marked), bytes.split_first()) {
            (self.marked, bytes) = if first == expected { (self.marked + 1, rest) } else { (BOM.len(), bytes) };
        }
        bytes
    }

    /// What the body states so far; `None` without any count.
    pub fn usage(&self) -> Option<Usage> {
        let usage = self.fields.counts.usage(self.dialect, self.is_text, self.fields.finish.get())?;
        Some(Usage { tier: self.tier(), ..usage })
    }

    /// What it was served as, where the body states it.
    pub fn tier(&self) -> Option<Tier> {
        self.fields.served.tier()
    }

    /// Whether there is anything of an answer beside what it states.
    pub fn has_parts(&self) -> bool {
        self.fields.has_parts
    }

    /// The error that the body states, whatever its status says.
    pub fn error(&self) -> Option<UpstreamError> {
        self.fields.nested_error().or_else(|| self.fields.flat_error())
    }
}
