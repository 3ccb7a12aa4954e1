//! HTTP/1.1 on the wire, both sides, strict; knows nothing of language models.
