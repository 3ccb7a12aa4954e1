//! Turns references to secrets into their values; the only place where native reads them.

use std::{env, fs};

use super::document::Part;

/// The value of `parts`, or which reference could not be followed. The message never holds a value.
pub(super) fn resolve(parts: &[Part]) -> Result<String, String> {
    let mut value = String::new();
    for part in parts {
        match part {
            Part::Text { text } => value.push_str(text),
            Part::Env { env: name, default } => match (env::var(name), default) {
                (Ok(v), _) if !v.is_empty() => value.push_str(&v),
                (_, Some(default)) => value.push_str(default),
                _ => return Err(format!("environment variable {name} is not set")),
            },
            Part::File { file } => {
                let text = fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
                value.push_str(text.trim_end_matches(['\r', '\n']));
            }
        }
    }
    if value.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err("the value has control characters, which no header may carry".into());
    }
    Ok(value)
}
