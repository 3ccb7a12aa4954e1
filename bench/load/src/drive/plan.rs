//! What one run of the driver is asked to do.

use std::{net::SocketAddr, ops::Range};

use memchr::memmem;

use crate::{
    Outcome, answer,
    args::Args,
    clock,
    sample::Processes,
    wish::{self, Wish},
};

/// What a client shows that was given no key: enough where nobody asks for one.
const ANY_KEY: &str = "sk-of-the-client";

#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) processes: Processes,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) rate: u64,
    pub(crate) warmup_ns: u64,
    pub(crate) window_ns: u64,
    pub(crate) wish: Wish,
    /// The request's bytes, head and body.
    pub(crate) request: Vec<u8>,
    /// Where in it the key stands.
    key: Range<usize>,
    /// The body that an unstreamed answer must have, stamps aside.
    pub(crate) expected: Vec<u8>,
    /// Whether the answer may be other bytes with the same meaning.
    pub(crate) rewritten: bool,
    /// The status of the refusal that every request must get instead of an answer.
    pub(crate) refused: Option<u16>,
}

impl Plan {
    pub(crate) fn read(mode: &str, args: &Args) -> Outcome<Self> {
        let (model, key) = (args.text("model").unwrap_or("bench"), args.text("key"));
        Self::toward(args.need("target")?, model, key, mode, args)
    }

    /// The same towards a target, with a model and a key, that stand for themselves.
    pub(crate) fn toward(target: SocketAddr, model: &str, key: Option<&str>, mode: &str, args: &Args) -> Outcome<Self> {
        let key = key.unwrap_or(ANY_KEY);
        let streamed = matches!(mode, "streams" | "held");
        let wish = Wish {
            bytes: args.or("answer-bytes", 1024)?,
            chunks: if streamed { args.or("chunks", 50)? } else { 0 },
            pace_ms: args.or("pace-ms", 20)?,
        };
        let path = args.text("path").unwrap_or("/v1/chat/completions");
        let connections = args.or("connections", 1_usize)?.max(1);
        let request = wish::request(&target.to_string(), path, model, key, &wish, args.or("request-bytes", 1024)?);
        let key_at =
            memmem::find(&request, wish::BEFORE_KEY).ok_or("a request without a key")? + wish::BEFORE_KEY.len();
        Ok(Self {
            target,
            processes: Processes::parse(args.text("pids").unwrap_or_default())?,
            connections,
            threads: args.or("threads", 1_usize)?.clamp(1, connections),
            rate: args.or("rate", 500_u64)?.max(1),
            warmup_ns: clock::seconds(args.or("warmup", 0.2)?),
            window_ns: clock::seconds(args.or("seconds", 1.0)?),
            wish,
            request,
            key: key_at..key_at + key.len(),
            expected: answer::whole(wish.bytes),
            rewritten: args.or("rewritten", false)?,
            refused: args.text("refused").map(|_| args.need("refused")).transpose()?,
        })
    }

    /// Half as many requests, past the gateway to the upstream that `--past` names: enough to tell what the machine does, and
    /// little of what it has.
    pub(crate) fn past(&self, args: &Args) -> Outcome<Self> {
        let past = Self::toward(args.need("past")?, "bench", None, "open", args)?;
        Ok(Self { rate: self.rate.div_ceil(2), ..past })
    }

    /// The same request with another key.
    pub(crate) fn request_as(&self, key: &str) -> Vec<u8> {
        [&self.request[..self.key.start], key.as_bytes(), &self.request[self.key.end..]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_as_another_is_the_same_but_for_the_key() {
        let words = "--target 127.0.0.1:1 --key sk-short".split(' ').map(str::to_owned);
        let plan = Plan::read("open", &Args::parse(words).unwrap()).unwrap();
        let text = String::from_utf8(plan.request.clone()).unwrap();
        assert!(text.contains("\r\nAuthorization: Bearer sk-short\r\n"));
        let other = String::from_utf8(plan.request_as("sk-much-longer")).unwrap();
        assert_eq!(other, text.replace("sk-short", "sk-much-longer"));
    }
}
