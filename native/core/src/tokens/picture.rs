//! How large a picture in base64 is, from the few bytes of its beginning that say so.

/// Segments of a JPEG that may stand before the one with its size.
const MAX_SEGMENTS: usize = 256;

/// Width and height in pixels of a PNG, JPEG, GIF or WebP; `None`: it is nothing of that, or cut short.
pub(super) fn size(base64: &[u8]) -> Option<(u32, u32)> {
    let picture = Base64(base64);
    let found = match picture.bytes::<4>(0)? {
        [0x89, b'P', b'N', b'G'] => (picture.big::<4>(16)?, picture.big::<4>(20)?),
        [b'G', b'I', b'F', _] => (picture.little::<2>(6)?, picture.little::<2>(8)?),
        [b'R', b'I', b'F', b'F'] => webp(picture)?,
        [0xff, 0xd8, ..] => jpeg(picture)?,
        _ => return None,
    };
    (found.0 > 0 && found.1 > 0).then_some(found)
}

/// Source: RFC 9649, sections 2.5 to 2.7.
fn webp(picture: Base64<'_>) -> Option<(u32, u32)> {
    match picture.bytes::<4>(12)? {
        [b'V', b'P', b'8', b'X'] => Some((picture.little::<3>(24)? + 1, picture.little::<3>(27)? + 1)),
        [b'V', b'P', b'8', b'L'] => {
            let bits = picture.little::<4>(21)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        [b'V', b'P', b'8', b' '] => Some((picture.little::<2>(26)? & 0x3fff, picture.little::<2>(28)? & 0x3fff)),
        _ => None,
    }
}

/// Source: ITU-T T.81, annex B: segments up to one that starts a frame.
fn jpeg(picture: Base64<'_>) -> Option<(u32, u32)> {
    let mut at = 2;
    for _ in 0..MAX_SEGMENTS {
        match picture.bytes::<2>(at)? {
            // Fill bytes, and markers without a segment.
            [0xff, 0xff] => at += 1,
            [0xff, 0x01 | 0xd0..=0xd7] => at += 2,
            [0xff, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf] => {
                return Some((picture.big::<2>(at + 7)?, picture.big::<2>(at + 5)?));
            }
            [0xff, _] => at += 2 + picture.big::<2>(at + 2)? as usize,
            _ => return None,
        }
    }
    None
}

/// Bytes in base64, decoded where one looks. Line breaks inside are not known.
#[derive(Clone, Copy)]
struct Base64<'a>(&'a [u8]);

impl Base64<'_> {
    fn byte(self, at: usize) -> Option<u8> {
        let digit = |n: usize| {
            let value = match *self.0.get(at / 3 * 4 + n)? {
                upper @ b'A'..=b'Z' => upper - b'A',
                lower @ b'a'..=b'z' => lower - b'a' + 26,
                number @ b'0'..=b'9' => number - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            Some(value)
        };
        match at % 3 {
            0 => Some(digit(0)? << 2 | digit(1)? >> 4),
            1 => Some(digit(1)? << 4 | digit(2)? >> 2),
            _ => Some(digit(2)? << 6 | digit(3)?),
        }
    }

    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(at + n)?;
        }
        Some(bytes)
    }

    fn big<const N: usize>(self, at: usize) -> Option<u32> {
        Some(self.bytes::<N>(at)?.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }

    fn little<const N: usize>(self, at: usize) -> Option<u32> {
        Some(self.bytes::<N>(at)?.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG_640_480: &[u8] = b"iVBORw0KGgoAAAANSUhEUgAAAoAAAAHg";
    const GIF_320_200: &[u8] = b"R0lGODlhQAHIAA==";
    const WEBP_LOSSY_300_100: &[u8] = b"UklGRgAAAABXRUJQVlA4IAAAAAAAAACdASosAWQA";
    const WEBP_LOSSLESS_300_100: &[u8] = b"UklGRgAAAABXRUJQVlA4TAAAAAAvK8EYAA==";
    const WEBP_EXTENDED_300_100: &[u8] = b"UklGRgAAAABXRUJQVlA4WAoAAAAAAAAAKwEAYwAA";
    const JPEG_64_48: &[u8] = b"/9j/4AAQSkZJRgABAQAAAQABAAD/wAALCAAwAEABAREA";

    #[test]
    fn each_format_says_its_size() {
        for (picture, size) in [
            (PNG_640_480, (640, 480)),
            (GIF_320_200, (320, 200)),
            (WEBP_LOSSY_300_100, (300, 100)),
            (WEBP_LOSSLESS_300_100, (300, 100)),
            (WEBP_EXTENDED_300_100, (300, 100)),
            (JPEG_64_48, (64, 48)),
        ] {
            assert_eq!(super::size(picture), Some(size), "{}", String::from_utf8_lossy(picture));
        }
    }

    #[test]
    fn what_is_cut_or_foreign_says_nothing() {
        for picture in [PNG_640_480, GIF_320_200, WEBP_LOSSLESS_300_100, JPEG_64_48] {
            for end in 0..12 {
                assert_eq!(size(&picture[..end]), None);
            }
        }
        assert_eq!(size(b"QUJDREVGR0g="), None);
        assert_eq!(size("ünlesbar".as_bytes()), None);
    }
}
