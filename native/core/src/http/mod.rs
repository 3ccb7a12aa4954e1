//! HTTP/1.1 on the wire, both sides, strict; knows nothing of language models.
//!
//! One `Conn` is one side of a connection. It reads a head, then the payload of a body, into one buffer that it borrows
//! from the worker's free list only while there is something to hold. RFC 9112 is the grammar; where the RFC lets a
//! recipient be lenient and two recipients could then differ, the message is refused.

pub mod body;
pub mod buffer;
mod chars;
pub mod conn;
pub mod head;
mod names;
pub mod socket;
pub mod stream;
pub mod write;

pub use body::{BodyDecoder, BodyError, BodyLimits, Decoded};
pub use buffer::Buffers;
pub use conn::{Conn, ReadError};
pub use head::{Field, Framing, HeadError, HeadLimits, RequestHead, ResponseHead, Span, Version};
pub use names::{Names, same};
pub use stream::Stream;
pub use write::{BrokenLine, CONTINUE, HeadWriter, LAST_CHUNK, Output, chunk_prefix};
