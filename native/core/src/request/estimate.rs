//! What a request may use of tokens, before its answer is known: its prompt by its bytes, its answer by its cap or by
//! what is usual.

pub mod attached;
mod measured;

use attached::{Attached, attached};

use super::{
    endpoint::{Api, Endpoint},
    scan::{Scan, UNBOUNDED},
};
use crate::{
    dialects::usage::Tier,
    error::{Code, Error},
    limits::Reserve,
};

/// What an image counts as.
pub const IMAGE_TOKENS: u64 = 1_600;
/// Bytes of text that make a token, for guesses.
pub const TOKEN_BYTES: u64 = 3;
/// What an answer is expected to have while nothing is known.
pub const FIRST_GUESS: u64 = 500;

/// The prompt, in what can be seen of it without counting tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    pub text_bytes: u64,
    pub images: u64,
    /// Of sound, documents and other files.
    pub file_bytes: u64,
    /// What is still to come of a form that flows, whatever it is; [`UNBOUNDED`]: nobody knows.
    pub bytes_to_come: u64,
}

impl Prompt {
    /// Of a body in JSON.
    pub fn of_json(body: &[u8]) -> Self {
        let Attached { image_bytes, file_bytes, images } = attached(body);
        let text_bytes = (body.len() as u64).saturating_sub(image_bytes + file_bytes);
        Self { text_bytes, images, file_bytes, bytes_to_come: 0 }
    }

    /// Its tokens: at most so many, or about so many.
    pub fn tokens(self, reserve: Reserve) -> u64 {
        let text = match reserve {
            Reserve::Cap => {
                let files = self.file_bytes.div_ceil(TOKEN_BYTES);
                self.text_bytes.saturating_add(files).saturating_add(self.bytes_to_come)
            }
            Reserve::Expected => self.text_bytes.div_ceil(TOKEN_BYTES),
        };
        text.saturating_add(self.images.saturating_mul(IMAGE_TOKENS))
    }
}

/// How much may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Of each answer; `None`: nobody says.
    pub cap: Option<u64>,
    /// What the request itself says of it.
    pub own_cap: Option<u64>,
    /// Answers that are asked for: alternatives, and those for each of several prompts.
    pub count: u64,
}

/// Whether requests of a path are paid for by what they use: who moderates takes no money.
pub fn is_paid(api: Api) -> bool {
    uses_tokens(api) && api != Api::Moderations
}

/// Whether tokens are what a path uses; others ask about them, or are not ours to read.
pub fn uses_tokens(api: Api) -> bool {
    !matches!(api, Api::CountTokens | Api::InputTokens | Api::Tokens | Api::OllamaShow | Api::Other)
}

/// Whether a path's answer is made of tokens.
pub fn answers_in_tokens(api: Api) -> bool {
    matches!(
        api,
        Api::Chat
            | Api::Completions
            | Api::Responses
            | Api::Compact
            | Api::Messages
            | Api::OllamaChat
            | Api::OllamaGenerate
    )
}

impl Answers {
    /// `usual`: the most that the model answers where a request does not say.
    pub fn of(api: Api, scan: Option<&Scan<'_>>, usual: Option<u64>) -> Self {
        if !answers_in_tokens(api) {
            return Self { cap: Some(0), own_cap: None, count: 1 };
        }
        let Some(scan) = scan else { return Self { cap: usual, own_cap: None, count: 1 } };
        let number = |field: &Option<(_, u64)>| field.as_ref().map(|(_, n)| *n);
        // Where it is not refused, 0 is none; but Anthropic only reads the prompt then, to keep it.
        let bound = |field| number(field).map(|cap| if cap == 0 { UNBOUNDED } else { cap });
        let own_cap = match api {
            Api::OllamaChat | Api::OllamaGenerate => scan.num_predict,
            Api::Responses | Api::Compact => bound(&scan.max_output_tokens),
            Api::Chat => bound(&scan.max_tokens).max(bound(&scan.max_completion_tokens)),
            Api::Messages => number(&scan.max_tokens),
            _ => bound(&scan.max_tokens),
        };
        // Whether an upstream knows these names, and which of two it takes, nobody can say: they only raise a cap.
        let raise = if is_ollama(api) { None } else { scan.n_predict };
        let cap = own_cap.or(usual).map(|cap| cap.max(raise.unwrap_or(0)));
        let is_completion = api == Api::Completions;
        let choices = number(&scan.n).max(number(&scan.best_of).filter(|_| is_completion)).unwrap_or(1).max(1);
        let prompts = if is_completion { scan.prompts.max(1) } else { 1 };
        let bounds = |cap: &u64| *cap != UNBOUNDED;
        Self { cap: cap.filter(bounds), own_cap: own_cap.filter(bounds), count: choices.saturating_mul(prompts) }
    }
}

fn is_ollama(api: Api) -> bool {
    matches!(api, Api::OllamaChat | Api::OllamaGenerate)
}

/// What a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub prompt: Prompt,
    pub answers: Answers,
    /// What one answer usually has, at most its cap.
    pub expected: u64,
    /// What it asks to be served as.
    pub tier: Tier,
}

impl Estimate {
    pub fn new(prompt: Prompt, answers: Answers, usual: Option<u64>, tier: Tier) -> Self {
        let expected = usual.unwrap_or(FIRST_GUESS).min(answers.cap.unwrap_or(u64::MAX));
        Self { prompt, answers, expected, tier }
    }

    /// Tokens of the prompt and of the answer. Without a cap the answer is what is expected: whoever reserves the cap
    /// has refused the request by then.
    pub fn tokens(&self, reserve: Reserve) -> (u64, u64) {
        let one = match (reserve, self.answers.cap) {
            (Reserve::Cap, Some(cap)) => cap,
            _ => self.expected,
        };
        (self.prompt.tokens(reserve), one.saturating_mul(self.answers.count))
    }

    /// What of that is no guess: with what is expected, one token of each answer that may have any.
    pub fn certain(&self, reserve: Reserve) -> (u64, u64) {
        let (prompt, answer) = self.tokens(reserve);
        match reserve {
            Reserve::Cap => (prompt, answer),
            Reserve::Expected => (prompt, self.answers.count.min(answer)),
        }
    }
}

/// 400 for a request that does not say how much may be answered, where that much is to be reserved.
pub fn uncapped(endpoint: &Endpoint<'_>, scan: Option<&Scan<'_>>) -> Error {
    let field = match endpoint.api {
        api if is_ollama(api) => "options.num_predict",
        _ if scan.is_some_and(|scan| scan.n_predict == Some(UNBOUNDED)) => "n_predict",
        Api::Responses | Api::Compact => "max_output_tokens",
        _ => "max_tokens",
    };
    let message = format!(
        "A limit on this request reserves the most that may be answered (reserve: cap), and the request does not say \
         how much that is; set {field} to a whole number above 0."
    );
    Error::new(Code::InvalidRequest, message).at(field)
}

/// 400 for a form of unknown length, where the most that it may hold is to be reserved.
pub fn endless() -> Error {
    let message = "A limit on this request reserves the most that may be used (reserve: cap); send a form of this size \
                   with a content-length.";
    Error::new(Code::InvalidRequest, message).at("content-length")
}
