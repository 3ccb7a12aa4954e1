//! Byte-pair encoding of one piece: joins the pair of lowest rank, the leftmost first, until no pair is a token.
//!
//! A long piece is encoded window by window, in linear time and little memory. That is exact, because tokens are the
//! encoding of their bytes if and only if each two neighbours are: the first join across a boundary would also happen
//! in the two tokens beside it alone. So where two windows that overlap share a token, what stands before it in the one
//! and behind it in the other fits together. Should they share none, the piece is encoded whole: each rank takes one
//! walk, so that is linear too, only slower, in 12 bytes of memory for each of the piece.

use super::table::{NONE, Vocabulary};

/// Bytes of a window. Ranks are searched by blocks, so a larger one costs little more.
const WINDOW: usize = 4096;
/// Neighbours of which the lowest rank is kept.
const BLOCK: usize = 64;
/// A piece of at most so many bytes is encoded without any memory of its own.
const SHORT: usize = 32;

/// Counts the tokens of pieces; its memory serves one after another.
#[derive(Default)]
pub(super) struct Merge {
    /// By the byte where a part begins: the rank of it and the next one together; `NONE` where none begins.
    ranks: Vec<u32>,
    /// The lowest of each block of ranks, or one that was there and is gone.
    lowest: Vec<u32>,
    /// Where the next part begins, and the one before.
    next: Vec<u32>,
    before: Vec<u32>,
}

impl Merge {
    /// Tokens of the piece that stands from `begin` to `end` in a text.
    #[inline]
    pub fn count(&mut self, words: &Vocabulary<'_>, text: &[u8], begin: usize, end: usize) -> usize {
        if words.rank(text, begin, end) == NONE { self.count_parts(words, text, begin, end) } else { 1 }
    }

    /// The same of a piece that is no token.
    #[inline(never)]
    fn count_parts(&mut self, words: &Vocabulary<'_>, text: &[u8], begin: usize, end: usize) -> usize {
        let len = end - begin;
        if len <= SHORT {
            encode_short(words, &text[begin..], len)
        } else if len <= WINDOW {
            self.encode(words, text, begin, end)
        } else {
            self.count_long(words, text, begin, end, WINDOW)
        }
    }

    /// Goes window by window through a piece that is longer than one.
    fn count_long(&mut self, words: &Vocabulary<'_>, text: &[u8], begin: usize, end: usize, size: usize) -> usize {
        let mut window = self.window(words, text, begin, begin + size);
        let mut counted = 0;
        while window.end < end {
            // Where what follows a window changes its tokens far back, half of it may still hold one that stays.
            let next = [8, 2].into_iter().find_map(|part| {
                let from = window.starts.partition_point(|at| *at < window.end - size / part);
                let begin = *window.starts.get(from)?;
                let mut ahead = self.window(words, text, begin, end.min(begin + size));
                let (known, new) = shared(&window.starts, &ahead.starts, from)?;
                ahead.starts.drain(..new);
                Some((known, ahead))
            });
            let Some((known, ahead)) = next else {
                return self.encode(words, text, begin, end);
            };
            counted += known;
            window = ahead;
        }
        counted + window.starts.len()
    }

    fn window(&mut self, words: &Vocabulary<'_>, text: &[u8], begin: usize, end: usize) -> Window {
        let count = self.encode(words, text, begin, end);
        let mut starts = Vec::with_capacity(count);
        let mut at = 0;
        for _ in 0..count {
            starts.push(begin + at);
            at = self.next[at] as usize;
        }
        Window { end, starts }
    }

    /// Encodes what stands in a text from `begin` to `end`, and says into how many tokens.
    fn encode(&mut self, words: &Vocabulary<'_>, text: &[u8], begin: usize, end: usize) -> usize {
        let len = end - begin;
        self.ranks.clear();
        self.ranks.extend(text[begin..end].windows(2).map(|pair| words.pair(pair[0], pair[1])));
        self.ranks.push(NONE);
        self.next.clear();
        self.next.extend(1..=len as u32);
        self.before.clear();
        // The first part is before itself, which is never looked at.
        self.before.extend((0..=len as u32).map(|at| at.saturating_sub(1)));
        self.lowest.clear();
        self.lowest.extend(self.ranks.chunks(BLOCK).map(lowest));
        let mut count = len;
        loop {
            let rank = lowest(&self.lowest);
            if rank == NONE {
                return count;
            }
            for block in 0..self.lowest.len() {
                if self.lowest[block] == rank {
                    count -= self.join(words, &text[begin..], rank, block);
                }
            }
        }
    }

    /// Joins all pairs of this rank that begin in a block, and says how many. What comes of it has a higher rank, so
    /// one walk from left to right does what searching anew after each would.
    fn join(&mut self, words: &Vocabulary<'_>, text: &[u8], rank: u32, block: usize) -> usize {
        let (first, last) = (block * BLOCK, self.ranks.len().min((block + 1) * BLOCK));
        let mut joined = 0;
        for at in first..last {
            if self.ranks[at] != rank {
                continue;
            }
            joined += 1;
            let gone = self.next[at] as usize;
            let next = self.next[gone] as usize;
            self.ranks[gone] = NONE;
            self.next[at] = next as u32;
            self.before[next] = at as u32;
            if at > 0 {
                let before = self.before[at] as usize;
                self.set(before, words.rank(text, before, next));
            }
            match self.next.get(next) {
                // It is joined in its turn, and sees to this one.
                Some(_) if self.ranks[next] == rank => self.ranks[at] = NONE,
                Some(end) => {
                    let end = *end as usize;
                    self.set(at, words.rank(text, at, end));
                }
                None => self.ranks[at] = NONE,
            }
        }
        self.lowest[block] = lowest(&self.ranks[first..last]);
        joined
    }

    /// A pair has a new rank.
    #[inline]
    fn set(&mut self, at: usize, rank: u32) {
        self.ranks[at] = rank;
        let lowest = &mut self.lowest[at / BLOCK];
        *lowest = rank.min(*lowest);
    }
}

/// What [`Merge::encode`] says of the first bytes of a text, [`SHORT`] at most: so few parts are moved up faster than they
/// are linked.
fn encode_short(words: &Vocabulary<'_>, text: &[u8], len: usize) -> usize {
    let mut ranks = [NONE; SHORT];
    for (rank, pair) in ranks.iter_mut().zip(text[..len].windows(2)) {
        *rank = words.pair(pair[0], pair[1]);
    }
    // Where the parts begin, and where the last one ends.
    let mut starts: [usize; SHORT + 1] = std::array::from_fn(|at| at);
    let mut count = len;
    loop {
        let lowest = ranks[..count].iter().enumerate().min_by_key(|(_, rank)| **rank);
        let Some((at, _)) = lowest.filter(|(_, rank)| **rank != NONE) else { return count };
        starts.copy_within(at + 2..=count, at + 1);
        ranks.copy_within(at + 1..count, at);
        count -= 1;
        ranks[at] = if at + 1 < count { words.rank(text, starts[at], starts[at + 2]) } else { NONE };
        if at > 0 {
            ranks[at - 1] = words.rank(text, starts[at - 1], starts[at + 1]);
        }
    }
}

/// A stretch of a piece, encoded for itself from where a token of the whole piece begins.
struct Window {
    end: usize,
    /// Where its tokens begin, those apart that were counted.
    starts: Vec<usize>,
}

/// The first token of both, by its place in either: from `from` on in the first, from the start in the second.
fn shared(one: &[usize], other: &[usize], from: usize) -> Option<(usize, usize)> {
    let (mut a, mut b) = (from, 0);
    while let (Some(first), Some(second)) = (one.get(a..a + 2), other.get(b..b + 2)) {
        if first == second {
            return Some((a, b));
        }
        let order = first[0].cmp(&second[0]);
        a += usize::from(order.is_le());
        b += usize::from(order.is_ge());
    }
    None
}

#[inline]
fn lowest(ranks: &[u32]) -> u32 {
    ranks.iter().copied().fold(NONE, u32::min)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tokens::table::Table;

    #[test]
    fn a_short_piece_counts_what_the_same_bytes_count_in_any_other_way() {
        let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/penstock/tokens");
        let table = Table::open(&tables.join("o200k_base.table"), "o200k_base").expect("the table");
        let (words, mut merge, mut random) = (&table.view(), Merge::default(), fastrand::Rng::with_seed(6));
        for letters in [&b"a"[..], b"ab", b"aeinst", b"abcdefghijklmnopqrstuvwxyz", b"\xcc\x81\x80x", b"=-_ /"] {
            for _ in 0..2_000 {
                let len = random.usize(1..=SHORT);
                let behind = random.usize(0..20);
                let text: Vec<u8> = (0..len + behind).map(|_| letters[random.usize(..letters.len())]).collect();
                assert_eq!(encode_short(words, &text, len), merge.encode(words, &text, 0, len), "{text:?} {len}");
            }
        }
    }

    #[test]
    fn windows_of_any_size_count_what_the_whole_counts() {
        let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/penstock/tokens");
        let table = Table::open(&tables.join("o200k_base.table"), "o200k_base").expect("the table");
        let (words, mut merge, mut random) = (&table.view(), Merge::default(), fastrand::Rng::with_seed(5));
        for letters in [&b"a"[..], b"ab", b"aeinst", b" ", b"abcdefghijklmnopqrstuvwxyz", b"\xcc\x81\x80"] {
            for len in [50, 300, 2_000] {
                let text: Vec<u8> = (0..len).map(|_| letters[random.usize(..letters.len())]).collect();
                let whole = merge.encode(words, &text, 0, len);
                for size in [8, 16, 40, 100, 1_000] {
                    if size < len {
                        assert_eq!(merge.count_long(words, &text, 0, len, size), whole, "{letters:?} {len} {size}");
                    }
                }
            }
        }
    }
}
