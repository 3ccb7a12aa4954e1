//! Names of headers and lists of them, asked about for each field of each message.

/// Header names, asked for by their length first: most names are as long as none of them.
#[derive(Debug)]
pub struct Names {
    names: &'static [&'static str],
    /// By length, a bit for each of the names.
    by_length: [u32; MAX_LENGTH + 1],
}

const MAX_LENGTH: usize = 31;

impl Names {
    /// At most 32 names of lower-case letters, digits and hyphens, none longer than 31 bytes.
    ///
    /// # Panics
    /// On any others, where the list is compiled.
    pub const fn new(names: &'static [&'static str]) -> Self {
        let mut by_length = [0; MAX_LENGTH + 1];
        let mut at = 0;
        while at < names.len() {
            assert!(at < 32 && names[at].len() <= MAX_LENGTH && is_plain(names[at]), "no name for the list");
            by_length[names[at].len()] |= 1 << at;
            at += 1;
        }
        Self { names, by_length }
    }

    /// Where `name`, in any case, stands in the list.
    #[inline]
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        match *self.by_length.get(name.len())? {
            0 => None,
            those => self.position_among(those, name),
        }
    }

    /// The same among the names that have a bit in `left`.
    fn position_among(&self, mut left: u32, name: &[u8]) -> Option<usize> {
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            if same(name, self.names[at]) {
                return Some(at);
            }
            left &= left - 1;
        }
        None
    }

    /// Whether `name`, in any case, is one of them.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        self.position(name).is_some()
    }
}

/// Whether the name of a field is `lower`, in any case; see [`is_plain`] for what that may be. A field name has the
/// characters of a token only, and of those none but an upper-case letter differs from a plain one by the bit of case.
#[inline]
pub fn same(name: &[u8], lower: &str) -> bool {
    const WORD: usize = 8;
    debug_assert!(is_plain(lower), "{lower} is not plain");
    let lower = lower.as_bytes();
    if name.len() != lower.len() {
        return false;
    }
    let differ = |at: usize| {
        let word = |text: &[u8]| text[at..].first_chunk::<WORD>().map_or(0, |word| u64::from_le_bytes(*word));
        (word(name) | CASE) ^ word(lower)
    };
    match name.len().checked_sub(WORD) {
        // The last word overlaps the one before it.
        Some(last) => (0..last).step_by(WORD).chain([last]).all(|at| differ(at) == 0),
        None => name.iter().zip(lower).all(|(a, b)| a | CASE as u8 == *b),
    }
}

/// Lower-case letters, digits and hyphens.
const fn is_plain(name: &str) -> bool {
    let (bytes, mut at) = (name.as_bytes(), 0);
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    true
}

/// What lower-case letters have and upper-case ones have not, eight times.
const CASE: u64 = 0x2020_2020_2020_2020;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_where_only_the_case_of_letters_differs() {
        let tokens: Vec<u8> = (0..=255).filter(|b| super::super::chars::is_token(*b)).collect();
        for lower in ["e", "te", "x-b3-id", "x-b3-ids", "content-length", "x-y-z-0123456789-end"] {
            assert!(same(lower.as_bytes(), lower) && same(lower.to_ascii_uppercase().as_bytes(), lower), "{lower}");
            assert!(!same(&lower.as_bytes()[1..], lower) && !same(b"", lower));
            for at in 0..lower.len() {
                for byte in &tokens {
                    let mut name = lower.as_bytes().to_vec();
                    name[at] = *byte;
                    assert_eq!(same(&name, lower), name.eq_ignore_ascii_case(lower.as_bytes()), "{name:?} {lower}");
                }
            }
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        const NAMES: Names = Names::new(&["te", "host", "x-request-id"]);
        assert_eq!(NAMES.position(b"te"), Some(0));
        assert_eq!(NAMES.position(b"HOST"), Some(1));
        assert!(NAMES.has(b"X-Request-Id"));
        for other in [&b""[..], b"t", b"ta", b"hosts", b"x-request-if", &[b'a'; 31], &[b'a'; 32], &[b'a'; 300]] {
            assert!(!NAMES.has(other), "{other:?}");
        }
    }
}
