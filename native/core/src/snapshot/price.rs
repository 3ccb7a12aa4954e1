//! What one model costs: rates by kind of token, dearer ones for long prompts, factors for tiers of service.

use serde::Deserialize;

use crate::dialects::usage::{Tier, Usage};

/// Rates are for so many tokens.
const TOKENS: u64 = 1_000_000;
/// A factor of so much changes nothing.
pub const WHOLE: u64 = 1_000_000_000;

/// Nano-dollars per million tokens, seconds or characters; what a price does not state is filled in by whoever compiled it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    pub input: u64,
    pub cached_input: u64,
    pub cache_write: u64,
    pub cache_write_1h: u64,
    pub audio_input: u64,
    pub image_input: u64,
    pub output: u64,
    pub audio_output: u64,
    pub image_output: u64,
    pub reasoning: u64,
    pub audio_second: u64,
    pub input_character: u64,
}

/// Rates for all tokens of a request whose prompt has more than `above`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub above: u64,
    pub rates: Rates,
}

/// What a tier of service makes of the rates, in billionths.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Factors {
    pub batch: u64,
    pub flex: u64,
    pub priority: u64,
    pub ultrafast: u64,
    /// `None`: nobody knows what it costs.
    pub fast: Option<u64>,
}

/// The price of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Those of short prompts.
    base: Rates,
    /// The longest first.
    steps: Box<[Step]>,
    factors: Factors,
}

impl Default for Factors {
    fn default() -> Self {
        Self { batch: WHOLE, flex: WHOLE, priority: WHOLE, ultrafast: WHOLE, fast: None }
    }
}

impl Price {
    /// `steps` in any order; one above 0 tokens or more is needed for each that holds.
    pub fn new(base: Rates, mut steps: Vec<Step>, factors: Factors) -> Self {
        steps.sort_by_key(|step| std::cmp::Reverse(step.above));
        Self { base, steps: steps.into(), factors }
    }

    /// Nano-dollars for a usage, rounded up once; the largest number if it does not fit. `asked`: the tier, where the
    /// usage does not state one. `None`: nobody knows, as the tier that is stated has no price, or what is paid for is not
    /// stated.
    ///
    /// Tokens of kinds that overlap, such as cached ones of sound, count once: as written to a cache or read from it, else
    /// as sound, else as picture.
    pub fn cost(&self, usage: &Usage, asked: Tier) -> Option<u64> {
        if usage.is_waived {
            return Some(0);
        }
        let factor = match usage.tier {
            Some(stated) => self.factor(stated)?,
            None => self.factor_asked(asked),
        };
        let rates = self.rates(match usage.longest_prompt_tokens {
            0 => usage.prompt_tokens,
            longest => longest,
        });
        if !rates.can_charge(usage) {
            return None;
        }
        let mut sum = Sum::default();
        let (mut prompt, mut answer) = (usage.prompt_tokens, usage.completion_tokens);
        // Most requests are text alone.
        if usage.has_parts() {
            let cached = taken(&mut prompt, usage.cached_tokens);
            let mut written = taken(&mut prompt, usage.cache_write_tokens);
            let written_1h = taken(&mut written, usage.cache_write_1h_tokens);
            let audio = taken(&mut prompt, usage.audio_tokens.saturating_sub(usage.audio_output_tokens));
            let image = taken(&mut prompt, usage.image_tokens.saturating_sub(usage.image_output_tokens));
            let audio_output = taken(&mut answer, usage.audio_output_tokens);
            let image_output = taken(&mut answer, usage.image_output_tokens);
            let reasoning = taken(&mut answer, usage.reasoning_tokens);
            sum.add(cached, rates.cached_input);
            sum.add(written, rates.cache_write);
            sum.add(written_1h, rates.cache_write_1h);
            sum.add(audio, rates.audio_input);
            sum.add(image, rates.image_input);
            sum.add(audio_output, rates.audio_output);
            sum.add(image_output, rates.image_output);
            sum.add(reasoning, rates.reasoning);
        }
        sum.add(prompt, rates.input);
        sum.add(answer, rates.output);
        sum.add(usage.audio_seconds, rates.audio_second);
        sum.add(usage.input_characters, rates.input_character);
        Some(sum.nanousd(factor))
    }

    /// Whether it says what a tier costs.
    pub fn knows(&self, tier: Tier) -> bool {
        self.factor(tier).is_some()
    }

    /// Whether the characters of a text to be spoken are paid for.
    pub fn takes_characters(&self) -> bool {
        self.base.input_character > 0
    }

    /// Nano-dollars for so many tokens of text, before more is known of them; 0 where that is not what is paid for.
    pub fn about(&self, prompt_tokens: u64, answer_tokens: u64, tier: Tier) -> u64 {
        let usage = Usage { prompt_tokens, completion_tokens: answer_tokens, ..Usage::default() };
        self.cost(&usage, tier).unwrap_or(0)
    }

    /// Nano-dollars for what a usage has beside tokens.
    pub fn measured(&self, usage: &Usage, tier: Tier) -> u64 {
        let mut sum = Sum::default();
        sum.add(usage.audio_seconds, self.base.audio_second);
        sum.add(usage.input_characters, self.base.input_character);
        sum.nanousd(self.factor_asked(tier))
    }

    /// The most that so many tokens can cost, whatever their kind.
    pub fn at_most(&self, prompt_tokens: u64, answer_tokens: u64, tier: Tier) -> u64 {
        let held = self.steps.iter().filter(|step| prompt_tokens > step.above).map(|step| &step.rates);
        let rates = || held.clone().chain([&self.base]);
        let prompt = |r: &Rates| {
            r.input.max(r.cached_input).max(r.cache_write).max(r.cache_write_1h).max(r.audio_input).max(r.image_input)
        };
        let answer = |r: &Rates| r.output.max(r.audio_output).max(r.image_output).max(r.reasoning);
        let mut sum = Sum::default();
        sum.add(prompt_tokens, rates().map(prompt).max().unwrap_or(0));
        sum.add(answer_tokens, rates().map(answer).max().unwrap_or(0));
        sum.nanousd(self.factor_asked(tier))
    }

    fn rates(&self, prompt_tokens: u64) -> &Rates {
        self.steps.iter().find(|step| prompt_tokens > step.above).map_or(&self.base, |step| &step.rates)
    }

    /// What a tier makes of the rates; `None`: nobody knows.
    fn factor(&self, tier: Tier) -> Option<u64> {
        match tier {
            Tier::Standard => Some(WHOLE),
            Tier::Batch => Some(self.factors.batch),
            Tier::Flex => Some(self.factors.flex),
            Tier::Priority => Some(self.factors.priority),
            Tier::Ultrafast => Some(self.factors.ultrafast),
            Tier::Fast => self.factors.fast,
        }
    }

    /// The same of a tier that was asked for: one that has no price may not have been given.
    fn factor_asked(&self, tier: Tier) -> u64 {
        self.factor(tier).unwrap_or(WHOLE)
    }
}

impl Rates {
    /// Whether the usage states what is paid for: where tokens cost nothing, and seconds or characters do, those.
    fn can_charge(&self, usage: &Usage) -> bool {
        let (by_second, by_character) = (self.audio_second > 0, self.input_character > 0);
        let is_by_token = self.input > 0 || self.output > 0 || !by_second && !by_character;
        is_by_token || by_second && usage.audio_seconds > 0 || by_character && usage.input_characters > 0
    }
}

/// Takes up to `wanted` tokens out of what is left.
fn taken(left: &mut u64, wanted: u64) -> u64 {
    let taken = wanted.min(*left);
    *left -= taken;
    taken
}

/// Tokens times rates.
#[derive(Default)]
struct Sum(u128);

impl Sum {
    fn add(&mut self, tokens: u64, rate: u64) {
        // Of most kinds there are none.
        if tokens > 0 {
            self.0 = self.0.saturating_add(u128::from(tokens) * u128::from(rate));
        }
    }

    fn nanousd(self, factor: u64) -> u64 {
        // To divide numbers of two words takes ten times as long.
        if let (WHOLE, Ok(sum)) = (factor, u64::try_from(self.0)) {
            return sum.div_ceil(TOKENS);
        }
        let whole = self.0.saturating_mul(u128::from(factor));
        u64::try_from(whole.div_ceil(u128::from(TOKENS) * u128::from(WHOLE))).unwrap_or(u64::MAX)
    }
}
