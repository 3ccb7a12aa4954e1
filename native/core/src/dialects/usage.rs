//! Tokens by kind, as an upstream counted them.

/// Tokens by kind. Prompt tokens include those read from and written to a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
    pub reasoning_tokens: u64,
    pub audio_tokens: u64,
    pub image_tokens: u64,
}
