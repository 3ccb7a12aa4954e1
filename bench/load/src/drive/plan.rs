//! What one run of the driver is asked to do.

use std::net::SocketAddr;

use crate::{
    Outcome, answer,
    args::Args,
    clock,
    sample::Processes,
    wish::{self, Wish},
};

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
    /// The body that an unstreamed answer must have, stamps aside.
    pub(crate) expected: Vec<u8>,
    /// Whether the answer may be other bytes with the same meaning.
    pub(crate) rewritten: bool,
}

impl Plan {
    pub(crate) fn read(mode: &str, args: &Args) -> Outcome<Self> {
        Self::toward(args.need("target")?, args.text("model").unwrap_or("bench"), mode, args)
    }

    /// The same towards a target and with a model that stand for themselves.
    pub(crate) fn toward(target: SocketAddr, model: &str, mode: &str, args: &Args) -> Outcome<Self> {
        let streamed = matches!(mode, "streams" | "held");
        let wish = Wish {
            bytes: args.or("answer-bytes", 1024)?,
            chunks: if streamed { args.or("chunks", 50)? } else { 0 },
            pace_ms: args.or("pace-ms", 20)?,
        };
        let path = args.text("path").unwrap_or("/v1/chat/completions");
        let connections = args.or("connections", 1_usize)?.max(1);
        Ok(Self {
            target,
            processes: Processes::parse(args.text("pids").unwrap_or_default())?,
            connections,
            threads: args.or("threads", 1_usize)?.clamp(1, connections),
            rate: args.or("rate", 500_u64)?.max(1),
            warmup_ns: clock::seconds(args.or("warmup", 0.2)?),
            window_ns: clock::seconds(args.or("seconds", 1.0)?),
            wish,
            request: wish::request(&target.to_string(), path, model, &wish, args.or("request-bytes", 1024)?),
            expected: answer::whole(wish.bytes),
            rewritten: args.or("rewritten", false)?,
        })
    }
}
