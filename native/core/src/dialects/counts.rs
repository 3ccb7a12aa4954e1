//! The numbers of a usage object under the names that each dialect gives them.

use super::{
    Dialect,
    fields::{Details, Place, TextField},
    usage::Usage,
};

macro_rules! counts {
    ($($name:ident),* $(,)?) => {
        /// One number of a usage object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count { $($name,)* }
        const COUNTS: usize = [$(Count::$name,)*].len();
    };
}

counts! {
    Prompt, Input, Completion, Output, Total, CacheRead, CacheCreation, CacheCreation1h, CacheHit, Seconds, PromptSeconds,
    PromptCached, PromptWritten, PromptAudio, PromptImage,
    InputCached, InputWritten, InputAudio, InputImage,
    CompletionReasoning, CompletionAudio, CompletionImage,
    OutputReasoning, OutputAudio, OutputImage, OutputThinking,
    PromptEval, Eval,
}

impl Count {
    /// The place of a member of `usage`.
    pub(super) fn in_usage(name: &[u8]) -> Place {
        match name {
            b"prompt_tokens" => Place::Count(Self::Prompt),
            b"input_tokens" => Place::Count(Self::Input),
            b"completion_tokens" => Place::Count(Self::Completion),
            b"output_tokens" => Place::Count(Self::Output),
            b"total_tokens" => Place::Count(Self::Total),
            b"cache_read_input_tokens" => Place::Count(Self::CacheRead),
            b"cache_creation_input_tokens" => Place::Count(Self::CacheCreation),
            b"prompt_cache_hit_tokens" => Place::Count(Self::CacheHit),
            b"seconds" => Place::Count(Self::Seconds),
            // Mistral's.
            b"prompt_audio_seconds" => Place::Count(Self::PromptSeconds),
            b"service_tier" => Place::Text(TextField::Tier),
            // Anthropic's.
            b"speed" => Place::Text(TextField::Speed),
            b"cache_creation" => Place::Details(Details::CacheCreation),
            b"prompt_tokens_details" => Place::Details(Details::Prompt),
            // Of transcriptions it is `input_token_details`.
            b"input_tokens_details" | b"input_token_details" => Place::Details(Details::Input),
            b"completion_tokens_details" => Place::Details(Details::Completion),
            b"output_tokens_details" => Place::Details(Details::Output),
            _ => Place::Nowhere,
        }
    }

    /// Whether it measures something: a part of it is paid for as the whole.
    pub(super) const fn is_measured(self) -> bool {
        matches!(self, Self::Seconds | Self::PromptSeconds)
    }

    /// The place of a member of one of the details.
    pub(super) fn in_details(details: Details, name: &[u8]) -> Place {
        let count = match (details, name) {
            (Details::Prompt, b"cached_tokens") => Self::PromptCached,
            (Details::Prompt, b"cache_write_tokens") => Self::PromptWritten,
            (Details::Prompt, b"audio_tokens") => Self::PromptAudio,
            (Details::Prompt, b"image_tokens") => Self::PromptImage,
            (Details::Input, b"cached_tokens") => Self::InputCached,
            (Details::Input, b"cache_write_tokens") => Self::InputWritten,
            (Details::Input, b"audio_tokens") => Self::InputAudio,
            (Details::Input, b"image_tokens") => Self::InputImage,
            (Details::Completion, b"reasoning_tokens") => Self::CompletionReasoning,
            (Details::Completion, b"audio_tokens") => Self::CompletionAudio,
            (Details::Completion, b"image_tokens") => Self::CompletionImage,
            (Details::Output, b"reasoning_tokens") => Self::OutputReasoning,
            (Details::Output, b"thinking_tokens") => Self::OutputThinking,
            (Details::Output, b"audio_tokens") => Self::OutputAudio,
            (Details::Output, b"image_tokens") => Self::OutputImage,
            (Details::CacheCreation, b"ephemeral_1h_input_tokens") => Self::CacheCreation1h,
            _ => return Place::Nowhere,
        };
        Place::Count(count)
    }
}

/// Numbers found so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// A bit for each number that is there.
    present: u32,
    values: [u64; COUNTS],
}

impl Counts {
    pub fn clear(&mut self) {
        self.present = 0;
    }

    pub(super) fn clear_details(&mut self, details: Details) {
        use Count as C;
        let gone: &[C] = match details {
            Details::Prompt => &[C::PromptCached, C::PromptWritten, C::PromptAudio, C::PromptImage],
            Details::Input => &[C::InputCached, C::InputWritten, C::InputAudio, C::InputImage],
            Details::Completion => &[C::CompletionReasoning, C::CompletionAudio, C::CompletionImage],
            Details::Output => &[C::OutputReasoning, C::OutputAudio, C::OutputImage, C::OutputThinking],
            Details::CacheCreation => &[C::CacheCreation1h],
        };
        for &count in gone {
            self.set(count, None);
        }
    }

    pub fn set(&mut self, count: Count, value: Option<u64>) {
        let bit = 1 << count as u32;
        match value {
            Some(value) => {
                self.present |= bit;
                self.values[count as usize] = value;
            }
            None => self.present &= !bit,
        }
    }

    pub fn get(&self, count: Count) -> Option<u64> {
        (self.present & (1 << count as u32) != 0).then(|| self.values[count as usize])
    }

    /// True if no number was found; a total says nothing by itself.
    pub fn is_empty(&self) -> bool {
        self.present & !(1 << Count::Total as u32) == 0
    }

    /// Takes over the numbers that `newer` states, keeps the others: Anthropic's counts are cumulative.
    pub fn overlay(&mut self, newer: &Self) {
        for at in 0..COUNTS {
            if newer.present & (1 << at) != 0 {
                self.values[at] = newer.values[at];
            }
        }
        self.present |= newer.present;
    }

    /// Tokens that are in the total alone: what xAI's and Gemini's models thought.
    fn hidden(&self) -> u64 {
        use Count as C;
        let first = |a, b| self.get(a).or(self.get(b));
        // Sound that is paid for by its seconds is in Mistral's total too, and no part of the answer.
        let has_sound = self.get(C::PromptSeconds).is_some_and(|seconds| seconds > 0);
        let Some(prompt) = first(C::Prompt, C::Input).filter(|_| !has_sound) else { return 0 };
        let stated = prompt.saturating_add(first(C::Completion, C::Output).unwrap_or(0));
        self.get(C::Total).unwrap_or(0).saturating_sub(stated)
    }

    /// The same for all dialects; `None` without any number. `is_text`: the answer is what a model wrote.
    pub fn usage(&self, dialect: Dialect, is_text: bool) -> Option<Usage> {
        use Count as C;
        let first = |counts: &[C]| counts.iter().find_map(|&c| self.get(c)).unwrap_or(0);
        let sum = |counts: &[C]| counts.iter().fold(0_u64, |n, &c| n.saturating_add(first(&[c])));
        if self.is_empty() {
            return None;
        }
        Some(match dialect {
            Dialect::OpenAi => {
                let hidden = if is_text { self.hidden() } else { 0 };
                let (audio_output, image_output) =
                    (first(&[C::CompletionAudio, C::OutputAudio]), first(&[C::CompletionImage, C::OutputImage]));
                Usage {
                    prompt_tokens: first(&[C::Prompt, C::Input]),
                    completion_tokens: first(&[C::Completion, C::Output]).saturating_add(hidden),
                    cached_tokens: first(&[C::PromptCached, C::InputCached, C::CacheHit]),
                    cache_write_tokens: first(&[C::PromptWritten, C::InputWritten]),
                    reasoning_tokens: first(&[C::CompletionReasoning, C::OutputReasoning]).max(hidden),
                    audio_tokens: first(&[C::PromptAudio, C::InputAudio]).saturating_add(audio_output),
                    image_tokens: first(&[C::PromptImage, C::InputImage]).saturating_add(image_output),
                    audio_output_tokens: audio_output,
                    image_output_tokens: image_output,
                    audio_seconds: first(&[C::Seconds, C::PromptSeconds]),
                    ..Usage::default()
                }
            }
            Dialect::Anthropic => Usage {
                prompt_tokens: sum(&[C::Input, C::CacheRead, C::CacheCreation]),
                completion_tokens: first(&[C::Output]),
                cached_tokens: first(&[C::CacheRead]),
                cache_write_tokens: first(&[C::CacheCreation]),
                reasoning_tokens: first(&[C::OutputThinking]),
                cache_write_1h_tokens: first(&[C::CacheCreation1h]),
                ..Usage::default()
            },
            Dialect::Ollama => Usage {
                prompt_tokens: first(&[C::PromptEval]),
                completion_tokens: first(&[C::Eval]),
                ..Usage::default()
            },
        })
    }
}
