//! What kind of character a code point is, as far as splitting text asks.

use std::sync::LazyLock;

/// One bit a class, so that several classes are tested at once. No character has two.
pub(super) mod class {
    /// Past the end of the text: no class at all.
    pub const END: u8 = 0;
    /// Lu and Lt.
    pub const UPPER: u8 = 1;
    /// Ll.
    pub const LOWER: u8 = 2;
    /// Lm and Lo: letters without case.
    pub const BARE: u8 = 4;
    /// M.
    pub const MARK: u8 = 8;
    /// N.
    pub const NUMBER: u8 = 16;
    /// White space but for those that break lines.
    pub const BLANK: u8 = 32;
    /// Carriage return and line feed.
    pub const BREAK: u8 = 64;
    /// Everything else, unassigned code points too.
    pub const OTHER: u8 = 128;
    pub const LETTER: u8 = UPPER | LOWER | BARE;
    pub const SPACE: u8 = BLANK | BREAK;
}

/// Code points that share an entry of the index.
const BLOCK: usize = 128;

/// All of Unicode in two steps: a block by the upper bits of a code point, a class by the lower ones.
pub(super) struct Classes {
    index: Vec<u8>,
    blocks: Vec<[u8; BLOCK]>,
}

/// Made at first use from the list that `scripts/unicode_classes.py` writes.
pub(super) static CLASSES: LazyLock<Classes> = LazyLock::new(|| Classes::read(include_str!("classes.txt")));

impl Classes {
    /// Reads lines of a class and its ranges.
    fn read(list: &str) -> Self {
        let mut flat = vec![class::OTHER; 0x11_0000];
        for line in list.lines() {
            let mut words = line.split(' ');
            let class = match words.next() {
                Some("U") => class::UPPER,
                Some("L") => class::LOWER,
                Some("B") => class::BARE,
                Some("M") => class::MARK,
                Some("N") => class::NUMBER,
                Some("S") => class::BLANK,
                _ => continue,
            };
            for word in words {
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                let ends = [first, last].map(|end| usize::from_str_radix(end, 16));
                if let [Ok(first), Ok(last)] = ends
                    && let Some(range) = flat.get_mut(first..=last)
                {
                    range.fill(class);
                }
            }
        }
        flat[usize::from(b'\r')] = class::BREAK;
        flat[usize::from(b'\n')] = class::BREAK;
        let mut classes = Self { index: Vec::new(), blocks: Vec::new() };
        for block in flat.as_chunks().0 {
            let at = classes.blocks.iter().position(|known| known == block).unwrap_or_else(|| {
                classes.blocks.push(*block);
                classes.blocks.len() - 1
            });
            classes.index.push(at as u8);
        }
        classes
    }

    /// The class of a code point.
    #[inline]
    pub fn of(&self, point: u32) -> u8 {
        let block = self.index.get(point as usize / BLOCK).map_or(0, |at| usize::from(*at));
        self.blocks[block][point as usize % BLOCK]
    }

    /// The class of an ASCII character.
    #[inline]
    pub fn of_ascii(&self, byte: u8) -> u8 {
        self.blocks[0][usize::from(byte) % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fit_into_a_byte() {
        assert!(CLASSES.blocks.len() <= 256, "{}", CLASSES.blocks.len());
    }

    #[test]
    fn a_character_of_each_class_has_it() {
        for (class, some) in [
            (class::UPPER, "AÉǅЖ"),
            (class::LOWER, "aéſж"),
            (class::BARE, "ªʰא你ก한"),
            (class::MARK, "\u{301}\u{93e}\u{20dd}\u{e0100}"),
            (class::NUMBER, "0٣Ⅷ½〇"),
            (class::BLANK, "\t\x0b\x0c \u{85}\u{a0}\u{2028}\u{3000}"),
            (class::BREAK, "\r\n"),
            (class::OTHER, "\0'!_€😀\u{200b}\u{feff}\u{e000}\u{10ffff}"),
        ] {
            for character in some.chars() {
                assert_eq!(CLASSES.of(character as u32), class, "{character:?}");
            }
        }
    }
}
