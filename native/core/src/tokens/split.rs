//! Cuts text into the pieces that tokens never cross, in one pass: what tiktoken's regular expressions match, written
//! out by hand. Each function says which part of the expression it is.

use super::{
    ascii,
    classes::{
        Classes,
        class::{BARE, BREAK, END, LETTER, LOWER, MARK, NUMBER, OTHER, SPACE, UPPER},
    },
};

/// Which expression: the name of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Of `cl100k_base`:
    /// `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|`
    /// `\s+(?!\S)|\s`
    Cl100k,
    /// Of `o200k_base`, where U is `\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}`, W is `\p{Ll}\p{Lm}\p{Lo}\p{M}` and C is
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`:
    /// `[^\r\n\p{L}\p{N}]?[U]*[W]+C?|[^\r\n\p{L}\p{N}]?[U]+[W]*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|`
    /// `\s+(?!\S)|\s+`
    O200k,
}

/// What `[^\s\p{L}\p{N}]` matches.
const SIGN: u8 = OTHER | MARK;
/// U and W of `o200k_base`.
const TITLE: u8 = UPPER | BARE | MARK;
const BODY: u8 = LOWER | BARE | MARK;

/// The pieces of a text, in order; together they are the text.
pub(super) struct Pieces<'a> {
    text: &'a [u8],
    classes: &'static Classes,
    pattern: Pattern,
    at: usize,
}

/// How a word of `o200k_base` without its prefix matches.
struct Word {
    /// Where it begins, if nothing matches.
    end: usize,
    /// As `[U]*[W]+`, and not only as `[U]+[W]*`.
    first: bool,
}

impl<'a> Pieces<'a> {
    pub fn new(text: &'a str, classes: &'static Classes, pattern: Pattern) -> Self {
        Self { text: text.as_bytes(), classes, pattern, at: 0 }
    }

    /// The class of the character here, and where the next one begins.
    #[inline]
    fn class(&self, at: usize) -> (u8, usize) {
        match self.text.get(at) {
            None => (END, at),
            Some(&byte) if byte < 0x80 => (self.classes.of_ascii(byte), at + 1),
            Some(&byte) => self.wide(byte, at),
        }
    }

    /// The same of a character that is not ASCII; the text is known to be UTF-8.
    fn wide(&self, lead: u8, at: usize) -> (u8, usize) {
        let low = |n: usize| self.text.get(at + n).map_or(0, |byte| u32::from(byte & 0x3f));
        let lead = u32::from(lead);
        let (point, len) = match lead {
            ..0xe0 => ((lead & 0x1f) << 6 | low(1), 2),
            0xe0..0xf0 => ((lead & 0xf) << 12 | low(1) << 6 | low(2), 3),
            _ => ((lead & 7) << 18 | low(1) << 12 | low(2) << 6 | low(3), 4),
        };
        (self.classes.of(point), at + len)
    }

    /// `[mask]*`: where the characters of these classes end.
    #[inline]
    fn run(&self, mut at: usize, mask: u8) -> usize {
        loop {
            let (class, next) = self.class(at);
            if class & mask == 0 {
                return at;
            }
            at = next;
        }
    }

    /// `\p{N}{1,3}`, from its second character on.
    fn number(&self, mut at: usize) -> usize {
        for _ in 0..2 {
            let (class, next) = self.class(at);
            if class != NUMBER {
                break;
            }
            at = next;
        }
        at
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`. Letters match in both cases, and ſ (U+017F) is one of s.
    #[inline]
    fn contraction(&self, at: usize) -> usize {
        match self.text.get(at..) {
            Some([b'\'', rest @ ..]) => match rest {
                [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => at + 2,
                [b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'l' | b'L', b'l' | b'L', ..] | [0xc5, 0xbf, ..] => {
                    at + 3
                }
                _ => at,
            },
            _ => at,
        }
    }

    /// White space, which begins here, with the last rules of either expression.
    fn space(&self, begin: usize) -> usize {
        let (mut at, mut last, mut after_break) = (begin, begin, None);
        let end = loop {
            let (class, next) = self.class(at);
            if class & SPACE == 0 {
                break at;
            }
            if class == BREAK {
                after_break = Some(next);
            }
            (last, at) = (at, next);
        };
        let ends_text = end == self.text.len();
        match after_break {
            // `\s*[\r\n]`, but `\s++$` before it.
            Some(after) if self.pattern == Pattern::O200k || !ends_text => after,
            // `\s+(?!\S)`, or one alone.
            None if !ends_text && last > begin => last,
            _ => end,
        }
    }

    /// Where most pieces end, told without classes: a word of ASCII and the blank before it, or a number; `None`: it takes
    /// a closer look.
    #[inline]
    fn usual(&self, at: usize) -> Option<usize> {
        let text = self.text;
        let begin = at + usize::from(text[at] == b' ');
        let end = match text.get(begin)? {
            b'0'..=b'9' if begin == at => ascii::digits(text, at),
            b'a'..=b'z' | b'A'..=b'Z' if self.pattern == Pattern::Cl100k => ascii::letters(text, begin),
            // `[U]*[W]+`, or else `[U]+[W]*`, which end where letters of lower case do.
            b'a'..=b'z' => ascii::lower(text, begin),
            b'A'..=b'Z' => ascii::lower(text, ascii::upper(text, begin)),
            _ => return None,
        };
        match text.get(end) {
            // It may go on.
            Some(0x80..) => None,
            Some(b'\'') if self.pattern == Pattern::O200k && !text[begin].is_ascii_digit() => {
                Some(self.contraction(end))
            }
            _ => Some(end),
        }
    }

    /// Where any piece ends.
    #[inline(never)]
    fn unusual(&self, at: usize) -> usize {
        match self.pattern {
            Pattern::Cl100k => self.next_cl100k(at),
            Pattern::O200k => self.next_o200k(at),
        }
    }

    fn next_cl100k(&self, at: usize) -> usize {
        let end = self.contraction(at);
        if end > at {
            return end;
        }
        let (class, after) = self.class(at);
        match class {
            NUMBER => return self.number(after),
            UPPER | LOWER | BARE => return self.run(after, LETTER),
            _ => {}
        }
        let (following, behind) = self.class(after);
        if class != BREAK && following & LETTER != 0 {
            return self.run(behind, LETTER);
        }
        if class & SIGN != 0 {
            return self.run(self.run(after, SIGN), BREAK);
        }
        if self.text[at] == b' ' && following & SIGN != 0 {
            return self.run(self.run(behind, SIGN), BREAK);
        }
        self.space(at)
    }

    fn next_o200k(&self, at: usize) -> usize {
        let (class, after) = self.class(at);
        if class == NUMBER {
            return self.number(after);
        }
        if class & LETTER != 0 {
            return self.word_end(at);
        }
        if class != BREAK {
            let word = self.word(after);
            if word.first || class != MARK && word.end > after {
                return self.contraction(word.end);
            }
            if class == MARK {
                // The expression tries its first part without a prefix before its second part with one.
                return self.word_end(at);
            }
        }
        if class == OTHER {
            return self.signs(after);
        }
        if self.text[at] == b' ' {
            let (following, behind) = self.class(after);
            if following == OTHER {
                return self.signs(behind);
            }
        }
        self.space(at)
    }

    /// `[^\s\p{L}\p{N}]*[\r\n/]*`
    fn signs(&self, at: usize) -> usize {
        let end = self.run(at, SIGN);
        let more = self.text[end..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | b'/')).count();
        end + more
    }

    /// A word and its contraction.
    fn word_end(&self, at: usize) -> usize {
        self.contraction(self.word(at).end)
    }

    /// `[U]*[W]+`, or else `[U]+[W]*`.
    #[inline]
    fn word(&self, begin: usize) -> Word {
        let (mut at, mut after_body) = (begin, None);
        loop {
            let (class, next) = self.class(at);
            if class & TITLE == 0 {
                return match after_body {
                    _ if class == LOWER => Word { end: self.run(next, BODY), first: true },
                    // `[U]*` gives back what is also in W, the last first, and upper case behind that.
                    Some(end) => Word { end, first: true },
                    None => Word { end: at, first: false },
                };
            }
            if class != UPPER {
                after_body = Some(next);
            }
            at = next;
        }
    }
}

impl Iterator for Pieces<'_> {
    /// Where a piece begins and ends.
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        let begin = self.at;
        if begin >= self.text.len() {
            return None;
        }
        self.at = self.usual(begin).unwrap_or_else(|| self.unusual(begin));
        Some((begin, self.at))
    }
}
