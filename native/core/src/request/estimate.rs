//! What a request may use of tokens, before its answer is known: its prompt by its bytes, its answer by its cap or by
//! what is usual.

pub mod attached;

use serde::Deserialize;

use super::{
    endpoint::{Api, Endpoint},
    scan::Scan,
};
use crate::{
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
}

impl Prompt {
    /// Of a body in JSON.
    pub fn of_json(body: &[u8]) -> Self {
        let attached = attached::attached(body);
        Self { text_bytes: (body.len() as u64).saturating_sub(attached.bytes), images: attached.images }
    }

    /// Of a form, or of the beginning of one that flows: files are no text.
    pub fn of_form(body: &[u8]) -> Self {
        let mut prompt = Self::default();
        let Some(end) = memchr::memmem::find(body, b"\r\n") else { return prompt };
        for part in memchr::memmem::find_iter(body, &body[..end]).map(|at| &body[at + end..]) {
            let Some(head_end) = memchr::memmem::find(part, b"\r\n\r\n") else { continue };
            let head = part[..head_end].to_ascii_lowercase();
            let has = |text: &str| memchr::memmem::find(&head, text.as_bytes()).is_some();
            if has("filename") {
                prompt.images += u64::from(has("image/"));
                continue;
            }
            let content = &part[head_end + 4..];
            let length = memchr::memmem::find(content, &body[..end]).unwrap_or(content.len());
            prompt.text_bytes += length.saturating_sub(2) as u64;
        }
        prompt
    }

    /// Its tokens: at most so many, or about so many.
    fn tokens(self, reserve: Reserve) -> u64 {
        let text = match reserve {
            Reserve::Cap => self.text_bytes,
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
    /// Alternatives that are asked for.
    pub count: u64,
}

/// Whether tokens are what a path uses; others ask about them, or are not ours to read.
pub fn uses_tokens(api: Api) -> bool {
    !matches!(api, Api::CountTokens | Api::InputTokens | Api::OllamaShow | Api::Other)
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
    pub fn of(api: Api, scan: Option<&Scan<'_>>, body: &[u8], usual: Option<u64>) -> Self {
        if !answers_in_tokens(api) {
            return Self { cap: Some(0), count: 1 };
        }
        if matches!(api, Api::OllamaChat | Api::OllamaGenerate) {
            return Self { cap: num_predict(body).or(usual), count: 1 };
        }
        let Some(scan) = scan else { return Self { cap: usual, count: 1 } };
        let number = |field: &Option<(_, u64)>| field.as_ref().map(|(_, n)| *n);
        let caps = [&scan.max_tokens, &scan.max_completion_tokens, &scan.max_output_tokens];
        let best_of = number(&scan.best_of).filter(|_| api == Api::Completions);
        Self {
            cap: caps.into_iter().filter_map(number).max().or(usual),
            count: number(&scan.n).max(best_of).unwrap_or(1).max(1),
        }
    }
}

/// What a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub prompt: Prompt,
    pub answers: Answers,
    /// What one answer usually has, at most its cap.
    pub expected: u64,
}

impl Estimate {
    pub fn new(prompt: Prompt, answers: Answers, usual: Option<u64>) -> Self {
        let expected = usual.unwrap_or(FIRST_GUESS).min(answers.cap.unwrap_or(u64::MAX));
        Self { prompt, answers, expected }
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
}

/// 400 for a request that does not say how much may be answered, where that much is to be reserved.
pub fn uncapped(endpoint: &Endpoint<'_>) -> Error {
    let field = match endpoint.api {
        Api::Responses => "max_output_tokens",
        Api::OllamaChat | Api::OllamaGenerate => "options.num_predict",
        _ => "max_tokens",
    };
    let message = format!(
        "A limit on this request reserves the most that may be answered (reserve: cap), and the request does not say \
         how much that is; set {field}."
    );
    Error::new(Code::InvalidRequest, message).at(field)
}

/// Ollama's cap; below zero it means none.
fn num_predict(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Request {
        options: Option<Options>,
    }
    #[derive(Deserialize)]
    struct Options {
        num_predict: Option<serde_json::Number>,
    }
    let request: Request = serde_json::from_slice(body).ok()?;
    let number = request.options?.num_predict?;
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "whole and not negative")]
    number.as_u64().or_else(|| number.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as u64))
}
