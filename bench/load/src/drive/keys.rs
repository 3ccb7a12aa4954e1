//! Keys out of a file, what those that are refused were told, and the patience that they need.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::{Map, Value};

use crate::{Outcome, args::Args};

/// A gateway may think about a key for 30 s until it must say that it cannot tell.
pub(crate) const PATIENCE: Duration = Duration::from_secs(35);

/// What a key that is not let in may be told: it is wrong, too many wrong ones came, it cannot be told now.
const REFUSALS: [u16; 3] = [401, 429, 503];

/// The lines of the file that `--keys` names.
pub(crate) fn read(args: &Args) -> Outcome<Vec<String>> {
    let path: String = args.need("keys")?;
    let text = fs::read_to_string(&path).map_err(|e| format!("--keys {path}: {e}"))?;
    let keys: Vec<String> = text.lines().map(str::to_owned).collect();
    if keys.is_empty() { Err(format!("--keys {path}: no key in it").into()) } else { Ok(keys) }
}

/// Refusals by status.
#[derive(Default)]
pub(crate) struct Refusals(BTreeMap<u16, u64>);

impl Refusals {
    /// One more; an error if a key must not be refused like this.
    pub(crate) fn note(&mut self, status: u16, text: &str) -> Outcome<()> {
        if !REFUSALS.contains(&status) {
            return Err(format!("refused with {status}: {text}").into());
        }
        *self.0.entry(status).or_default() += 1;
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn summary(&self) -> Value {
        Value::Object(self.0.iter().map(|(status, count)| (status.to_string(), (*count).into())).collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_status_and_others_are_errors() {
        let mut refusals = Refusals::default();
        for status in [401, 503, 401] {
            refusals.note(status, "").unwrap();
        }
        assert!(refusals.note(500, "broken").unwrap_err().to_string().contains("broken"));
        assert_eq!(refusals.count(), 3);
        assert_eq!(refusals.summary(), serde_json::json!({"401": 2, "503": 1}));
    }
}
