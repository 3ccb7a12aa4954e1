//! What answers cost, for oracles in other languages: a line in, a line of JSON out.
//!
//! In: `{"price": …, "dialect": …, "asked": …, "body": …}`: a price as the snapshot has it, the dialect's name, the
//! `service_tier` of the request, and an unstreamed answer as text. Out: nano-dollars, or null where nobody knows.

#![expect(clippy::print_stdout, reason = "stdout is the protocol")]

use std::io::{self, BufRead, Write as _};

use penstock_core::{
    dialects::{
        Dialect,
        usage::{BodyTap, Tier},
    },
    snapshot::{Price, document},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    price: document::Price,
    dialect: String,
    asked: String,
    body: String,
}

fn cost(line: &str) -> Result<Option<u64>, String> {
    let Line { price, dialect, asked, body } = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let mut tap = BodyTap::new(Dialect::parse(&dialect).ok_or("no such dialect")?, true);
    tap.feed(body.as_bytes());
    let price = Price::new(price.rates, price.above, price.factors);
    Ok(tap.usage().and_then(|usage| price.cost(&usage, Tier::of(asked.as_bytes()))))
}

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        match cost(&line?) {
            Ok(Some(nanousd)) => println!("{nanousd}"),
            Ok(None) => println!("null"),
            Err(error) => println!("{{\"error\": {error:?}}}"),
        }
        io::stdout().flush()?;
    }
    Ok(())
}
