//! Every error that Penstock itself makes: one stable code each, with its HTTP status, side and retry rule.

use std::fmt;

/// Who caused an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request cannot be served as it was sent.
    Client,
    /// The provider failed or could not be reached.
    Upstream,
    /// Penstock itself.
    Us,
}

/// Whether another attempt may follow a failed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another target, or this one again, may be tried.
    Yes,
    /// Only when the connection had been used before: the peer may have closed it while we wrote.
    ReusedOnly,
    /// Never.
    No,
}

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $side:ident,)*) => {
        /// The stable code of an error, as sent in `x-penstock-error`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = concat!("`", $name, "`.")] $variant,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The name sent in `x-penstock-error`.
            pub const fn name(self) -> &'static str { match self { $(Code::$variant => $name,)* } }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 { match self { $(Code::$variant => $status,)* } }

            /// Who caused it.
            pub const fn side(self) -> Side { match self { $(Code::$variant => Side::$side,)* } }
        }
    };
}

codes! {
    InvalidHttp "invalid_http" 400 Client,
    InvalidJson "invalid_json" 400 Client,
    InvalidRequest "invalid_request" 400 Client,
    DuplicateField "duplicate_field" 400 Client,
    UnsupportedField "unsupported_field" 400 Client,
    DialectNotSupported "dialect_not_supported" 400 Client,
    RequestExceedsLimit "request_exceeds_limit" 400 Client,
    MissingApiKey "missing_api_key" 401 Client,
    InvalidApiKey "invalid_api_key" 401 Client,
    KeyDisabled "key_disabled" 401 Client,
    KeyExpired "key_expired" 401 Client,
    ModelNotAllowed "model_not_allowed" 403 Client,
    NetworkNotAllowed "network_not_allowed" 403 Client,
    OriginNotAllowed "origin_not_allowed" 403 Client,
    PathClosed "path_closed" 403 Client,
    ModelUnpriced "model_unpriced" 403 Client,
    ModelNotFound "model_not_found" 404 Client,
    PathNotFound "path_not_found" 404 Client,
    MethodNotAllowed "method_not_allowed" 405 Client,
    RequestTimeout "request_timeout" 408 Client,
    BodyTooLarge "body_too_large" 413 Client,
    UnsupportedEncoding "unsupported_encoding" 415 Client,
    HostNotAllowed "host_not_allowed" 421 Client,
    RateLimitRequests "rate_limit_requests" 429 Client,
    RateLimitTokens "rate_limit_tokens" 429 Client,
    RateLimitConcurrent "rate_limit_concurrent" 429 Client,
    BudgetExceeded "budget_exceeded" 429 Client,
    HeadersTooLarge "headers_too_large" 431 Client,
    Internal "internal" 500 Us,
    UpstreamDns "upstream_dns" 502 Upstream,
    UpstreamConnect "upstream_connect" 502 Upstream,
    UpstreamTls "upstream_tls" 502 Upstream,
    UpstreamAuth "upstream_auth" 502 Upstream,
    UpstreamError "upstream_error" 502 Upstream,
    UpstreamProtocol "upstream_protocol" 502 Upstream,
    UpstreamCut "upstream_cut" 502 Upstream,
    Overloaded "overloaded" 503 Us,
    StoreUnavailable "store_unavailable" 503 Us,
    JournalFull "journal_full" 503 Us,
    ShuttingDown "shutting_down" 503 Us,
    UpstreamTimeout "upstream_timeout" 504 Upstream,
    FirstTokenTimeout "first_token_timeout" 504 Upstream,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error on its way to a client, before a dialect gives it its shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    pub code: Code,
    /// What is wrong and what to do about it, in one or two sentences.
    pub message: String,
    /// The field at fault, where there is one.
    pub param: Option<String>,
    /// How long the client should wait before it asks again.
    pub retry_after_ms: Option<u64>,
    /// The methods that a path takes, with 405.
    pub allow: Option<&'static str>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, retry_after_ms: None, allow: None }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to ask again.
    #[must_use]
    pub fn after_ms(mut self, wait: u64) -> Self {
        self.retry_after_ms = Some(wait);
        self
    }
}

/// Why one attempt failed before its first model frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {cause}")]
pub struct Failure {
    pub code: Code,
    pub retry: Retry,
    /// For people: addresses, system errors, what was seen. Never a secret.
    pub cause: String,
}

impl Failure {
    pub fn new(code: Code, retry: Retry, cause: impl Into<String>) -> Self {
        Self { code, retry, cause: cause.into() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code, failure.cause)
    }
}
