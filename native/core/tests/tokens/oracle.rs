//! Counting as tiktoken does it: its patterns by the same regex library, and its merges one by one.

use std::{collections::HashMap, fs, path::PathBuf, sync::LazyLock};

use penstock_core::tokens::Encoding;
use regex_automata::{Anchored, Input, meta::Regex};

/// What a text is cut by: alternatives in their order, each at the place where the last one ended.
///
/// Possessive quantifiers of the originals are greedy here, as nothing stands behind them that they could give back to.
const CL100K: [&str; 7] = [
    r"'(?i:[sdmt]|ll|ve|re)",
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s+\z",
    r"\s*[\r\n]",
    BEFORE_MORE,
];
const O200K: [&str; 6] = [
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    BEFORE_MORE,
];
/// `\s+(?!\S)|\s+`, the last of both, without the look ahead: see [`Slow::piece`].
const BEFORE_MORE: &str = r"\s+";

/// Where the package keeps its tables.
pub fn tables() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../python/penstock/tokens")
}

/// Both encodings, fast and slow.
pub static BOTH: LazyLock<[(Encoding, Slow); 2]> = LazyLock::new(|| {
    [("o200k_base", &O200K[..]), ("cl100k_base", &CL100K[..])]
        .map(|(name, patterns)| (Encoding::open(&tables(), name).expect("the table"), Slow::open(name, patterns)))
});

/// An encoding in the plainest way.
pub struct Slow {
    patterns: Vec<Regex>,
    ranks: HashMap<Vec<u8>, u32>,
}

impl Slow {
    /// Reads all slots of a table; `scripts/tokens_tables.py` says what stands in them.
    fn open(name: &str, patterns: &[&str]) -> Self {
        let data = fs::read(tables().join(name).with_extension("table")).expect("the table");
        let word = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().expect("8 bytes"));
        let first = 64 + 4 * 65_536;
        let long = first + 16 * (word(28) as u32 as usize);
        let mut ranks = HashMap::new();
        for at in (first..long).step_by(16) {
            let slot = word(at + 8);
            let len = (slot >> 32 & 0xff) as usize;
            let begin = if len <= 12 { at } else { long + slot as u32 as usize };
            if len > 0 {
                ranks.insert(data[begin..begin + len].to_vec(), (slot >> 40) as u32);
            }
        }
        let patterns = patterns.iter().map(|pattern| Regex::new(pattern).expect("a pattern")).collect();
        Self { patterns, ranks }
    }

    pub fn count(&self, text: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(text);
        let (mut at, mut count) = (0, 0);
        while at < text.len() {
            let end = self.piece(&text, at);
            count += self.encode(&text.as_bytes()[at..end]);
            at = end;
        }
        count
    }

    /// Where the piece ends that begins here.
    pub fn piece(&self, text: &str, at: usize) -> usize {
        let input = Input::new(text).range(at..).anchored(Anchored::Yes);
        let found = self.patterns.iter().find_map(|pattern| Some((pattern, pattern.find(input.clone())?.end())));
        let (pattern, end) = found.expect("some alternative matches");
        let is_last = std::ptr::eq(pattern, self.patterns.last().expect("patterns"));
        // `\s+(?!\S)` gives back one character where more follows, unless there is only one.
        match text[at..end].char_indices().last() {
            Some((last, _)) if is_last && last > 0 && end < text.len() => at + last,
            _ => end,
        }
    }

    /// `_byte_pair_merge` of tiktoken: joins the lowest pair, the leftmost of equal ones, as long as there is one.
    fn encode(&self, piece: &[u8]) -> u64 {
        if self.ranks.contains_key(piece) {
            return 1;
        }
        let mut starts: Vec<usize> = (0..=piece.len()).collect();
        let rank = |starts: &[usize], at: usize| match starts.get(at..at + 3) {
            Some(three) => self.ranks.get(&piece[three[0]..three[2]]).copied().unwrap_or(u32::MAX),
            None => u32::MAX,
        };
        let mut ranks: Vec<u32> = (0..starts.len()).map(|at| rank(&starts, at)).collect();
        loop {
            let lowest = ranks.iter().copied().fold(u32::MAX, u32::min);
            if lowest == u32::MAX {
                return starts.len() as u64 - 1;
            }
            let at = ranks.iter().position(|rank| *rank == lowest).expect("it was there");
            starts.remove(at + 1);
            ranks.remove(at + 1);
            ranks[at] = rank(&starts, at);
            if at > 0 {
                ranks[at - 1] = rank(&starts, at - 1);
            }
        }
    }
}
