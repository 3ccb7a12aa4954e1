//! The other way of `pack`: what the journal says of itself, read where it is verified.

/// Reads values in their order; `None` where another kind of value stands, or none.
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
            0xdb => u32::from_be_bytes(self.take()?) as usize,
            _ => return None,
        };
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
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
