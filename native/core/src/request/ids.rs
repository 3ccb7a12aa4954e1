//! Request ids and W3C trace context: taken over if well formed, else made.

use fastrand::Rng;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const HEX: &[u8; 16] = b"0123456789abcdef";
const LONGEST: usize = 128;
/// How long the beginning of an id of ours is, the time behind it, and each half of the 71 random bits behind that.
const PREFIX: usize = 4;
const TIME: usize = 9;
const HALF: usize = 6;

/// Puts into `id` the client's `X-Request-ID` if it is 1 to 128 characters of `A-Za-z0-9._:-`, else a new one, for a request
/// that began then. Those of a later millisecond stand behind those of an earlier one, as with UUIDs of version 7 (RFC 9562,
/// 5.7): an index on them grows at its end, and a store has that end in memory. The time is in digits of one case, as many a
/// database's collation looks at case last.
pub fn request_id(given: Option<&[u8]>, utc_us: u64, rng: &mut Rng, id: &mut String) {
    let fits = |id: &&[u8]| {
        (1..=LONGEST).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(b))
    };
    if let Some(given) = given.filter(fits).and_then(|id| std::str::from_utf8(id).ok()) {
        id.push_str(given);
        return;
    }
    let mut text = *b"req_000000000000000000000";
    let (time, random) = text[PREFIX..].split_at_mut(TIME);
    let mut ms = utc_us / 1_000;
    for digit in time.iter_mut().rev() {
        *digit = BASE36[(ms % 36) as usize];
        ms /= 36;
    }
    for half in random.chunks_exact_mut(HALF) {
        // 64 random bits behind the point: each multiplication brings the next digit before it.
        let mut bits = rng.u64(..);
        for digit in half {
            let product = u128::from(bits) * 62;
            *digit = BASE62[(product >> 64) as usize];
            bits = product as u64;
        }
    }
    id.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// Trace and span of a request (W3C Trace Context, level 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub trace_id: u128,
    /// Our own span, sent upstream as the parent.
    pub span_id: u64,
    pub flags: u8,
}

impl Trace {
    /// Continues the client's `traceparent`, or starts a trace that is not sampled.
    pub fn start(given: Option<&[u8]>, rng: &mut Rng) -> Self {
        let span_id = rng.u64(1..);
        match given.and_then(parse) {
            Some((trace_id, flags)) => Self { trace_id, span_id, flags },
            None => Self { trace_id: rng.u128(1..), span_id, flags: 0 },
        }
    }

    /// `00-<trace id>-<span id>-<flags>`
    pub fn write(self, out: &mut Vec<u8>) {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex(&self.trace_id.to_be_bytes(), &mut text[3..]);
        hex(&self.span_id.to_be_bytes(), &mut text[36..]);
        hex(&[self.flags], &mut text[53..]);
        out.extend_from_slice(&text);
    }

    /// Appends 32 lower-case hexadecimal digits.
    pub fn write_trace_id(self, out: &mut String) {
        let mut text = [0; 32];
        hex(&self.trace_id.to_be_bytes(), &mut text);
        out.push_str(str::from_utf8(&text).unwrap_or(""));
    }
}

/// Writes the digits of `bytes` over the beginning of `text`.
fn hex(bytes: &[u8], text: &mut [u8]) {
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Trace id and flags of a well-formed header; later versions may be longer, `ff` and zero ids are invalid.
fn parse(header: &[u8]) -> Option<(u128, u8)> {
    let text = std::str::from_utf8(header).ok()?;
    let lower = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let (version, trace, parent, flags) = (text.get(0..2)?, text.get(3..35)?, text.get(36..52)?, text.get(53..55)?);
    let dashes = [2, 35, 52].iter().all(|i| header[*i] == b'-');
    let whole = header.len() == 55 || (version != "00" && header[55] == b'-');
    if !dashes || !whole || version == "ff" || ![version, trace, parent, flags].into_iter().all(lower) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|t| *t != 0)?;
    u64::from_str_radix(parent, 16).ok().filter(|p| *p != 0)?;
    Some((trace, u8::from_str_radix(flags, 16).ok()?))
}
