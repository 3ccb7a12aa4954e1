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
    Prompt, Input, Completion, Output, Total, CacheRead, CacheCreation, CacheCreation1h, CacheHit, Cached, Seconds,
    PromptSeconds,
    PromptCached, PromptWritten, PromptAudio, PromptImage,
    InputCached, InputWritten, InputAudio, InputImage,
    CompletionReasoning, CompletionAudio, CompletionImage,
    OutputReasoning, OutputAudio, OutputImage, OutputThinking,
    InputWritten12h, PromptCreated, PromptEval, Eval,
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
            // DeepSeek's, and Moonshot's.
            b"prompt_cache_hit_tokens" => Place::Count(Self::CacheHit),
            b"cached_tokens" => Place::Count(Self::Cached),
            b"seconds" => Place::Count(Self::Seconds),
            // Mistral's.
            b"prompt_audio_seconds" => Place::Count(Self::PromptSeconds),
            b"service_tier" => Place::Text(TextField::Tier),
            // Anthropic's.
            b"speed" => Place::Text(TextField::Speed),
            b"cache_creation" => Place::Details(Details::CacheCreation),
            b"iterations" => Place::Iterations,
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
            (Details::Input, b"cache_write_tokens_details") => return Place::Details(Details::InputWritten),
            (Details::InputWritten, b"ttl_12h_tokens") => Self::InputWritten12h,
            (Details::Prompt, b"cached_tokens") => Self::PromptCached,
            (Details::Prompt, b"cache_write_tokens") => Self::PromptWritten,
            // DashScope's.
            (Details::Prompt, b"cache_creation_input_tokens") => Self::PromptCreated,
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

    /// The place of a member of one of Anthropic's iterations.
    pub(super) fn in_iteration(name: &[u8]) -> Place {
        match name {
            b"type" => Place::Text(TextField::Iteration),
            b"cache_creation" => Place::IterationCache,
            _ => match Self::in_usage(name) {
                Place::Count(count) if ITERATED.contains(&count) => Place::Iterated(count),
                _ => Place::Nowhere,
            },
        }
    }
}

/// Why one of Anthropic's models stopped that declined.
const REFUSAL: &[u8] = b"refusal";
/// Who declines before writing anything is said to have written so much at most.
const UNWRITTEN: u64 = 1;

/// What an iteration counts.
const ITERATED: [Count; 5] =
    [Count::Input, Count::CacheRead, Count::CacheCreation, Count::CacheCreation1h, Count::Output];

/// What one of Anthropic's iterations is, by its `type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Iteration {
    /// Its tokens are in those of the usage itself.
    #[default]
    Within,
    /// The model made a long context shorter, for as many tokens on top.
    Compaction,
    /// Another model was asked, for tokens on top and at a price of its own.
    Advisor,
    /// Another model answered, as those asked before it declined: the usage itself is of this answer alone.
    Fallback,
}

/// What is known of the iterations.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default)]
struct Iterations {
    are_there: bool,
    /// Of all before the one that is read that come on top.
    sum: [u64; ITERATED.len()],
    /// The longest prompt of any, and whether one whose tokens do not come on top states its own.
    longest: u64,
    states_own: bool,
    has_advisor: bool,
    /// Of those whose tokens do not come on top, as far as they wrote something: who declined before that is not paid.
    within: [u64; ITERATED.len()],
    has_fallback: bool,
    here: [u64; ITERATED.len()],
    kind: Iteration,
}

fn plus(all: [u64; ITERATED.len()], more: [u64; ITERATED.len()]) -> [u64; ITERATED.len()] {
    std::array::from_fn(|at| all[at].saturating_add(more[at]))
}

/// The prompt of what [`ITERATED`] names.
fn prompt([input, read, written, ..]: &[u64; ITERATED.len()]) -> u64 {
    input.saturating_add(*read).saturating_add(*written)
}

impl Iterations {
    /// The one that is read ends, and another may begin.
    fn next(&mut self) {
        *self = Self {
            are_there: true,
            sum: self.all(),
            longest: self.longest(),
            states_own: self.states_own(),
            has_advisor: self.has_advisor(),
            within: self.within(),
            has_fallback: self.has_fallback(),
            ..Self::default()
        };
    }

    /// What the one that is read adds so far.
    fn added(&self) -> [u64; ITERATED.len()] {
        if self.is_within() { Default::default() } else { self.here }
    }

    fn is_within(&self) -> bool {
        matches!(self.kind, Iteration::Within | Iteration::Fallback)
    }

    fn all(&self) -> [u64; ITERATED.len()] {
        plus(self.sum, self.added())
    }

    fn within(&self) -> [u64; ITERATED.len()] {
        let [.., written] = self.here;
        if self.is_within() && written > UNWRITTEN { plus(self.within, self.here) } else { self.within }
    }

    fn has_fallback(&self) -> bool {
        self.has_fallback || self.kind == Iteration::Fallback
    }

    /// 0: there are none.
    fn longest(&self) -> u64 {
        self.longest.max(prompt(&self.here))
    }

    fn states_own(&self) -> bool {
        self.states_own || self.is_within() && prompt(&self.here) > 0
    }

    fn has_advisor(&self) -> bool {
        self.has_advisor || self.kind == Iteration::Advisor
    }
}

/// Numbers found so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// A bit for each number that is there.
    present: u32,
    values: [u64; COUNTS],
    iterations: Iterations,
}

impl Counts {
    pub fn clear(&mut self) {
        self.present = 0;
        self.clear_iterations();
    }

    pub(super) fn clear_iterations(&mut self) {
        if self.iterations.are_there {
            self.iterations = Iterations::default();
        }
    }

    pub(super) fn next_iteration(&mut self) {
        self.iterations.next();
    }

    /// What the iteration that is read is.
    pub(super) fn set_iteration(&mut self, kind: &[u8]) {
        self.iterations.kind = match kind {
            b"compaction" => Iteration::Compaction,
            b"advisor_message" => Iteration::Advisor,
            b"fallback_message" => Iteration::Fallback,
            _ => Iteration::Within,
        };
    }

    /// A count of the iteration that is read.
    pub(super) fn set_iterated(&mut self, count: Count, value: Option<u64>) {
        if let Some(at) = ITERATED.iter().position(|each| *each == count) {
            self.iterations.here[at] = value.unwrap_or(0);
        }
    }

    pub(super) fn clear_details(&mut self, details: Details) {
        use Count as C;
        let gone: &[C] = match details {
            Details::Prompt => &[C::PromptCached, C::PromptWritten, C::PromptAudio, C::PromptImage, C::PromptCreated],
            Details::Input => &[C::InputCached, C::InputWritten, C::InputAudio, C::InputImage, C::InputWritten12h],
            Details::InputWritten => &[C::InputWritten12h],
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
        let long = self.get(Count::CacheCreation1h);
        let was_1h = long.is_some_and(|long| long > 0) && self.get(Count::CacheCreation) == long;
        for at in 0..COUNTS {
            if newer.present & (1 << at) != 0 {
                self.values[at] = newer.values[at];
            }
        }
        self.present |= newer.present;
        // Deltas tell of writes alone: where all were kept for an hour those that came since are, too.
        if was_1h && newer.get(Count::CacheCreation1h).is_none() {
            self.set(Count::CacheCreation1h, self.get(Count::CacheCreation));
        }
        // The list comes whole each time.
        if newer.iterations.are_there {
            self.iterations = newer.iterations;
        }
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

    /// The same for all dialects; `None` without any number. `is_text`: the answer is what a model wrote. `finish`: why it
    /// stopped, in the dialect's own word; empty: it has not said.
    pub fn usage(&self, dialect: Dialect, is_text: bool, finish: &[u8]) -> Option<Usage> {
        use Count as C;
        let first = |counts: &[C]| counts.iter().find_map(|&c| self.get(c)).unwrap_or(0);
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
                    cached_tokens: first(&[C::PromptCached, C::InputCached, C::CacheHit, C::Cached]),
                    cache_write_tokens: first(&[C::PromptWritten, C::InputWritten, C::PromptCreated]),
                    cache_write_1h_tokens: first(&[C::InputWritten12h]),
                    reasoning_tokens: first(&[C::CompletionReasoning, C::OutputReasoning]).max(hidden),
                    audio_tokens: first(&[C::PromptAudio, C::InputAudio]).saturating_add(audio_output),
                    image_tokens: first(&[C::PromptImage, C::InputImage]).saturating_add(image_output),
                    audio_output_tokens: audio_output,
                    image_output_tokens: image_output,
                    audio_seconds: first(&[C::Seconds, C::PromptSeconds]),
                    ..Usage::default()
                }
            }
            Dialect::Anthropic => {
                let has_fallback = self.iterations.has_fallback();
                let own = match self.iterations.within() {
                    within if has_fallback && within != [0; ITERATED.len()] => within,
                    _ => ITERATED.map(|count| first(&[count])),
                };
                // The usage itself may be the sum of several prompts.
                let longest = match self.iterations.longest() {
                    longest if longest == 0 || self.iterations.states_own() => longest,
                    longest => longest.max(prompt(&own)),
                };
                let all = plus(own, self.iterations.all());
                let [_, cached_tokens, cache_write_tokens, cache_write_1h_tokens, completion_tokens] = all;
                let is_waived = finish == REFUSAL && completion_tokens <= UNWRITTEN;
                Usage {
                    prompt_tokens: prompt(&all),
                    completion_tokens,
                    cached_tokens,
                    cache_write_tokens,
                    reasoning_tokens: first(&[C::OutputThinking]),
                    cache_write_1h_tokens,
                    longest_prompt_tokens: longest,
                    has_other_model: (has_fallback || self.iterations.has_advisor()) && !is_waived,
                    is_waived,
                    ..Usage::default()
                }
            }
            Dialect::Ollama => Usage {
                prompt_tokens: first(&[C::PromptEval]),
                completion_tokens: first(&[C::Eval]),
                ..Usage::default()
            },
        })
    }
}
