//! The head of one part of a form: its fields and their parameters.

/// Parameters of a field value, with quotes and backslashes resolved.
type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The field `model`.
    Model,
    /// Another field.
    Text,
    Image,
    /// Any other file.
    File,
}

/// What the part is whose head is `head`: lines, each with its CR LF.
pub(super) fn kind(head: &[u8]) -> Result<Kind, &'static str> {
    let (mut disposition, mut is_image) = (None, false);
    let mut rest = head;
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err("a part has a bare line end or a NUL in its head");
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return Err("a part has a head line without a colon");
        };
        let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if key.is_empty() || !key.iter().all(|&b| is_token(b)) {
            return Err("a part has a head line that is no field");
        }
        if key.eq_ignore_ascii_case(b"content-disposition") {
            if disposition.is_some() {
                return Err("a part has two content-dispositions");
            }
            disposition = Some(form_data(value)?);
        } else if key.eq_ignore_ascii_case(b"content-type") {
            is_image = value.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case(b"image/"));
        } else if key.eq_ignore_ascii_case(b"content-transfer-encoding") && !is_plain(value) {
            return Err("a part is encoded; send it as it is");
        }
    }
    match disposition.ok_or("a part has no content-disposition")? {
        (name, _) if name == b"model" => Ok(Kind::Model),
        (_, false) => Ok(Kind::Text),
        (_, true) => Ok(if is_image { Kind::Image } else { Kind::File }),
    }
}

fn is_plain(encoding: &[u8]) -> bool {
    [&b"binary"[..], b"8bit", b"7bit"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain))
}

/// The name of a part, and whether it is a file.
fn form_data(value: &[u8]) -> Result<(Vec<u8>, bool), &'static str> {
    const BAD: &str = "a part has a bad content-disposition";
    let kind = value.split(|&b| b == b';').next().unwrap_or(value);
    if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return Err("a part is not form-data");
    }
    let params = parameters(value).ok_or(BAD)?;
    // RFC 7578 section 4.2 forbids `name*`, which readers take for different things.
    if params.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"name*")) {
        return Err(BAD);
    }
    let is_file = params
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(b"filename") || name.eq_ignore_ascii_case(b"filename*"));
    let mut names = params.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"name"));
    match (names.next(), names.next()) {
        (Some((_, name)), None) => Ok((name, is_file)),
        _ => Err(BAD),
    }
}

/// The parameters behind the first `;`, or `None` if they are malformed.
pub(super) fn parameters(value: &[u8]) -> Option<Parameters> {
    let mut found = Vec::new();
    let mut rest = &value[memchr::memchr(b';', value).unwrap_or(value.len())..];
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = rest.strip_prefix(b";")?.trim_ascii_start();
        if rest.is_empty() || rest.starts_with(b";") {
            continue;
        }
        let equals = rest.iter().position(|&b| !is_token(b))?;
        let name = rest[..equals].to_vec();
        rest = rest[equals..].strip_prefix(b"=")?;
        let (text, used) = if rest.starts_with(b"\"") { quoted(rest)? } else { token(rest) };
        if name.is_empty() {
            return None;
        }
        found.push((name, text));
        rest = &rest[used..];
    }
}

fn token(value: &[u8]) -> (Vec<u8>, usize) {
    let used = value.iter().position(|&b| b == b';' || b.is_ascii_whitespace()).unwrap_or(value.len());
    (value[..used].to_vec(), used)
}

/// A quoted string: a backslash before a quote or a backslash is an escape; browsers leave others as they are.
fn quoted(value: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::new();
    let mut at = 1;
    loop {
        match (value.get(at)?, value.get(at + 1)) {
            (b'"', _) => return Some((text, at + 1)),
            (b'\\', Some(&next @ (b'"' | b'\\'))) => {
                text.push(next);
                at += 2;
            }
            (&byte, _) => {
                text.push(byte);
                at += 1;
            }
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
