//! `MessagePack`, the little of it that payloads need: positional lists of numbers and texts, maps of texts.
//! <https://github.com/msgpack/msgpack/blob/master/spec.md>

const NUL: u8 = 0;
const SUBSTITUTE: u8 = 0x1a;
/// Longer texts are worth a search of their own.
const SHORT_BYTES: usize = 64;

/// Appends values to `out`.
pub struct Pack<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Pack<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Begins a list of so many values.
    pub fn list(&mut self, length: usize) {
        match u8::try_from(length) {
            Ok(short) if short < 16 => self.out.push(0x90 | short),
            _ => {
                self.out.push(0xdc);
                self.out.extend((length as u16).to_be_bytes());
            }
        }
    }

    /// Begins a map of so many names and values.
    pub fn map(&mut self, length: usize) {
        match u8::try_from(length) {
            Ok(short) if short < 16 => self.out.push(0x80 | short),
            _ => {
                self.out.push(0xde);
                self.out.extend((length as u16).to_be_bytes());
            }
        }
    }

    pub fn number(&mut self, number: u64) {
        if number < 0x80 {
            self.out.push(number as u8);
        } else if let Ok(small) = u8::try_from(number) {
            self.out.extend([0xcc, small]);
        } else if let Ok(short) = u16::try_from(number) {
            let [a, b] = short.to_be_bytes();
            self.out.extend([0xcd, a, b]);
        } else if let Ok(word) = u32::try_from(number) {
            let [a, b, c, d] = word.to_be_bytes();
            self.out.extend([0xce, a, b, c, d]);
        } else {
            self.out.push(0xcf);
            self.out.extend(number.to_be_bytes());
        }
    }

    /// A name of ours, which has no NUL; it is unknown where it is empty.
    pub fn name(&mut self, name: &'static str) {
        match name.len() {
            0 => self.nil(),
            length @ 1..32 => {
                self.out.push(0xa0 | length as u8);
                self.out.extend_from_slice(name.as_bytes());
            }
            _ => self.text(name),
        }
    }

    /// A substitute stands in it for each NUL. An entry begins with numbers that have zeros: so nobody's text passes for one
    /// where the entry around it is torn.
    pub fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        match bytes.len() {
            length @ 0..32 => self.out.push(0xa0 | length as u8),
            length @ 32..256 => self.out.extend([0xd9, length as u8]),
            length => {
                self.out.push(0xdb);
                self.out.extend((length as u32).to_be_bytes());
            }
        }
        let begin = self.out.len();
        self.out.extend_from_slice(bytes);
        if has_nul(bytes) {
            self.out[begin..].iter_mut().filter(|byte| **byte == NUL).for_each(|byte| *byte = SUBSTITUTE);
        }
    }

    pub fn nil(&mut self) {
        self.out.push(0xc0);
    }

    /// A number that may not be known.
    pub fn perhaps(&mut self, number: Option<u64>) {
        if let Some(number) = number { self.number(number) } else { self.nil() }
    }

    /// At most `most` bytes of a text that is unknown where it is empty.
    pub fn word(&mut self, text: &str, most: usize) {
        if text.is_empty() { self.nil() } else { self.cut(text, most) }
    }

    /// At most `most` bytes of a text.
    pub fn cut(&mut self, text: &str, most: usize) {
        if text.len() <= most {
            return self.text(text);
        }
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text(&text[..end]);
    }
}

/// Whether a text has a NUL. Most are short: eight bytes at a time, of which the last eight overlap with those before.
pub(crate) fn has_nul(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let Some(last) = bytes.last_chunk() else { return bytes.contains(&NUL) };
    if bytes.len() > SHORT_BYTES {
        return memchr::memchr(NUL, bytes).is_some();
    }
    // Of a word without NULs all bits are lost, of one with some the high bit of the first remains.
    let nuls = |word: &[u8; 8]| u64::from_ne_bytes(*word).wrapping_sub(ONES) & !u64::from_ne_bytes(*word) & HIGHS;
    bytes.as_chunks().0.iter().fold(nuls(last), |found, word| found | nuls(word)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_wherever_it_stands() {
        for length in 0..2 * SHORT_BYTES {
            for other in [0x01, 0x7f, 0x80, 0x81, 0xff] {
                let mut bytes = vec![other; length];
                assert!(!has_nul(&bytes), "{length} times {other}");
                for at in 0..length {
                    bytes[at] = NUL;
                    assert!(has_nul(&bytes), "at {at} of {length} times {other}");
                    bytes[at] = other;
                }
            }
        }
    }
}
