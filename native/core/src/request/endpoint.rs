//! From method and path to what is asked, in which dialect: one table.

use std::borrow::Cow;

use super::models::percent_decoded;
use crate::{
    dialects::{Dialect, StreamKind},
    error::{Code, Error},
};

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Chat,
    Completions,
    Embeddings,
    Responses,
    InputTokens,
    Compact,
    Moderations,
    Images,
    Speech,
    /// Audio in, text out: transcriptions and translations.
    Transcription,
    /// The list of models, or one of them.
    Models,
    /// What the key that asks may do.
    Key,
    Messages,
    CountTokens,
    /// The same of any text, in a shape of ours.
    Tokens,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    OllamaTags,
    OllamaShow,
    OllamaVersion,
    /// Anything else: relayed only where a provider's `passthrough` opens it.
    Other,
}

impl Api {
    /// The name in records and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat | Self::OllamaChat => "chat",
            Self::Completions => "completions",
            Self::Embeddings | Self::OllamaEmbed => "embeddings",
            Self::Responses => "responses",
            Self::InputTokens => "input_tokens",
            Self::Compact => "compact",
            Self::Moderations => "moderations",
            Self::Images => "images",
            Self::Speech => "speech",
            Self::Transcription => "transcription",
            Self::Models | Self::OllamaTags => "models",
            Self::Key => "key",
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
            Self::Tokens => "tokens",
            Self::OllamaGenerate => "generate",
            Self::OllamaShow => "show",
            Self::OllamaVersion => "version",
            Self::Other => "passthrough",
        }
    }
}

/// How the body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    None,
    /// JSON, or a multipart form where the client says so.
    Model,
    /// As it comes.
    Opaque,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    pub api: Api,
    pub dialect: Dialect,
    pub form: Form,
    /// The path that is appended to the provider's base, normalised.
    pub path: Cow<'a, str>,
}

/// Methods that pass to a provider on paths that we do not read. Not TRACE: its echo would show the credential.
const OTHER_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Path without `/v1`, API, dialect.
const TABLE: &[(&str, Api, Dialect)] = &[
    ("/chat/completions", Api::Chat, Dialect::OpenAi),
    ("/completions", Api::Completions, Dialect::OpenAi),
    ("/embeddings", Api::Embeddings, Dialect::OpenAi),
    ("/responses", Api::Responses, Dialect::OpenAi),
    ("/responses/input_tokens", Api::InputTokens, Dialect::OpenAi),
    ("/responses/compact", Api::Compact, Dialect::OpenAi),
    ("/moderations", Api::Moderations, Dialect::OpenAi),
    ("/images/generations", Api::Images, Dialect::OpenAi),
    ("/images/edits", Api::Images, Dialect::OpenAi),
    ("/images/variations", Api::Images, Dialect::OpenAi),
    ("/audio/speech", Api::Speech, Dialect::OpenAi),
    ("/audio/transcriptions", Api::Transcription, Dialect::OpenAi),
    ("/audio/translations", Api::Transcription, Dialect::OpenAi),
    ("/tokens/count", Api::Tokens, Dialect::OpenAi),
    ("/messages", Api::Messages, Dialect::Anthropic),
    ("/messages/count_tokens", Api::CountTokens, Dialect::Anthropic),
    ("/api/chat", Api::OllamaChat, Dialect::Ollama),
    ("/api/generate", Api::OllamaGenerate, Dialect::Ollama),
    ("/api/embed", Api::OllamaEmbed, Dialect::Ollama),
    ("/api/embeddings", Api::OllamaEmbed, Dialect::Ollama),
    ("/api/show", Api::OllamaShow, Dialect::Ollama),
];

/// Prefixes of paths that name objects which one tenant stored and another must not see.
const STORED: &[&str] = &[
    "/files",
    "/uploads",
    "/batches",
    "/responses/",
    "/conversations",
    "/vector_stores",
    "/fine_tuning",
    "/evals",
    "/containers",
    "/chat/completions",
    "/messages/batches",
    "/organization",
    "/assistants",
    "/threads",
    "/videos",
    "/skills",
    "/realtime",
    "/live",
    "/agents",
    "/vaults",
    "/chatkit",
    "/webhook_endpoints",
];

impl<'a> Endpoint<'a> {
    /// Finds what `method` and `path` (without query) ask for. On paths that several dialects share, the client
    /// speaks Anthropic if it sent `anthropic-version`.
    pub fn find(method: &str, path: &'a str, speaks_anthropic: bool) -> Result<Self, Error> {
        if has_dot_segment(path) {
            let message = "The path has a segment `.` or `..`, plain or encoded; write it without.";
            return Err(Error::new(Code::PathNotFound, message));
        }
        let path = normalise(path);
        let rest = without_version(&path);
        if let Some((_, api, dialect)) = TABLE.iter().find(|(p, ..)| *p == rest) {
            if method == "POST" {
                return Ok(Self::new(*api, *dialect, Form::Model, path));
            }
            if !is_stored(rest) {
                return Err(wrong_method(method, rest, "POST"));
            }
        }
        let shared = if speaks_anthropic { Dialect::Anthropic } else { Dialect::OpenAi };
        let (api, dialect) = match rest {
            "/models" => (Api::Models, shared),
            "/key" => (Api::Key, shared),
            "/api/tags" => (Api::OllamaTags, Dialect::Ollama),
            "/api/version" => (Api::OllamaVersion, Dialect::Ollama),
            r if r.starts_with("/models/") && matches!(method, "GET" | "HEAD") => (Api::Models, shared),
            r if r.starts_with("/api/") => {
                return Err(Error::new(
                    Code::PathNotFound,
                    format!("{r} is not served; see the Ollama paths in the documentation"),
                ));
            }
            r => {
                if !OTHER_METHODS.split(", ").any(|m| m == method) {
                    return Err(wrong_method(method, r, OTHER_METHODS));
                }
                let dialect = if r.starts_with("/messages") { Dialect::Anthropic } else { shared };
                return Ok(Self::new(Api::Other, dialect, Form::Opaque, path));
            }
        };
        if !matches!(method, "GET" | "HEAD") {
            return Err(wrong_method(method, rest, "GET"));
        }
        Ok(Self::new(api, dialect, Form::None, path))
    }

    fn new(api: Api, dialect: Dialect, form: Form, path: Cow<'a, str>) -> Self {
        Self { api, dialect, form, path }
    }

    /// The path without `/v1`.
    pub fn rest(&self) -> &str {
        without_version(&self.path)
    }

    /// The path as the provider's base expects it: `OpenAI` bases end in `/v1`, Anthropic's do not.
    pub fn upstream_path(&self) -> (&'static str, &str) {
        match self.dialect {
            Dialect::Anthropic => ("/v1", self.rest()),
            Dialect::OpenAi | Dialect::Ollama => ("", self.rest()),
        }
    }

    /// The framing of a streamed answer; `None` where an answer never streams or its stream is not looked at.
    pub fn stream_kind(&self) -> Option<StreamKind> {
        Some(match self.api {
            Api::Chat => StreamKind::Chat,
            Api::Completions => StreamKind::Completions,
            Api::Responses => StreamKind::Responses,
            Api::Images | Api::Speech | Api::Transcription => StreamKind::OtherSse,
            Api::Messages => StreamKind::Messages,
            Api::OllamaChat => StreamKind::OllamaChat,
            Api::OllamaGenerate => StreamKind::OllamaGenerate,
            _ => return None,
        })
    }

    /// Whether an answer streams when the request does not say.
    pub fn streams_by_default(&self) -> bool {
        matches!(self.api, Api::OllamaChat | Api::OllamaGenerate)
    }

    /// Whether an unstreamed answer may state its usage.
    pub fn has_usage(&self) -> bool {
        !matches!(
            self.api,
            Api::Other | Api::Speech | Api::OllamaShow | Api::CountTokens | Api::InputTokens | Api::Tokens
        )
    }

    /// Whether a request must name a model.
    pub fn needs_model(&self) -> bool {
        !matches!(self.api, Api::Moderations | Api::Images | Api::Compact | Api::InputTokens)
    }
}

/// Whether an upstream that decodes or normalises `rest` could take it for the administration of the provider's account.
pub fn is_organization(rest: &str) -> bool {
    let decoded = percent_decoded(&percent_decoded(rest)).to_ascii_lowercase().replace('\\', "/");
    let mut segments = decoded.split('/').filter(|s| !s.is_empty() && *s != "v1");
    segments.next() == Some("organization")
}

/// Whether `rest` names objects that somebody stored.
pub fn is_stored(rest: &str) -> bool {
    STORED
        .iter()
        .any(|s| rest.strip_prefix(s).is_some_and(|tail| s.ends_with('/') || tail.is_empty() || tail.starts_with('/')))
}

fn wrong_method(method: &str, rest: &str, right: &'static str) -> Error {
    let message = format!("{rest} takes {right}, not {method}");
    Error { allow: Some(right), ..Error::new(Code::MethodNotAllowed, message) }
}

fn without_version(path: &str) -> &str {
    match path.strip_prefix("/v1") {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// Whether an upstream that resolves the path (RFC 3986 §5.2.4) could end elsewhere than we looked.
fn has_dot_segment(path: &str) -> bool {
    if !path.contains('.') && !path.contains('%') {
        return false;
    }
    let decoded = percent_decoded(&percent_decoded(path));
    decoded.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}

/// Without doubled and trailing slashes.
fn normalise(path: &str) -> Cow<'_, str> {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return Cow::Borrowed("/");
    }
    if !trimmed.contains("//") {
        return Cow::Borrowed(trimmed);
    }
    let mut out = String::with_capacity(trimmed.len());
    for c in trimmed.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    Cow::Owned(out)
}
