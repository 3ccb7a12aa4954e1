//! Whether the scanner and `serde_json` agree about a body.

use std::{collections::HashSet, fmt};

use penstock_core::{
    error::Code,
    request::scan::{Ahead, scan, scan_after},
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The names of an object, repeated ones too.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// What the scanner reads at the top of a body.
const READ: [&str; 8] =
    ["model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "user", "metadata"];

/// Whether a decoder that does not mind case, as Go's, takes the name for one of those.
pub(crate) fn is_misspelt(name: &str) -> bool {
    let folded = name.replace('\u{17f}', "s").replace('\u{212a}', "k").to_ascii_lowercase();
    !READ.contains(&name) && READ.contains(&folded.as_str())
}

/// Panics unless the scanner and `serde_json` agree about `body`.
pub(crate) fn agree(body: &[u8]) {
    let shown = String::from_utf8_lossy(body);
    let is_json = std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let names = serde_json::from_slice::<Names>(body).map(|n| n.0);
    let repeats = |names: &[String]| names.iter().collect::<HashSet<_>>().len() < names.len();
    let scanned = scan(body, 128);
    for step in [1, 7, 300, 5000] {
        let mut ahead = Ahead::default();
        // At each end but the last, so that the rest is left to the scanner.
        (step..body.len()).step_by(step).for_each(|end| ahead.feed(&body[..end]));
        assert_eq!(scan_after(&ahead, body, 128), scanned, "seen ahead by {step}: {shown}");
    }
    match scanned {
        Ok(scan) => {
            assert!(is_json, "{shown}");
            // Names with lone surrogates are beyond the oracle.
            let is_sound = |names: &Vec<String>| !repeats(names) && !names.iter().any(|name| is_misspelt(name));
            assert!(names.as_ref().map_or(true, is_sound), "{shown}");
            if let (Ok(Value::Object(object)), Some(model)) = (serde_json::from_slice(body), scan.model) {
                assert_eq!(object["model"].as_str(), Some(&*model.text), "{shown}");
            }
        }
        Err(error) => match error.code {
            Code::InvalidJson => assert!(!is_json || error.message.contains("deep"), "{shown}: {error}"),
            Code::DuplicateField => assert!(names.map_or(true, |names| repeats(&names)), "{shown}: {error}"),
            Code::UnsupportedField => {
                assert!(names.map_or(true, |names| names.iter().any(|name| is_misspelt(name))), "{shown}: {error}");
            }
            _ => assert!(error.param.is_some() || (is_json && names.is_err()), "{shown}: {error}"),
        },
    }
}
