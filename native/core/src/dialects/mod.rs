//! The wire formats of clients and providers, one file each: endings, keep-alives and error shapes.

pub mod anthropic;
pub mod counts;
pub mod fields;
pub mod ollama;
pub mod openai;
pub mod usage;

use crate::error::Error;

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenAi,
    Anthropic,
    Ollama,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: &[Self] = &[Self::OpenAi, Self::Anthropic, Self::Ollama];

    /// The dialect of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|d| d.name() == name)
    }

    /// The name used in configuration, metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }
}

/// The body of an error answer in the caller's dialect: one JSON object.
pub fn error_body(dialect: Dialect, error: &Error, request_id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + error.message.len());
    match dialect {
        Dialect::OpenAi => openai::write_error(error, &mut out),
        Dialect::Anthropic => anthropic::write_error(error, request_id, &mut out),
        Dialect::Ollama => ollama::write_error(error, &mut out),
    }
    out
}

/// How a streamed answer is framed and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// `OpenAI` chat completions: SSE, ends with `[DONE]`.
    Chat,
    /// `OpenAI` legacy completions: as chat.
    Completions,
    /// `OpenAI` responses: SSE, ends with `response.completed`, `.incomplete` or `.failed`.
    Responses,
    /// SSE of `OpenAI`'s image and audio endpoints: ends with the body.
    OtherSse,
    /// Anthropic messages: SSE with event names, ends with `message_stop`.
    Messages,
    /// Ollama's `/api/chat`: a JSON object a line, ends with `"done":true`.
    OllamaChat,
    /// Ollama's `/api/generate`: as chat, other fields.
    OllamaGenerate,
}

impl StreamKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::OtherSse,
        Self::Messages,
        Self::OllamaChat,
        Self::OllamaGenerate,
    ];

    /// The dialect whose clients read it.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Completions | Self::Responses | Self::OtherSse => Dialect::OpenAi,
            Self::Messages => Dialect::Anthropic,
            Self::OllamaChat | Self::OllamaGenerate => Dialect::Ollama,
        }
    }

    /// The `content-type` of the answer.
    pub const fn content_type(self) -> &'static str {
        match self.dialect() {
            Dialect::OpenAi | Dialect::Anthropic => "text/event-stream; charset=utf-8",
            Dialect::Ollama => "application/x-ndjson",
        }
    }

    /// Appends what keeps a connection busy without meaning anything; only legal between frames.
    ///
    /// Ollama's client parses every line, so there it is an object of the endpoint's shape with empty text;
    /// `utc_us` (microseconds since 1970) and `model` go into that object and are not used elsewhere.
    pub fn keep_alive(self, model: &str, utc_us: u64, out: &mut Vec<u8>) {
        match self.dialect() {
            Dialect::OpenAi => out.extend_from_slice(b": keep-alive\n\n"),
            Dialect::Anthropic => out.extend_from_slice(b"event: ping\ndata: {\"type\": \"ping\"}\n\n"),
            Dialect::Ollama => ollama::write_keep_alive(self == Self::OllamaGenerate, model, utc_us, out),
        }
    }

    /// Appends a frame that makes the dialect's official client raise an error in mid-stream.
    pub fn error_frame(self, error: &Error, request_id: &str, out: &mut Vec<u8>) {
        match self {
            Self::Responses => openai::write_responses_error_frame(error, out),
            Self::Chat | Self::Completions | Self::OtherSse => openai::write_error_frame(error, out),
            Self::Messages => anthropic::write_error_frame(error, request_id, out),
            Self::OllamaChat | Self::OllamaGenerate => {
                ollama::write_error(error, out);
                out.push(b'\n');
            }
        }
    }

    /// The frame that ends a stream whose finish was seen; empty where the finish is itself the end.
    pub const fn end_mark(self) -> &'static [u8] {
        match self {
            Self::Chat | Self::Completions => b"data: [DONE]\n\n",
            Self::Messages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            Self::Responses | Self::OtherSse | Self::OllamaChat | Self::OllamaGenerate => b"",
        }
    }

    /// True for a JSON object a line, false for server-sent events.
    pub const fn is_lines(self) -> bool {
        matches!(self, Self::OllamaChat | Self::OllamaGenerate)
    }
}
