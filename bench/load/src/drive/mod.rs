//! The load driver: one mode a file, one JSON object on standard output.

mod alarm;
mod body;
mod busy;
mod client;
mod closed;
mod cold;
mod duel;
mod held;
mod keys;
mod open;
mod plan;
mod storm;
mod streams;
mod window;

use std::io::{self, Write};

use serde_json::Value;

use crate::{Outcome, USAGE, args::Args};

/// An answer that takes longer than this has failed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Outcome<()> {
    let mode = words.next().ok_or(USAGE)?;
    let args = Args::parse(words)?;
    let value = if mode == "duel" { duel::run(&args)? } else { single(&mode, &args)? };
    writeln!(io::stdout(), "{value}")?;
    Ok(())
}

/// The modes that drive one target.
fn single(mode: &str, args: &Args) -> Outcome<Value> {
    let plan = plan::Plan::read(mode, args)?;
    match mode {
        "closed" => window::measure(plan, closed::work),
        "open" => window::measure(plan, open::work),
        "streams" => window::measure(plan, streams::work),
        "idle" => held::idle(plan),
        "held" => held::streams(plan),
        "storm" => storm::run(&plan, args),
        "cold" => cold::run(plan, args),
        _ => Err(USAGE.into()),
    }
}
