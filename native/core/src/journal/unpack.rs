//! The other way of `pack`: what the journal says of itself, and what others read in payloads.

/// Reads values in their order; `None` where another kind of value stands, or none.
#[derive(Clone, Copy, Debug)]
pub struct Unpack<'a> {
    bytes: &'a [u8],
}

impl<'a> Unpack<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The length of a list.
    pub fn list(&mut self) -> Option<usize> {
        match self.byte()? {
            mark @ 0x90..=0x9f => Some(usize::from(mark & 0x0f)),
            0xdc => self.take().map(|bytes| usize::from(u16::from_be_bytes(bytes))),
            _ => None,
        }
    }

    /// The number of pairs of a map.
    pub fn map(&mut self) -> Option<usize> {
        match self.byte()? {
            mark @ 0x80..=0x8f => Some(usize::from(mark & 0x0f)),
            0xde => self.take().map(|bytes| usize::from(u16::from_be_bytes(bytes))),
            _ => None,
        }
    }

    /// Whether nil is next; passes over it then.
    pub fn nil(&mut self) -> bool {
        let is_nil = self.bytes.first() == Some(&0xc0);
        self.bytes = &self.bytes[usize::from(is_nil)..];
        is_nil
    }

    pub fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ 0..0x80 => Some(u64::from(small)),
            0xcc => self.byte().map(u64::from),
            0xcd => self.take().map(|bytes| u64::from(u16::from_be_bytes(bytes))),
            0xce => self.take().map(|bytes| u64::from(u32::from_be_bytes(bytes))),
            0xcf => self.take().map(u64::from_be_bytes),
            _ => None,
        }
    }

    pub fn text(&mut self) -> Option<&'a str> {
        let length = match self.byte()? {
            mark @ 0xa0..=0xbf => usize::from(mark & 0x1f),
            0xd9 => usize::from(self.byte()?),
            0xda => usize::from(u16::from_be_bytes(self.take()?)),
            0xdb => u32::from_be_bytes(self.take()?) as usize,
            _ => return None,
        };
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }

    /// Passes over one value of any kind, whatever is in it.
    pub fn skip(&mut self) -> Option<()> {
        let mut left = 1_u64;
        while left > 0 {
            left = left - 1 + self.head()?;
        }
        Some(())
    }

    /// Passes over a value but for those inside it; how many these are.
    fn head(&mut self) -> Option<u64> {
        let bytes = match self.byte()? {
            0..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            mark @ 0x80..=0x8f => return Some(2 * u64::from(mark & 0x0f)),
            mark @ 0x90..=0x9f => return Some(u64::from(mark & 0x0f)),
            mark @ 0xa0..=0xbf => usize::from(mark & 0x1f),
            0xc4 | 0xd9 => usize::from(self.byte()?),
            0xc5 | 0xda => usize::from(u16::from_be_bytes(self.take()?)),
            0xc6 | 0xdb => u32::from_be_bytes(self.take()?) as usize,
            0xc7 => usize::from(self.byte()?) + 1,
            0xc8 => usize::from(u16::from_be_bytes(self.take()?)) + 1,
            0xc9 => u32::from_be_bytes(self.take()?) as usize + 1,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 | 0xd4 => 2,
            0xd5 => 3,
            0xca | 0xce | 0xd2 => 4,
            0xd6 => 5,
            0xcb | 0xcf | 0xd3 => 8,
            0xd7 => 9,
            0xd8 => 17,
            0xdc => return self.take().map(|bytes| u64::from(u16::from_be_bytes(bytes))),
            0xdd => return self.take().map(|bytes| u64::from(u32::from_be_bytes(bytes))),
            0xde => return self.take().map(|bytes| 2 * u64::from(u16::from_be_bytes(bytes))),
            0xdf => return self.take().map(|bytes| 2 * u64::from(u32::from_be_bytes(bytes))),
            0xc1 => return None,
        };
        self.bytes = self.bytes.get(bytes..)?;
        Some(0)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*bytes)
    }
}
