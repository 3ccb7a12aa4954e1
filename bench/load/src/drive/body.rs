//! Takes HTTP framing off an answer's body in place: the buffer is `[payload][raw]`.

use crate::Outcome;

enum Framing {
    Fixed(usize),
    /// Bytes left of the present chunk, its line end included; 0: a size line comes next.
    Chunked(usize),
}

pub(crate) struct Body {
    framing: Framing,
    payload: usize,
    done: bool,
}

impl Body {
    pub(crate) fn fixed(length: usize) -> Self {
        Self { framing: Framing::Fixed(length), payload: 0, done: false }
    }

    pub(crate) fn chunked() -> Self {
        Self { framing: Framing::Chunked(0), payload: 0, done: false }
    }

    /// Decoded bytes at the front of the buffer.
    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    /// Decodes what has come; true when the body is complete.
    pub(crate) fn advance(&mut self, buffer: &mut Vec<u8>) -> Outcome<bool> {
        match self.framing {
            Framing::Fixed(length) => {
                self.payload = buffer.len().min(length);
                self.done = self.payload == length;
            }
            Framing::Chunked(mut left) => {
                let mut raw = self.payload;
                while !self.done && raw < buffer.len() {
                    if left == 0 {
                        let Some(line) = memchr::memmem::find(&buffer[raw..], b"\r\n") else { break };
                        let size = usize::from_str_radix(std::str::from_utf8(&buffer[raw..raw + line])?, 16)?;
                        if size == 0 {
                            // No trailers: an empty line must follow.
                            if buffer.len() < raw + line + 4 {
                                break;
                            }
                            self.done = true;
                            raw += line + 4;
                        } else {
                            raw += line + 2;
                            left = size + 2;
                        }
                    } else {
                        let have = left.min(buffer.len() - raw);
                        // The last two of `left` are the chunk's line end.
                        let data = have.min(left.saturating_sub(2));
                        buffer.copy_within(raw..raw + data, self.payload);
                        self.payload += data;
                        raw += have;
                        left -= have;
                    }
                }
                buffer.drain(self.payload..raw);
                self.framing = Framing::Chunked(left);
            }
        }
        Ok(self.done)
    }

    /// Forgets the body; nothing may stand behind it, as nothing more was asked.
    pub(crate) fn finish(self, buffer: &mut Vec<u8>) -> Outcome<()> {
        if buffer.len() != self.payload {
            return Err(format!("{} bytes behind the end of the answer", buffer.len() - self.payload).into());
        }
        buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cut_anywhere_give_the_same_payload() {
        let wire = b"5\r\nhello\r\n00c\r\n, cut\r\nwhere\r\n1\r\n!\r\n0\r\n\r\n";
        for step in 1..wire.len() {
            let (mut body, mut buffer, mut done) = (Body::chunked(), Vec::new(), false);
            for piece in wire.chunks(step) {
                buffer.extend_from_slice(piece);
                done = body.advance(&mut buffer).unwrap();
            }
            assert!(done);
            assert_eq!(&buffer[..body.payload()], b"hello, cut\r\nwhere!");
            body.finish(&mut buffer).unwrap();
        }
    }

    #[test]
    fn bytes_behind_the_end_are_an_error() {
        let (mut body, mut buffer) = (Body::fixed(2), b"abc".to_vec());
        assert!(body.advance(&mut buffer).unwrap());
        assert!(body.finish(&mut buffer).is_err());
    }
}
