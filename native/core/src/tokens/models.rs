//! Which encoding counts a model's tokens, and by what factor where its own is not public.

/// How the tokens of a model are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// One of [`super::Encoding::NAMES`].
    pub encoding: &'static str,
    /// Tokens of the model for a thousand of the encoding's.
    pub per_mille: u32,
    /// Whether the encoding is known to be the model's own.
    pub is_exact: bool,
    /// It may think out of sight: of an answer that does not state its tokens not all is there to be counted.
    pub thinks_unseen: bool,
}

const O200K: &str = "o200k_base";
const CL100K: &str = "cl100k_base";

/// Models of `cl100k_base`, alone or with `-` behind; of `o200k_base` the same; and beginnings of the latter's names.
/// The encodings name themselves. `o200k_harmony`, of `gpt-oss-`, differs in special tokens only.
/// Source: `tiktoken/model.py` 0.14.
const CL100K_MODELS: [&str; 10] = [
    CL100K,
    "gpt-4",
    "gpt-3.5",
    "gpt-3.5-turbo",
    "gpt-35-turbo",
    "text-embedding-ada-002",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "davinci-002",
    "babbage-002",
];
const O200K_MODELS: [&str; 10] =
    [O200K, "o200k_harmony", "gpt-4.5", "gpt-4.1", "gpt-4o", "chatgpt-4o", "o1", "o3", "o4-mini", "gpt-oss"];
const O200K_BEGINNINGS: [&str; 1] = ["gpt-5"];
/// Beginnings of the names of `OpenAI`'s that think before they write, unless it says `-chat` behind.
const UNSEEN: [&str; 4] = ["o1", "o3", "o4", "gpt-5"];
/// `OpenAI`'s that tiktoken does not know (yet): taken for `o200k_base`.
const LIKELY_O200K: [&str; 5] = ["gpt-", "o1", "o3", "o4", "codex-"];

/// Claude up to 4.6: its encoding is not public. Within what is reported, 1.1 to 1.35, on the high side for English.
const CLAUDE_PER_MILLE: u32 = 1_200;
/// Claude 4.7 and later: reported to use up to 35 % more than before; the upper end of what is reported.
const NEW_CLAUDE_PER_MILLE: u32 = 1_350;
/// Everyone else. Measured against `o200k_base` on English prose and code: Qwen 1.00 to 1.03, Mistral's Tekken 1.03 to
/// 1.07; both 1.26 on JSON full of numbers, as they take digits one by one.
const OTHER_PER_MILLE: u32 = 1_100;

impl Measure {
    /// Of a model by its name, or of an encoding: a provider's or a publisher's before it, up to `/`, and `ft:` are passed over.
    pub fn of(model: &str) -> Self {
        let name = bare(model);
        let name = name.as_str();
        let thinks_unseen = UNSEEN.iter().any(|begin| name.starts_with(begin)) && !name.contains("-chat");
        let exact = |encoding| Self { encoding, per_mille: 1_000, is_exact: true, thinks_unseen };
        let about = |per_mille| Self { encoding: O200K, per_mille, is_exact: false, thinks_unseen };
        if CL100K_MODELS.iter().any(|known| is_of(name, known)) {
            exact(CL100K)
        } else if O200K_MODELS.iter().any(|known| is_of(name, known))
            || O200K_BEGINNINGS.iter().any(|known| name.starts_with(known))
        {
            exact(O200K)
        } else if LIKELY_O200K.iter().any(|known| name.starts_with(known)) {
            about(1_000)
        } else if let Some(version) = claude(name) {
            about(if version >= (4, 7) { NEW_CLAUDE_PER_MILLE } else { CLAUDE_PER_MILLE })
        } else {
            about(OTHER_PER_MILLE)
        }
    }
}

/// What so many tokens of the encoding are in tokens of the model, rounded up.
pub fn approximate(measure: Measure, counted: u64) -> u64 {
    counted.saturating_mul(measure.per_mille.into()).div_ceil(1_000)
}

/// The name without what providers put before it, in lower case.
pub(super) fn bare(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    name.strip_prefix("ft:").map(str::to_owned).unwrap_or(name)
}

/// Whether a model is this one, or a dated or tuned variant of it.
pub(super) fn is_of(name: &str, known: &str) -> bool {
    name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':']))
}

/// The version of a Claude, also by the names of clouds that resell it: `anthropic.claude-opus-4-8-v1:0` is (4, 8).
/// Without a number it is the newest.
pub(super) fn claude(name: &str) -> Option<(u32, u32)> {
    let rest = &name[name.find("claude")?..];
    let mut words = rest.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &str| if word.len() <= 2 { word.parse().ok() } else { None };
    let major = words.by_ref().find_map(|word| number(word.strip_prefix('v').unwrap_or(word)));
    let minor = words.next().and_then(number);
    Some((major.unwrap_or(u32::MAX), minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_encodings() {
        for (name, encoding, per_mille, is_exact) in [
            ("gpt-4", CL100K, 1_000, true),
            ("gpt-4-0613", CL100K, 1_000, true),
            ("gpt-3.5-turbo-0125", CL100K, 1_000, true),
            ("openai/text-embedding-3-small", CL100K, 1_000, true),
            ("ft:gpt-4:org::1", CL100K, 1_000, true),
            ("gpt-4o", O200K, 1_000, true),
            ("ft:gpt-4o-mini-2024-07-18:org", O200K, 1_000, true),
            ("gpt-4.1-mini", O200K, 1_000, true),
            ("azure/GPT-5.4-mini", O200K, 1_000, true),
            ("o3-pro", O200K, 1_000, true),
            ("openai/gpt-oss-120b", O200K, 1_000, true),
            ("o200k_base", O200K, 1_000, true),
            ("cl100k_base", CL100K, 1_000, true),
            ("gpt-6-astra", O200K, 1_000, false),
            ("gpt-audio", O200K, 1_000, false),
            ("claude-3-5-sonnet-20241022", O200K, 1_200, false),
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", O200K, 1_200, false),
            ("claude-opus-4-6", O200K, 1_200, false),
            ("claude-2.1", O200K, 1_200, false),
            ("anthropic/claude-opus-4.7", O200K, 1_350, false),
            ("claude-haiku-5-5", O200K, 1_350, false),
            ("claude", O200K, 1_350, false),
            ("llama3.3:70b", O200K, 1_100, false),
            ("gemini-3-pro", O200K, 1_100, false),
            ("", O200K, 1_100, false),
        ] {
            let measure = Measure::of(name);
            assert_eq!(
                (measure.encoding, measure.per_mille, measure.is_exact),
                (encoding, per_mille, is_exact),
                "{name}"
            );
        }
        for (name, unseen) in [
            ("o3-pro", true),
            ("azure/GPT-5.4-mini", true),
            ("gpt-5-chat-latest", false),
            ("gpt-4o", false),
            ("gpt-oss", false),
        ] {
            assert_eq!(Measure::of(name).thinks_unseen, unseen, "{name}");
        }
    }

    #[test]
    fn what_is_approximate_is_rounded_up() {
        assert_eq!(approximate(Measure::of("claude-opus-4-6"), 0), 0);
        assert_eq!(approximate(Measure::of("claude-opus-4-6"), 6), 8);
        assert_eq!(approximate(Measure::of("gpt-4o"), 7), 7);
    }
}
