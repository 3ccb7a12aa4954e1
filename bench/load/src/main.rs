//! penstock-load: the mock upstream and the load driver of `make bench`, in one binary.

mod answer;
mod args;
mod clock;
mod drive;
mod mock;
mod sample;
mod stats;
mod tls;
mod wish;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

/// What goes wrong here ends the run with its text: nobody branches on it.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
penstock-load mock  --tls-ca FILE [--threads N]
    prints {\"plain\": ADDRESS, \"tls\": ADDRESS} when ready; ends when its standard input does
penstock-load drive MODE --target ADDRESS [--model NAME] [--key KEY] [--path PATH] [--pids PID,PID] ...
    closed   --connections N --seconds S [--warmup S] [--threads N] [--answer-bytes N] [--request-bytes N]
             [--rewritten true]   the answer may be other bytes with the same text
    duel     --targets NAME=ADDRESS=MODEL[=KEY],... --seconds S [--answer-bytes N] [--request-bytes N]
    open     --rate PER_SECOND --seconds S [--warmup S] [--answer-bytes N] [--request-bytes N]
    streams  --connections N --seconds S [--warmup S] [--chunks N] [--pace-ms N]
    idle     --connections N
    held     --connections N [--chunks N] [--pace-ms N]
    storm    --keys FILE --past UPSTREAM --rate PER_SECOND --seconds S [--wrong-rate PER_SECOND] [--hashing THREADS]
             the file's keys are wrong; each is shown once, and good requests are measured without and with them
    cold     --keys FILE --past UPSTREAM --rate PER_SECOND --seconds S [--hashing THREADS]
             the file's keys are right and were never shown; the seconds are those of the calm afterwards
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let result = match words.next().as_deref() {
        Some("mock") => args::Args::parse(words).and_then(|a| mock::run(&a)),
        Some("drive") => drive::run(words),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}
