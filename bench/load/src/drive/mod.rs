//! The load driver: one mode a file, one JSON object on standard output.

mod body;
mod client;
mod closed;
mod held;
mod open;
mod plan;
mod streams;
mod window;

use std::io::{self, Write};

use crate::{Outcome, USAGE, args::Args};

/// An answer that takes longer than this has failed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Outcome<()> {
    let mode = words.next().ok_or(USAGE)?;
    let plan = plan::Plan::read(&mode, &Args::parse(words)?)?;
    let value = match mode.as_str() {
        "closed" => window::measure(plan, closed::work)?,
        "open" => window::measure(plan, open::work)?,
        "streams" => window::measure(plan, streams::work)?,
        "idle" => held::idle(plan)?,
        "held" => held::streams(plan)?,
        _ => return Err(USAGE.into()),
    };
    writeln!(io::stdout(), "{value}")?;
    Ok(())
}
